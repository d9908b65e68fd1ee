"""Intervals of rates: known answers, agreement with scipy, and coverage by simulation."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vultus.errors import MeasureError
from vultus.measure import Estimate
from vultus.measure.intervals import (
    all_pairs_rate,
    clopper_pearson,
    proportion,
    rate,
    rule_of_three,
    wilson,
)

counts = st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts, st.sampled_from([0.8, 0.95, 0.99]))
def test_closed_forms_agree_with_scipy(count: tuple[int, int], confidence: float) -> None:
    events, n = count
    result = stats.binomtest(events, n)
    for method, name in ((wilson, "wilson"), (clopper_pearson, "exact")):
        expected = result.proportion_ci(confidence, name)
        estimate = method(events, n, confidence=confidence)
        assert (estimate.low, estimate.high) == pytest.approx(tuple(expected), abs=1e-9)
        assert estimate.low <= estimate.value <= estimate.high
        assert (estimate.value, estimate.n) == (events / n, n)


def test_rule_of_three_is_about_three_over_n() -> None:
    assert rule_of_three(1000) == pytest.approx(3 / 1000, rel=0.01)
    estimate = proportion(0, 1000)
    assert (estimate.value, estimate.low) == (0, 0)
    assert estimate.high == rule_of_three(1000)
    assert proportion(1000, 1000).low == 1 - rule_of_three(1000)


def test_no_trials_are_not_estimable_and_say_so() -> None:
    estimate = proportion(0, 0)
    assert not estimate.estimable
    assert "no trials" in str(estimate)
    assert json.loads(json.dumps(estimate.to_dict()))["value"] is None


def test_estimate_reads_as_a_sentence() -> None:
    assert str(Estimate(0.25, 0.2, 0.3, 80)) == "0.25 [0.2, 0.3] (95 %, n=80)"


@pytest.mark.parametrize(("events", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_impossible_counts_are_refused(events: int, n: int) -> None:
    with pytest.raises(MeasureError, match="0 <= events <= n"):
        wilson(events, n)


@pytest.mark.parametrize("outcomes", [[0, 2], [0.5], [[True]], ["yes"]])
def test_outcomes_that_are_not_booleans_are_refused(outcomes: list[object]) -> None:
    with pytest.raises(MeasureError):
        rate(outcomes)


def test_independent_outcomes_give_wilson() -> None:
    outcomes = np.arange(50) < 7
    assert rate(outcomes) == wilson(7, 50)


def test_repeating_every_trial_of_a_person_does_not_narrow_the_interval() -> None:
    outcomes = np.arange(40) % 5 == 0
    once = rate(outcomes, np.arange(40))
    repeated = rate(np.repeat(outcomes, 10), np.repeat(np.arange(40), 10))
    naive = rate(np.repeat(outcomes, 10))
    assert (repeated.low, repeated.high) == pytest.approx((once.low, once.high))
    assert naive.high - naive.low < 0.5 * (once.high - once.low)


def test_zero_events_count_people_not_trials() -> None:
    estimate = rate(np.zeros(900, bool), np.repeat(np.arange(30), 30))
    assert estimate.high == rule_of_three(30)
    assert "30 different clusters" in estimate.method


def test_one_person_alone_has_no_interval() -> None:
    estimate = rate([True, False], ["a", "a"])
    assert estimate.value == 0.5
    assert math.isnan(estimate.low)
    assert "no interval" in str(estimate)


@given(st.randoms(use_true_random=False))
def test_order_of_trials_and_of_people_in_a_pair_is_irrelevant(random: object) -> None:
    rng = np.random.default_rng(random.getrandbits(32))  # type: ignore[attr-defined]
    people = rng.integers(0, 9, (60, 2))
    outcomes = rng.uniform(size=60) < 0.3
    order = rng.permutation(60)
    one, other = rate(outcomes, people), rate(outcomes[order], people[order, ::-1])
    assert (one.low, one.high) == pytest.approx((other.low, other.high), nan_ok=True)


def test_all_pairs_rate_equals_the_rate_of_the_listed_pairs() -> None:
    rng = np.random.default_rng(1)
    faces = rng.integers(1, 5, 12)
    who = np.repeat(np.arange(12), faces)
    i, j = np.triu_indices(len(who), 1)
    i, j = i[who[i] != who[j]], j[who[i] != who[j]]
    events = rng.uniform(size=len(i)) < 0.1
    listed = rate(events, np.stack([who[i], who[j]], 1))
    cells = np.zeros((12, 12), int)
    np.add.at(cells, (who[i], who[j]), events)
    first, second = np.nonzero(cells)
    summed = all_pairs_rate(cells[first, second], first, second, faces)
    assert summed.to_dict() == pytest.approx(listed.to_dict())


@pytest.mark.parametrize(
    ("people", "each", "p", "correlation"), [(50, 10, 0.1, 0.3), (200, 10, 0.03, 0.2)]
)
def test_interval_over_people_covers_and_the_naive_one_does_not(
    people: int, each: int, p: float, correlation: float
) -> None:
    rng = np.random.default_rng(5)
    who = np.repeat(np.arange(people), each)
    spread = (1 - correlation) / correlation
    hits = np.zeros(2)
    trials = 400
    for own in rng.beta(p * spread, (1 - p) * spread, (trials, people)):
        outcomes = rng.uniform(size=people * each) < np.repeat(own, each)
        hits += [e.low <= p <= e.high for e in (rate(outcomes, who), rate(outcomes))]
    assert 0.91 <= hits[0] / trials <= 0.985
    assert hits[1] / trials < 0.85


def test_interval_over_pairs_of_people_covers() -> None:
    rng = np.random.default_rng(6)
    people, variance, threshold = 60, 0.3, 2.0
    pairs = np.stack(np.triu_indices(people, 1), 1)
    p = 0.5 * math.erfc(threshold / math.sqrt(2 * (1 + 2 * variance)))
    hits = np.zeros(2)
    trials = 300
    for _ in range(trials):
        own = rng.normal(0, math.sqrt(variance), people)
        outcomes = own[pairs].sum(1) + rng.normal(size=len(pairs)) >= threshold
        hits += [e.low <= p <= e.high for e in (rate(outcomes, pairs), rate(outcomes))]
    assert 0.90 <= hits[0] / trials <= 0.985
    assert hits[1] / trials < 0.75
