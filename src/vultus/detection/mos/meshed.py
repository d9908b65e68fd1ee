"""MOS finds and turns, FaceMesh places the keypoints."""

from __future__ import annotations

from collections.abc import Sequence

from vultus.detection import facemesh
from vultus.detection.blazeface_mesh import PRESENT
from vultus.detection.facemesh import FaceMesh, mesh_of_faces
from vultus.detection.mos.finder import WEIGHTS, MosFinder
from vultus.faces import Face
from vultus.geometry import UInt8Array


class MosMesh:
    """Faces, boxes, scores and pose of :class:`MosFinder`, keypoints of FaceMesh. Thread safe.

    Where the mesh does not see a face, which means mostly profiles, the keypoints are MOS's.
    """

    weights = (WEIGHTS, facemesh.WEIGHTS)

    def __init__(self, *, provider: str = "cpu", threads: int | None = None) -> None:
        self._mos = MosFinder(provider=provider, threads=threads)
        self._facemesh = FaceMesh(provider=provider, threads=threads)
        self.default_min_score = self._mos.default_min_score

    def find(self, images: Sequence[UInt8Array], min_score: float) -> list[list[Face]]:
        """Return each picture's faces, best first, with scores of at least ``min_score``."""
        found = self._mos.find(images, min_score)
        return [self._placed(*pair) for pair in zip(images, found, strict=True)]

    def _placed(self, image: UInt8Array, faces: list[Face]) -> list[Face]:
        if not faces:
            return []
        meshes = mesh_of_faces(self._facemesh, image, faces)
        seen, keypoints = meshes.presence >= PRESENT, meshes.keypoints()
        return [
            face.replace(keypoints=keypoints[i]) if seen[i] else face
            for i, face in enumerate(faces)
        ]
