"""Upright crops, and keypoints and boxes read off a mesh."""

from __future__ import annotations

import numpy as np
import pytest

from vultus.detection.facemesh import CONTEXT, SIZE, Meshes, upright_crops
from vultus.geometry import transform_points

POINTS = np.array([[(-10, -8), (10, -8), (0, 0), (0, 12), (-20, 0), (20, 0)]], np.float32)


@pytest.mark.parametrize("degrees", [0, 25, -120, 180])
def test_crop_turns_the_face_upright_and_shows_its_surroundings(degrees: float) -> None:
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (POINTS @ turn.T + 200).astype(np.float32)
    boxes = np.array([[180.5, 180.5, 220.5, 220.5]], np.float32)
    crops, maps = upright_crops(np.zeros((400, 400, 3), np.uint8), boxes, points)
    assert crops.shape == (1, SIZE, SIZE, 3)
    placed = transform_points(maps, points)[0]
    scale = SIZE / (40 * CONTEXT)
    centre = (SIZE - 1) / 2
    np.testing.assert_allclose(placed, POINTS[0] * scale + centre, atol=0.01)


def test_no_face_is_no_crop() -> None:
    empty = np.empty((0, 4), np.float32), np.empty((0, 6, 2), np.float32)
    crops, maps = upright_crops(np.zeros((9, 9, 3), np.uint8), *empty)
    assert crops.shape == (0, SIZE, SIZE, 3)
    assert maps.shape == (0, 2, 3)


def test_keypoints_are_eye_centres_nose_tip_and_mouth_corners() -> None:
    points = np.zeros((1, 468, 2), np.float32)
    points[0, [33, 133]] = [(30, 40), (50, 40)]  # the image-left eye's corners
    points[0, [160, 158]] = [(35, 34), (45, 34)]
    points[0, [144, 153]] = [(35, 46), (45, 46)]
    points[0, [362, 263, 385, 387, 373, 380]] = (80, 40)
    points[0, 4], points[0, 61], points[0, 291] = (60, 60), (45, 80), (75, 80)
    keypoints = Meshes(points, np.ones(1, np.float32)).keypoints()
    assert keypoints.tolist() == [[[40, 40], [80, 40], [60, 60], [45, 80], [75, 80]]]


def test_box_reaches_beyond_the_mesh_along_the_face() -> None:
    points = np.full((1, 468, 2), 50, np.float32)
    points[0, 10], points[0, 152] = (50, 0), (50, 100)  # forehead and chin
    points[0, 234], points[0, 454] = (10, 50), (90, 50)  # sides
    upright = Meshes(points, np.ones(1, np.float32)).boxes()[0]
    np.testing.assert_allclose(upright, [10.5, -14, 90.5, 104], atol=0.01)
    lying = Meshes(points[:, :, ::-1], np.ones(1, np.float32)).boxes()[0]
    np.testing.assert_allclose(lying, [-14, 10.5, 104, 90.5], atol=0.01)
