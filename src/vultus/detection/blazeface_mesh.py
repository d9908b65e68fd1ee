"""BlazeFace finds, FaceMesh confirms and places the keypoints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vultus.detection import blazeface, facemesh
from vultus.detection.blazeface import BlazeFace, Candidates, distinct
from vultus.detection.facemesh import FaceMesh, Meshes, upright_crops
from vultus.faces import Face
from vultus.geometry import FloatArray, UInt8Array

#: Network score that makes a candidate worth a look by FaceMesh.
CANDIDATE = 0.3
#: Presence from which the mesh is trusted for the box and the keypoints. Below it, which means
#: mostly profiles, BlazeFace's are closer to YuNet's and SCRFD's.
PRESENT = 0.1

#: From BlazeFace's box to one of WIDER FACE's kind, in sides of the former: medians over faces
#: with low presence that YuNet found too.
_STRETCH = np.array([0.05, -0.23, -0.05, 0.11], np.float32)

#: Crops that are run together, which bounds memory.
_CHUNK = 64


class BlazeFaceMesh:
    """Faces of any size from 1 % of the picture's long side up to more than the picture.

    A face's score is ``(0.9 + 0.1 p) d + (1 - d) p / 2`` with BlazeFace's score d and FaceMesh's
    presence p: presence lifts weak candidates that are faces and holds back those that are not,
    but does not condemn profiles, for which it is low. It is lowered by half of the part of the
    box that a better face covers.
    """

    default_min_score = 0.5
    weights = (blazeface.WEIGHTS, facemesh.WEIGHTS)

    def __init__(self, *, provider: str = "cpu", threads: int | None = None) -> None:
        self._blazeface = BlazeFace(provider=provider, threads=threads)
        self._facemesh = FaceMesh(provider=provider, threads=threads)

    def find(self, images: Sequence[UInt8Array], min_score: float) -> list[list[Face]]:
        """Return each picture's faces, best first, with scores of at least ``min_score``."""
        # A candidate of score d reaches at most d + (1 - d) / 2.
        floor = min(CANDIDATE, max(2 * min_score - 1, blazeface.HINT))
        found = self._blazeface.find(images, floor)
        meshes = self._meshes(images, found)
        return [
            _faces(candidates, mesh, min_score)
            for candidates, mesh in zip(found, meshes, strict=True)
        ]

    def _meshes(self, images: Sequence[UInt8Array], found: Sequence[Candidates]) -> list[Meshes]:
        owners = [(i, k) for i, candidates in enumerate(found) for k in range(len(candidates))]
        points = [np.empty((len(c), 468, 2), np.float32) for c in found]
        presence = [np.empty(len(c), np.float32) for c in found]
        for start in range(0, len(owners), _CHUNK):
            some = owners[start : start + _CHUNK]
            parts = [
                upright_crops(images[i], found[i].boxes[k : k + 1], found[i].points[k : k + 1])
                for i, k in some
            ]
            crops, maps = (np.concatenate(part) for part in zip(*parts, strict=True))
            meshes = self._facemesh.predict(crops, maps)
            for row, (i, k) in enumerate(some):
                points[i][k], presence[i][k] = meshes.points[row], meshes.presence[row]
        return [Meshes(p, q) for p, q in zip(points, presence, strict=True)]


def combined_score(score: FloatArray, presence: FloatArray) -> FloatArray:
    """Return what BlazeFace's scores and FaceMesh's presences, each in [0, 1], say together."""
    combined = (0.9 + 0.1 * presence) * score + (1 - score) * presence / 2
    return combined.astype(np.float32)


def _faces(candidates: Candidates, meshes: Meshes, min_score: float) -> list[Face]:
    scores = combined_score(candidates.scores, meshes.presence)
    boxes, keypoints = meshes.boxes(), meshes.keypoints()
    doubted = meshes.presence < PRESENT
    if doubted.any():
        boxes[doubted] = _coarse_boxes(candidates.take(doubted))
        keypoints[doubted] = _coarse_keypoints(candidates.take(doubted), keypoints[doubted])
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= min_score]
    kept, covered = distinct(boxes[order])
    # Half of a face beside another one is more often an echo of the latter.
    final = scores[order[kept]] * (1 - covered / 2)
    faces = [
        Face(boxes[i], float(score), keypoints[i])
        for i, score in zip(order[kept], final, strict=True)
        if score >= min_score
    ]
    return sorted(faces, key=lambda face: -face.score)


def _coarse_boxes(candidates: Candidates) -> FloatArray:
    """Return BlazeFace's boxes stretched to the hairline and the chin."""
    sides = candidates.boxes[:, 2:] - candidates.boxes[:, :2]
    stretched: FloatArray = candidates.boxes + _STRETCH * np.concatenate([sides, sides], 1)
    return stretched


def _coarse_keypoints(candidates: Candidates, on_mesh: FloatArray) -> FloatArray:
    """Return BlazeFace's eyes, nose and mouth, the latter as wide as on the mesh (K, 5, 2)."""
    corners = on_mesh[:, 3:] - on_mesh[:, 3:].mean(1, keepdims=True)
    return np.concatenate([candidates.points[:, :3], corners + candidates.points[:, 3:4]], 1)
