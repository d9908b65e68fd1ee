"""Quantiles that intervals need, on the standard library and numpy."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import MeasureError

_NORMAL = NormalDist()
_TINY = 1e-300


def normal_quantile(probability: float) -> float:
    """Return the standard normal quantile of a probability in (0, 1)."""
    return _NORMAL.inv_cdf(probability)


def normal_cdf(x: float) -> float:
    """Return the standard normal distribution function."""
    return _NORMAL.cdf(x)


def probit(rates: ArrayLike) -> NDArray[np.float64]:
    """Return the standard normal deviates of rates, -inf at 0 and inf at 1: the DET scale.

    Martin et al., "The DET curve in assessment of detection task performance" (1997).
    """
    values = np.asarray(rates, np.float64)
    unique, inverse = np.unique(values, return_inverse=True)
    out = np.full(unique.shape, np.nan)
    out[unique == 0], out[unique == 1] = -np.inf, np.inf
    inside = (unique > 0) & (unique < 1)
    out[inside] = [_NORMAL.inv_cdf(float(p)) for p in unique[inside]]
    return out[inverse].reshape(values.shape)


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b).

    The continued fraction of the NIST Digital Library of Mathematical Functions, 8.17.22, by the
    modified Lentz algorithm, on the side of the mean where it converges fast.
    """
    if not (a > 0 and b > 0 and 0 <= x <= 1):
        raise MeasureError(f"beta_cdf needs a, b > 0 and x in [0, 1], got x={x}, a={a}, b={b}")
    if x in (0.0, 1.0):
        return x
    if x > (a + 1) / (a + b + 2):
        return 1.0 - beta_cdf(1.0 - x, b, a)
    front = math.exp(
        math.lgamma(a + b)
        - math.lgamma(a)
        - math.lgamma(b)
        + a * math.log(x)
        + b * math.log1p(-x)
        - math.log(a)
    )
    return front * _beta_fraction(x, a, b)


def _beta_fraction(x: float, a: float, b: float) -> float:
    c, d, value = 1.0, 0.0, 1.0
    for step in range(1, 200_000):
        m = step // 2
        if step % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1.0 / (1.0 + term * d or _TINY)
        c = 1.0 + term / c or _TINY
        value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            return 1.0 / value
    raise MeasureError(f"the incomplete beta function did not converge at x={x}, a={a}, b={b}")


def beta_quantile(probability: float, a: float, b: float) -> float:
    """Return the x in [0, 1] with I_x(a, b) = probability, by bisection to double precision."""
    if not 0 <= probability <= 1:
        raise MeasureError(f"a probability lies in [0, 1], got {probability}")
    low, high = 0.0, 1.0
    while high - low > 1e-15 * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if beta_cdf(middle, a, b) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def t_quantile(probability: float, degrees: float) -> float:
    """Return the quantile of Student's t distribution, for a probability in (0, 1).

    From the relation of its two tails beyond t to the incomplete beta function: together they hold
    I_x(v/2, 1/2) with x = v / (v + t^2) and v degrees of freedom.
    """
    if not (0 < probability < 1 and degrees > 0):
        raise MeasureError(
            f"t_quantile needs a probability in (0, 1) and degrees > 0, "
            f"got {probability} and {degrees}"
        )
    if probability == 0.5:
        return 0.0
    tail = 2 * min(probability, 1 - probability)
    x = beta_quantile(tail, degrees / 2, 0.5)
    return math.copysign(math.sqrt(degrees * (1 - x) / x), probability - 0.5)
