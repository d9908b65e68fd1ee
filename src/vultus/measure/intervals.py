"""Estimates with their confidence interval, and the intervals of rates in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from vultus.errors import MeasureError
from vultus.measure.arrays import Int, mask_of, probability, sums
from vultus.measure.distributions import beta_quantile, normal_quantile, t_quantile

#: Confidence level of intervals unless told otherwise.
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured value and how sure it is.

    Parameters
    ----------
    value
        Point estimate; NaN where the data cannot support one.
    low, high
        Ends of the two-sided confidence interval; NaN where there is none.
    n
        Number of trials that the value rests on.
    confidence
        Level of the interval, in (0, 1).
    method
        How the interval was found.
    note
        What a reader must know, such as why the value is not estimable.
    """

    value: float
    low: float
    high: float
    n: int
    confidence: float = CONFIDENCE
    method: str = ""
    note: str = ""

    @property
    def estimable(self) -> bool:
        """Whether there is a value at all."""
        return not math.isnan(self.value)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; None stands for what is not estimable."""
        values: dict[str, Any] = {
            name: None if math.isnan(number) else number
            for name, number in (("value", self.value), ("low", self.low), ("high", self.high))
        }
        return values | {
            "n": self.n,
            "confidence": self.confidence,
            "method": self.method,
            "note": self.note,
        }

    def __str__(self) -> str:
        if not self.estimable:
            return f"not estimable (n={self.n}): {self.note}"
        if math.isnan(self.low):
            return f"{self.value:.4g} (no interval, n={self.n})"
        level = f"{self.confidence * 100:g} %"
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}] ({level}, n={self.n})"


def not_estimable(n: int, why: str, *, confidence: float = CONFIDENCE) -> Estimate:
    """Return the estimate that says that the data cannot answer, and why."""
    return Estimate(math.nan, math.nan, math.nan, n, confidence, "none", why)


def wilson(events: int, n: int, *, confidence: float = CONFIDENCE) -> Estimate:
    """Return a rate with Wilson's score interval.

    Wilson (1927); recommended by Brown, Cai and DasGupta (2001) for its coverage at small n and
    at rates near 0 or 1.

    Parameters
    ----------
    events, n
        Number of events and of independent trials, ``0 <= events <= n``, ``n >= 1``.
    confidence
        Level of the interval.
    """
    _check_counts(events, n, confidence)
    z = normal_quantile((1 + confidence) / 2)
    low, high = _wilson_ends(events / n, n, z)
    return Estimate(events / n, low, high, n, confidence, "Wilson")


def clopper_pearson(events: int, n: int, *, confidence: float = CONFIDENCE) -> Estimate:
    """Return a rate with the exact binomial interval of Clopper and Pearson (1934).

    It never covers less than promised, and is wider than Wilson's for that.
    """
    _check_counts(events, n, confidence)
    tail = (1 - confidence) / 2
    low = 0.0 if events == 0 else beta_quantile(tail, events, n - events + 1)
    high = 1.0 if events == n else beta_quantile(1 - tail, events + 1, n - events)
    return Estimate(events / n, low, high, n, confidence, "Clopper-Pearson")


def rule_of_three(n: int, *, confidence: float = CONFIDENCE) -> float:
    """Return the upper bound of a rate of which n independent trials saw no event.

    The exact one-sided bound 1 - (1 - confidence)^(1/n), about 3/n at 95 % (Hanley and
    Lippman-Hand, 1983).
    """
    _check_counts(0, n, confidence)
    return -math.expm1(math.log1p(-confidence) / n)


def proportion(
    events: int,
    n: int,
    *,
    confidence: float = CONFIDENCE,
    method: Literal["wilson", "clopper-pearson"] = "wilson",
) -> Estimate:
    """Return a rate of independent trials with its interval.

    With no event, or nothing but events, the interval is one-sided: the rule of three. Without
    trials the rate is not estimable.
    """
    if n == 0:
        return not_estimable(0, "no trials", confidence=confidence)
    if events in (0, n):
        _check_counts(events, n, confidence)
        return _one_sided(events, n, n, confidence)
    if method == "wilson":
        return wilson(events, n, confidence=confidence)
    if method == "clopper-pearson":
        return clopper_pearson(events, n, confidence=confidence)
    raise MeasureError(f"method must be 'wilson' or 'clopper-pearson', got {method!r}")


def rate(
    outcomes: ArrayLike, people: ArrayLike | None = None, *, confidence: float = CONFIDENCE
) -> Estimate:
    """Return the share of true outcomes with an interval that allows for repeated people.

    Trials that share a person are not independent: an interval that ignores this can be several
    times too narrow. The variance of the rate is estimated from the sums of residuals per person
    (the cluster-robust estimator; for pairs of people the dyadic one of Aronow, Samii and
    Assenova, 2015), turned into an effective number of independent trials (Korn and Graubard,
    1998), and put into Wilson's formula with Student's quantile of (number of people - 1) degrees
    of freedom. The interval is never narrower than for independent trials.

    Parameters
    ----------
    outcomes
        bool (N,).
    people
        None for independent trials, (N,) the person of each trial, or (N, 2) the two people of
        each comparison (equal in a genuine one).
    confidence
        Level of the interval.

    Notes
    -----
    With no event at all the variance cannot be estimated; the rule of three is then applied to the
    number of different people, or of different pairs of people.
    """
    events = mask_of(outcomes, "outcomes")
    probability(confidence, "confidence")
    n = len(events)
    if people is None:
        return proportion(int(events.sum()), n, confidence=confidence)
    if not n:
        return not_estimable(0, "no trials", confidence=confidence)
    pairs, n_people = people_pairs(people, n)
    groups, group_of = np.unique(pairs[:, 0] * n_people + pairs[:, 1], return_inverse=True)
    value = float(events.mean())
    if value in (0.0, 1.0):
        return _one_sided(int(events.sum()), n, len(groups), confidence)
    residuals = sums(group_of, events - value, len(groups))
    first, second = groups // n_people, groups % n_people
    apart = first != second
    per_person = sums(first, residuals, n_people)
    per_person += sums(second[apart], residuals[apart], n_people)
    # A group of two people was counted with both of them.
    variance = float(per_person @ per_person - residuals[apart] @ residuals[apart]) / n**2
    return _robust(value, n, variance, n_people, confidence)


def all_pairs_rate(
    events: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    faces: ArrayLike,
    *,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Return the rate of events among all comparisons of faces of different people.

    The same interval as :func:`rate` gives for the full list of comparisons, from the few pairs of
    people that had an event.

    Parameters
    ----------
    events
        (K,) number of events of each pair of people that had any.
    first, second
        (K,) the two people, as indices into ``faces``, each unordered pair once.
    faces
        (P,) number of faces of each person.
    confidence
        Level of the interval.
    """
    sizes, counts = np.asarray(faces, np.float64), np.asarray(events, np.float64)
    a, b = np.asarray(first, np.intp), np.asarray(second, np.intp)
    total, squares = sizes.sum(), sizes @ sizes
    n = round((total**2 - squares) / 2)
    if not n:
        return not_estimable(0, "no faces of different people", confidence=confidence)
    value = float(counts.sum()) / n
    if value in (0.0, 1.0):
        independent = len(sizes) * (len(sizes) - 1) // 2
        return _one_sided(int(counts.sum()), n, independent, confidence)
    per_person = sums(a, counts, len(sizes)) + sums(b, counts, len(sizes))
    per_person -= value * sizes * (total - sizes)
    # Sum over pairs of people of (events - value * comparisons)^2, most of which had no event.
    per_pair = counts @ counts - 2 * value * counts @ (sizes[a] * sizes[b])
    per_pair += value**2 * (squares**2 - (sizes**2) @ (sizes**2)) / 2
    variance = float(per_person @ per_person - per_pair) / n**2
    return _robust(value, n, variance, len(sizes), confidence)


def mean_of_two(first: Estimate, second: Estimate) -> Estimate:
    """Return the mean of two independent rates, such as ACER, with its interval.

    The distances of both rates from their own limits are added in quadrature (the MOVER of Zou and
    Donner, 2008), which keeps the skew that rates near 0 have.
    """
    value = (first.value + second.value) / 2
    n = first.n + second.n
    if math.isnan(value):
        note = first.note or second.note
        return not_estimable(n, note, confidence=first.confidence)
    low = value - math.hypot(first.value - first.low, second.value - second.low) / 2
    high = value + math.hypot(first.high - first.value, second.high - second.value) / 2
    return Estimate(value, low, high, n, first.confidence, "MOVER")


def people_pairs(people: ArrayLike, n: int) -> tuple[Int, int]:
    """Return people as sorted pairs of codes, intp (N, 2), and the number of people.

    Parameters
    ----------
    people
        (N,) one person a trial, or (N, 2) two; any type that sorts.
    n
        Number of trials, for the check.
    """
    array = np.asarray(people)
    if (
        array.dtype == object
        or array.ndim not in (1, 2)
        or (array.ndim == 2 and array.shape[1] != 2)
    ):
        raise MeasureError(
            f"people must be (N,) or (N, 2) labels of one type, got {array.dtype} {array.shape}"
        )
    if len(array) != n:
        raise MeasureError(f"people are given for {len(array)} trials, expected {n}")
    known, codes = np.unique(array, return_inverse=True)
    codes = codes.reshape(array.shape).astype(np.intp)
    if codes.ndim == 1:
        codes = np.stack([codes, codes], 1)
    return np.sort(codes, axis=1), len(known)


def _robust(value: float, n: int, variance: float, n_people: int, confidence: float) -> Estimate:
    if n_people < 2:
        note = "all trials are of one person or image: no interval"
        return Estimate(value, math.nan, math.nan, n, confidence, "none", note)
    variance *= n_people / (n_people - 1)
    independent = value * (1 - value) / n
    effective = n * min(1.0, independent / variance) if variance > 0 else float(n)
    quantile = t_quantile((1 + confidence) / 2, n_people - 1)
    low, high = _wilson_ends(value, effective, quantile)
    return Estimate(value, low, high, n, confidence, f"Wilson, robust over {n_people} clusters")


def _one_sided(events: int, n: int, independent: int, confidence: float) -> Estimate:
    bound = rule_of_three(independent, confidence=confidence)
    method = "rule of three"
    if independent != n:
        method += f" on {independent} different clusters or pairs of them"
    if events == 0:
        return Estimate(0.0, 0.0, bound, n, confidence, method)
    return Estimate(1.0, 1.0 - bound, 1.0, n, confidence, method)


def _wilson_ends(value: float, n: float, z: float) -> tuple[float, float]:
    centre = (value + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(value * (1 - value) / n + z * z / (4 * n * n))
    # At 0 and 1 the ends coincide with the value, but for rounding.
    return min(max(centre - half, 0.0), value), max(min(centre + half, 1.0), value)


def _check_counts(events: int, n: int, confidence: float) -> None:
    probability(confidence, "confidence")
    if not 0 <= events <= n or n < 1:
        raise MeasureError(f"a rate needs 0 <= events <= n and n >= 1, got {events} of {n}")
