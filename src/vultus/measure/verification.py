"""One-to-one comparison: error rates, ROC, EER, TAR at a FAR, accuracy (ISO/IEC 19795-1).

FMR is the share of impostor comparisons accepted, FNMR the share of genuine comparisons rejected;
TAR = 1 - FNMR, and FAR is used here as the older name of FMR. Accepted means score >= threshold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vultus.measure.arrays import Bool, Float, decided, loosened, probability
from vultus.measure.bootstrap import Resampling
from vultus.measure.comparisons import Comparisons
from vultus.measure.curves import (
    Roc,
    area_under,
    bootstrap_curve,
    closed_curve,
    crossing,
    error_rates,
    highest_tar,
    roc,
)
from vultus.measure.intervals import CONFIDENCE, Estimate, not_estimable, rate

__all__ = [
    "FARS",
    "Comparisons",
    "EqualErrorRate",
    "Roc",
    "TarAtFar",
    "accuracy",
    "auc",
    "best_threshold",
    "eer",
    "error_rates",
    "fmr",
    "fnmr",
    "lowest_threshold",
    "roc",
    "tar",
    "tar_at_far",
    "threshold_at_far",
    "val_far",
]

#: FARs of the usual tables.
FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


def fmr(comparisons: Comparisons, threshold: float, *, confidence: float = CONFIDENCE) -> Estimate:
    """Return the false match rate at a threshold; over people where they are known."""
    accepted = _accepted(comparisons.impostor, threshold)
    return rate(accepted, comparisons.impostor_people, confidence=confidence)


def fnmr(comparisons: Comparisons, threshold: float, *, confidence: float = CONFIDENCE) -> Estimate:
    """Return the false non-match rate at a threshold; over people where they are known."""
    rejected = ~_accepted(comparisons.genuine, threshold)
    return rate(rejected, comparisons.genuine_people, confidence=confidence)


def tar(comparisons: Comparisons, threshold: float, *, confidence: float = CONFIDENCE) -> Estimate:
    """Return the true accept rate 1 - FNMR at a threshold."""
    accepted = _accepted(comparisons.genuine, threshold)
    return rate(accepted, comparisons.genuine_people, confidence=confidence)


@dataclass(frozen=True, slots=True)
class EqualErrorRate:
    """The rate at which FMR and FNMR are equal, and the threshold where they cross."""

    estimate: Estimate
    threshold: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {"eer": self.estimate.to_dict(), "threshold": self.threshold}


def eer(comparisons: Comparisons, resampling: Resampling = Resampling()) -> EqualErrorRate:
    """Return the equal error rate with its bootstrap interval.

    FMR and FNMR are joined by straight lines between operating points, so that the crossing is
    defined with ties and with few scores too. The threshold is that of the operating point next
    to the crossing at which the two rates differ least (of two, the stricter one).

    Notes
    -----
    The bootstrap works on at most 2,048 operating points of the curve; the value is exact.
    """
    curve = roc(comparisons)
    value = float(crossing(curve.fmr[None], curve.fnmr[None])[0])
    gap = np.abs(curve.fmr - curve.fnmr)
    best = int(np.argmin(gap[1:])) + 1 if len(gap) > 1 else 0
    estimate = bootstrap_curve(comparisons, curve, value, crossing, resampling)
    return EqualErrorRate(estimate, float(curve.thresholds[best]))


def auc(comparisons: Comparisons, resampling: Resampling = Resampling()) -> Estimate:
    """Return the area under the ROC curve with its bootstrap interval."""
    curve = roc(comparisons)

    def area(fmrs: Float, fnmrs: Float) -> Float:
        return area_under(*closed_curve(fmrs, 1 - fnmrs))

    return bootstrap_curve(comparisons, curve, curve.auc, area, resampling)


@dataclass(frozen=True, slots=True)
class TarAtFar:
    """TAR at the loosest threshold whose measured FMR keeps to a target.

    Parameters
    ----------
    far
        The target.
    threshold
        Accept at or above it; NaN where not estimable.
    tar
        True accept rate at the threshold.
    fmr
        The false match rate actually measured there, at most the target. Its interval says how
        well the data fix the threshold; that of ``tar`` takes the threshold as given.
    """

    far: float
    threshold: float
    tar: Estimate
    fmr: Estimate

    @property
    def estimable(self) -> bool:
        """Whether there were impostor comparisons enough."""
        return self.tar.estimable

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "far": self.far,
            "threshold": self.threshold if self.estimable else None,
            "tar": self.tar.to_dict(),
            "fmr": self.fmr.to_dict(),
        }


def threshold_at_far(comparisons: Comparisons, far: float) -> float:
    """Return the lowest threshold whose measured FMR is at most ``far``; NaN if not estimable.

    It lies just above the highest impostor score that must be rejected, so impostors that tie
    with that score are rejected together. Choose it on development comparisons and apply it to
    others, whose FMR will differ.
    """
    probability(far, "far")
    scores = comparisons.sorted_impostor
    return lowest_threshold(scores, far, comparisons.dtype)


def tar_at_far(
    comparisons: Comparisons,
    far: float,
    *,
    confidence: float = CONFIDENCE,
    resampling: Resampling | None = None,
) -> TarAtFar:
    """Return TAR@FAR, never interpolated between operating points.

    Not estimable with fewer than 1/FAR impostor comparisons: not even one error may then be made.

    Parameters
    ----------
    comparisons
        On which the threshold is chosen and TAR is measured.
    far
        Target, in (0, 1).
    confidence
        Level of the intervals.
    resampling
        Give it to have the interval of TAR from a bootstrap that chooses the threshold anew in
        every resample, instead of the closed form for a fixed threshold.
    """
    threshold = threshold_at_far(comparisons, far)
    if math.isnan(threshold):
        n = len(comparisons.impostor)
        why = f"FAR {far:g} needs {math.ceil(1 / far)} impostor comparisons or more, got {n}"
        nothing = not_estimable(n, why, confidence=confidence)
        return TarAtFar(far, math.nan, nothing, nothing)
    value = tar(comparisons, threshold, confidence=confidence)
    if resampling is not None:
        drawn = bootstrap_curve(
            comparisons,
            roc(comparisons),
            value.value,
            lambda fmrs, fnmrs: highest_tar(fmrs, fnmrs, far),
            resampling,
        )
        value = replace(drawn, n=len(comparisons.genuine))
    return TarAtFar(far, threshold, value, fmr(comparisons, threshold, confidence=confidence))


def accuracy(
    comparisons: Comparisons, threshold: float, *, confidence: float = CONFIDENCE
) -> Estimate:
    """Return the share of comparisons decided rightly at a threshold chosen elsewhere."""
    right = _accepted(comparisons.scores, threshold) == comparisons.same
    return rate(right, comparisons.people, confidence=confidence)


def best_threshold(comparisons: Comparisons) -> float:
    """Return the threshold of highest accuracy: the middle of the widest gap that reaches it.

    A threshold chosen so is for other comparisons than those that it was chosen on.
    """
    values, index = np.unique(comparisons.scores, return_inverse=True)
    genuine = np.bincount(index, comparisons.same, len(values))
    impostor = np.bincount(index, ~comparisons.same, len(values))
    # Entry k: accept from the k-th distinct score on.
    right = np.concatenate([[0], impostor.cumsum()]) + np.concatenate(
        [genuine[::-1].cumsum()[::-1], [0]]
    )
    if values[0] == -np.inf:
        # No threshold accepts a failed comparison.
        right[0] = -1
    cuts = np.flatnonzero(right == right.max())
    edges = np.concatenate([[-np.inf], values, [np.inf]])
    low, high = edges[cuts], edges[cuts + 1]
    widths = np.where(np.isfinite(low) & np.isfinite(high), high - low, -1.0)
    chosen = int(np.argmax(widths))
    if widths[chosen] < 0:
        # Accept everything or nothing, or everything but failures.
        return float(high[chosen] if np.isfinite(high[chosen]) else np.inf)
    return float(low[chosen] + (high[chosen] - low[chosen]) / 2)


def val_far(comparisons: Comparisons, distance: float) -> tuple[Estimate, Estimate]:
    """Return VAL(d) and FAR(d) of FaceNet (Schroff et al., 2015, section 4).

    The shares of genuine and of impostor pairs whose squared distance is at most d, that is TAR
    and FMR at the threshold -d of comparisons made by :meth:`Comparisons.from_distances`.
    """
    return tar(comparisons, -distance), fmr(comparisons, -distance)


def lowest_threshold(
    ascending: Float, target: float, dtype: np.dtype[np.floating] = np.dtype(np.float64)
) -> float:
    """Return the lowest threshold that at most a share ``target`` of the scores reaches.

    Parameters
    ----------
    ascending
        (N,) sorted scores.
    target
        Share, in (0, 1).
    dtype
        Type in which the threshold must be exact, float32 or float64.

    Returns
    -------
    NaN where N < 1 / target.
    """
    allowed = min(math.floor(loosened(target * len(ascending))), len(ascending) - 1)
    if allowed < 1:
        return math.nan
    highest_rejected = dtype.type(ascending[-allowed - 1])
    return float(np.nextafter(highest_rejected, dtype.type(np.inf)))


def _accepted(scores: Float, threshold: float) -> Bool:
    return np.asarray((scores >= decided(threshold)) & (scores > -np.inf), np.bool_)
