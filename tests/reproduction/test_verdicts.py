"""Verdicts: known intervals, coverage by simulation, honest answers with few seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from vultus.errors import ConfigError
from vultus.reproduction import Claim, Measurement, judge
from vultus.reproduction.verdicts import crossed_interval, seed_interval


def claim(direction: str = "higher", margin: float = 0.0) -> Claim:
    return Claim("c", "A beats B", "accuracy", direction, margin=margin)  # type: ignore[arg-type]


def seeds(*differences: float) -> list[Measurement]:
    return [Measurement(0.5 + d, 0.5, 100) for d in differences]


def test_t_interval_agrees_with_scipy() -> None:
    d = [0.1, 0.25, 0.18, 0.02]
    low, high = stats.t.interval(0.95, 3, np.mean(d), stats.sem(d))
    found = seed_interval(d)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize("n", [3, 5])
def test_seed_interval_covers_95_percent_and_a_normal_one_would_not(n: int) -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal(0.3, 1.0, (4000, n))
    hits = [(i := seed_interval(d)).low <= 0.3 <= i.high for d in draws]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.012)
    half = 1.96 * draws.std(1, ddof=1) / math.sqrt(n)
    assert np.mean(np.abs(draws.mean(1) - 0.3) <= half) < 0.89


@pytest.mark.parametrize(
    ("by_seed", "by_group", "rest"), [(1, 1, 1), (0, 1, 1), (1, 0, 1), (0.2, 1, 3), (1, 0, 0)]
)
def test_crossed_interval_covers_at_least_94_percent(
    by_seed: float, by_group: float, rest: float
) -> None:
    rng = np.random.default_rng(1)
    hits = []
    for _ in range(1000):
        d = (
            0.3
            + by_seed * rng.normal(size=(3, 1))
            + by_group * rng.normal(size=(1, 15))
            + rest * rng.normal(size=(3, 15))
        )
        interval = crossed_interval(d)
        hits.append(interval.low <= 0.3 <= interval.high)
    assert np.mean(hits) > 0.94


def test_crossed_interval_takes_the_people_into_account() -> None:
    # Equal seeds say nothing about other people: the spread over people must remain.
    d = np.tile(np.random.default_rng(0).normal(0, 1, 20), (3, 1))
    interval = crossed_interval(d)
    expected = stats.t.interval(0.95, 19, d[0].mean(), stats.sem(d[0]))
    assert (interval.low, interval.high) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("direction", "margin", "differences", "outcome"),
    [
        ("higher", 0.0, (0.10, 0.11, 0.12), "supported"),
        ("higher", 0.0, (-0.10, -0.11, -0.12), "not supported"),
        ("higher", 0.0, (0.10, -0.05, 0.02), "inconclusive"),
        ("lower", 0.0, (-0.10, -0.11, -0.12), "supported"),
        ("lower", 0.0, (0.10, 0.11, 0.12), "not supported"),
        ("higher", 0.2, (0.10, 0.11, 0.12), "not supported"),
        ("equal", 0.2, (0.10, 0.11, 0.12), "supported"),
        ("equal", 0.05, (0.10, 0.11, 0.12), "not supported"),
        ("equal", 0.11, (0.10, 0.11, 0.12), "inconclusive"),
        ("higher", 0.0, (0.10, 0.11), "inconclusive"),
        ("higher", 0.0, (0.1, 0.1, 0.1), "inconclusive"),
        ("higher", 0.0, (0.125,) * 6, "supported"),
        ("higher", 0.0, (0.0,) * 6, "inconclusive"),
    ],
)
def test_verdicts(
    direction: str, margin: float, differences: tuple[float, ...], outcome: str
) -> None:
    assert judge(claim(direction, margin), seeds(*differences)).outcome == outcome


def test_groups_count_only_where_all_seeds_share_them() -> None:
    rng = np.random.default_rng(0)

    def measured(names: list[str]) -> Measurement:
        pairs = {n: (float(rng.normal(1)), 0.0) for n in names}
        return Measurement(float(np.mean([p[0] for p in pairs.values()])), 0.0, 9, pairs)

    shared = [measured(["a", "b", "c"]) for _ in range(3)]
    assert judge(claim(), shared).interval.groups == 3
    own = [measured([f"{s}{i}" for i in range(3)]) for s in range(3)]
    assert judge(claim(), own).interval.groups == 0


def test_measurements_must_be_finite_and_agree_with_their_groups() -> None:
    with pytest.raises(ConfigError, match="finite"):
        Measurement(math.nan, 0.0, 1)
    with pytest.raises(ConfigError, match="means over its clusters"):
        Measurement(0.5, 0.0, 1, {"a": (1.0, 0.0), "b": (1.0, 0.0)})


def test_claims_are_checked() -> None:
    with pytest.raises(ConfigError, match="direction"):
        claim("better")
    with pytest.raises(ConfigError, match="margin"):
        claim("equal")
