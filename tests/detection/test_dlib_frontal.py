"""Five keypoints made from dlib's five points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vultus.detection import Detector
from vultus.detection.dlib_frontal import keypoints_from_dlib
from vultus.geometry import align, similarity_transform, template

#: Where dlib puts its five points in a 150 pixel chip of padding 0.25, counted from pixel edges.
CHIP = np.array(
    [(110.957, 46.350), (89.606, 47.897), (37.058, 46.373), (58.409, 47.906), (74.011, 87.780)]
)


@given(
    st.lists(st.floats(-4, 4), min_size=10, max_size=10),
    st.floats(-3.1, 3.1),
    st.floats(0.3, 5),
)
def test_alignment_equals_dlibs_chip(noise: list[float], angle: float, scale: float) -> None:
    """Whatever the points, aligning the keypoints gives the map of dlib's own chip."""
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = ((CHIP + np.reshape(noise, (5, 2))) @ turn.T + 300).astype(np.float32)
    keypoints = keypoints_from_dlib(points)
    chip = similarity_transform(points, CHIP - 0.5)
    mine = similarity_transform(keypoints, template("dlib150").points)
    np.testing.assert_allclose(mine[:, :2] * scale, chip[:, :2] * scale, atol=2e-3)
    np.testing.assert_allclose(mine @ [300, 300, 1], chip @ [300, 300, 1], atol=0.05)


def test_eyes_are_measured_in_image_order() -> None:
    keypoints = keypoints_from_dlib(CHIP.astype(np.float32))
    np.testing.assert_allclose(keypoints[0], CHIP[2:4].mean(0), atol=1e-3)
    np.testing.assert_allclose(keypoints[1], CHIP[:2].mean(0), atol=1e-3)
    assert keypoints[3, 0] < keypoints[2, 0] < keypoints[4, 0]
    assert keypoints[3, 1] > keypoints[2, 1] > keypoints[0, 1]


def test_crop_is_dlibs_chip(make_detector: Callable[..., Detector], astronaut: np.ndarray) -> None:
    from vultus.runtime import resolve

    make_detector("dlib-frontal")
    dlib = pytest.importorskip("dlib")
    rectangle = dlib.get_frontal_face_detector()(astronaut, 0)[0]
    predictor = dlib.shape_predictor(str(resolve("dlib-shape5-native", offline=True)))
    shape = predictor(astronaut, rectangle)
    points = np.array([(p.x, p.y) for p in shape.parts()], np.float32)
    mine = align(astronaut, keypoints_from_dlib(points), template("dlib150"))[0]
    dlibs = dlib.get_face_chip(astronaut, shape, 150, 0.25)
    assert np.abs(mine.astype(int) - dlibs).mean() < 2
