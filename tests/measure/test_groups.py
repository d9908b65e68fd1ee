"""Metrics per group: cells, flags, and differences between groups."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from vultus.errors import MeasureError
from vultus.measure import groups as module
from vultus.measure.bootstrap import Resampling
from vultus.measure.groups import by_group, gaps
from vultus.measure.intervals import rate


def test_cells_are_all_then_groups_then_intersections() -> None:
    wrong = np.array([0, 1, 0, 0, 1, 1, 1, 1])
    attributes = {"sex": list("ffmmffmm"), "age": ["old"] * 4 + ["young"] * 4}
    cells = by_group(lambda i: rate(wrong[i]), attributes, np.repeat(np.arange(4), 2))
    assert [(cell.name, cell.estimate.value, cell.n, cell.n_people) for cell in cells] == [
        ("all", 5 / 8, 8, 4),
        ("sex=f", 0.75, 4, 2),
        ("sex=m", 0.5, 4, 2),
        ("age=old", 0.25, 4, 2),
        ("age=young", 1, 4, 2),
        ("sex=f, age=old", 0.5, 2, 1),
        ("sex=f, age=young", 1, 2, 1),
        ("sex=m, age=old", 0, 2, 1),
        ("sex=m, age=young", 1, 2, 1),
    ]
    assert len(by_group(lambda i: rate(wrong[i]), attributes, depth=1)) == 5


def test_empty_intersections_are_left_out() -> None:
    cells = by_group(lambda i: rate(i < 1), {"a": list("xxy"), "b": list("ppq")})
    assert [cell.name for cell in cells][-2:] == ["a=x, b=p", "a=y, b=q"]


def test_small_cells_and_few_people_are_flagged() -> None:
    attributes = {"g": ["a"] * 29 + ["b"] * 30 + ["c"] * 300}
    people = np.concatenate([np.arange(59), 100 + np.arange(300) % 10])
    flags = {
        cell.name: cell.flagged for cell in by_group(lambda i: rate(i < 5), attributes, people)
    }
    assert flags == {"all": False, "g=a": True, "g=b": False, "g=c": True}


def test_difference_agrees_with_normal_theory(rng: np.random.Generator) -> None:
    groups = np.repeat(["a", "b", "c"], [400, 300, 300])
    errors = rng.uniform(size=1000) < np.repeat([0.1, 0.2, 0.1], [400, 300, 300])
    result = gaps(errors, groups, resampling=Resampling(2000))
    means = [errors[groups == g].mean() for g in "abc"]
    assert result.reference == "a"
    difference = result.differences["b"]
    assert difference.value == pytest.approx(means[1] - means[0])
    half = 1.96 * np.sqrt(means[0] * (1 - means[0]) / 400 + means[1] * (1 - means[1]) / 300)
    assert difference.high - difference.low == pytest.approx(2 * half, rel=0.08)
    assert difference.low > 0
    assert result.widest.value == pytest.approx(max(means) - min(means))
    assert set(gaps(errors, groups, reference="b").differences) == {"a", "c"}
    assert result.to_dict()["differences"]["c"]["n"] == 700


def test_matched_people_narrow_the_difference(rng: np.random.Generator) -> None:
    # Every seed appears in both groups; seeds differ much, groups little.
    seeds = rng.normal(0, 1, 100)
    values = np.concatenate([seeds, seeds + 0.1 + 0.05 * rng.normal(size=100)])
    groups = np.repeat(["a", "b"], 100)
    matched = gaps(values, groups, np.tile(np.arange(100), 2), reference="a").differences["b"]
    apart = gaps(values, groups, reference="a").differences["b"]
    assert matched.low > 0
    assert apart.low < 0 < apart.high
    assert matched.high - matched.low < 0.2 * (apart.high - apart.low)


def test_weights_choose_what_counts() -> None:
    # FNMR: errors among genuine comparisons only, 1/2 in a and 1 in b.
    wrong, genuine = [1, 1, 0, 1], [1, 0, 1, 1]
    result = gaps(wrong, ["a", "a", "a", "b"], weights=genuine, resampling=Resampling(20))
    assert result.reference == "a"
    assert result.differences["b"].value == 0.5
    empty = gaps(wrong, ["a", "a", "a", "b"], weights=[1, 1, 1, 0], resampling=Resampling(20))
    assert not empty.differences["b"].estimable


def test_documentation_example_runs() -> None:
    found = doctest.testmod(module, extraglobs={"np": np, "rate": rate})
    assert found.attempted >= 3
    assert not found.failed


@pytest.mark.parametrize(
    "call",
    [
        lambda: by_group(lambda i: rate(i < 1), {}),
        lambda: by_group(lambda i: rate(i < 1), {"a": ["x"], "b": ["x", "y"]}),
        lambda: by_group(lambda i: rate(i < 1), {"a": []}),
        lambda: by_group(lambda i: rate(i < 1), {"a": ["x"]}, depth=0),
        lambda: gaps([1, 0], ["a", "a"]),
        lambda: gaps([1, 0], ["a", "b"], reference="c"),
        lambda: gaps([1, 0], ["a", "b"], weights=[1, -1]),
        lambda: gaps([1, np.nan], ["a", "b"]),
    ],
)
def test_bad_input_is_refused(call: object) -> None:
    with pytest.raises(MeasureError):
        call()  # type: ignore[operator]
