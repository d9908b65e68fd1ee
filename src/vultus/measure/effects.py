"""Effect sizes: how large a difference is, beside whether there is one."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from vultus.errors import MeasureError
from vultus.measure.arrays import scores_of


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
