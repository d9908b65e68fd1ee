"""Head pose accuracy: error per angle, and the angle between rotations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vultus.errors import MeasureError
from vultus.measure.arrays import Bool, Float, finite
from vultus.measure.bootstrap import Resampling, bootstrap_ratio
from vultus.measure.intervals import Estimate

ANGLES = ("yaw", "pitch", "roll")

#: How far the product of a rotation with its transpose may be from the identity.
_ORTHOGONAL = 1e-3


def angle_errors(predicted: ArrayLike, truth: ArrayLike) -> Float:
    """Return absolute differences of angles in degrees, the short way round, in [0, 180].

    Parameters
    ----------
    predicted, truth
        Degrees, of the same shape, usually (N, 3): yaw, pitch, roll.
    """
    a, b = finite(predicted, "predicted"), finite(truth, "truth")
    if a.shape != b.shape:
        raise MeasureError(f"predicted {a.shape} and truth {b.shape} do not match")
    return np.abs((a - b + 180) % 360 - 180)


def geodesic(first: ArrayLike, second: ArrayLike) -> Float:
    """Return the angle in degrees, (N,) in [0, 180], of the rotation between two rotations.

    Unlike errors per angle it does not depend on the order of the angles, and does not grow near
    yaw 90 degrees, where pitch and roll turn about the same axis.

    Parameters
    ----------
    first, second
        Rotation matrices (N, 3, 3), such as of :func:`vultus.geometry.head_rotation`.

    Raises
    ------
    MeasureError
        If shapes differ or a matrix is not a rotation.
    """
    a, b = _rotations(first, "first"), _rotations(second, "second")
    if a.shape != b.shape:
        raise MeasureError(f"first {a.shape} and second {b.shape} do not match")
    # |A - B|^2 = 4 (1 - cos t) = 8 sin^2(t / 2): exact for small angles, unlike the trace.
    half = np.linalg.norm(a - b, axis=(1, 2)) / np.sqrt(8)
    return np.asarray(np.degrees(2 * np.arcsin(np.minimum(half, 1.0))), np.float64)


def within(truth: ArrayLike, limit: float = 99.0) -> Bool:
    """Return which poses have every angle within the limit in degrees, bool (N,).

    AFLW2000-3D is by custom measured on the faces within 99 degrees (Ruiz et al., 2018).
    """
    return np.asarray((np.abs(finite(truth, "truth")) <= limit).all(1), np.bool_)


@dataclass(frozen=True, slots=True)
class PoseScores:
    """Mean absolute error in degrees of each angle, and the mean of the three."""

    yaw: Estimate
    pitch: Estimate
    roll: Estimate
    mean: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {name: getattr(self, name).to_dict() for name in (*ANGLES, "mean")}


def pose_scores(
    predicted: ArrayLike,
    truth: ArrayLike,
    people: ArrayLike | None = None,
    resampling: Resampling = Resampling(),
) -> PoseScores:
    """Return the mean absolute errors.

    Parameters
    ----------
    predicted, truth
        (N, 3) yaw, pitch, roll in degrees, signs as in :mod:`vultus.faces`.
    people
        (N,) who each face shows, for intervals over people.
    resampling
        How the bootstrap is run.
    """
    errors = angle_errors(predicted, truth)
    if errors.ndim != 2 or errors.shape[1] != 3 or not len(errors):
        raise MeasureError(f"poses must be (N, 3), got shape {errors.shape}")
    columns = (*errors.T, errors.mean(1))
    return PoseScores(*(bootstrap_ratio(column, None, people, resampling) for column in columns))


def _rotations(values: ArrayLike, name: str) -> Float:
    array = finite(values, name)
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.shape[1:] != (3, 3):
        raise MeasureError(f"{name} rotations must be (N, 3, 3), got shape {array.shape}")
    product = array @ array.transpose(0, 2, 1)
    wrong = np.abs(product - np.eye(3)).max((1, 2), initial=0) > _ORTHOGONAL
    wrong |= np.linalg.det(array) < 0
    if wrong.any():
        raise MeasureError(f"{name}: matrix {int(np.argmax(wrong))} is not a rotation")
    return array
