"""Effect sizes: how large a difference is, beside whether there is one."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from vultus.errors import MeasureError
from vultus.measure.arrays import Float, finite, scores_of
from vultus.measure.bootstrap import Resampling, crossed_blocks, method_name, percentile
from vultus.measure.intervals import Estimate


def cohens_d(first: ArrayLike, second: ArrayLike) -> float:
    """Return the difference of means over the pooled standard deviation (Cohen, 1988)."""
    a, b = scores_of(first, "first"), scores_of(second, "second")
    if len(a) < 2 or len(b) < 2:
        raise MeasureError(f"Cohen's d needs two values a side, got {len(a)} and {len(b)}")
    squares = ((a - a.mean()) ** 2).sum() + ((b - b.mean()) ** 2).sum()
    return _ratio(float(a.mean() - b.mean()), math.sqrt(squares / (len(a) + len(b) - 2)))


def hedges_g(first: ArrayLike, second: ArrayLike) -> float:
    """Return Cohen's d corrected for its bias in small samples (Hedges, 1981, exact factor)."""
    d = cohens_d(first, second)
    degrees = len(np.asarray(first)) + len(np.asarray(second)) - 2
    if degrees < 2:
        raise MeasureError("Hedges' g needs at least four values in all")
    log_factor = math.lgamma(degrees / 2) - math.lgamma((degrees - 1) / 2)
    return d * math.exp(log_factor) / math.sqrt(degrees / 2)


def paired_d(first: ArrayLike, second: ArrayLike) -> float:
    """Return the mean of the paired differences over their standard deviation (d_z)."""
    a, b = scores_of(first, "first"), scores_of(second, "second")
    if a.shape != b.shape or len(a) < 2:
        raise MeasureError(f"paired values must match and be two or more: {a.shape}, {b.shape}")
    return _ratio(float((a - b).mean()), float((a - b).std(ddof=1)))


def paired_effect(
    first: ArrayLike,
    second: ArrayLike,
    people: ArrayLike | None = None,
    resampling: Resampling = Resampling(),
) -> Estimate:
    """Return :func:`paired_d` with its bootstrap interval, over people and seeds.

    Parameters
    ----------
    first, second
        (N,) paired values, or (S, N) of S seeds: each item then has its mean over the seeds, and
        seeds are resampled beside people.
    people
        (N,) person of each item, or None to resample items.
    resampling
        How the bootstrap is run.

    Raises
    ------
    MeasureError
        If the shapes differ or there are fewer than two items.
    """
    a, b = finite(first, "first"), finite(second, "second")
    if a.shape != b.shape or a.ndim not in (1, 2) or a.shape[-1] < 2 or not a.size:
        raise MeasureError(
            f"paired values must be (N,) or (S, N) with two items or more: {a.shape}, {b.shape}"
        )
    table = np.atleast_2d(a - b)
    replicates = [
        _weighted_d(seeds @ table / seeds.sum(1, keepdims=True), items)
        for seeds, items in crossed_blocks(len(table), table.shape[1], people, resampling)
    ]
    ones = np.ones((1, table.shape[1]))
    value = float(_weighted_d(table.mean(0, keepdims=True), ones)[0])
    method = f"paired {method_name(people)}" + (" and seeds" if len(table) > 1 else "")
    return percentile(value, np.concatenate(replicates), table.shape[1], method, resampling)


def _weighted_d(values: Float, weights: Float) -> Float:
    """Return mean over deviation of values (B, N) under weights (B, N); NaN without spread."""
    total = weights.sum(1)
    mean = (weights * values).sum(1) / total
    spread = (weights * (values - mean[:, None]) ** 2).sum(1) / np.maximum(total - 1, 1)
    deviation = np.sqrt(spread)
    return np.asarray(
        np.divide(mean, deviation, out=np.full_like(mean, np.nan), where=deviation > 0), np.float64
    )


def cliffs_delta(first: ArrayLike, second: ArrayLike) -> float:
    """Return P(first > second) - P(first < second) in [-1, 1], free of any distribution."""
    a, b = scores_of(first, "first"), np.sort(scores_of(second, "second"))
    below = np.searchsorted(b, a, side="left").sum(dtype=float)
    above = (len(b) - np.searchsorted(b, a, side="right")).sum(dtype=float)
    return float((below - above) / (len(a) * len(b)))


def cohens_h(first: float, second: float) -> float:
    """Return the difference of two rates on the arcsine scale, 2 asin sqrt p (Cohen, 1988)."""
    for p in (first, second):
        if not 0 <= p <= 1:
            raise MeasureError(f"a rate lies in [0, 1], got {p}")
    return 2 * (math.asin(math.sqrt(first)) - math.asin(math.sqrt(second)))


def decidability(genuine: ArrayLike, impostor: ArrayLike) -> float:
    """Return d' of two score distributions (Daugman, 2000).

    The difference of the means over the root of the mean of both variances.
    """
    a, b = scores_of(genuine, "genuine"), scores_of(impostor, "impostor")
    return _ratio(float(a.mean() - b.mean()), math.sqrt((a.var() + b.var()) / 2))


def _ratio(top: float, bottom: float) -> float:
    if bottom:
        return top / bottom
    return math.copysign(math.inf, top) if top else 0.0
