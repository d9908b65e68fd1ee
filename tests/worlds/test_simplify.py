"""Simplification keeps a subset of vertices, the surface, the borders and what it was told to."""

from __future__ import annotations

import numpy as np

from vultus.worlds.simplify import simplify


def grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """A bumpy square sheet: points (V, 3) and triangles (F, 3)."""
    x, y = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    z = 0.3 * np.exp(-8 * (x**2 + y**2))
    index = np.arange(side * side).reshape(side, side)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = np.concatenate(
        [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)]
    )
    points = np.stack([x, y, z], -1).reshape(-1, 3)
    return points.astype(np.float32), triangles.astype(np.int32)


def test_a_sheet_is_thinned_without_losing_its_shape() -> None:
    points, triangles = grid(41)
    keep = np.array([0, 40, 777], np.int32)
    out = simplify(
        points,
        triangles,
        600,
        keep=keep,
        importance=np.ones(len(points), np.float32),
        group=np.zeros(len(triangles), np.uint8),
    )
    faces = out[:, :3]
    assert 500 <= len(faces) <= 600
    assert np.isin(keep, faces).all()

    def area(f: np.ndarray) -> float:
        a, b, c = points[f].transpose(1, 0, 2)
        normal = np.cross(b - a, c - a)
        assert (normal[:, 2] > 0).all(), "no triangle is turned over"
        return float(normal[:, 2].sum() / 2)

    assert abs(area(faces) - area(triangles)) < 1e-4, "the square stays covered, without overlap"
    used = points[np.unique(faces)]
    rim = np.abs(used[:, :2]).max(1) > 0.999
    assert rim.sum() < 4 * 40, "straight borders are thinned too"
    assert np.sort(np.abs(used[rim][:, :2]).max(1))[0] > 0.999


def test_borders_between_groups_stay_where_they_are() -> None:
    points, triangles = grid(31)
    centre = points[triangles].mean(1)
    group = (centre[:, 0] > 0).astype(np.uint8)
    out = simplify(
        points,
        triangles,
        300,
        keep=np.empty(0, np.int32),
        importance=np.ones(len(points), np.float32),
        group=group,
    )
    side = points[out[:, :3]].mean(1)[:, 0]
    np.testing.assert_array_equal(out[:, 3], (side > 0).astype(int))
