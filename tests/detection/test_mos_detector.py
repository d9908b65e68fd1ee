"""The packaged network of MOS as a named detector."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vultus.detection import Detector
from vultus.geometry import box_iou
from vultus.runtime import resolve

#: As in test_detector.py: eyes, nose tip and mouth corners, and from the hairline to the chin.
ASTRONAUT = np.array([(202, 101), (246, 103), (222, 125), (201, 140), (246, 140)], np.float32)
ASTRONAUT_BOX = np.array([178, 60, 271, 178], np.float32)
EYES = 44.0


@pytest.fixture(scope="module")
def mos(make_detector: Callable[..., Detector]) -> Detector:
    return make_detector("mos")


def test_best_face_has_box_keypoints_and_pose(mos: Detector, astronaut: np.ndarray) -> None:
    face = mos.detect(astronaut)[0]
    assert box_iou(face.box, ASTRONAUT_BOX).item() > 0.5
    assert np.linalg.norm(face.keypoints - ASTRONAUT, axis=1).max() < 0.4 * EYES
    assert abs(face.pose.yaw) < 30
    assert abs(face.pose.roll) < 20


def test_left_stays_left(mos: Detector, astronaut: np.ndarray) -> None:
    for image in (astronaut, np.ascontiguousarray(astronaut[:, ::-1])):
        left, right, nose, left_mouth, right_mouth = mos.detect(image)[0].keypoints
        assert left[0] < nose[0] < right[0]
        assert left_mouth[0] < right_mouth[0]
        assert max(left[1], right[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


def test_many_equals_one_by_one(mos: Detector, astronaut: np.ndarray) -> None:
    pictures = [astronaut, astronaut[:300, 100:400], np.zeros((40, 90, 3), np.uint8)]
    together = mos.detect_many([np.ascontiguousarray(p) for p in pictures])
    assert together[2] == []
    for faces, picture in zip(together, pictures, strict=True):
        alone = mos.detect(np.ascontiguousarray(picture))
        assert len(faces) == len(alone)
        for a, b in zip(faces, alone, strict=True):
            np.testing.assert_allclose(a.box, b.box, atol=1e-2)


def test_the_packaged_file_is_small_and_named(mos: Detector) -> None:
    assert mos.weights == ("mos-light",)
    assert resolve("mos-light").stat().st_size < 2_000_000


def test_with_the_mesh_keypoints_alone_change_and_come_closer(
    mos: Detector, make_detector: Callable[..., Detector], astronaut: np.ndarray
) -> None:
    meshed = make_detector("mos-mesh")
    assert meshed.weights == ("mos-light", "facemesh-468")
    assert meshed.min_score == mos.min_score
    pictures = [astronaut, np.zeros((40, 90, 3), np.uint8)]
    (alone, _), (placed, none) = mos.detect_many(pictures), meshed.detect_many(pictures)
    assert none == []
    assert [(f.score, f.pose) for f in placed] == [(f.score, f.pose) for f in alone]
    np.testing.assert_array_equal(placed[0].box, alone[0].box)
    off = [np.linalg.norm(f.keypoints - ASTRONAUT, axis=1).max() for f in (placed[0], alone[0])]
    assert off[0] < min(0.15 * EYES, off[1])


def test_where_the_mesh_sees_no_face_the_keypoints_stay(
    make_detector: Callable[..., Detector], monkeypatch: pytest.MonkeyPatch, astronaut: np.ndarray
) -> None:
    from vultus.detection.mos import meshed

    monkeypatch.setattr(meshed, "PRESENT", 1.1)
    placed, alone = (make_detector(n).detect(astronaut)[0] for n in ("mos-mesh", "mos"))
    np.testing.assert_array_equal(placed.keypoints, alone.keypoints)
