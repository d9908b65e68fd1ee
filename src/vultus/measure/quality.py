"""Quality measures by what they are for: the error-versus-discard curve (ISO/IEC 29794-1).

Comparisons with the lowest quality are discarded first; a good measure makes the FNMR of the rest
fall fast. The curve alone does not show that many probes were refused: report the discarded share
beside any FNMR.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vultus.errors import MeasureError
from vultus.measure.arrays import Float, Int, decided, finite, probability, scores_of
from vultus.measure.bootstrap import Resampling, bootstrap_weighted
from vultus.measure.intervals import Estimate

#: Points of the curve up to the largest share that is discarded.
_POINTS = 101


@dataclass(frozen=True, eq=False)
class Edc:
    """Error-versus-discard curve.

    Parameters
    ----------
    discarded
        (K,) share of comparisons that are left out, from 0.
    fnmr
        (K,) false non-match rate of the others at ``threshold``.
    threshold
        Decision threshold of the comparisons.
    area
        Mean FNMR over the discarded shares, that is the partial area under the curve over its
        width: lower is better, the FNMR without discarding is what a useless measure gets.
    n
        Number of comparisons.
    """

    discarded: Float
    fnmr: Float
    threshold: float
    area: Estimate
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "discarded": self.discarded.tolist(),
            "fnmr": self.fnmr.tolist(),
            "threshold": self.threshold,
            "area": self.area.to_dict(),
            "n": self.n,
        }


def error_versus_discard(
    genuine: ArrayLike,
    quality: ArrayLike,
    threshold: float,
    people: ArrayLike | None = None,
    *,
    limit: float = 0.3,
    resampling: Resampling = Resampling(),
) -> Edc:
    """Measure how FNMR falls as genuine comparisons of low quality are discarded.

    Parameters
    ----------
    genuine
        (N,) scores; -inf where a comparison failed.
    quality
        (N,) of each comparison, or (N, 2) of its two pictures, of which the lower counts. Higher
        is better.
    threshold
        Fixed beforehand, for example for an FMR on other comparisons.
    people
        (N,) who is compared, for intervals over people.
    limit
        Largest share that is discarded, in (0, 1).
    resampling
        How the bootstrap is run.

    Notes
    -----
    Comparisons of equal quality are discarded in no particular order: their mean error counts, so
    the curve depends on neither the order of the input nor a tie-break.
    """
    curve = _Curve(genuine, quality, threshold, limit)
    area = bootstrap_weighted(curve.area, curve.n, people, resampling)
    return Edc(curve.shares, curve.fnmr(np.ones((1, curve.n)))[0], threshold, area, curve.n)


def edc_difference(
    genuine: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    threshold: float,
    people: ArrayLike | None = None,
    *,
    limit: float = 0.3,
    resampling: Resampling = Resampling(),
) -> Estimate:
    """Return the area of the first quality measure minus that of the second, paired.

    Negative where the first is the better one; parameters as in :func:`error_versus_discard`.
    """
    one, other = (_Curve(genuine, quality, threshold, limit) for quality in (first, second))
    return bootstrap_weighted(lambda w: one.area(w) - other.area(w), one.n, people, resampling)


class _Curve:
    """The curve as a function of the weights of comparisons."""

    def __init__(
        self, genuine: ArrayLike, quality: ArrayLike, threshold: float, limit: float
    ) -> None:
        scores = scores_of(genuine, "genuine scores", allow_failures=True)
        values = finite(quality, "quality")
        if values.ndim == 2 and values.shape[1] == 2:
            values = values.min(1)
        if values.shape != scores.shape:
            raise MeasureError(
                f"quality must be ({len(scores)},) or ({len(scores)}, 2), got {values.shape}"
            )
        probability(limit, "limit")
        self.n = len(scores)
        self.shares = np.linspace(0, limit, _POINTS)
        self._errors = (scores < decided(threshold)) | (scores == -np.inf)
        self._order: Int = np.argsort(values, kind="stable")
        # First comparison of each distinct quality, in that order.
        self._starts = np.flatnonzero(np.diff(values[self._order], prepend=-np.inf))

    def fnmr(self, weights: Float) -> Float:
        """Return the curve (B, K) for weights (B, N)."""
        ordered = weights[:, self._order]
        sizes = np.add.reduceat(ordered, self._starts, axis=1)
        wrong = np.add.reduceat(ordered * self._errors[self._order], self._starts, axis=1)
        zero = np.zeros((len(weights), 1))
        sizes = np.concatenate([zero, sizes.cumsum(1)], 1)
        wrong = np.concatenate([zero, wrong.cumsum(1)], 1)
        curves = np.empty((len(weights), _POINTS))
        for curve, size, error in zip(curves, sizes, wrong, strict=True):
            left_out = self.shares * size[-1]
            removed = np.interp(left_out, size, error)
            curve[:] = (error[-1] - removed) / (size[-1] - left_out) if size[-1] else np.nan
        return curves

    def area(self, weights: Float) -> Float:
        """Return the mean of the curve over the discarded shares, (B,)."""
        curves = self.fnmr(weights)
        return np.asarray((curves[:, 1:] + curves[:, :-1]).mean(1) / 2, np.float64)
