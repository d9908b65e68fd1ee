"""Continuous predictions against scipy, and what each figure must not depend on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vultus.errors import MeasureError
from vultus.measure.bootstrap import Resampling
from vultus.measure.regression import regression_scores

FAST = Resampling(50)
pairs = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=40)


@given(pairs)
def test_values_agree_with_scipy(drawn: list[tuple[int, int]]) -> None:
    x, y = np.array(drawn, float).T
    scores = regression_scores(x, y, resampling=FAST)
    assert scores.mae.value == pytest.approx(np.abs(x - y).mean())
    assert scores.rmse.value == pytest.approx(np.sqrt(((x - y) ** 2).mean()))
    if not (np.ptp(x) and np.ptp(y)):
        assert not scores.pearson.estimable
    else:
        assert scores.pearson.value == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
        assert scores.spearman.value == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)


def test_concordance_by_hand() -> None:
    # Means 2 and 3, variances 2/3 and 8/3, covariance 4/3: 2 * 4/3 / (10/3 + 1).
    scores = regression_scores([1, 2, 3, 1, 2, 3], [1, 3, 5, 1, 3, 5], resampling=FAST)
    assert scores.ccc.value == pytest.approx(8 / 3 / (13 / 3))
    assert scores.pearson.value == pytest.approx(1)


def test_shift_and_scale_cost_concordance_only(rng: np.random.Generator) -> None:
    truth = rng.normal(size=300)
    predicted = truth + 0.3 * rng.normal(size=300)
    plain, moved = (
        regression_scores(p, truth, resampling=FAST) for p in (predicted, predicted + 1)
    )
    assert moved.pearson.value == pytest.approx(plain.pearson.value)
    assert moved.spearman.value == pytest.approx(plain.spearman.value)
    assert moved.ccc.value < plain.ccc.value - 0.2


def test_values_far_from_zero_keep_their_digits(rng: np.random.Generator) -> None:
    truth = rng.normal(size=200)
    predicted = truth + rng.normal(size=200)
    plain = regression_scores(predicted, truth, resampling=FAST)
    far = regression_scores(predicted + 1e7, truth + 1e7, resampling=FAST)
    assert far.ccc.value == pytest.approx(plain.ccc.value, rel=1e-5)
    tiny = regression_scores(predicted * 1e-15, truth * 1e-15, resampling=FAST)
    assert tiny.pearson.value == pytest.approx(plain.pearson.value)


def test_resampled_ranks_are_ranks_of_the_resample(rng: np.random.Generator) -> None:
    x, y = rng.integers(0, 6, 25), rng.integers(0, 6, 25)
    estimate = regression_scores(x, y, resampling=Resampling(2000)).spearman
    drawn = np.random.default_rng(1).integers(0, 25, (2000, 25))
    expected = np.quantile([stats.spearmanr(x[i], y[i]).statistic for i in drawn], [0.025, 0.975])
    assert (estimate.low, estimate.high) == pytest.approx(expected, abs=0.04)


def test_constant_predictions_have_no_correlation() -> None:
    scores = regression_scores([0.1] * 10, np.arange(10), resampling=FAST)
    assert not scores.pearson.estimable
    assert not scores.spearman.estimable
    assert scores.ccc.value == pytest.approx(0)


@pytest.mark.parametrize(
    ("x", "y"), [([], []), ([1, 2], [1]), ([1, np.nan], [1, 2]), ([[1]], [[1]])]
)
def test_bad_input_is_refused(x: list[float], y: list[float]) -> None:
    with pytest.raises(MeasureError):
        regression_scores(x, y)
