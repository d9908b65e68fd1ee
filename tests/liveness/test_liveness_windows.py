"""Windows of 2.7 times the box: where they lie, and what predictors do with them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vultus.errors import VultusError
from vultus.geometry import crop_boxes
from vultus.liveness.windows import BOX, SCALE, WINDOW, crop_faces, cut_window, window_of


def test_a_window_in_a_large_picture_is_the_box_scaled_about_its_centre() -> None:
    window = window_of([400, 300, 440, 360], (1000, 1000))
    np.testing.assert_allclose(window, [366, 249, 474, 411], atol=1e-3)


def test_a_window_at_the_border_is_moved_inside() -> None:
    window = window_of([0, 0, 40, 60], (1000, 1000))
    np.testing.assert_allclose(window, [0, 0, 108, 162], atol=1e-3)


def test_a_tight_picture_is_seen_as_far_as_it_goes() -> None:
    window = window_of([10, 10, 90, 110], (121, 101))
    # 120 / 100 allows 1.2 times, 100 / 80 would allow 1.25.
    np.testing.assert_allclose(window, [2, 0, 98, 120], atol=1e-3)


@given(
    st.integers(30, 400),
    st.integers(30, 400),
    st.tuples(*[st.floats(-0.3, 1.3) for _ in range(2)]),
    st.tuples(*[st.floats(0.05, 1.5) for _ in range(2)]),
)
def test_windows_never_leave_the_picture_and_keep_the_boxs_shape(
    high: int, wide: int, middle: tuple[float, float], span: tuple[float, float]
) -> None:
    size = np.array([wide, high])
    centre, half = np.array(middle) * size, np.array(span) * size / 2
    box = np.concatenate([centre - half, centre + half])
    if (box[2:] <= 1).any() or (box[:2] >= size - 1).any():
        return
    window = window_of(box, (high, wide))
    assert (window >= -1e-3).all()
    assert (window[2:] <= size - 1 + 1e-3).all()
    ratio = (window[2:] - window[:2]) / (box[2:] - box[:2])
    assert ratio[0] == pytest.approx(ratio[1], rel=1e-3)
    assert ratio[0] <= SCALE + 1e-3
    image = np.zeros((high, wide, 3), np.uint8)
    assert cut_window(image, window, 24).shape == (24, 24, 3)


@pytest.mark.parametrize(
    "box", [[5, 5, 5, 9], [9, 5, 5, 9], [np.nan, 0, 3, 3], [200, 5, 220, 9], [-30, 5, -3, 9]]
)
def test_there_is_no_window_around_nothing(box: list[float]) -> None:
    with pytest.raises(VultusError, match="no window"):
        window_of(box, (100, 100))


def test_crops_follow_the_template() -> None:
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8)
    boxes = np.array([[20, 30, 60, 80], [0, 0, 50, 50]], np.float32)
    np.testing.assert_array_equal(
        crop_faces(image, boxes, BOX, 32), crop_boxes(image, boxes, 1.3, 32)
    )
    seen = crop_faces(image, boxes, WINDOW, 32)
    assert seen.shape == (2, 32, 32, 3)
    np.testing.assert_array_equal(seen[1], cut_window(image, window_of(boxes[1], image.shape), 32))
    assert crop_faces(image, boxes[:0], WINDOW, 32).shape == (0, 32, 32, 3)
    with pytest.raises(VultusError, match="unknown liveness template"):
        crop_faces(image, boxes, "arcface", 32)
