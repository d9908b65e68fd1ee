"""Pose errors: wrap-around, rotations, and the geodesic distance against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vultus.errors import MeasureError
from vultus.geometry import head_rotation
from vultus.measure.pose import angle_errors, geodesic, pose_scores, within


def test_angles_go_the_short_way_round() -> None:
    assert angle_errors([179, -10, 350], [-179, 10, 10]).tolist() == [2, 20, 20]


@given(st.integers(0, 10_000))
def test_geodesic_agrees_with_scipy_and_is_symmetric(seed: int) -> None:
    first, second = Rotation.random(5, rng=seed), Rotation.random(5, rng=seed + 1)
    expected = np.degrees((first.inv() * second).magnitude())
    found = geodesic(first.as_matrix(), second.as_matrix())
    assert found == pytest.approx(expected, abs=1e-5)
    assert geodesic(second.as_matrix(), first.as_matrix()) == pytest.approx(found)


@pytest.mark.parametrize("degrees", [0.0, 1e-5, 1.0, 90.0, 179.0, 180.0])
def test_geodesic_of_one_turn_is_the_turn(degrees: float) -> None:
    turned = head_rotation(0, 0, degrees)
    assert geodesic(np.eye(3), turned) == pytest.approx([degrees], rel=1e-6, abs=1e-9)


def test_geodesic_stays_small_where_angles_break_down() -> None:
    # At yaw 90 pitch and roll turn about one axis: opposite errors of 20 degrees cancel.
    first, second = head_rotation(90, 20, 0), head_rotation(90, 0, 20)
    angles = min(geodesic(first, second)[0], geodesic(first, head_rotation(90, 0, -20))[0])
    assert angles < 1e-6


def test_scores_by_hand() -> None:
    scores = pose_scores([[10, 0, 0], [0, 5, -6]], [[13, 0, 0], [0, 0, 0]])
    assert [scores.yaw.value, scores.pitch.value, scores.roll.value] == [1.5, 2.5, 3]
    assert scores.mean.value == pytest.approx(7 / 3)
    assert scores.to_dict()["mean"]["n"] == 2


def test_custom_of_aflw2000() -> None:
    assert within([[98, 0, 0], [0, -99.5, 0]]).tolist() == [True, False]


@pytest.mark.parametrize(
    "call",
    [
        lambda: angle_errors([1, 2], [1]),
        lambda: angle_errors([np.nan], [1]),
        lambda: geodesic(np.ones((3, 3)), np.eye(3)),
        lambda: geodesic(np.diag([1, 1, -1]), np.eye(3)),
        lambda: geodesic(np.eye(2), np.eye(2)),
        lambda: pose_scores(np.zeros((0, 3)), np.zeros((0, 3))),
    ],
)
def test_bad_input_is_refused(call: object) -> None:
    with pytest.raises(MeasureError):
        call()  # type: ignore[operator]
