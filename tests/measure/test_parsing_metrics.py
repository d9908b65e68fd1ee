"""Segmentation metrics: by hand, scikit-learn, classes that are absent."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, jaccard_score

from vultus.errors import MeasureError
from vultus.measure.bootstrap import Resampling
from vultus.measure.parsing import parsing_scores, pixel_confusion

NAMES = ["background", "skin", "hair"]
FAST = Resampling(100)


def test_confusion_by_hand_and_with_ignored_pixels() -> None:
    truth = np.array([[0, 1], [1, 255]], np.uint8)
    predicted = np.array([[0, 0], [1, 2]])
    matrix = pixel_confusion(predicted, truth, 3, ignore=255)
    assert matrix.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]


def test_figures_agree_with_scikit_learn(rng: np.random.Generator) -> None:
    truth = rng.integers(0, 3, (5, 16, 16))
    predicted = np.where(
        rng.uniform(size=truth.shape) < 0.7, truth, rng.integers(0, 3, truth.shape)
    )
    confusions = np.array([pixel_confusion(p, t, 3) for p, t in zip(predicted, truth, strict=True)])
    t, p = truth.ravel(), predicted.ravel()
    assert confusions.sum(0).tolist() == confusion_matrix(t, p).tolist()
    scores = parsing_scores(confusions, NAMES, resampling=FAST)
    assert [scores.iou[n].value for n in NAMES] == pytest.approx(jaccard_score(t, p, average=None))
    assert [scores.f1[n].value for n in NAMES] == pytest.approx(f1_score(t, p, average=None))
    assert scores.mean_iou.value == pytest.approx(jaccard_score(t, p, average="macro"))
    assert scores.mean_f1.value == pytest.approx(f1_score(t, p, average="macro"))
    assert scores.accuracy.value == pytest.approx((t == p).mean())
    assert scores.mean_iou.low < scores.mean_iou.value < scores.mean_iou.high
    assert scores.accuracy.n == 5


def test_absent_classes_are_not_estimable_and_leave_the_means(rng: np.random.Generator) -> None:
    matrix = np.array([[[8, 2, 0], [1, 9, 0], [0, 0, 0]]] * 3)
    scores = parsing_scores(matrix, NAMES, resampling=FAST)
    assert not scores.iou["hair"].estimable
    assert scores.mean_iou.value == pytest.approx((8 / 11 + 9 / 12) / 2)
    face = parsing_scores(matrix, NAMES, mean_over=["skin", "hair"], resampling=FAST)
    assert face.mean_iou.value == pytest.approx(9 / 12)
    assert scores.to_dict()["iou"]["hair"]["value"] is None


def test_a_missed_class_has_iou_zero() -> None:
    matrix = np.array([[[5, 0, 0], [0, 5, 0], [0, 3, 0]]] * 2)
    assert parsing_scores(matrix, NAMES, resampling=FAST).iou["hair"].value == 0


def test_pictures_of_one_person_are_drawn_together(rng: np.random.Generator) -> None:
    good, bad = [[9, 1], [1, 9]], [[5, 5], [5, 5]]
    matrix = np.array(([good] * 10 + [bad] * 10) * 4)
    alone = parsing_scores(matrix, ["a", "b"], resampling=Resampling(400)).accuracy
    people = np.repeat(np.arange(8), 10)
    grouped = parsing_scores(matrix, ["a", "b"], people, resampling=Resampling(400)).accuracy
    assert grouped.value == alone.value
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


@pytest.mark.parametrize(
    "call",
    [
        lambda: pixel_confusion(np.zeros((2, 2), int), np.zeros((2, 3), int), 2),
        lambda: pixel_confusion(np.zeros(2), np.zeros(2), 2),
        lambda: pixel_confusion(np.array([0, 3]), np.array([0, 1]), 3),
        lambda: pixel_confusion(np.array([0, 1]), np.array([0, -1]), 3),
        lambda: parsing_scores(np.zeros((0, 2, 2), int), ["a", "b"]),
        lambda: parsing_scores(np.zeros((1, 2, 2), int), ["a"]),
        lambda: parsing_scores(np.zeros((1, 2, 2)), ["a", "b"]),
        lambda: parsing_scores(np.ones((1, 2, 2), int), ["a", "a"]),
        lambda: parsing_scores(np.ones((1, 2, 2), int), ["a", "b"], mean_over=["c"]),
    ],
)
def test_bad_input_is_refused(call: object) -> None:
    with pytest.raises(MeasureError):
        call()  # type: ignore[operator]
