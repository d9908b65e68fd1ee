"""A teacher for photographs: a face mesh of 478 points, and its correspondence with 68 points.

The mesh is that of Kartynnik et al. (2019) with irises; it is read from a local TensorFlow Lite
file. No vertex of it *is* an iBUG point, so each of the 68 is a mean of a few vertices whose
weights are fitted where both are known exactly: on rendered heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import DatasetError
from vultus.geometry import (
    FloatArray,
    UInt8Array,
    invert_affine,
    similarity_transform,
    transform_points,
    warp,
)
from vultus.runtime import Session
from vultus.runtime.tflite_onnx import convert
from vultus.writing import replacing

VERTICES = 478

#: Side of the network's crop, and crop / box of the mesh.
SIZE, CONTEXT = 192, 1.45

#: Outer eye corners of the mesh, image-left and image-right.
OUTER_CORNERS = (33, 263)

_CHUNK = 32


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What the mesh says of N pictures.

    Parameters
    ----------
    points
        float32 (N, 478, 2) picture pixels.
    presence
        float32 (N,): probability of a face.
    moved
        float32 (N,): mean distance between the last two passes over the distance of the outer eye
        corners; large where the mesh does not hold still.
    """

    points: FloatArray
    presence: FloatArray
    moved: FloatArray


class MeshTeacher:
    """The network, on pictures that show one face at about a known place.

    Parameters
    ----------
    model
        ``face_landmarks_detector.tflite``.
    threads
        See :class:`~vultus.runtime.Session`.
    """

    def __init__(self, model: Path | str, threads: int | None = 1) -> None:
        self._session = Session(convert(Path(model).read_bytes()), threads=threads)

    def locate(self, images: Sequence[UInt8Array], boxes: ArrayLike, passes: int = 2) -> Found:
        """Place the mesh on every picture.

        Parameters
        ----------
        images
            uint8 RGB (H, W, 3), of any sizes.
        boxes
            (N, 4) xyxy around each face, from brows to chin.
        passes
            Looks at each picture; from the second on the crop follows the mesh, upright.
        """
        maps = _box_maps(np.asarray(boxes, np.float32).reshape(-1, 4))
        points, presence = self._look(images, maps)
        moved = np.zeros(len(images), np.float32)
        for _ in range(passes - 1):
            before = points
            points, presence = self._look(images, _mesh_maps(points))
            moved = _distance(points, before)
        return Found(points, presence, moved)

    def _look(
        self, images: Sequence[UInt8Array], maps: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        points = np.empty((len(images), VERTICES, 2), np.float32)
        presence = np.empty(len(images), np.float32)
        for start in range(0, len(images), _CHUNK):
            rows = slice(start, start + _CHUNK)
            crops = np.concatenate(
                [warp(i, m, SIZE) for i, m in zip(images[rows], maps[rows], strict=True)]
            )
            values, logits = self._session.run(crops.astype(np.float32) / 255)
            flat = values.reshape(len(crops), VERTICES, 3)[..., :2]
            points[rows] = transform_points(invert_affine(maps[rows]), flat)
            presence[rows] = 1 / (1 + np.exp(-np.clip(logits.reshape(-1), -50, 50)))
        return points, presence


def _box_maps(boxes: FloatArray) -> FloatArray:
    side = (boxes[:, 2:] - boxes[:, :2]).max(1) * CONTEXT
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 - 0.5
    return _maps(np.asarray(centre, np.float32), side, np.zeros(len(boxes), np.float32))


def _mesh_maps(points: FloatArray) -> FloatArray:
    left, right = points[:, OUTER_CORNERS[0]], points[:, OUTER_CORNERS[1]]
    down = points[:, 152] - points[:, 10]
    # The line of the eyes is short in profile, the line from forehead to chin from above.
    across = (right - left) + np.stack([down[:, 1], -down[:, 0]], 1)
    angle = np.arctan2(across[:, 1], across[:, 0]).astype(np.float32)
    low, high = points.min(1), points.max(1)
    return _maps((low + high) / 2, (high - low).max(1) * CONTEXT, angle)


def _maps(centre: FloatArray, side: FloatArray, angle: FloatArray) -> FloatArray:
    cosine, sine = np.cos(angle) * SIZE / side, np.sin(angle) * SIZE / side
    linear = np.stack([np.stack([cosine, sine], -1), np.stack([-sine, cosine], -1)], -2)
    offset = (SIZE - 1) / 2 - np.einsum("kij,kj->ki", linear, centre)
    return np.concatenate([linear, offset[..., None]], -1).astype(np.float32)


def _distance(points: FloatArray, before: FloatArray) -> FloatArray:
    eyes = points[:, OUTER_CORNERS[0]] - points[:, OUTER_CORNERS[1]]
    shift = np.linalg.norm(points - before, axis=2).mean(1)
    return np.asarray(shift / np.maximum(np.linalg.norm(eyes, axis=1), 1e-3), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Correspondence:
    """Which mean of mesh vertices stands for each of the 68 points.

    Parameters
    ----------
    vertices
        int64 (68, K).
    weights
        float32 (68, K), not negative, rows sum to 1.
    residual
        float32 (68,): mean distance on faces that were held out of the fit, over the distance of
        the outer eye corners.
    """

    vertices: NDArray[np.int64]
    weights: FloatArray
    residual: FloatArray

    def apply(self, mesh: ArrayLike) -> FloatArray:
        """Return the points (N, 68, 2) of meshes (N, 478, 2)."""
        chosen = np.asarray(mesh, np.float32)[..., self.vertices, :]
        return np.asarray(np.einsum("...pkc,pk->...pc", chosen, self.weights), np.float32)

    def trust(self, scale: float = 0.03) -> FloatArray:
        """Return weights (68,) for training, falling with the residual: 1 / (1 + (r / scale)^2)."""
        return np.asarray(1 / (1 + (self.residual / scale) ** 2), np.float32)

    def save(self, path: Path) -> None:
        """Write as ``.npz``, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        with replacing(path) as part, part.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **columns)

    @classmethod
    def load(cls, path: Path | str) -> Correspondence:
        """Read what :meth:`save` wrote; :class:`DatasetError` if it is something else."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(stored["vertices"], stored["weights"], stored["residual"])
        except (OSError, KeyError, ValueError) as error:
            raise DatasetError(f"{path}: not a correspondence: {error}") from error


def fit_correspondence(
    mesh: ArrayLike, points: ArrayLike, neighbours: int = 12, held_out: float = 0.25
) -> Correspondence:
    """Fit convex weights by least squares on faces whose points are known.

    Parameters
    ----------
    mesh, points
        (N, 478, 2) and (N, 68, 2) of the same faces, any pixels.
    neighbours
        Vertices that may take part in a point: the nearest ones on average.
    held_out
        Share of the faces, the last ones, that only :attr:`Correspondence.residual` is made of.

    Raises
    ------
    DatasetError
        If there are too few faces.
    """
    m, p = np.asarray(mesh, np.float64), np.asarray(points, np.float64)
    kept = round(len(m) * (1 - held_out))
    if kept < neighbours or kept == len(m):
        raise DatasetError(f"{len(m)} faces are too few to fit and check a correspondence")
    length = np.linalg.norm(m[:, OUTER_CORNERS[0]] - m[:, OUTER_CORNERS[1]], axis=1)
    m, p = m / length[:, None, None], p / length[:, None, None]
    rows = list(_fitted(m[:kept], p[:kept], neighbours))
    vertices, weights = (np.stack(part) for part in zip(*rows, strict=True))
    fit = Correspondence(vertices, weights.astype(np.float32), np.zeros(68, np.float32))
    error = np.linalg.norm(fit.apply(m[kept:]) - p[kept:], axis=2).mean(0)
    return Correspondence(vertices, fit.weights, error.astype(np.float32))


def _fitted(
    mesh: NDArray[np.float64], points: NDArray[np.float64], neighbours: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    from scipy.optimize import nnls

    for k in range(points.shape[1]):
        apart = np.linalg.norm(mesh - points[:, k : k + 1], axis=2).mean(0)
        near = np.argsort(apart)[:neighbours]
        # A heavy row makes the weights sum to one.
        heavy = 100.0 * np.sqrt(len(mesh))
        matrix = mesh[:, near].transpose(0, 2, 1).reshape(-1, neighbours)
        matrix = np.concatenate([matrix, np.full((1, neighbours), heavy)])
        weights, _ = nnls(matrix, np.append(points[:, k].reshape(-1), heavy))
        yield near.astype(np.int64), weights / weights.sum()


def fit_regression(
    mesh: ArrayLike, points: ArrayLike, ridge: float = 1e-3
) -> tuple[FloatArray, FloatArray]:
    """Fit all coordinates of 68 points as linear functions of a mesh, where labels are plenty.

    Unlike :func:`fit_correspondence` this learns what an annotation means by, say, the contour of
    a turned face. Both are aligned first by :func:`aligned_mesh`.

    Returns
    -------
    matrix
        float32 (957, 136), the last row a constant.
    mean
        float32 (478, 2), the mesh that faces are aligned to.
    """
    m, p = np.asarray(mesh, np.float32), np.asarray(points, np.float32)
    start = m[0] - m[0].mean(0)
    start /= np.linalg.norm(start[OUTER_CORNERS[0]] - start[OUTER_CORNERS[1]])
    mean = transform_points(similarity_transform(m, start), m).mean(0)
    maps = similarity_transform(m, mean)
    x = transform_points(maps, m).reshape(len(m), -1) - mean.reshape(-1)
    x = np.concatenate([x, np.ones((len(x), 1), np.float32)], 1).astype(np.float64)
    y = transform_points(maps, p).reshape(len(m), -1).astype(np.float64)
    penalty = ridge * np.trace(x[:, :-1].T @ x[:, :-1]) / (x.shape[1] - 1)
    gram = x.T @ x + penalty * np.eye(x.shape[1])
    gram[-1, -1] -= penalty
    return np.linalg.solve(gram, x.T @ y).astype(np.float32), mean.astype(np.float32)


def regress(mesh: ArrayLike, matrix: FloatArray, mean: FloatArray) -> FloatArray:
    """Return the points (N, 68, 2) of meshes by what :func:`fit_regression` gave."""
    m = np.asarray(mesh, np.float32)
    maps = similarity_transform(m, mean)
    x = transform_points(maps, m).reshape(len(m), -1) - mean.reshape(-1)
    x = np.concatenate([x, np.ones((len(x), 1), np.float32)], 1)
    return transform_points(invert_affine(maps), (x @ matrix).reshape(len(m), 68, 2))
