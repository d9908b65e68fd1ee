"""Bootstrap intervals: against closed forms and scipy, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vultus.errors import MeasureError
from vultus.measure.bootstrap import (
    Resampling,
    bootstrap,
    bootstrap_ratio,
    bootstrap_weighted,
    crossed_difference,
    draw_counts,
    paired_difference,
    two_sample_difference,
    weight_blocks,
)
from vultus.measure.effects import (
    cliffs_delta,
    cohens_d,
    cohens_h,
    decidability,
    hedges_g,
    paired_d,
    paired_effect,
)


def test_every_resample_draws_as_many_units_as_there_are(rng: np.random.Generator) -> None:
    counts = draw_counts(7, 500, rng)
    assert (counts.sum(1) == 7).all()
    assert counts.mean() == pytest.approx(1)
    assert counts.var() == pytest.approx(6 / 7, rel=0.1)


def test_a_comparison_is_drawn_as_often_as_both_people_together() -> None:
    people = np.array([["a", "a"], ["a", "b"], ["b", "b"], ["c", "b"], ["c", "c"]])
    weights = np.concatenate(list(weight_blocks(5, people, Resampling(300))))
    a, b, c = weights[:, 0], weights[:, 2], weights[:, 4]
    assert (a + b + c == 3).all()
    assert (weights[:, 1] == a * b).all()
    assert (weights[:, 3] == c * b).all()


def test_mean_has_the_interval_of_the_normal_theory(rng: np.random.Generator) -> None:
    values = rng.normal(3, 2, 400)
    estimate = bootstrap_ratio(values, resampling=Resampling(4000))
    half = 1.96 * values.std(ddof=1) / 20
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.high - estimate.low == pytest.approx(2 * half, rel=0.05)


def test_three_ways_of_one_mean_agree(rng: np.random.Generator) -> None:
    values, people = rng.exponential(size=120), rng.integers(0, 30, 120)

    def weighted(weights: np.ndarray) -> np.ndarray:
        return weights @ values / weights.sum(1)

    ways = [
        bootstrap_ratio(values, None, people, Resampling(3000)),
        bootstrap_weighted(weighted, 120, people, Resampling(3000)),
        bootstrap(lambda i: float(values[i].mean()), 120, people, Resampling(3000)),
    ]
    for way in ways[1:]:
        assert way.value == pytest.approx(ways[0].value)
        assert (way.low, way.high) == pytest.approx((ways[0].low, ways[0].high), rel=0.03)


def test_bca_agrees_with_scipy(rng: np.random.Generator) -> None:
    values = rng.exponential(size=60)
    ours = bootstrap(
        lambda i: float(values[i].std()), 60, resampling=Resampling(4000), method="bca"
    )
    theirs = stats.bootstrap(
        (values,), np.std, n_resamples=4000, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=0.03)


def test_the_seed_decides() -> None:
    values = np.arange(30.0)
    assert bootstrap_ratio(values) == bootstrap_ratio(values)
    assert bootstrap_ratio(values) != bootstrap_ratio(values, resampling=Resampling(seed=1))


def test_statistics_that_resamples_leave_undefined_have_no_interval() -> None:
    denominator = np.zeros(20)
    denominator[0] = 1
    estimate = bootstrap_ratio(np.ones(20), denominator)
    assert estimate.value == 20
    assert np.isnan(estimate.low)
    assert "too few cases" in estimate.note
    assert not bootstrap_ratio(np.ones(3), np.zeros(3)).estimable
    assert not bootstrap_ratio([]).estimable


def test_people_widen_the_interval_and_restore_coverage() -> None:
    rng = np.random.default_rng(3)
    people = np.repeat(np.arange(60), 10)
    hits = np.zeros(2)
    trials = 200
    for _ in range(trials):
        values = np.repeat(rng.normal(size=60), 10) + rng.normal(size=600)
        for k, who in enumerate((people, None)):
            estimate = bootstrap_ratio(values, None, who, Resampling(400))
            hits[k] += estimate.low <= 0 <= estimate.high
    assert 0.90 <= hits[0] / trials <= 0.99
    assert hits[1] / trials < 0.75


def test_pairing_removes_what_the_items_share(rng: np.random.Generator) -> None:
    hardness = rng.normal(0, 5, 300)
    first = hardness + rng.normal(0.5, 0.5, 300)
    second = hardness + rng.normal(0.0, 0.5, 300)
    paired, apart = paired_difference(first, second), two_sample_difference(first, second)
    assert paired.value == pytest.approx(apart.value)
    assert paired.low > 0
    assert apart.low < 0 < apart.high


def test_groups_of_different_people_are_drawn_independently(rng: np.random.Generator) -> None:
    first, second = rng.normal(1, 1, 200), rng.normal(0, 2, 300)
    estimate = two_sample_difference(first, second, resampling=Resampling(4000))
    error = np.sqrt(first.var() / 200 + second.var() / 300)
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * error, rel=0.06)
    same = two_sample_difference(first, first)
    assert same.high > 0.05


@pytest.mark.parametrize(
    "call",
    [
        lambda: bootstrap_ratio([1.0, np.nan]),
        lambda: bootstrap_ratio([1.0], [1.0, 2.0]),
        lambda: paired_difference([1.0], [1.0, 2.0]),
        lambda: bootstrap_ratio([1.0, 2.0], None, ["a"]),
        lambda: crossed_difference([1.0, 2.0], [1.0, 2.0]),
        lambda: crossed_difference([[1.0, 2.0]], [[1.0, 2.0]]),
        lambda: crossed_difference([[1.0], [2.0]], [[1.0, 2.0]]),
        lambda: paired_effect([1.0], [2.0]),
        lambda: paired_effect([1.0, 2.0], [1.0, 2.0, 3.0]),
        lambda: Resampling(0),
        lambda: Resampling(confidence=1.0),
        lambda: bootstrap(lambda i: 0.0, 3, method="basic"),
    ],
)
def test_bad_input_is_refused(call: object) -> None:
    with pytest.raises(MeasureError):
        call()  # type: ignore[operator]


def test_effect_sizes_have_their_textbook_values() -> None:
    first, second = np.array([2.0, 4, 6]), np.array([1.0, 3, 5])
    assert cohens_d(first, second) == pytest.approx(0.5)
    assert hedges_g(first, second) == pytest.approx(0.5 * 0.7979, rel=1e-3)
    assert cliffs_delta(first, second) == pytest.approx((6 - 3) / 9)
    assert cliffs_delta([1, 1], [1, 1]) == 0
    assert cohens_h(0.5, 0.5) == 0
    assert cohens_h(1, 0) == pytest.approx(np.pi)
    assert decidability([1, 3], [-1, 1]) == pytest.approx(2)
    assert paired_d([1, 2, 4], [0, 0, 0]) == pytest.approx(7 / 3 / np.std([1, 2, 4], ddof=1))
    assert paired_d(first, second) == np.inf
    with pytest.raises(MeasureError):
        cohens_h(1.2, 0)


def test_cliffs_delta_is_the_mann_whitney_statistic_rescaled(rng: np.random.Generator) -> None:
    first, second = rng.integers(0, 9, 40), rng.integers(2, 12, 30)
    u = stats.mannwhitneyu(first, second).statistic
    assert cliffs_delta(first, second) == pytest.approx(2 * u / 1200 - 1)


def test_without_spread_over_seeds_the_crossed_interval_is_that_over_people(
    rng: np.random.Generator,
) -> None:
    people = np.repeat(np.arange(30), 3)
    items = rng.normal(0.2, 1, 30)[people] + rng.normal(0, 0.1, 90)
    table = np.tile(items, (5, 1))
    crossed = crossed_difference(table, np.zeros_like(table), people, Resampling(4000))
    alone = paired_difference(items, np.zeros(90), people, Resampling(4000, seed=1))
    assert crossed.value == pytest.approx(alone.value)
    assert crossed.high - crossed.low == pytest.approx(alone.high - alone.low, rel=0.06)
    assert crossed.method == "paired bootstrap over people and seeds, 4000 resamples"


def test_the_crossed_interval_covers_other_seeds_and_other_people(rng: np.random.Generator) -> None:
    hits = seeds_ignored = 0
    rounds = 200
    for _ in range(rounds):
        runs, people = rng.normal(0, 0.4, (15, 1)), rng.normal(0, 1, 40)
        table = 0.3 + runs + people + rng.normal(0, 0.3, (15, 40))
        found = crossed_difference(table, np.zeros_like(table), None, Resampling(300, seed=rng))
        hits += found.low <= 0.3 <= found.high
        over_people = paired_difference(
            table.mean(0), np.zeros(40), None, Resampling(300, seed=rng)
        )
        seeds_ignored += over_people.high - over_people.low < found.high - found.low
    assert hits / rounds > 0.88
    assert seeds_ignored / rounds > 0.9, "leaving the seeds out would be too sure"


def test_the_effect_of_pairs_has_an_interval(rng: np.random.Generator) -> None:
    first = rng.normal(0.5, 1, (6, 80))
    effect = paired_effect(first, np.zeros((6, 80)), None, Resampling(500))
    assert effect.value == pytest.approx(paired_d(first.mean(0), np.zeros(80)))
    assert effect.low < effect.value < effect.high
    assert "seeds" in effect.method
    single = paired_effect(first[0], np.zeros(80), None, Resampling(500))
    # The large-sample deviation of d_z, sqrt(1 / n + d^2 / 2n).
    deviation = np.sqrt(1 / 80 + single.value**2 / 160)
    assert single.high - single.low == pytest.approx(2 * 1.96 * deviation, rel=0.25)
    assert not paired_effect([1.0, 2.0], [0.0, 1.0]).estimable
