"""The search over scales, and how views of one face are joined."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vultus.detection.blazeface import (
    CLOSE_UP,
    FIRST,
    LARGEST,
    Candidates,
    _decode,
    _further_looks,
    _input_shape,
    _place,
    distinct,
    merge,
)
from vultus.detection.blazeface_mesh import combined_score


def candidates(*rows: tuple[float, float, float, float]) -> Candidates:
    """Squares (centre x, centre y, side, score), with every point at the centre."""
    centre = np.array([row[:2] for row in rows], np.float32).reshape(-1, 2)
    half = np.array([row[2] for row in rows], np.float32).reshape(-1, 1) / 2
    return Candidates(
        np.concatenate([centre - half, centre + half], 1),
        np.array([row[3] for row in rows], np.float32),
        np.repeat(centre[:, None], 6, 1),
    )


def test_cell_is_decoded_into_picture_pixels() -> None:
    """Cell (row 1, column 2) of an input 16 wide, at half of the picture's scale."""
    logits = np.full(8, -9.0, np.float32)
    logits[1 * 4 + 2] = 0
    values = np.zeros((8, 16), np.float32)
    values[6, :4] = [1, -2, 6, 8]
    values[6, 4:6] = [-3, 2]
    found = _decode(values, logits, 16, np.array([0.5, 0.5], np.float32))
    # The cell's centre is at (10, 6) in the input.
    assert found.scores.tolist() == [0.5]
    np.testing.assert_allclose(found.boxes, [[16, 0, 28, 16]])
    np.testing.assert_allclose(found.points[0, 0], [13.5, 15.5])


def test_inputs_keep_the_aspect_and_are_multiples_of_the_stride() -> None:
    assert _input_shape((480, 640), 128) == (96, 128)
    assert _input_shape((5000, 1), 128) == (128, 32)
    assert _input_shape((1, 1), 1024) == (1024, 1024)


@given(st.integers(40, 2100), st.integers(20, 60), st.sampled_from([64, 128, 384]))
@example(1998, 40, 128)
def test_placed_pictures_keep_their_geometry(width: int, height: int, canvas: int) -> None:
    """An edge lies where the returned scale puts it, whatever is cut, averaged and interpolated."""
    edge = 9 * width // 10
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, edge:] = 255
    into = np.zeros((*_input_shape((height, width), canvas), 3), np.uint8)
    scale = _place(picture, canvas, into)
    rows, columns = (max(round(n * canvas / max(height, width)), 1) for n in (height, width))
    assert not into[rows:].any()
    bright = into[rows // 2, :, 0].sum() / 255
    assert columns - bright == pytest.approx(edge * scale[0], abs=0.15)


@given(st.integers(1, 20000), st.integers(1, 20000))
def test_search_ends_and_never_exceeds_the_largest_look(height: int, width: int) -> None:
    nothing = candidates()
    todo, seen = [FIRST], []
    while todo:
        canvas = todo.pop()
        seen.append(canvas)
        todo += _further_looks((height, width), canvas, nothing)
        assert len(seen) < 6
    assert max(seen) <= LARGEST
    assert len(set(seen)) == len(seen)


def test_a_portrait_is_looked_at_once() -> None:
    assert _further_looks((3000, 2000), FIRST, candidates((1000, 1500, 900, 0.95))) == []


def test_a_hint_of_small_faces_calls_for_a_finer_look() -> None:
    seen = candidates((300, 300, 200, 0.95), (600, 200, 40, 0.12))
    assert _further_looks((480, 720), FIRST, seen) == [384]
    assert _further_looks((480, 720), 384, seen) == []


def test_one_clear_face_of_middling_size_does_not() -> None:
    clear, unclear = (300, 300, 100, 0.9), (300, 300, 100, 0.6)  # 18 pixels of 128
    assert _further_looks((480, 720), FIRST, candidates(clear)) == []
    assert _further_looks((480, 720), FIRST, candidates(unclear)) == [384]
    # Weaker views of the same face are no faces of their own.
    views = candidates(clear, (304, 300, 100, 0.3), (296, 300, 98, 0.12))
    assert _further_looks((480, 720), FIRST, views) == []


def test_nothing_found_calls_for_both_nearer_and_farther() -> None:
    assert _further_looks((1500, 2000), FIRST, candidates()) == [CLOSE_UP, 384]
    assert _further_looks((1500, 2000), 384, candidates()) == [1024]
    assert _further_looks((200, 250), FIRST, candidates()) == [CLOSE_UP]


def test_views_of_one_face_are_averaged_by_score() -> None:
    joined = merge(candidates((100, 100, 50, 0.9), (106, 100, 50, 0.3), (300, 100, 50, 0.5)))
    assert joined.scores.tolist() == pytest.approx([0.9, 0.5])
    np.testing.assert_allclose(joined.points[0, 0], [101.5, 100], atol=1e-4)
    np.testing.assert_allclose(joined.boxes[0], [76.5, 75, 126.5, 125], atol=1e-4)


def test_a_part_of_a_better_face_is_dropped_whatever_its_overlap() -> None:
    joined = merge(candidates((100, 100, 100, 0.9), (110, 110, 30, 0.6)))
    assert len(joined) == 1
    assert len(merge(candidates((110, 110, 30, 0.9), (100, 100, 100, 0.6)))) == 2


def test_covered_is_the_part_under_a_better_face() -> None:
    boxes = np.array([(0, 0, 100, 100), (75, 0, 175, 100), (300, 0, 400, 100)], np.float32)
    kept, covered = distinct(boxes)
    assert kept.tolist() == [0, 1, 2]
    np.testing.assert_allclose(covered, [0, 0.25, 0])


@given(
    st.lists(
        st.tuples(st.floats(0, 500), st.floats(0, 500), st.floats(5, 200), st.floats(0.1, 0.99)),
        max_size=12,
    )
)
def test_merging_is_sorted_and_stable_under_order(rows: list[tuple[float, ...]]) -> None:
    unique = [(*row[:3], row[3] + 1e-4 * k) for k, row in enumerate(rows)]
    joined, other = merge(candidates(*unique)), merge(candidates(*unique[::-1]))
    assert (np.diff(joined.scores) <= 0).all()
    np.testing.assert_allclose(joined.boxes, other.boxes, atol=1e-3)
    assert len(distinct(joined.boxes)[0]) == len(joined)


def test_presence_lifts_weak_faces_and_does_not_condemn_profiles() -> None:
    d = np.array([0.35, 0.35, 0.7, 0.53, 1.0], np.float32)
    p = np.array([1.0, 0.0, 0.0, 0.0, 1.0], np.float32)
    kept = combined_score(d, p) >= 0.5
    assert kept.tolist() == [True, False, True, False, True]


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_combined_score_stays_in_range_and_grows_with_both(d: float, p: float, q: float) -> None:
    low, high = sorted((p, q))
    pair = combined_score(np.array([d, d], np.float32), np.array([low, high], np.float32))
    assert 0 <= pair[0] <= pair[1] + 1e-6
    assert pair[1] <= 1 + 1e-6
    rising = combined_score(np.array([low, high], np.float32), np.array([d, d], np.float32))
    assert rising[0] <= rising[1] + 1e-6
