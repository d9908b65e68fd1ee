"""The 68 points: mirror images and the keypoints within."""

from __future__ import annotations

import numpy as np

from vultus.points68 import COUNT, MEAN, MIRROR, PARTS, keypoints, mirrored


def test_mirroring_twice_changes_nothing() -> None:
    assert [MIRROR[MIRROR[i]] for i in range(COUNT)] == list(range(COUNT))


def test_parts_cover_every_point_once() -> None:
    assert sorted(i for part in PARTS.values() for i in part) == list(range(COUNT))


def test_a_mirrored_part_is_its_counterpart() -> None:
    assert {MIRROR[i] for i in PARTS["left_eye"]} == set(PARTS["right_eye"])
    assert {MIRROR[i] for i in PARTS["outer_lips"]} == set(PARTS["outer_lips"])


def test_flipped_points_lie_on_the_flipped_picture() -> None:
    points = np.random.default_rng(0).uniform(0, 95, (3, COUNT, 2)).astype(np.float32)
    flipped = mirrored(points, 96)
    # Chin: the same point, at 95 - x.
    np.testing.assert_allclose(flipped[:, 8, 0], 95 - points[:, 8, 0])
    np.testing.assert_allclose(
        flipped[:, 36], np.stack([95 - points[:, 45, 0], points[:, 45, 1]], 1)
    )
    np.testing.assert_allclose(mirrored(flipped, 96), points, atol=1e-5)


def test_the_mean_face_is_symmetric_and_upright() -> None:
    mean = np.array(MEAN, np.float32)
    np.testing.assert_allclose(mirrored(mean, 96), mean, atol=0.11)
    left, right, nose, corner, _ = keypoints(mean)
    assert left[0] < nose[0] < right[0]
    assert left[1] < nose[1] < corner[1]


def test_keypoints_are_eye_centres_nose_tip_and_mouth_corners() -> None:
    points = np.zeros((COUNT, 2), np.float32)
    points[36:42] = np.arange(12).reshape(6, 2)
    points[30], points[48], points[54] = (1, 2), (3, 4), (5, 6)
    np.testing.assert_allclose(keypoints(points), [(5, 6), (0, 0), (1, 2), (3, 4), (5, 6)])
