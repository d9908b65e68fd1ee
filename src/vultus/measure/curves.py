"""Operating points: error rates at thresholds, the ROC, and the bootstrap of what is read there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vultus.errors import MeasureError
from vultus.measure.arrays import Bool, Float, Int, loosened
from vultus.measure.bootstrap import Resampling, method_name, percentile, weight_blocks
from vultus.measure.comparisons import Comparisons
from vultus.measure.intervals import Estimate

#: Operating points that a bootstrapped curve is reduced to.
_POINTS = 2048

#: Takes FMR ascending and FNMR descending, both (B, K), gives (B,).
CurveStatistic = Callable[[Float, Float], Float]


def error_rates(comparisons: Comparisons, thresholds: ArrayLike) -> tuple[Float, Float]:
    """Return FMR and FNMR at each threshold, both float64 of the thresholds' shape."""
    t = np.asarray(thresholds, np.float64)
    if np.isnan(t).any():
        raise MeasureError("a threshold is NaN")
    impostor, genuine = comparisons.sorted_impostor, comparisons.sorted_genuine
    # A failed comparison (-inf) is rejected even at a threshold of -inf.
    t = np.maximum(t, np.nextafter(-np.inf, 0))
    fmr = (len(impostor) - np.searchsorted(impostor, t, side="left")) / len(impostor)
    fnmr = np.searchsorted(genuine, t, side="left") / len(genuine)
    return np.asarray(fmr, np.float64), np.asarray(fnmr, np.float64)


@dataclass(frozen=True, eq=False)
class Roc:
    """Every operating point of a set of comparisons, from accepting nothing to accepting all.

    Parameters
    ----------
    thresholds
        (K,) descending, from inf to the lowest score.
    fmr
        (K,) ascending, 0 to 1 (less where comparisons failed).
    fnmr
        (K,) descending.
    n_genuine, n_impostor
        Number of comparisons.
    """

    thresholds: Float
    fmr: Float
    fnmr: Float
    n_genuine: int
    n_impostor: int

    @property
    def tar(self) -> Float:
        """True accept rate, 1 - FNMR."""
        return 1 - self.fnmr

    @property
    def auc(self) -> float:
        """Area under TAR over FMR, by trapezoids: ties count half, as in the U statistic."""
        x, y = closed_curve(self.fmr[None], self.tar[None])
        return float(area_under(x, y)[0])

    def tar_at(self, fars: ArrayLike) -> Float:
        """Return the highest TAR among the points with FMR at most each FAR (no interpolation)."""
        index = np.searchsorted(self.fmr, loosened(np.asarray(fars, np.float64)), side="right")
        return np.asarray(self.tar[index - 1], np.float64)

    def thin(self, points: int = 1000) -> Roc:
        """Return at most about so many points, spread over both axes and the low-FMR tail."""
        if points < 8:
            raise MeasureError(f"a curve needs 8 points or more, got {points}")
        keep = _spread(self.fmr, self.fnmr, self.n_impostor, points)
        return Roc(
            self.thresholds[keep],
            self.fmr[keep],
            self.fnmr[keep],
            self.n_genuine,
            self.n_impostor,
        )


def roc(comparisons: Comparisons) -> Roc:
    """Return the exact ROC: one point per distinct score, and the point that accepts nothing.

    The DET curve is the same points on probit axes: see
    :func:`vultus.measure.distributions.probit` and :func:`vultus.measure.plots.det`.
    """
    scores = np.unique(comparisons.scores)[::-1]
    thresholds = np.concatenate([[np.inf], scores[np.isfinite(scores)]])
    rates = error_rates(comparisons, thresholds)
    return Roc(thresholds, *rates, len(comparisons.genuine), len(comparisons.impostor))


def crossing(fmrs: Float, fnmrs: Float) -> Float:
    """Return where the lines through operating points (B, K), FMR ascending, meet FMR = FNMR."""
    gap = fmrs - fnmrs
    after = np.argmax(gap >= 0, axis=1)
    rows = np.arange(len(gap))
    # Failed impostors keep FMR below 1: the curve may end before it crosses.
    crosses = gap[rows, after] >= 0
    before = np.maximum(after - 1, 0)
    step = gap[rows, after] - gap[rows, before]
    share = np.divide(-gap[rows, before], step, out=np.zeros(len(gap)), where=step > 0)
    met = fmrs[rows, before] + share * (fmrs[rows, after] - fmrs[rows, before])
    return np.where(crosses, met, np.maximum(fmrs[:, -1], fnmrs[:, -1]))


def area_under(x: Float, y: Float) -> Float:
    return np.asarray((np.diff(x, axis=1) * (y[:, 1:] + y[:, :-1])).sum(1) / 2, np.float64)


def closed_curve(fmrs: Float, tars: Float) -> tuple[Float, Float]:
    """Add the corner (1, 1), which failed comparisons keep the curve from."""
    ones = np.ones((len(fmrs), 1))
    return np.concatenate([fmrs, ones], 1), np.concatenate([tars, ones], 1)


def highest_tar(fmrs: Float, fnmrs: Float, far: float) -> Float:
    last = (fmrs <= loosened(far)).sum(1) - 1
    return np.asarray(1 - fnmrs[np.arange(len(fmrs)), last], np.float64)


def _spread(fmrs: Float, fnmrs: Float, n_impostor: int, points: int) -> Int:
    if len(fmrs) <= points:
        return np.arange(len(fmrs))
    share = points // 4
    low = np.geomspace(1 / (2 * n_impostor), 1, share)
    even = np.linspace(0, 1, share)
    picked: list[Any] = [
        np.searchsorted(fmrs, np.concatenate([low, even])),
        np.searchsorted(-fnmrs, -even),
        np.linspace(0, len(fmrs) - 1, share).astype(np.intp),
        [0, len(fmrs) - 1],
    ]
    return np.unique(np.concatenate(picked).clip(0, len(fmrs) - 1)).astype(np.intp)


def bootstrap_curve(
    comparisons: Comparisons,
    curve: Roc,
    value: float,
    statistic: CurveStatistic,
    resampling: Resampling,
) -> Estimate:
    grid = curve.thin(_POINTS).thresholds
    # The operating point from which on each comparison is accepted; K where it never is.
    place = np.searchsorted(-grid, -comparisons.scores, side="left")
    if comparisons.people is None:
        blocks = _counts_of_items(place, comparisons.same, len(grid), resampling)
    else:
        blocks = _counts_of_people(place, comparisons, len(grid), resampling)
    replicates: list[Float] = []
    with np.errstate(invalid="ignore"):
        for impostor, genuine in blocks:
            fmrs, tars = (
                counts[:, :-1].cumsum(1) / counts.sum(1, keepdims=True)
                for counts in (impostor, genuine)
            )
            undefined = np.isnan(fmrs[:, -1] + tars[:, -1])
            replicates.append(np.where(undefined, np.nan, statistic(fmrs, 1 - tars)))
    return percentile(
        value,
        np.concatenate(replicates),
        len(comparisons.scores),
        method_name(comparisons.people),
        resampling,
    )


def _counts_of_items(
    place: Int, same: Bool, size: int, resampling: Resampling
) -> Iterator[tuple[Float, Float]]:
    # Counts of resampled items per operating point are multinomial.
    rng = resampling.generator()
    drawn = []
    for kind in (~same, same):
        counts = np.bincount(place[kind], minlength=size + 1)
        drawn.append(rng.multinomial(kind.sum(), counts / kind.sum(), resampling.resamples))
    yield drawn[0].astype(np.float64), drawn[1].astype(np.float64)


def _counts_of_people(
    place: Int, comparisons: Comparisons, size: int, resampling: Resampling
) -> Iterator[tuple[Float, Float]]:
    order = np.argsort(place, kind="stable")
    kinds = [order[~comparisons.same[order]], order[comparisons.same[order]]]
    starts = [np.flatnonzero(np.diff(place[kind], prepend=-1)) for kind in kinds]
    for weights in weight_blocks(len(place), comparisons.people, resampling):
        counts = []
        for kind, start in zip(kinds, starts, strict=True):
            filled = np.zeros((len(weights), size + 1))
            filled[:, place[kind][start]] = np.add.reduceat(weights[:, kind], start, axis=1)
            counts.append(filled)
        yield counts[0], counts[1]
