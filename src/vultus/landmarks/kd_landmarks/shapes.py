"""An active shape model: principal components of training shapes, and soft points from it.

Cootes et al., "Active shape models" (1995): a shape is mu + V b with the components kept that
explain a share of the variance, and each b_i clamped to three deviations.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import DatasetError
from vultus.writing import replacing

#: Deviations that a shape may lie from the mean along each component.
LIMIT = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class ShapeModel:
    """Mean, components and deviations of shapes.

    Parameters
    ----------
    mean
        float32 (2 N,).
    components
        float32 (k, 2 N), orthonormal rows.
    deviations
        float32 (k,): square roots of the components' variances.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    deviations: NDArray[np.float32]

    def soften(self, points: ArrayLike) -> NDArray[np.float32]:
        """Return the nearest shapes (..., N, 2) that the model allows."""
        shapes = np.asarray(points, np.float32)
        flat = shapes.reshape(*shapes.shape[:-2], -1) - self.mean
        limit = LIMIT * self.deviations
        weights = np.clip(flat @ self.components.T, -limit, limit)
        return np.asarray(self.mean + weights @ self.components, np.float32).reshape(shapes.shape)

    def save(self, path: Path) -> None:
        """Write as ``.npz``, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        with replacing(path) as part, part.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **columns)

    @classmethod
    def load(cls, path: Path | str) -> ShapeModel:
        """Read what :meth:`save` wrote; :class:`DatasetError` if it is something else."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(stored["mean"], stored["components"], stored["deviations"])
        except (OSError, KeyError, ValueError) as error:
            raise DatasetError(f"{path}: not a shape model: {error}") from error


def fit_shapes(points: ArrayLike, variance: float = 0.9) -> ShapeModel:
    """Fit a shape model.

    Parameters
    ----------
    points
        (M, N, 2) training shapes in the frame that the network sees, augmentation included: the
        soft points of an augmented view are computed in that view.
    variance
        Share of the variance that the kept components explain, in (0, 1].

    Raises
    ------
    DatasetError
        If there are fewer than two shapes, or all are the same.
    """
    shapes = np.asarray(points, np.float64)
    shapes = shapes.reshape(len(shapes), -1)
    if len(shapes) < 2 or not 0 < variance <= 1:
        raise DatasetError("a shape model needs two shapes or more, and variance in (0, 1]")
    mean = shapes.mean(0)
    _, singular, rows = np.linalg.svd(shapes - mean, full_matrices=False)
    power = singular**2 / (len(shapes) - 1)
    if not power.sum() > 0:
        raise DatasetError("all training shapes are the same")
    explained = np.cumsum(power) / power.sum()
    kept = int(np.searchsorted(explained, variance - 1e-9)) + 1
    return ShapeModel(
        mean.astype(np.float32),
        rows[:kept].astype(np.float32),
        np.sqrt(power[:kept]).astype(np.float32),
    )
