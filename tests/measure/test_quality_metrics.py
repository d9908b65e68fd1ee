"""The error-versus-discard curve: by hand, ties, useless and perfect measures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vultus.errors import MeasureError
from vultus.measure.bootstrap import Resampling
from vultus.measure.quality import edc_difference, error_versus_discard

FAST = Resampling(50)


def test_curve_by_hand() -> None:
    # Ten comparisons; errors are those of quality 0 and 2.
    quality = np.arange(10)
    scores = np.where(np.isin(quality, [0, 2]), 0.1, 0.9)
    edc = error_versus_discard(scores, quality, 0.5, limit=0.5, resampling=FAST)
    at = dict(zip(edc.discarded.round(3).tolist(), edc.fnmr.tolist(), strict=True))
    assert at[0] == pytest.approx(0.2)
    assert at[0.1] == pytest.approx(1 / 9)
    assert at[0.2] == pytest.approx(1 / 8)
    assert at[0.3] == 0
    assert edc.n == 10


def test_quality_of_a_pair_is_the_lower_one() -> None:
    scores, pair = [0.1, 0.9, 0.9], [[9, 1], [5, 5], [7, 4]]
    both = error_versus_discard(scores, pair, 0.5, resampling=FAST)
    alone = error_versus_discard(scores, [1, 5, 4], 0.5, resampling=FAST)
    assert both.fnmr == pytest.approx(alone.fnmr)


@given(st.integers(0, 10_000))
def test_ties_and_order_are_irrelevant(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, quality = rng.uniform(size=40), rng.integers(0, 5, 40)
    order = rng.permutation(40)
    one = error_versus_discard(scores, quality, 0.4, resampling=FAST)
    other = error_versus_discard(scores[order], quality[order] * 3 - 7, 0.4, resampling=FAST)
    assert one.fnmr == pytest.approx(other.fnmr)


def test_a_constant_measure_leaves_the_error_as_it_is() -> None:
    edc = error_versus_discard([0.1, 0.9, 0.9, 0.9], [1, 1, 1, 1], 0.5, resampling=FAST)
    assert edc.fnmr == pytest.approx(np.full(101, 0.25))
    assert edc.area.value == pytest.approx(0.25)


def test_good_measures_have_a_smaller_area_than_chance(rng: np.random.Generator) -> None:
    difficulty = rng.uniform(size=600)
    scores = 0.7 - 0.4 * difficulty + 0.1 * rng.normal(size=600)
    good, chance = -difficulty, rng.uniform(size=600)
    areas = [error_versus_discard(scores, q, 0.4).area for q in (good, chance)]
    assert areas[0].high < areas[1].low
    gap = edc_difference(scores, good, chance, 0.4)
    assert gap.value == pytest.approx(areas[0].value - areas[1].value)
    assert gap.high < 0
    assert edc_difference(scores, good, good, 0.4).value == 0


def test_failed_comparisons_are_errors() -> None:
    edc = error_versus_discard([-np.inf, 0.9], [0, 1], -np.inf, resampling=FAST)
    assert edc.fnmr[0] == 0.5
    assert edc.to_dict()["area"]["n"] == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda: error_versus_discard([], [], 0.5),
        lambda: error_versus_discard([0.1], [0.1, 0.2], 0.5),
        lambda: error_versus_discard([0.1], [np.nan], 0.5),
        lambda: error_versus_discard([0.1], [0.1], np.nan),
        lambda: error_versus_discard([0.1], [0.1], 0.5, limit=1.0),
    ],
)
def test_bad_input_is_refused(call: object) -> None:
    with pytest.raises(MeasureError):
        call()  # type: ignore[operator]
