"""Tanh-polar pictures with OpenCV: known places, exact inverses, and pictures that come back."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vultus.errors import VultusError
from vultus.tanh_polar import (
    polar_indices,
    polar_points,
    restore_polar,
    warp_polar,
    with_ratio,
)

BOX = np.array([30.0, 20.0, 70.0, 80.0])
A, B = 40 / math.sqrt(math.pi), 60 / math.sqrt(math.pi)

boxes = st.tuples(
    st.floats(-50, 200), st.floats(-50, 200), st.floats(4, 150), st.floats(4, 150)
).map(lambda v: np.array([v[0], v[1], v[0] + v[2], v[1] + v[3]]))


def smooth(size: int = 100) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 3)
    low, high = blurred.min(), blurred.max()
    return ((blurred - low) / (high - low) * 255).astype(np.uint8)


def test_the_ellipse_has_the_area_of_the_box_and_lies_at_tanh_1():
    assert A * B * math.pi == pytest.approx(40 * 60)
    u = math.tanh(1) * 200
    for row, point in ((0, (50 + A, 50)), (50, (50, 50 + B)), (100, (50 - A, 50))):
        found = polar_indices(np.array(point), BOX, (200, 200))
        np.testing.assert_allclose(found, (u, row), atol=1e-4)


def test_rows_are_true_directions_and_columns_true_lengths_to_scale():
    points = polar_points(BOX[None], (360, 64))[0] - 50
    angles = np.degrees(np.arctan2(points[:, 1:, 1], points[:, 1:, 0])) % 360
    turn = (angles - np.arange(360)[:, None] + 180) % 360 - 180
    np.testing.assert_allclose(turn, 0, atol=1e-3)
    lengths = np.hypot(points[..., 0], points[..., 1])
    theta = np.radians(np.arange(360))
    edge = A * B / np.hypot(B * np.cos(theta), A * np.sin(theta))
    np.testing.assert_allclose(lengths[:, 32], np.arctanh(0.5) * edge, rtol=1e-5)


def test_without_aspect_the_ellipse_becomes_a_circle():
    points = polar_points(BOX[None], (8, 16), keep_aspect=False)[0] - 50
    reach = np.arctanh(8 / 16)
    np.testing.assert_allclose(points[1, 8], reach * np.array([A, B]) / math.sqrt(2), rtol=1e-5)


@given(boxes, st.floats(-4, 4), st.booleans(), st.integers(8, 70), st.integers(8, 70))
def test_indices_undo_points(box, angle, keep_aspect, rows, columns):
    size = (rows, columns)
    points = polar_points(box[None], size, angle, keep_aspect=keep_aspect)[0]
    back = polar_indices(points, box, size, angle, keep_aspect=keep_aspect)
    v, u = np.mgrid[:rows, :columns].astype(np.float64)
    np.testing.assert_allclose(back[..., 0], u, atol=2e-3)
    # In the first column all rows are one point.
    gap = (back[..., 1] - v + rows / 2) % rows - rows / 2
    # float32 points leave a little of the direction near the centre.
    away = (points - (box[:2] + box[2:]) / 2)[:, 1:]
    slack = 1e-4 * (1 + np.abs(box).max() / np.hypot(away[..., 0], away[..., 1]))
    assert (np.abs(gap[:, 1:]) <= slack * rows).all()


@pytest.mark.parametrize("angle", [0.0, 0.7])
@pytest.mark.parametrize("keep_aspect", [True, False])
def test_a_picture_comes_back_inside_one_and_a_half_boxes(angle, keep_aspect):
    image = smooth()
    polar = warp_polar(image, BOX, (192, 192), angle, keep_aspect=keep_aspect)[0]
    back = restore_polar(polar.astype(np.float32), BOX, (100, 100), angle, keep_aspect=keep_aspect)
    inside = (slice(8, 92), slice(21, 79))
    error = np.mean((back[inside] - image[inside]) ** 2)
    assert 10 * math.log10(255**2 / error) > 36


def test_turning_by_the_offset_rolls_the_rows():
    image = smooth()
    straight = warp_polar(image, BOX, (64, 48))[0]
    turned = warp_polar(image, BOX, (64, 48), 2 * math.pi * 10 / 64)[0]
    # Only the ellipse turns along; on a square box nothing else differs.
    square = np.array([25.0, 25.0, 75.0, 75.0])
    a = warp_polar(image, square, (64, 48))[0].astype(int)
    b = warp_polar(image, square, (64, 48), 2 * math.pi * 10 / 64)[0].astype(int)
    assert np.abs(np.roll(a, -10, 0) - b).max() <= 6
    assert np.abs(np.roll(straight, -10, 0).astype(int) - turned).mean() > 3


def test_faces_of_one_picture_do_not_depend_on_one_another():
    image = smooth()
    two = np.stack([BOX, BOX + 9])
    both = warp_polar(image, two, (32, 40))
    assert both.shape == (2, 32, 40, 3)
    np.testing.assert_array_equal(both[1], warp_polar(image, two[1], (32, 40))[0])
    assert warp_polar(image, np.empty((0, 4)), (32, 40)).shape == (0, 32, 40, 3)


def test_a_large_face_is_averaged_before_it_is_sampled():
    fine = np.zeros((800, 800, 3), np.uint8)
    fine[::2] = 255
    polar = warp_polar(fine, np.array([200, 200, 600, 600]), (48, 48))[0]
    inside = polar[:, :36].astype(int)
    assert np.abs(inside - 127).max() <= 6


def test_outside_the_picture_is_filled():
    image = np.full((100, 100, 3), 200, np.uint8)
    polar = warp_polar(image, np.array([80, 80, 120, 120]), (64, 64), fill=128)[0]
    assert polar[0, 45].tolist() == [128, 128, 128]
    assert polar[40, 45].tolist() == [200, 200, 200]


def test_outside_the_picture_is_black_and_beyond_the_map_is_zero():
    image = np.full((100, 100, 3), 200, np.uint8)
    polar = warp_polar(image, np.array([80, 80, 120, 120]), (64, 64))[0]
    # To the right and below there is no picture.
    assert polar[0, 45].tolist() == [0, 0, 0]
    assert polar[40, 45].tolist() == [200, 200, 200]
    ones = np.ones((64, 64, 1), np.float32)
    back = restore_polar(ones, np.array([45, 45, 55, 55]), (100, 100))
    assert back[50, 50, 0] == 1
    assert back[2, 2, 0] == 0


def test_a_region_is_that_part_of_the_whole():
    maps = np.random.default_rng(1).random((48, 48, 6)).astype(np.float32)
    whole = restore_polar(maps, BOX, (100, 100))
    part = restore_polar(maps, BOX, (30, 20), region=(40, 30, 60, 60))
    np.testing.assert_allclose(part, whole[30:60, 40:60], atol=1e-5)


def test_a_ratio_keeps_centre_and_area():
    changed = with_ratio(BOX[None], 0.8)[0]
    width, height = changed[2] - changed[0], changed[3] - changed[1]
    assert width * height == pytest.approx(40 * 60, rel=1e-5)
    assert width / height == pytest.approx(0.8, rel=1e-5)
    np.testing.assert_allclose((changed[:2] + changed[2:]) / 2, (50, 50), atol=1e-4)


@pytest.mark.parametrize("box", [[0, 0, 0, 5], [5, 0, 1, 5], [0, 0, np.nan, 5]])
def test_empty_boxes_are_refused(box):
    with pytest.raises(VultusError, match="finite boxes"):
        polar_points(np.array([box]), (8, 8))


def test_other_pictures_are_refused():
    with pytest.raises(VultusError, match="uint8"):
        warp_polar(np.zeros((5, 5), np.uint8), BOX, (8, 8))
    with pytest.raises(VultusError, match="float32"):
        restore_polar(np.zeros((5, 5, 2)), BOX, (8, 8))
