"""Continuous predictions: MAE, RMSE, Pearson, Spearman, concordance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vultus.errors import MeasureError
from vultus.measure.arrays import Float, Int, scores_of
from vultus.measure.bootstrap import Resampling, bootstrap_ratio, bootstrap_weighted
from vultus.measure.intervals import Estimate


@dataclass(frozen=True, slots=True)
class RegressionScores:
    """Agreement of predictions with true values.

    Parameters
    ----------
    mae, rmse
        Mean absolute error and root of the mean squared error, in the values' unit.
    pearson, spearman
        Linear and rank correlation; not estimable where either side is constant.
    ccc
        Concordance correlation coefficient, which also punishes a shift or another scale:
        2 cov / (var + var + (difference of means)^2), variances over N (Lin, 1989).
    """

    mae: Estimate
    rmse: Estimate
    pearson: Estimate
    spearman: Estimate
    ccc: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        names = ("mae", "rmse", "pearson", "spearman", "ccc")
        return {name: getattr(self, name).to_dict() for name in names}


def regression_scores(
    predicted: ArrayLike,
    truth: ArrayLike,
    people: ArrayLike | None = None,
    resampling: Resampling = Resampling(),
) -> RegressionScores:
    """Measure continuous predictions.

    Parameters
    ----------
    predicted, truth
        (N,).
    people
        (N,) who each item shows, for intervals over people.
    resampling
        How the bootstrap is run; every figure is computed anew, ranks included, in each resample.

    Raises
    ------
    MeasureError
        If lengths differ, there are no items, or values are not finite.
    """
    x, y = scores_of(predicted, "predicted"), scores_of(truth, "truth")
    if x.shape != y.shape:
        raise MeasureError(f"predicted {x.shape} and truth {y.shape} do not match")
    errors, n = np.abs(x - y), len(x)
    # Centred first: moments of values far from zero would lose their digits.
    shift = y.mean()
    centred = np.stack([x - shift, y - shift])
    ranks = [_Ranks(x), _Ranks(y)]

    def rmse(weights: Float) -> Float:
        return np.asarray(np.sqrt(weights @ errors**2 / weights.sum(1)), np.float64)

    def pearson(weights: Float) -> Float:
        return _correlation(*_moments(weights, centred[0], centred[1])[2:])

    def spearman(weights: Float) -> Float:
        a, b = (side.weighted(weights) for side in ranks)
        return _correlation(*_moments(weights, a, b)[2:])

    def concordance(weights: Float) -> Float:
        mean_x, mean_y, xx, yy, xy = _moments(weights, centred[0], centred[1])
        return _divided(2 * xy, xx + yy + (mean_x - mean_y) ** 2)

    return RegressionScores(
        bootstrap_ratio(errors, None, people, resampling),
        *(
            bootstrap_weighted(statistic, n, people, resampling)
            for statistic in (rmse, pearson, spearman, concordance)
        ),
    )


class _Ranks:
    """Ranks of fixed values under changing weights; ties share their middle rank."""

    def __init__(self, values: Float) -> None:
        _, self._group = np.unique(values, return_inverse=True)
        self._order: Int = np.argsort(self._group, kind="stable")
        self._starts = np.flatnonzero(np.diff(self._group[self._order], prepend=-1))

    def weighted(self, weights: Float) -> Float:
        totals = np.add.reduceat(weights[:, self._order], self._starts, axis=1)
        middle = totals.cumsum(1) - (totals - 1) / 2
        return np.asarray(middle[:, self._group], np.float64)


def _moments(weights: Float, x: Float, y: Float) -> tuple[Float, Float, Float, Float, Float]:
    """Return weighted means, variances and covariance, each (B,), of x and y (N,) or (B, N)."""
    total = weights.sum(1)

    def mean(values: Float) -> Float:
        return np.asarray((weights * values).sum(1) / total, np.float64)

    mean_x, mean_y = mean(x), mean(y)
    dx, dy = x - mean_x[:, None], y - mean_y[:, None]
    xx, yy = mean(dx * dx), mean(dy * dy)
    for variance, values in ((xx, x), (yy, y)):
        # What is left of a constant is rounding.
        variance[variance < 1e-24 * (values**2).max()] = 0
    return mean_x, mean_y, xx, yy, mean(dx * dy)


def _correlation(xx: Float, yy: Float, xy: Float) -> Float:
    return np.clip(_divided(xy, np.sqrt(xx * yy)), -1.0, 1.0)


def _divided(top: Float, bottom: Float) -> Float:
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)
