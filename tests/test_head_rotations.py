"""Rotations of heads and their angles, in both orders of turns that the product meets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vultus.geometry import head_angles, head_rotation, restated_angles
from vultus.worlds.camera import rotation


@pytest.mark.parametrize(
    ("angles", "nose", "image_right"),
    [
        ((0, 0, 0), (0, 0, -1), (1, 0, 0)),
        ((90, 0, 0), (1, 0, 0), (0, 0, 1)),
        ((0, 90, 0), (0, -1, 0), (1, 0, 0)),
        ((0, 0, 90), (0, 0, -1), (0, 1, 0)),
        ((30, 0, 90), (0.5, 0, -np.sqrt(0.75)), (0, 1, 0)),
        ((30, 90, 0), (0.5, -np.sqrt(0.75), 0), (np.sqrt(0.75), 0.5, 0)),
    ],
    ids=["frontal", "nose to the right", "nose up", "clockwise", "yaw and roll", "yaw and pitch"],
)
def test_heads_turn_as_the_conventions_say(angles, nose, image_right):
    rotation = head_rotation(*angles)
    np.testing.assert_allclose(rotation @ (0, 0, -1), nose, atol=1e-12)
    np.testing.assert_allclose(rotation @ (1, 0, 0), image_right, atol=1e-12)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)


@given(st.tuples(*(st.floats(-89, 89),) * 3))
def test_angles_are_read_back_from_a_rotation(angles):
    found = head_angles(head_rotation(*angles)[None])[0]
    np.testing.assert_allclose(head_rotation(*found), head_rotation(*angles), rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[0], angles[0], atol=1e-4)


@given(st.tuples(st.floats(-99, 99), st.floats(-60, 60), st.floats(-80, 80)))
def test_angles_that_roll_last_are_restated_as_the_same_rotation(angles):
    world_frame = np.diag([1.0, -1.0, -1.0])
    expected = world_frame @ rotation(*angles) @ world_frame
    found = restated_angles([angles])[0]
    np.testing.assert_allclose(head_rotation(*found), expected, atol=1e-5)


def test_of_two_statements_the_closer_one_is_chosen():
    turned_away = (120.0, 3.0, 2.0)
    np.testing.assert_allclose(restated_angles([turned_away])[0], turned_away, atol=6)
    np.testing.assert_allclose(restated_angles([(0, 0, 170)])[0], (0, 0, 170), atol=1e-4)
    assert restated_angles(np.empty((0, 3))).shape == (0, 3)


def test_without_roll_and_pitch_nothing_is_restated():
    angles = np.array([(40, 0, 0), (-70, 0, 0), (0, 25, 0), (0, 0, -30)], np.float32)
    np.testing.assert_allclose(restated_angles(angles), angles, atol=1e-4)
