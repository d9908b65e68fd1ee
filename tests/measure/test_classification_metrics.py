"""Classification metrics against scikit-learn, calibration by hand, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from vultus.errors import MeasureError
from vultus.measure.bootstrap import Resampling
from vultus.measure.classification import (
    auc,
    binary_rates,
    brier_score,
    classification_scores,
    confusion_matrix,
    reliability,
)

FAST = Resampling(50)
labelled = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60)


@pytest.mark.filterwarnings("ignore:A single label was found:UserWarning")
@given(labelled)
def test_figures_agree_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = np.array(pairs).T
    scores = classification_scores(truth, predicted, resampling=FAST)
    matrix, classes = confusion_matrix(truth, predicted)
    assert classes == sorted(set(truth.tolist()) | set(predicted.tolist()))
    assert matrix.tolist() == metrics.confusion_matrix(truth, predicted, labels=classes).tolist()
    assert scores.accuracy.value == pytest.approx(metrics.accuracy_score(truth, predicted))
    expected = metrics.f1_score(truth, predicted, average="macro", zero_division=0)
    assert scores.macro_f1.value == pytest.approx(expected)
    recalls = metrics.recall_score(truth, predicted, average=None, zero_division=np.nan)
    assert scores.balanced_accuracy.value == pytest.approx(np.nanmean(recalls))
    found = [estimate.value for estimate in scores.recall.values()]
    assert found == pytest.approx(recalls, nan_ok=True)


def test_figures_by_hand() -> None:
    truth = ["cat", "cat", "cat", "dog"]
    predicted = ["cat", "cat", "dog", "dog"]
    scores = classification_scores(truth, predicted, resampling=Resampling(500))
    assert scores.accuracy.value == 0.75
    assert scores.recall["cat"].value == pytest.approx(2 / 3)
    assert scores.precision["cat"].value == 1
    matrix, _ = confusion_matrix(truth, predicted, ["dog", "cat", "bird"])
    assert matrix.tolist() == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]


def test_order_and_names_are_irrelevant(rng: np.random.Generator) -> None:
    truth, predicted = rng.integers(0, 3, 90), rng.integers(0, 3, 90)
    order, names = rng.permutation(90), np.array(["z", "m", "a"])
    one = classification_scores(truth, predicted, resampling=FAST)
    other = classification_scores(names[truth[order]], names[predicted[order]], resampling=FAST)
    assert one.macro_f1.value == pytest.approx(other.macro_f1.value)
    assert one.f1[0].value == pytest.approx(other.f1["z"].value)


def test_binary_rates_have_the_right_denominators() -> None:
    truth = [1] * 10 + [0] * 90
    predicted = [1] * 8 + [0] * 2 + [1] * 12 + [0] * 78
    rates = binary_rates(truth, predicted)
    assert (rates.fpr.value, rates.fpr.n) == (12 / 90, 90)
    assert (rates.fnr.value, rates.fnr.n) == (0.2, 10)
    assert (rates.fdr.value, rates.fdr.n) == (12 / 20, 20)
    assert (rates.for_.value, rates.for_.n) == (2 / 80, 80)
    assert set(rates.to_dict()) == {"fpr", "fnr", "fdr", "for"}
    assert not binary_rates([1, 1], [1, 1]).fpr.estimable


def test_auc_agrees_with_scikit_learn_with_ties(rng: np.random.Generator) -> None:
    truth, scores = rng.uniform(size=80) < 0.3, rng.integers(0, 6, 80)
    people = rng.integers(0, 20, 80)
    estimate = auc(truth, scores, people, FAST)
    assert estimate.value == pytest.approx(metrics.roc_auc_score(truth, scores))
    assert "over people" in estimate.method
    assert "one class" in auc(np.ones(5), np.arange(5)).note


def test_calibration_error_by_hand() -> None:
    # Ten items at 0.8 of which six are right, ten at 0.3 of which three are.
    stated = np.repeat([0.8, 0.3], 10)
    truth = np.array([1] * 6 + [0] * 4 + [1] * 3 + [0] * 7)
    result = reliability(truth, stated, bins=10, resampling=FAST)
    assert result.ece.value == pytest.approx(0.1)
    filled = result.count > 0
    assert result.accuracy[filled] == pytest.approx([0.3, 0.6])
    assert result.confidence[filled] == pytest.approx([0.3, 0.8])
    assert np.isnan(result.accuracy[~filled]).all()
    assert brier_score(truth, stated, resampling=FAST).value == pytest.approx(
        metrics.brier_score_loss(truth, stated)
    )


def test_calibration_of_classes_uses_the_highest_probability() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    result = reliability([0, 1], probabilities, bins=5, resampling=FAST)
    assert result.ece.value == pytest.approx((0.3 + 0.6) / 2)


def test_calibrated_probabilities_have_a_small_error(rng: np.random.Generator) -> None:
    stated = rng.uniform(size=20_000)
    truth = rng.uniform(size=20_000) < stated
    assert reliability(truth, stated, resampling=FAST).ece.value < 0.02
    assert reliability(truth, np.sqrt(stated), resampling=FAST).ece.value > 0.1


def test_interval_over_people_is_wider_where_people_are_all_or_nothing(
    rng: np.random.Generator,
) -> None:
    people = np.repeat(np.arange(40), 10)
    right = np.repeat(rng.uniform(size=40) < 0.7, 10)
    truth = rng.integers(0, 2, 400)
    predicted = np.where(right, truth, 1 - truth)
    alone = classification_scores(truth, predicted)
    grouped = classification_scores(truth, predicted, people)
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        one, other = getattr(alone, name), getattr(grouped, name)
        assert one.value == pytest.approx(other.value)
        assert other.high - other.low > 2 * (one.high - one.low)


@pytest.mark.parametrize(
    "call",
    [
        lambda: classification_scores([], []),
        lambda: classification_scores([1, 2], [1]),
        lambda: classification_scores([1, 2], ["1", "2"]),
        lambda: confusion_matrix([1, 2], [1, 3], [1, 2]),
        lambda: confusion_matrix([1], [1], [1, 1]),
        lambda: binary_rates([2], [1]),
        lambda: reliability([0], [[0.5, 0.6]]),
        lambda: reliability([2], [[0.5, 0.5]]),
        lambda: reliability([1], [1.5]),
        lambda: auc([1, 0], [np.nan, 1]),
    ],
)
def test_bad_input_is_refused(call: object) -> None:
    with pytest.raises(MeasureError):
        call()  # type: ignore[operator]
