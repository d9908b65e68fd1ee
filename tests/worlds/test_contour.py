"""The visible contour: what slides, where to, and what stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vultus.errors import ConfigError
from vultus.worlds import CameraSpec, PoseSpec, World, WorldSpec
from vultus.worlds.scene import Shot


@pytest.fixture(scope="module")
def world() -> World:
    still = CameraSpec(distance=(120, 120), fill=(0.7, 0.7), offset=0.0)
    return World(
        WorldSpec(size=128, identities=4, pose=PoseSpec((0, 0), (0, 0), (0, 0)), camera=still)
    )


def turned(world: World, yaw: float, roll: float = 0.0, index: int = 0) -> Shot:
    return replace(world.shot(7, index), pose=(yaw, 0.0, roll))


def test_a_frontal_head_keeps_its_points(world: World) -> None:
    shot = turned(world, 0)
    fixed = world.picture(shot).landmarks
    seen = world.contour(shot)
    assert seen.shape == (68, 2)
    # Not even a face that looks at the camera has its jaw points all on the outline.
    assert np.abs(seen - fixed).max() < 3
    np.testing.assert_allclose(seen[17:], fixed[17:], atol=1e-3)


@pytest.mark.parametrize("yaw", [30.0, 60.0, 85.0])
def test_only_the_far_side_slides_and_outwards(world: World, yaw: float) -> None:
    shot = turned(world, yaw)
    fixed, seen = world.picture(shot).landmarks, world.contour(shot)
    # The nose points right: the right half of the contour is the hidden one.
    moved = seen[:, 0] - fixed[:, 0]
    assert (moved[9:17] >= -1e-3).all()
    # A head of 90 pixels; the more it is turned, the further they slide.
    assert moved[12:16].mean() > 0.05 * yaw
    np.testing.assert_allclose(
        np.delete(seen, slice(9, 17), 0), np.delete(fixed, slice(9, 17), 0), atol=0.7
    )


def test_the_points_lie_on_the_outline_that_is_drawn(world: World) -> None:
    shot = turned(world, 55)
    sample = world.picture(shot)
    inside = sample.parts > 0
    for x, y in world.contour(shot)[11:15]:
        row = inside[round(float(y))]
        assert row[max(round(float(x)) - 3, 0) : round(float(x)) + 1].any()
        assert not row[min(round(float(x)) + 3, 127)]


def test_a_mirrored_turn_slides_the_other_side(world: World) -> None:
    right, left = (world.contour(turned(world, yaw)) for yaw in (50.0, -50.0))
    fixed = world.picture(turned(world, -50.0)).landmarks
    assert (left[:8, 0] <= fixed[:8, 0] + 1e-3).all()
    assert np.ptp(right[:17, 0]) == pytest.approx(np.ptp(left[:17, 0]), rel=0.1)


def test_a_rolled_head_slides_along_its_own_level(world: World) -> None:
    level, rolled = turned(world, 50.0), turned(world, 50.0, roll=30.0)
    middle = (world.spec.size - 1) / 2
    angle = np.radians(30.0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    expected = (world.contour(level) - middle) @ turn.T + middle
    np.testing.assert_allclose(world.contour(rolled), expected, atol=0.6)


def test_a_sheet_has_no_outline_of_a_head(world: World) -> None:
    with pytest.raises(ConfigError, match="of heads, not of 'print'"):
        world.contour(replace(world.shot(7, 0), species="print"))
