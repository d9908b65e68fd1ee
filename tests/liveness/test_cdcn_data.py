"""Depth labels, stored presentations, augmentation, and the simulator's presentations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from vultus.errors import ConfigError, DatasetError, VultusError
from vultus.liveness.cdcn.augmentation import UNCHANGED, Augmentation, ClipExamples, pixels
from vultus.liveness.cdcn.depth import depth_label, mask_label, to_map
from vultus.liveness.cdcn.learners import masked
from vultus.liveness.cdcn.presentations import (
    PadCrops,
    cut,
    joined,
    load_presentations,
    loose_side,
    save_presentations,
)
from vultus.liveness.cdcn.simulation import Simulation, reimage, simulate
from vultus.measure.pad import BONA_FIDE

SIZE = 32


def noise(frames: int, seed: int = 0) -> PadCrops:
    """Random pictures: clips of two frames, every other clip bona fide."""
    rng = np.random.default_rng(seed)
    side = loose_side(SIZE)
    clips = np.arange(frames) // 2
    live = clips % 2 == 0
    depth = rng.integers(1, 256, (frames, side, side)).astype(np.uint8)
    depth[~live] = 0
    return PadCrops(
        images=rng.integers(0, 256, (frames, side, side, 3)).astype(np.uint8),
        depth=depth,
        masks=np.full((frames, side, side), 255, np.uint8),
        species=np.where(live, BONA_FIDE, "print"),
        domains=np.full(frames, "phone"),
        splits=np.where(np.arange(frames) < frames // 2, "train", "development"),
        people=clips % 3,
        clips=clips,
        size=SIZE,
    )


def test_depth_labels_fall_from_one_at_the_nose() -> None:
    depth = np.array([[50.0, 57.5, 65.0, 80.0, np.inf]], np.float32)
    face = np.array([[True, True, True, True, True]])
    np.testing.assert_allclose(depth_label(depth, face), [[1, 0.5, 0, 0, 0]])


def test_depth_labels_do_not_depend_on_the_distance_of_the_camera() -> None:
    depth = np.random.default_rng(0).uniform(40, 52, (6, 6)).astype(np.float32)
    face = np.ones((6, 6), bool)
    face[0] = False
    far = depth_label(depth + 64, face)
    np.testing.assert_allclose(far, depth_label(depth, face), atol=1e-5)
    assert not far[0].any()


def test_a_label_needs_a_face_with_depth() -> None:
    with pytest.raises(VultusError, match="depth label needs a face"):
        depth_label(np.full((3, 3), np.inf, np.float32), np.ones((3, 3), bool))
    with pytest.raises(VultusError, match="depth label needs a face"):
        depth_label(np.ones((3, 3), np.float32), np.ones((3, 4), bool))


def test_without_depth_the_mask_is_the_label() -> None:
    face = np.zeros((8, 8), bool)
    face[:4] = True
    np.testing.assert_array_equal(to_map(mask_label(face), 2), [[1, 1], [0, 0]])
    data = masked(noise(8))
    assert (data.depth[data.live] == 255).all()
    assert not data.depth[~data.live].any()


def test_the_middle_of_a_stored_crop_is_box_1_3() -> None:
    from vultus.geometry import crop_boxes

    picture = np.random.default_rng(0).integers(0, 256, (90, 80, 3)).astype(np.uint8)
    face = np.zeros((90, 80), bool)
    face[30:50, 30:50] = True
    box = np.array([28.0, 25.0, 52.0, 56.0], np.float32)
    image, depth, mask = cut(picture, face * np.float32(0.5), face, box, SIZE)
    rim = (loose_side(SIZE) - SIZE) // 2
    middle = image[rim : rim + SIZE, rim : rim + SIZE]
    expected = crop_boxes(picture, box[None], 1.3, SIZE)[0]
    assert np.abs(middle.astype(int) - expected).mean() < 2
    assert depth.max() == 128
    assert mask.max() == 255


def test_presentations_survive_the_disk(tmp_path: Path) -> None:
    data = noise(8)
    save_presentations(tmp_path / "a.safetensors", data)
    found = load_presentations(tmp_path / "a.safetensors")
    for name in ("images", "depth", "masks", "species", "domains", "splits", "people", "clips"):
        np.testing.assert_array_equal(getattr(found, name), getattr(data, name))
    assert found.size == SIZE


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match="not a file of presentations"):
        load_presentations(tmp_path / "a")
    with pytest.raises(DatasetError, match="not a file of presentations"):
        load_presentations(tmp_path / "missing")


def test_joining_keeps_people_and_clips_apart() -> None:
    both = joined([noise(8), noise(8, 1)])
    assert len(both) == 16
    assert not set(both.people[:8]) & set(both.people[8:])
    assert len(np.unique(both.clips)) == 8


def test_a_split_that_is_not_there_is_named() -> None:
    with pytest.raises(DatasetError, match="'test'"):
        noise(4).split("test")


def test_an_unchanged_example_is_the_test_crop() -> None:
    data = noise(4)
    examples = ClipExamples(data, SIZE, 8, UNCHANGED)
    assert len(examples) == 2
    example = examples.example(0, np.random.default_rng(0))
    crops, depth, _ = data.crops()
    np.testing.assert_allclose(example["image"], pixels(crops[example["frame"]]), atol=1e-6)
    label = to_map(depth[example["frame"]].astype(np.float32) / 255, SIZE // 8)
    np.testing.assert_allclose(example["depth"], label, atol=1e-6)
    assert example["live"] == 1
    assert examples.example(1, np.random.default_rng(0))["live"] == 0


def test_an_example_of_a_clip_is_any_of_its_frames() -> None:
    examples = ClipExamples(noise(4), SIZE, 8, UNCHANGED)
    seen = {examples.example(1, np.random.default_rng(s))["frame"] for s in range(20)}
    assert seen == {2, 3}


def test_picture_and_label_are_mirrored_together() -> None:
    data = noise(4)
    still = ClipExamples(data, SIZE, 8, UNCHANGED)
    mirrored = Augmentation(expansion=(1.3, 1.3), offset=0, gamma=(1, 1), flip=1, erase=0, cutout=0)
    turned = ClipExamples(data, SIZE, 8, mirrored)
    a, b = (e.example(0, np.random.default_rng(5)) for e in (still, turned))
    assert a["frame"] == b["frame"]
    np.testing.assert_allclose(b["image"], a["image"][..., ::-1], atol=1e-6)
    np.testing.assert_allclose(b["depth"], a["depth"][..., ::-1], atol=1e-6)


def test_augmentation_changes_pixels_within_their_range() -> None:
    examples = ClipExamples(noise(4), SIZE, 8, Augmentation())
    drawn = [examples.example(0, np.random.default_rng(s)) for s in range(10)]
    assert all(np.abs(d["image"]).max() <= 1 for d in drawn)
    assert len({d["image"].tobytes() for d in drawn}) == 10
    same = [examples.example(0, np.random.default_rng(3))["image"] for _ in range(2)]
    np.testing.assert_array_equal(*same)


@pytest.fixture(scope="module")
def simulated() -> PadCrops:
    pytest.importorskip("numba")
    return simulate(Simulation(train=2, development=1, test=1, frames=2), SIZE, 3)


def test_the_simulator_gives_depth_to_the_living_alone(simulated: PadCrops) -> None:
    assert set(simulated.species) == {BONA_FIDE, "print", "replay"}
    assert simulated.depth[simulated.live].max((1, 2)).min() > 200
    assert not simulated.depth[~simulated.live].any()
    # Attacks have a mask as well, or the normaliser would tell them apart.
    share = simulated.masks.mean((1, 2)) / 255
    assert share.min() > 0.1
    assert share.max() < 0.8


def test_splits_share_neither_people_nor_cameras(simulated: PadCrops) -> None:
    people = [set(simulated.split(s).people) for s in ("train", "development", "test")]
    assert [len(p) for p in people] == [2, 1, 1]
    assert len(set.union(*people)) == 4
    assert set(simulated.split("train").domains) == {"phone"}
    assert set(simulated.split("test").domains) == {"webcam"}
    assert len(np.unique(simulated.clips)) * 2 == len(simulated)


def test_the_simulator_repeats_itself(simulated: PadCrops) -> None:
    again = simulate(Simulation(train=2, development=1, test=1, frames=2), SIZE, 3)
    np.testing.assert_array_equal(again.images, simulated.images)


def test_unknown_domains_are_named() -> None:
    pytest.importorskip("numba")
    with pytest.raises(ConfigError, match="moon"):
        simulate(Simulation(train=1, development=1, seen=("moon",)), SIZE, 0)


def test_photographs_are_shown_again(astronaut: np.ndarray) -> None:
    pytest.importorskip("numba")
    box = np.array([175.0, 60.0, 275.0, 200.0], np.float32)
    data = reimage([(astronaut, box, 0)], SIZE, 1, split="train")
    assert data.species.tolist() == [BONA_FIDE, "print", "replay"]
    assert (data.depth[0] == data.masks[0]).all()
    assert not data.depth[1:].any()
    # The eyes stay where the box puts them, so the pictures resemble one another.
    grey = data.crops()[0].astype(np.float32).mean(-1).reshape(3, -1)
    alike = np.corrcoef(grey)
    assert alike[0, 1] > 0.5
    assert alike[0, 2] > 0.5


def test_masks_cannot_be_made_of_photographs() -> None:
    with pytest.raises(ConfigError, match="mask_rigid"):
        reimage([], SIZE, 0, split="train", species=("mask_rigid",))
    with pytest.raises(ConfigError, match="no photograph"):
        reimage([], SIZE, 0, split="train")
