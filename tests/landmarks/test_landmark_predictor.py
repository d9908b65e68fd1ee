"""The shipped landmark networks, as a user calls them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from vultus.errors import VultusError, WeightsError
from vultus.geometry import similarity_transform, transform_points, warp
from vultus.landmarks import LandmarkPredictor, keypoints_from_boxes
from vultus.points68 import MEAN, MIRROR, keypoints, mirrored

#: Eye centres, nose tip and mouth corners of the portrait in its own pixels, read off by hand.
COLLINS = np.array([(201, 100), (247, 103), (227, 123), (203, 139), (244, 140)], np.float32)

NETWORKS = {
    "kd-landmarks": None,
    "kd-landmarks-research": ["all"],
    "fan-landmarks": None,
    "fan-landmarks-research": ["all"],
}


@pytest.fixture(scope="module", params=sorted(NETWORKS))
def predictor(request: pytest.FixtureRequest) -> LandmarkPredictor:
    return LandmarkPredictor(request.param, threads=1, allow_licenses=NETWORKS[request.param])


@pytest.fixture(scope="module")
def crop(predictor: LandmarkPredictor, astronaut: np.ndarray) -> np.ndarray:
    maps = similarity_transform(COLLINS, predictor.template.points)
    return warp(astronaut, maps[None], predictor.template.size)


def outer(points: np.ndarray) -> float:
    return float(np.linalg.norm(points[36] - points[45]))


def test_points_of_a_portrait_lie_where_they_should(
    predictor: LandmarkPredictor, astronaut: np.ndarray
) -> None:
    (points,) = predictor.locate(astronaut, COLLINS[None])
    assert points.dtype == np.float32
    away = np.linalg.norm(keypoints(points) - COLLINS, axis=1) / outer(points)
    assert away.max() < 0.12
    # The contour runs around everything else, the chin lies lowest.
    assert points[:, 1].argmax() in (7, 8, 9)
    assert points[0, 0] < points[17:, 0].min() < points[17:, 0].max() < points[16, 0]


def test_points_of_rendered_heads_are_near_the_true_ones(predictor: LandmarkPredictor) -> None:
    from vultus.measure.landmarks import nme
    from vultus.worlds import CameraSpec, PoseSpec, WorldSpec, generate

    pose = PoseSpec(yaw=(-20, 20), pitch=(-10, 10), roll=(-10, 10))
    spec = WorldSpec(
        head="procedural", size=192, detail="low", population=3, identities=6,
        pose=pose, camera=CameraSpec(fill=(0.6, 0.9)),
    )  # fmt: skip
    batch = next(iter(generate(spec, 3, 6, batch=6)))
    # Off by what a detector's keypoints may be.
    five = keypoints(batch.landmarks) + np.random.default_rng(8).normal(0, 2, (6, 5, 2))
    found = predictor.locate_many(list(batch.colour), five)
    assert nme(found, batch.landmarks).max() < 0.08


def test_a_crop_gives_points_in_crop_pixels(predictor: LandmarkPredictor, crop: np.ndarray) -> None:
    (points,) = predictor.predict(crop)
    maps = similarity_transform(COLLINS, predictor.template.points)
    away = np.linalg.norm(keypoints(points) - transform_points(maps, COLLINS), axis=1)
    assert away.max() < 0.12 * outer(points)


def test_a_flipped_crop_gives_flipped_points(
    predictor: LandmarkPredictor, crop: np.ndarray
) -> None:
    plain, flipped = predictor.predict(np.concatenate([crop, crop[:, :, ::-1]]))
    apart = np.linalg.norm(mirrored(flipped, crop.shape[2]) - plain, axis=1)
    assert apart.mean() / outer(plain) < 0.05
    assert MIRROR[36] == 45


def test_with_flip_both_sides_are_seen_alike(
    predictor: LandmarkPredictor, crop: np.ndarray
) -> None:
    both = np.concatenate([crop, crop[:, :, ::-1]])
    plain, flipped = predictor.predict(both, flip=True)
    np.testing.assert_allclose(mirrored(flipped, crop.shape[2]), plain, atol=1e-3)


def test_a_turned_and_scaled_picture_gives_turned_and_scaled_points(
    predictor: LandmarkPredictor, astronaut: np.ndarray
) -> None:
    angle, scale = np.radians(40), 0.8
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    move = np.array([[c, -s, 200], [s, c, -20]], np.float32)
    turned = warp(astronaut, move[None], 512)[0]
    (plain,) = predictor.locate(astronaut, COLLINS[None])
    (found,) = predictor.locate(turned, transform_points(move, COLLINS)[None])
    apart = np.linalg.norm(found - transform_points(move, plain), axis=1)
    assert apart.mean() / outer(found) < 0.04


def test_the_second_look_forgives_bad_keypoints(
    predictor: LandmarkPredictor, astronaut: np.ndarray
) -> None:
    (aim,) = predictor.locate(astronaut, COLLINS[None], passes=3)
    off = COLLINS + np.random.default_rng(4).normal(0, 5, (6, 5, 2)).astype(np.float32)
    errors = [
        np.linalg.norm(predictor.locate(astronaut, off, passes=n) - aim, axis=2).mean()
        for n in (1, 2)
    ]
    assert errors[1] < errors[0]


def test_batches_change_nothing(predictor: LandmarkPredictor, crop: np.ndarray) -> None:
    many = np.concatenate([crop, np.zeros_like(crop), np.repeat(crop, 35, 0)])
    points = predictor.predict(many)
    assert points.shape == (37, 68, 2)
    np.testing.assert_allclose(points[-1], predictor.predict(crop)[0], atol=1e-3)


def test_no_faces_give_no_points(predictor: LandmarkPredictor, astronaut: np.ndarray) -> None:
    assert predictor.locate(astronaut, np.empty((0, 5, 2))).shape == (0, 68, 2)
    size = predictor.template.size
    assert predictor.predict(np.empty((0, size, size, 3), np.uint8)).shape == (0, 68, 2)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda crops: crops.astype(np.float32),
        lambda crops: crops[:, :-1],
        lambda crops: crops[0],
        lambda crops: crops[..., :2],
    ],
)
def test_crops_that_do_not_fit_are_refused(
    predictor: LandmarkPredictor,
    crop: np.ndarray,
    spoil: Callable[[np.ndarray], np.ndarray],
) -> None:
    with pytest.raises(VultusError, match="takes uint8 RGB crops"):
        predictor.predict(spoil(crop))


def test_faces_and_pictures_must_match(predictor: LandmarkPredictor, crop: np.ndarray) -> None:
    with pytest.raises(VultusError, match="do not fit"):
        predictor.locate_many([crop[0]], np.zeros((2, 5, 2)))
    with pytest.raises(VultusError, match="do not fit"):
        predictor.locate(crop[0], np.zeros((1, 5, 2)), passes=0)


@pytest.mark.parametrize("name", [name for name, marks in NETWORKS.items() if marks])
def test_research_networks_have_to_be_asked_for(name: str) -> None:
    with pytest.raises(WeightsError, match="commercial use: no"):
        LandmarkPredictor(name)


def test_networks_of_other_tasks_are_refused() -> None:
    with pytest.raises(WeightsError, match="no network for landmarks"):
        LandmarkPredictor("facemesh-468")


def test_boxes_of_the_mean_face_give_its_keypoints() -> None:
    mean = np.array(MEAN, np.float32)
    box = np.concatenate([mean.min(0), mean.max(0)])
    np.testing.assert_allclose(keypoints_from_boxes(box)[0], keypoints(mean), atol=1e-3)
    doubled = keypoints_from_boxes(2 * box + 10)[0]
    np.testing.assert_allclose(doubled, 2 * keypoints(mean) + 10, atol=1e-3)


def test_the_predictor_needs_no_torch() -> None:
    code = (
        "import sys; from vultus.landmarks import LandmarkPredictor; LandmarkPredictor(threads=1);"
        "print(sorted({'torch', 'transformers', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
