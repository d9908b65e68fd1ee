"""Masks and scores of liveness maps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vultus.errors import VultusError
from vultus.liveness.masks import ASPECT, EXPANSION, ellipse_mask, hull_mask
from vultus.liveness.scoring import clip_scores, frame_scores, uniform_frames


def test_the_score_is_the_map_summed_over_the_faces_area() -> None:
    maps = np.zeros((2, 2, 2), np.float32)
    maps[:, 0, 0] = 3.0
    masks = np.zeros((2, 4, 4))
    masks[0, :2, :2] = 1  # one of four cells
    masks[1, :, :2] = 1  # two of four
    np.testing.assert_allclose(frame_scores(maps, masks), [3.0, 1.5])


def test_a_face_of_another_size_with_the_same_depth_has_the_same_score() -> None:
    large, small = np.zeros((1, 8, 8)), np.zeros((1, 8, 8))
    large[:, 1:7, 1:7], small[:, 3:5, 3:5] = 1, 1
    maps = (0.5 * np.concatenate([large, small])).astype(np.float32)
    np.testing.assert_allclose(frame_scores(maps, np.concatenate([large, small])), [0.5, 0.5])


def test_a_map_of_one_pixel_is_the_score() -> None:
    maps = np.array([0.2, 0.7], np.float32).reshape(2, 1, 1)
    np.testing.assert_array_equal(frame_scores(maps, np.ones((2, 4, 4))), maps[:, 0, 0])


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(VultusError, match="frame 1 is empty"):
        frame_scores(np.ones((2, 2, 2), np.float32), np.stack([np.ones((4, 4)), np.zeros((4, 4))]))


def test_maps_and_masks_must_match() -> None:
    with pytest.raises(VultusError, match="maps and masks"):
        frame_scores(np.ones((2, 2, 2), np.float32), np.ones((3, 4, 4)))


def test_clips_score_the_mean_of_their_frames() -> None:
    clips, scores = clip_scores([1.0, 2.0, 3.0, 6.0], [7, 3, 7, 3])
    assert clips.tolist() == [3, 7]
    np.testing.assert_allclose(scores, [4.0, 2.0])


@given(st.integers(1, 500), st.integers(1, 20))
def test_frames_are_spread_evenly(count: int, wanted: int) -> None:
    chosen = uniform_frames(count, wanted)
    assert len(chosen) == min(count, wanted)
    assert len(set(chosen)) == len(chosen)
    assert chosen[0] >= 0
    assert chosen[-1] < count
    gaps = np.diff(chosen)
    assert not len(gaps) or gaps.max() - gaps.min() <= 1


def test_no_frames_are_refused() -> None:
    with pytest.raises(VultusError, match="of 0 frames"):
        uniform_frames(0)
    with pytest.raises(VultusError, match="one clip per score"):
        clip_scores([], [])


def test_the_ellipse_stands_in_the_box() -> None:
    mask = ellipse_mask(130)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert len(rows) == pytest.approx(130 / EXPANSION, abs=1)
    assert len(columns) == pytest.approx(ASPECT * 130 / EXPANSION, abs=1)
    np.testing.assert_array_equal(mask, mask[::-1, ::-1])


def test_the_hull_holds_the_landmarks_and_the_forehead() -> None:
    turn = np.linspace(0, np.pi, 17)
    points = np.zeros((68, 2), np.float32)
    points[:17] = np.stack([50 - 30 * np.cos(turn), 50 + 35 * np.sin(turn)], 1)
    points[17:27] = np.stack([np.linspace(25, 75, 10), np.full(10, 40)], 1)
    points[27:31] = np.stack([np.full(4, 50), np.linspace(42, 62, 4)], 1)
    points[31:] = (50, 60)
    mask = hull_mask(points, (100, 100))
    column, row = np.round(points).astype(int).T
    assert mask[row, column].all()
    assert mask[28, 50]
    assert not mask[20, 50]


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((68, 2), np.nan)])
def test_the_hull_needs_68_finite_points(points: np.ndarray) -> None:
    with pytest.raises(VultusError, match="68 finite points"):
        hull_mask(points, (10, 10))
