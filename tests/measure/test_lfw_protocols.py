"""The views of LFW: what is chosen where, and the figures of a small example."""

from __future__ import annotations

import numpy as np
import pytest

from vultus.errors import MeasureError
from vultus.measure.lfw import view1, view2
from vultus.measure.verification import Comparisons


def test_view1_takes_the_threshold_from_training_pairs_only() -> None:
    train = Comparisons([0.8, 0.6], [0.2, 0.4])
    test = Comparisons([0.9, 0.55, 0.45, 0.48], [0.1, 0.52, 0.3, 0.2])
    result = view1(train, test)
    assert result.threshold == pytest.approx(0.5)
    assert result.train_accuracy.value == 1
    assert result.accuracy.value == 5 / 8
    assert result.accuracy.n == 8
    assert result.auc.value == pytest.approx(14 / 16)
    assert result.to_dict()["eer"]["value"] == 0.25


def test_view2_decides_each_fold_with_the_threshold_of_the_others() -> None:
    folds = np.repeat(np.arange(10), 4)
    same = np.tile([True, True, False, False], 10)
    scores = np.tile([0.9, 0.8, 0.1, 0.2], 10)
    # One fold whose scores are shifted: alone it would be perfect, with the others' it is not.
    scores[8:12] += 0.7
    result = view2(scores, same, folds)
    assert result.thresholds[0] == pytest.approx(result.thresholds[9])
    assert result.fold_accuracies[2] == 0.5
    assert result.accuracy.value == pytest.approx(np.mean(result.fold_accuracies))
    expected = np.std(result.fold_accuracies, ddof=1) / np.sqrt(10)
    assert result.standard_error == pytest.approx(expected)
    assert result.accuracy.high <= 1
    # Student's t with nine degrees of freedom.
    half = result.accuracy.value - result.accuracy.low
    assert half == pytest.approx(2.262 * expected, rel=1e-3)
    assert result.accuracy.n == 40


def test_view2_does_not_depend_on_the_order_of_pairs(rng: np.random.Generator) -> None:
    folds, same = np.repeat(np.arange(5), 20), np.tile([True, False], 50)
    scores = rng.normal(same * 1.5, 1)
    order = rng.permutation(100)
    assert view2(scores, same, folds) == view2(scores[order], same[order], folds[order])


def test_a_failed_pair_counts_as_rejected() -> None:
    scores = np.array([-np.inf, 0.9, 0.1, -np.inf, 0.9, 0.8, 0.2, 0.1])
    same = np.array([1, 1, 0, 0, 1, 1, 0, 0])
    assert view2(scores, same, np.repeat([0, 1], 4)).fold_accuracies == (0.75, 1.0)


@pytest.mark.parametrize(
    ("same", "folds", "message"),
    [
        ([1, 0, 1, 0], [0, 0, 0, 0], "two folds"),
        ([1, 1, 0, 0], [0, 0, 1, 1], "both kinds"),
        ([1, 0], [0, 1, 2, 3], "same has 2"),
    ],
)
def test_folds_that_cannot_be_measured_are_refused(
    same: list[int], folds: list[int], message: str
) -> None:
    with pytest.raises(MeasureError, match=message):
        view2([0.1, 0.2, 0.3, 0.4], same, folds)
