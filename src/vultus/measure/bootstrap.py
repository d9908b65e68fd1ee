"""Bootstrap intervals over people, for whatever has no closed form.

Pictures of one person are not independent, so whole people are resampled (the cluster bootstrap).
A comparison of two people is drawn as often as the product of how often both were drawn, a
comparison of a person with themselves as often as the person (the vertex bootstrap of Snijders and
Borgatti, 1999). For pairs this is on the safe side: the part of the noise that belongs to the
single comparison is counted up to three times (Owen, 2007), so that where people hardly repeat the
interval is up to 1.7 times too wide; :func:`~vultus.measure.intervals.rate` is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from vultus.errors import MeasureError
from vultus.measure.arrays import Float, Int, codes_of, finite, probability, sums
from vultus.measure.distributions import normal_cdf, normal_quantile
from vultus.measure.intervals import CONFIDENCE, Estimate, not_estimable, people_pairs

#: Weights held in memory at once.
_BLOCK = 4_000_000

#: Statistic of weighted items: weights float64 (B, N) to values (B,).
WeightedStatistic = Callable[[Float], Float]


@dataclass(frozen=True, slots=True)
class Resampling:
    """How a bootstrap is run.

    Parameters
    ----------
    resamples
        Number of resamples; 1,000 settle the ends of a 95 % interval to about a tenth of its width.
    confidence
        Level of the interval.
    seed
        Seed or generator; the same seed gives the same interval.
    """

    resamples: int = 1000
    confidence: float = CONFIDENCE
    seed: int | np.random.Generator = 0

    def __post_init__(self) -> None:
        probability(self.confidence, "confidence")
        if self.resamples < 1:
            raise MeasureError(f"resamples must be 1 or more, got {self.resamples}")

    def generator(self) -> np.random.Generator:
        """Return the source of randomness."""
        return np.random.default_rng(self.seed)


def draw_counts(n: int, resamples: int, rng: np.random.Generator) -> Float:
    """Return how often each of n units is drawn in each resample, float64 (resamples, n)."""
    drawn = rng.integers(0, n, (resamples, n))
    drawn += np.arange(resamples)[:, None] * n
    counts = np.bincount(drawn.ravel(), minlength=resamples * n)
    return counts.reshape(resamples, n).astype(np.float64)


def weight_blocks(
    n: int, people: ArrayLike | None, resampling: Resampling = Resampling()
) -> Iterator[Float]:
    """Yield the weights of n items in blocks of resamples, float64 (B, n).

    Parameters
    ----------
    n
        Number of items.
    people
        None to resample items, (N,) the person of each item, or (N, 2) the two people of each
        comparison, to resample people as in the module's docstring.
    resampling
        How many, and from which seed.
    """
    pairs, units = (None, n) if people is None else people_pairs(people, n)
    rng = resampling.generator()
    step = max(1, min(resampling.resamples, _BLOCK // max(n, units)))
    for start in range(0, resampling.resamples, step):
        counts = draw_counts(units, min(step, resampling.resamples - start), rng)
        if pairs is None:
            yield counts
            continue
        weights = counts[:, pairs[:, 0]]
        apart = np.flatnonzero(pairs[:, 0] != pairs[:, 1])
        weights[:, apart] *= counts[:, pairs[apart, 1]]
        yield weights


def bootstrap_weighted(
    statistic: WeightedStatistic,
    n: int,
    people: ArrayLike | None = None,
    resampling: Resampling = Resampling(),
) -> Estimate:
    """Return a statistic of weighted items with its percentile interval, many resamples at once.

    Parameters
    ----------
    statistic
        Takes weights (B, N), gives (B,); called with ones for the value itself.
    n
        Number of items.
    people
        As in :func:`weight_blocks`.
    resampling
        How the bootstrap is run.
    """
    if n < 1:
        return not_estimable(0, "no items", confidence=resampling.confidence)
    value = float(statistic(np.ones((1, n)))[0])
    replicates = [statistic(weights) for weights in weight_blocks(n, people, resampling)]
    return percentile(value, np.concatenate(replicates), n, method_name(people), resampling)


def bootstrap_ratio(
    numerator: ArrayLike,
    denominator: ArrayLike | None = None,
    people: ArrayLike | None = None,
    resampling: Resampling = Resampling(),
) -> Estimate:
    """Return sum(numerator) / sum(denominator) with its percentile interval over people.

    Parameters
    ----------
    numerator
        (N,) value of each item.
    denominator
        (N,), all ones if not given: the estimate is then the mean.
    people
        (N,) person of each item, or None to resample items.
    resampling
        How the bootstrap is run.
    """
    top = finite(numerator, "numerator").ravel()
    bottom = np.ones_like(top) if denominator is None else finite(denominator, "denominator")
    if top.shape != bottom.shape:
        raise MeasureError(f"numerator {top.shape} and denominator {bottom.shape} do not match")
    n = len(top)
    if n < 1 or not bottom.sum():
        why = "the denominator is zero" if n else "no items"
        return not_estimable(n, why, confidence=resampling.confidence)
    value = float(top.sum() / bottom.sum())
    replicates = _ratio_replicates(top, bottom, people, resampling)
    return percentile(value, replicates, n, method_name(people), resampling)


def bootstrap(
    statistic: Callable[[Int], float],
    n: int,
    people: ArrayLike | None = None,
    resampling: Resampling = Resampling(),
    *,
    method: Literal["percentile", "bca"] = "percentile",
) -> Estimate:
    """Return any statistic of items with its bootstrap interval over people.

    One call of the statistic per resample: prefer :func:`bootstrap_ratio` or
    :func:`bootstrap_weighted` where they apply.

    Parameters
    ----------
    statistic
        Takes item indices, intp (M,), repeated as drawn; may return NaN where it is undefined.
    n
        Number of items.
    people
        (N,) person of each item, or None to resample items.
    resampling
        How the bootstrap is run.
    method
        ``"percentile"``, or ``"bca"`` for the bias-corrected and accelerated interval of Efron
        (1987), which costs one more call per person.
    """
    if method not in ("percentile", "bca"):
        raise MeasureError(f"method must be 'percentile' or 'bca', got {method!r}")
    if n < 1:
        return not_estimable(0, "no items", confidence=resampling.confidence)
    members = members_of(people, n)
    value = float(statistic(np.arange(n)))
    draws = resampling.generator().integers(0, len(members), (resampling.resamples, len(members)))
    replicates = np.array(
        [statistic(np.concatenate([members[i] for i in drawn])) for drawn in draws], np.float64
    )
    if method == "percentile":
        return percentile(value, replicates, n, method_name(people), resampling)
    left_out = np.array([statistic(np.setdiff1d(np.arange(n), m)) for m in members], np.float64)
    levels = bca_levels(value, replicates, left_out, resampling.confidence)
    return percentile(value, replicates, n, f"BCa {method_name(people)}", resampling, levels)


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    people: ArrayLike | None = None,
    resampling: Resampling = Resampling(),
) -> Estimate:
    """Return mean(first) - mean(second) of two systems on the same items, with its interval.

    Both are resampled together, which removes what the items have in common.

    Parameters
    ----------
    first, second
        (N,) value of each item, such as 0/1 for right and wrong, or an error.
    people
        (N,) person of each item, or None to resample items.
    resampling
        How the bootstrap is run.
    """
    a, b = finite(first, "first").ravel(), finite(second, "second").ravel()
    if a.shape != b.shape:
        raise MeasureError(f"paired values must match, got {a.shape} and {b.shape}")
    estimate = bootstrap_ratio(a - b, None, people, resampling)
    return replace(estimate, method=f"paired {estimate.method}")


def crossed_difference(
    first: ArrayLike,
    second: ArrayLike,
    people: ArrayLike | None = None,
    resampling: Resampling = Resampling(),
) -> Estimate:
    """Return mean(first) - mean(second) of two systems trained with several seeds.

    Seeds and people are crossed: each resample draws both, independently (the pigeonhole bootstrap
    of Owen, 2007), and the same for both systems. The interval then speaks of other seeds and other
    people; it errs on the wide side by what belongs to the single cell. Below about ten seeds any
    bootstrap over them is too narrow: use Student's interval, as the reproductions do.

    Parameters
    ----------
    first, second
        (S, N) value of each item under each seed; the same seeds, data and items on both sides.
    people
        (N,) person of each item, or None to resample items.
    resampling
        How the bootstrap is run.

    Raises
    ------
    MeasureError
        If the shapes differ, or there are fewer than two seeds.
    """
    a, b = finite(first, "first"), finite(second, "second")
    if a.shape != b.shape or a.ndim != 2 or len(a) < 2:
        raise MeasureError(
            f"values of two or more seeds must be (S, N) on both sides, got {a.shape} and {b.shape}"
        )
    difference = a - b
    n = difference.shape[1]
    if not n:
        return not_estimable(0, "no items", confidence=resampling.confidence)
    replicates = [
        ((seeds @ difference) * items).sum(1) / (seeds.sum(1) * items.sum(1))
        for seeds, items in crossed_blocks(len(a), n, people, resampling)
    ]
    method = f"paired {method_name(people)} and seeds"
    return percentile(float(difference.mean()), np.concatenate(replicates), n, method, resampling)


def crossed_blocks(
    seeds: int, n: int, people: ArrayLike | None, resampling: Resampling
) -> Iterator[tuple[Float, Float]]:
    """Yield weights of seeds (B, seeds) and of items (B, n), drawn independently."""
    rng = resampling.generator()
    for items in weight_blocks(n, people, replace(resampling, seed=rng)):
        yield draw_counts(seeds, len(items), rng), items


def two_sample_difference(
    first: ArrayLike,
    second: ArrayLike,
    first_people: ArrayLike | None = None,
    second_people: ArrayLike | None = None,
    resampling: Resampling = Resampling(),
) -> Estimate:
    """Return mean(first) - mean(second) of two groups of different people, with its interval.

    Parameters
    ----------
    first, second
        (N,) and (M,) value of each item.
    first_people, second_people
        (N,) and (M,) person of each item, or None to resample items.
    resampling
        How the bootstrap is run.
    """
    a, b = finite(first, "first").ravel(), finite(second, "second").ravel()
    n = len(a) + len(b)
    if not (len(a) and len(b)):
        return not_estimable(n, "a group is empty", confidence=resampling.confidence)
    # One generator for both groups, so that they are drawn independently.
    shared = replace(resampling, seed=resampling.generator())
    replicates = _ratio_replicates(a, np.ones_like(a), first_people, shared)
    replicates -= _ratio_replicates(b, np.ones_like(b), second_people, shared)
    method = f"two-sample {method_name(first_people)}"
    return percentile(float(a.mean() - b.mean()), replicates, n, method, resampling)


def percentile(
    value: float,
    replicates: Float,
    n: int,
    method: str,
    resampling: Resampling,
    levels: tuple[float, float] | None = None,
) -> Estimate:
    """Return the estimate whose interval spans the middle share of the replicates.

    Replicates in which the statistic is undefined (NaN) are left out; where they are more than one
    in twenty there is a value but no interval. Where the value itself is undefined, it is not
    estimable.

    Parameters
    ----------
    value
        The statistic of the data.
    replicates
        The statistic of each resample, (B,).
    n
        Number of items.
    method
        How the resamples were drawn.
    resampling
        Gives the confidence level.
    levels
        Quantile levels to take instead of the middle share.
    """
    defined = replicates[~np.isnan(replicates)]
    confidence = resampling.confidence
    if math.isnan(value):
        return not_estimable(n, "undefined on these data: too few cases", confidence=confidence)
    if len(defined) < 0.95 * len(replicates):
        share = 1 - len(defined) / len(replicates)
        note = f"undefined in {share:.0%} of the resamples: too few cases for an interval"
        return Estimate(value, math.nan, math.nan, n, confidence, "none", note)
    low, high = np.quantile(defined, levels or ((1 - confidence) / 2, (1 + confidence) / 2))
    name = f"{method}, {len(replicates)} resamples"
    return Estimate(value, float(low), float(high), n, confidence, name)


def bca_levels(
    value: float, replicates: Float, left_out: Float, confidence: float
) -> tuple[float, float]:
    """Return the two quantile levels of the BCa interval (Efron, 1987, section 2).

    ``left_out`` is the statistic with each unit left out, for the acceleration.
    """
    size = len(replicates)
    below = float(np.mean(replicates < value) + 0.5 * np.mean(replicates == value))
    bias = normal_quantile(min(max(below, 0.5 / size), 1 - 0.5 / size))
    spread = left_out.mean() - left_out
    scale = float((spread**2).sum()) ** 1.5
    acceleration = float((spread**3).sum()) / (6 * scale) if scale else 0.0

    def corrected(tail: float) -> float:
        shifted = bias + normal_quantile(tail)
        return normal_cdf(bias + shifted / (1 - acceleration * shifted))

    return corrected((1 - confidence) / 2), corrected((1 + confidence) / 2)


def members_of(people: ArrayLike | None, n: int) -> list[Int]:
    """Return the item indices of each person, or of each item alone where people is None."""
    if people is None:
        return list(np.arange(n)[:, None])
    codes, k = codes_of(people, "people", n)
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes, minlength=k))[:-1])


def method_name(people: object) -> str:
    """Return how the estimate calls a bootstrap over items or people."""
    return "bootstrap" if people is None else "bootstrap over people"


def _ratio_replicates(
    top: Float, bottom: Float, people: ArrayLike | None, resampling: Resampling
) -> Float:
    if people is not None:
        codes, k = codes_of(people, "people", len(top))
        top, bottom = sums(codes, top, k), sums(codes, bottom, k)
    replicates = []
    with np.errstate(invalid="ignore", divide="ignore"):
        for weights in weight_blocks(len(top), None, resampling):
            below = weights @ bottom
            replicates.append(np.where(below == 0, np.nan, (weights @ top) / below))
    return np.concatenate(replicates)
