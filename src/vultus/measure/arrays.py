"""Checks of what metrics are given, in one place so that the messages agree."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import MeasureError

Float = NDArray[np.float64]
Int = NDArray[np.intp]
Bool = NDArray[np.bool_]


def scores_of(values: ArrayLike, name: str, *, allow_failures: bool = False) -> Float:
    """Return a non-empty float64 (N,) array of finite numbers.

    Parameters
    ----------
    values
        What the caller gave.
    name
        How the message names it.
    allow_failures
        Whether -inf is allowed: the score of a comparison or search that could not be made.

    Raises
    ------
    MeasureError
        If it is empty, not one-dimensional, not numeric, or holds NaN or other infinities.
    """
    array = finite(values, name, allow_failures=allow_failures)
    if array.ndim != 1:
        raise MeasureError(f"{name} must be one-dimensional, got shape {array.shape}")
    if not array.size:
        raise MeasureError(f"{name} is empty: nothing can be measured")
    return array


def finite(values: ArrayLike, name: str, *, allow_failures: bool = False) -> Float:
    """Return a float64 array of any shape; raise :class:`MeasureError` where not finite."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise MeasureError(f"{name} must be numbers: {error}") from error
    bad = ~np.isfinite(array)
    if allow_failures:
        bad &= array != -np.inf
    if bad.any():
        where = np.argwhere(bad)[0].tolist()
        raise MeasureError(
            f"{name} holds {int(bad.sum())} values that are not finite, the first at {where}; "
            "drop them or repair what made them"
        )
    return array


def labels_of(values: ArrayLike, name: str, n: int | None = None) -> NDArray[np.generic]:
    """Return a one-dimensional array of labels of any comparable type, of length n if given."""
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype == object:
        raise MeasureError(
            f"{name} must be one-dimensional and of one type, got {array.dtype} {array.shape}"
        )
    if n is not None and len(array) != n:
        raise MeasureError(f"{name} has {len(array)} entries, expected {n}")
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise MeasureError(f"{name} holds NaN: every item needs a label")
    return array


def mask_of(values: ArrayLike, name: str, n: int | None = None) -> Bool:
    """Return a bool (N,) array; 0 and 1 are taken for False and True, other numbers refused."""
    array = labels_of(values, name, n)
    if array.dtype != np.bool_:
        if array.dtype.kind not in "iuf" or not np.isin(array, (0, 1)).all():
            raise MeasureError(f"{name} must be booleans, or 0 and 1, got {array.dtype}")
        array = array.astype(np.bool_)
    return array  # type: ignore[return-value]


def codes_of(labels: ArrayLike, name: str, n: int | None = None) -> tuple[Int, int]:
    """Return labels as integers 0..K-1 in sorted order, and K."""
    known, codes = np.unique(labels_of(labels, name, n), return_inverse=True)
    return codes.astype(np.intp), len(known)


def sums(codes: Int, values: ArrayLike, size: int) -> Float:
    """Return the sum of the values of each code 0..size-1, float64 (size,)."""
    return np.asarray(np.bincount(codes, np.asarray(values, np.float64), size), np.float64)


def probability(value: float, name: str) -> float:
    """Return a number strictly between 0 and 1; raise :class:`MeasureError` otherwise."""
    if not 0 < value < 1:
        raise MeasureError(f"{name} lies strictly between 0 and 1, got {value}")
    return float(value)


def loosened(limit: ArrayLike) -> Float:
    """Return limits on rates, raised by what binary fractions lose: 0.001 * 3000 counts as 3."""
    return np.asarray(limit, np.float64) * (1 + 1e-12)


def decided(threshold: float) -> float:
    """Return a threshold; raise :class:`MeasureError` where it is NaN."""
    if math.isnan(threshold):
        raise MeasureError("the threshold is NaN: it was not estimable where it was chosen")
    return threshold


def mean_defined(values: Float) -> Float:
    """Return the mean over the last axis of what is not NaN; NaN where nothing is."""
    defined = ~np.isnan(values)
    number = defined.sum(-1)
    total = np.where(defined, values, 0.0).sum(-1)
    mean = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    return np.asarray(mean, np.float64)
