"""Choosing the face that a picture is about."""

from __future__ import annotations

import numpy as np
import pytest

from vultus.detection import central, largest
from vultus.errors import NoFaceError
from vultus.faces import Face


def face(x: float, y: float, size: float, score: float = 0.9) -> Face:
    """A square face around a centre."""
    box = np.array([x - size / 2, y - size / 2, x + size / 2, y + size / 2])
    return Face(box, score, np.zeros((5, 2)))


def test_largest_is_by_area() -> None:
    big, small = face(10, 10, 30), face(50, 50, 20, 0.99)
    assert largest([small, big]) is big


def test_better_score_wins_a_tie() -> None:
    doubtful, sure = face(10, 10, 30, 0.6), face(90, 90, 30, 0.8)
    assert largest([doubtful, sure]) is sure


def test_central_is_nearest_to_the_centre() -> None:
    near, far = face(55, 45, 20), face(20, 20, 20)
    assert central([far, near], (100, 100)) is near
    assert central([far, near], (40, 40, 3)) is far


def test_a_face_in_the_background_does_not_beat_the_subject() -> None:
    subject, background = face(60, 50, 80), face(52, 50, 6)
    assert central([background, subject], (100, 100)) is subject


def test_shape_is_height_and_width() -> None:
    left, right = face(30, 50, 20), face(150, 50, 20)
    assert central([left, right], (100, 300)) is right


@pytest.mark.parametrize("choose", [largest, lambda faces: central(faces, (10, 10))])
def test_no_face_is_an_error(choose: object) -> None:
    with pytest.raises(NoFaceError):
        choose([])  # type: ignore[operator]
