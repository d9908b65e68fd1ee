"""From the values of a few seeds to a verdict.

Differences between method and baseline are paired by seed. With the handful of seeds that training
allows, a normal interval or a bootstrap over seeds is far too narrow (three seeds cover about 75 to
81 % in place of 95 %), so Student's t is used; where the same people are measured under every seed,
people and seeds are crossed random effects.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vultus.measure.distributions import t_quantile
from vultus.reproduction.claims import Claim, Measurement

Outcome = Literal["supported", "not supported", "inconclusive"]

CONFIDENCE = 0.95
MIN_SEEDS = 3


@dataclass(frozen=True, slots=True)
class Interval:
    """Mean difference (method - baseline) and its confidence interval.

    Parameters
    ----------
    mean, low, high
        In the metric's unit; infinite ends where nothing can be said.
    seeds, groups
        How many of each were taken as random; 0 groups where only the seeds were.
    """

    mean: float
    low: float
    high: float
    seeds: int
    groups: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the measurements say about a claim."""

    outcome: Outcome
    reason: str
    interval: Interval


def seed_interval(differences: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Return Student's interval for the mean of paired differences, one per seed."""
    d = np.asarray(differences, np.float64)
    if len(d) < 2:
        mean = float(d.mean()) if len(d) else math.nan
        return Interval(mean, -math.inf, math.inf, len(d))
    half = t_quantile(0.5 + confidence / 2, len(d) - 1) * float(d.std(ddof=1)) / math.sqrt(len(d))
    mean = float(d.mean())
    return Interval(mean, mean - half, mean + half, len(d))


def crossed_interval(differences: NDArray[np.float64], confidence: float = CONFIDENCE) -> Interval:
    """Return the interval for the grand mean of differences, (S, C): S seeds by C groups.

    Half the width is the root of t_{S-1}^2 s_S^2 / S + t_{C-1}^2 s_C^2 / C, with the variances of
    the row means and of the column means: the margins of both, recovered and added in quadrature
    (Zou and Donner, 2008). Both variances hold the interaction's part, so the interval errs on the
    wide side. Pooled degrees of freedom after Satterthwaite would cover 93 % with three seeds,
    since a spread over seeds that is small by chance also raises the degrees of freedom.
    """
    d = np.asarray(differences, np.float64)
    seeds, groups = d.shape
    if seeds < 2 or groups < 2:
        return Interval(float(d.mean()), -math.inf, math.inf, seeds, groups)
    by_seed = t_quantile(0.5 + confidence / 2, seeds - 1) * d.mean(1).std(ddof=1)
    by_group = t_quantile(0.5 + confidence / 2, groups - 1) * d.mean(0).std(ddof=1)
    half = math.hypot(by_seed / math.sqrt(seeds), by_group / math.sqrt(groups))
    mean = float(d.mean())
    return Interval(mean, mean - half, mean + half, seeds, groups)


def judge(claim: Claim, measurements: Sequence[Measurement]) -> Verdict:
    """Return the verdict on a claim from one measurement per seed.

    ``supported`` if the whole interval lies on the claimed side of the margin, ``not supported``
    if the whole interval lies on the other side, ``inconclusive`` otherwise. Groups are used where
    every seed has the same ones; where each seed draws its own, the spread over seeds has them in.
    """
    interval = _interval(measurements)
    if len(measurements) < MIN_SEEDS:
        return Verdict("inconclusive", f"{len(measurements)} of {MIN_SEEDS} seeds", interval)
    low, high = interval.low, interval.high
    if (
        high - low <= 1e-9 * max(abs(interval.mean), 1e-9)
        and 2 * 0.5 ** len(measurements) > 1 - CONFIDENCE
    ):
        # Equal differences leave no spread to judge by; then only the sign test is left.
        return Verdict("inconclusive", "no spread between so few seeds", interval)
    if claim.direction == "equal":
        inside, outside = -claim.margin < low and high < claim.margin, False
        outside = low > claim.margin or high < -claim.margin
    else:
        if claim.direction == "lower":
            low, high = -high, -low
        inside, outside = low > claim.margin, high < claim.margin
    if inside:
        return Verdict("supported", "the whole interval lies where the claim puts it", interval)
    if outside:
        return Verdict("not supported", "the whole interval lies beyond the margin", interval)
    return Verdict("inconclusive", "the interval reaches over the margin", interval)


def _interval(measurements: Sequence[Measurement]) -> Interval:
    names = [list(m.clusters) for m in measurements]
    same = bool(names) and len(names[0]) > 1 and all(set(n) == set(names[0]) for n in names)
    if not same:
        return seed_interval([m.method - m.baseline for m in measurements])
    table = [[m.clusters[n][0] - m.clusters[n][1] for n in names[0]] for m in measurements]
    return crossed_interval(np.array(table))
