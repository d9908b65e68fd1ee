"""Crops with 68 points: cutting, sizes, files, renders."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vultus.errors import DatasetError
from vultus.geometry import template
from vultus.landmarks.crops import (
    DEVELOPMENT,
    LABELLED,
    TRAIN,
    PointCrops,
    cut,
    joined,
    load_points,
    save_points,
)
from vultus.landmarks.kd_landmarks.augmentation import Augmentation, PointExamples, view_points
from vultus.landmarks.prepare import labelled_crops, render_crops
from vultus.points68 import MEAN, MIRROR, keypoints


def face(scale: float, turn: float, move: tuple[float, float]) -> np.ndarray:
    """Return the mean face, scaled, turned by degrees and moved."""
    angle = np.radians(turn)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (np.array(MEAN) @ linear.T + move).astype(np.float32)


def dotted(points: np.ndarray, side: int) -> np.ndarray:
    """Return a black picture with a white spot on every point."""
    image = np.zeros((side, side, 3), np.uint8)
    for x, y in points:
        cv2.circle(image, (round(float(x) * 16), round(float(y) * 16)), 48, (255,) * 3, -1, shift=4)
    return image


@pytest.fixture
def crops() -> PointCrops:
    faces = [face(2.0, 30, (150, 60)), face(1.5, -10, (80, 90)), face(2.5, 0, (60, 40))]
    return cut([(dotted(points, 400), points) for points in faces], LABELLED)


def test_cut_faces_lie_upright_on_the_template(crops: PointCrops) -> None:
    images, points = crops.plain()
    layout = template("landmarks96")
    assert images.shape == (3, 96, 96, 3)
    # All three are the same face: in the crop they coincide, near the template.
    np.testing.assert_allclose(points, np.broadcast_to(points[0], points.shape), atol=0.01)
    assert np.abs(keypoints(points[0]) - layout.points).max() < 4


def test_points_follow_the_pixels(crops: PointCrops) -> None:
    for image, points in zip(crops.images, crops.points, strict=True):
        for x, y in np.round(points).astype(int):
            assert image[y, x].max() > 100


@pytest.mark.parametrize("field", [48, 64, 112])
def test_points_follow_the_pixels_at_other_sizes(crops: PointCrops, field: int) -> None:
    other = crops.resized(field)
    assert (other.field, other.margin) == (field, field // 4)
    bright = [
        other.images[i][tuple(np.round(p).astype(int)[::-1])].max() for i in range(3)
        for p in other.points[i]
    ]  # fmt: skip
    assert np.mean(np.array(bright) > 60) > 0.95


def test_a_field_with_broken_margins_is_refused(crops: PointCrops) -> None:
    with pytest.raises(DatasetError, match="multiple of 4"):
        crops.resized(50)


def test_files_keep_everything(crops: PointCrops, tmp_path: Path) -> None:
    save_points(tmp_path / "runs" / "x.safetensors", crops)
    read = load_points(tmp_path / "runs" / "x.safetensors")
    for name in ("images", "points", "weights", "source", "split"):
        np.testing.assert_array_equal(getattr(read, name), getattr(crops, name))


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"no")
    with pytest.raises(DatasetError, match=r"x\.safetensors: not a file of crops"):
        load_points(tmp_path / "x.safetensors")


def test_joined_crops_stand_in_order(crops: PointCrops) -> None:
    both = joined([crops, crops.take([0])])
    assert len(both) == 4
    np.testing.assert_array_equal(both.images[3], crops.images[0])
    with pytest.raises(DatasetError):
        joined([])


def test_crops_that_do_not_fit_are_refused(crops: PointCrops) -> None:
    with pytest.raises(DatasetError, match="68 points"):
        PointCrops(crops.images, crops.points[:, :5], crops.weights, crops.source, crops.split)


def test_views_carry_their_points(crops: PointCrops) -> None:
    config = Augmentation(degrade=0, cover=0, colour=0)
    examples = PointExamples(crops, config)
    rng = np.random.default_rng(5)
    for _ in range(12):
        view = examples.example(int(rng.integers(3)), rng)
        inside = ((view["points"] > 1) & (view["points"] < 94)).all(1)
        pixels = np.round(view["points"][inside]).astype(int)
        assert view["image"].shape == (96, 96, 3)
        assert np.mean(view["image"][pixels[:, 1], pixels[:, 0]].max(1) > 60) > 0.95


def test_a_flipped_view_swaps_points_and_their_weights(crops: PointCrops) -> None:
    weighted = PointCrops(
        crops.images, crops.points, np.tile(np.arange(68, dtype=np.float32), (3, 1)),
        crops.source, crops.split,
    )  # fmt: skip
    still = Augmentation(rotation=0, scale=0, stretch=0, shift=0, flip=1, degrade=0, cover=0)
    view = PointExamples(weighted, still).example(0, np.random.default_rng(0))
    plain = weighted.plain()[1][0]
    np.testing.assert_allclose(view["points"][MIRROR[17], 0], 95 - plain[17, 0], atol=1e-3)
    np.testing.assert_array_equal(view["weight"], np.arange(68)[list(MIRROR)])


def test_the_same_generator_gives_the_same_view(crops: PointCrops) -> None:
    examples = PointExamples(crops, Augmentation(degrade=1, cover=1))
    a, b = (examples.example(1, np.random.default_rng(9)) for _ in range(2))
    np.testing.assert_array_equal(a["image"], b["image"])


def test_shapes_are_drawn_in_the_frame_of_the_views(crops: PointCrops) -> None:
    turned = Augmentation(rotation=25, flip=0)
    spread = [
        np.ptp(view_points(PointExamples(crops, a), 200, 0)[:, 8, 0])
        for a in (turned, Augmentation(rotation=0, scale=0, stretch=0, shift=0, flip=0))
    ]
    assert spread[0] > 20 > 1 > spread[1]


def test_impossible_augmentation_is_refused() -> None:
    with pytest.raises(ValueError, match="probabilities"):
        Augmentation(flip=2.0)
    with pytest.raises(ValueError, match="negative"):
        Augmentation(shift=-0.1)


def test_rendered_people_are_in_one_split() -> None:
    crops = render_crops("procedural", 12, 4, field=48, development=0.25)
    assert (crops.split == DEVELOPMENT).sum() in (2, 4)
    assert crops.images.shape == (12, 72, 72, 3)
    assert set(np.unique(crops.weights)) <= {0.5, 1.0}
    # Aligned by their points, heads of any pose have their mouth corners low in the middle.
    middle = keypoints(crops.plain()[1])[:, 3:].mean(1)
    assert (np.abs(middle - (24, 30)) < 5).all()


def test_annotated_faces_are_split_and_cut(data_root: Path) -> None:
    crops = labelled_crops(data_root / "landmarks68", ["afw"], seed=0)
    assert len(crops) == 337
    assert 10 < (crops.split == DEVELOPMENT).sum() < 50 < (crops.split == TRAIN).sum()
    off = np.abs(keypoints(crops.plain()[1]).mean(0) - template("landmarks96").points)
    assert off.max() < 4
    with pytest.raises(DatasetError, match="no picture of the sets nowhere"):
        labelled_crops(data_root / "landmarks68", ["nowhere"])
