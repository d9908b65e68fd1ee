"""Detection metrics on scenes small enough to match by eye."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vultus.errors import MeasureError
from vultus.measure.bootstrap import Resampling
from vultus.measure.detection import (
    Matches,
    average_precision,
    false_positives_per_image,
    match,
    precision_recall,
    recall,
    recall_by_size,
)

A, B, C = [0, 0, 10, 10], [20, 0, 30, 10], [0, 40, 40, 80]
FAST = Resampling(50)


def scene() -> Matches:
    # Image 0: A found twice, one false; image 1: C found, B missed; image 2: no face, one false.
    return match(
        boxes=[[A, [1, 0, 10, 10], [50, 50, 60, 60]], [C], [A]],
        scores=[[0.9, 0.8, 0.7], [0.85], [0.3]],
        truth=[[A], [B, C], []],
    )


def test_matching_by_hand() -> None:
    matches = scene()
    assert matches.score.tolist() == [0.9, 0.85, 0.8, 0.7, 0.3]
    assert matches.hit.tolist() == [True, True, False, False, False]
    assert matches.image.tolist() == [0, 1, 0, 0, 2]
    assert matches.found_at.tolist() == [0.9, -np.inf, 0.85]
    assert matches.truth_size.tolist() == [10, 10, 40]


def test_figures_by_hand() -> None:
    matches = scene()
    assert recall(matches).value == pytest.approx(2 / 3)
    assert recall(matches, 0.87).value == pytest.approx(1 / 3)
    assert false_positives_per_image(matches).value == 1
    assert false_positives_per_image(matches, 0.75).value == pytest.approx(1 / 3)
    assert average_precision(matches, FAST).value == pytest.approx(2 / 3)
    threshold, precision, found = precision_recall(matches)
    assert threshold.tolist() == [0.9, 0.85, 0.8, 0.7, 0.3]
    assert precision == pytest.approx([1, 1, 2 / 3, 1 / 2, 2 / 5])
    assert found == pytest.approx([1 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3])


def test_average_precision_takes_the_envelope() -> None:
    # Hit, miss, hit over two faces: precision 1, 1/2, 2/3; envelope 1 and 2/3.
    matches = match([[A, [90, 90, 99, 99], B]], [[0.9, 0.8, 0.7]], [[A, B]])
    assert average_precision(matches, FAST).value == pytest.approx((1 + 2 / 3) / 2)


def test_recall_by_size_counts_faces_in_their_range() -> None:
    (small, large, none) = recall_by_size(scene(), [0, 20, 50, 100])
    assert small[:2] == (0, 20)
    assert (small[2].value, small[2].n) == (0.5, 2)
    assert (large[2].value, large[2].n) == (1, 1)
    assert not none[2].estimable


def test_the_better_of_two_detections_gets_the_face_whatever_their_order() -> None:
    for order in ([0, 1], [1, 0]):
        boxes = np.array([A, [1, 0, 10, 10]])[order]
        matches = match([boxes], [np.array([0.6, 0.7])[order]], [[A]])
        assert matches.hit.tolist() == [True, False]
        assert matches.found_at.tolist() == [0.7]


def test_ignored_faces_count_neither_way() -> None:
    matches = match([[A, B]], [[0.9, 0.8]], [[A, B]], ignore=[[True, False]])
    assert matches.score.tolist() == [0.8]
    assert matches.hit.tolist() == [True]
    assert recall(matches).n == 1


def test_overlap_limit_is_inclusive() -> None:
    half = [0, 0, 10, 5]
    assert match([[half]], [[1]], [[A]], iou=0.5).hit.tolist() == [True]
    assert match([[half]], [[1]], [[A]], iou=0.51).hit.tolist() == [False]


@given(st.integers(0, 10_000))
def test_order_of_images_and_ties_in_score_are_irrelevant(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sets = []
    for _ in range(4):
        low = rng.integers(0, 30, (rng.integers(1, 5), 2))
        truth = np.concatenate([low, low + rng.integers(5, 12, low.shape)], 1)
        boxes = truth + rng.integers(-2, 3, truth.shape)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        # Unlike scores within an image; ties between images.
        sets.append((boxes, rng.permutation(8)[: len(boxes)] / 4, truth))
    one = match(*zip(*sets, strict=True))
    other = match(*zip(*(sets[i] for i in rng.permutation(4)), strict=True))
    first, second = average_precision(one, FAST), average_precision(other, FAST)
    assert first.value == pytest.approx(second.value)
    assert 0 <= first.value <= 1
    assert (np.diff(precision_recall(one)[2]) >= 0).all()


def test_interval_is_over_images(rng: np.random.Generator) -> None:
    # All faces of an image are found, or none.
    found = rng.uniform(size=40) < 0.5
    truth = [[[20 * i, 0, 20 * i + 10, 10] for i in range(10)]] * 40
    boxes = [faces if hit else [] for faces, hit in zip(truth, found, strict=True)]
    scores = [[0.9] * len(b) for b in boxes]
    matches = match(boxes, scores, truth)
    expected = 2 * 1.96 * np.sqrt(0.25 / 40)
    for estimate in (recall(matches), average_precision(matches)):
        assert estimate.value == pytest.approx(found.mean())
        assert estimate.high - estimate.low == pytest.approx(expected, rel=0.15)


def test_no_detections_and_no_faces() -> None:
    nothing = match([[], []], [[], []], [[A], []])
    assert average_precision(nothing, FAST).value == 0
    assert recall(nothing).value == 0
    empty = match([[A]], [[0.5]], [[]])
    assert not average_precision(empty, FAST).estimable
    assert not recall(empty).estimable
    assert false_positives_per_image(empty, resampling=FAST).value == 1


@pytest.mark.parametrize(
    ("boxes", "scores", "truth", "message"),
    [
        ([], [], [], "not 0"),
        ([[A]], [[0.5]], [[A], [B]], "one number"),
        ([[A]], [[0.5, 0.6]], [[A]], "1 boxes with 2 scores"),
        ([[[5, 5, 5, 9]]], [[0.5]], [[A]], "boxes of image 0: a box is empty"),
        ([[A]], [[np.nan]], [[A]], "scores of image 0"),
        ([[A]], [[0.5]], [[[0, 0, 1]]], r"\(N, 4\)"),
    ],
)
def test_bad_input_is_refused(
    boxes: list[object], scores: list[object], truth: list[object], message: str
) -> None:
    with pytest.raises(MeasureError, match=message):
        match(boxes, scores, truth)
