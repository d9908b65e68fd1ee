"""Augmentation of crops: nothing changes at zero, mirroring mirrors, a draw decides all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vultus.nets.augmentation import Augmentation, to_network
from vultus.nets.crop_streams import AugmentedCrops

NONE = Augmentation(
    rotation=0, scale=0, shift=0, flip=0, contrast=0, brightness=0, gamma=0, colour=0, grey=0,
    blur=0, jpeg=0, noise=0, cover=0,
)  # fmt: skip


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (32, 32, 3), np.uint8)


def test_nothing_changes_at_zero(image: np.ndarray) -> None:
    out, flipped = NONE.crop(image, 32, np.random.default_rng(0))
    assert not flipped
    np.testing.assert_array_equal(out, image)


def test_mirroring_is_of_left_and_right(image: np.ndarray) -> None:
    out, flipped = replace(NONE, flip=1.0).crop(image, 32, np.random.default_rng(0))
    assert flipped
    np.testing.assert_array_equal(out, image[:, ::-1])


def test_a_draw_decides_everything_and_leaves_the_picture_alone(image: np.ndarray) -> None:
    kept = image.copy()
    full = Augmentation(grey=1, blur=1, jpeg=1, noise=1, cover=1)
    one, two = (full.crop(image, 24, np.random.default_rng(9))[0] for _ in range(2))
    other = full.crop(image, 24, np.random.default_rng(10))[0]
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(image, kept)
    assert one.shape == (24, 24, 3)
    assert (one != other).any()


def test_grey_has_one_channel(image: np.ndarray) -> None:
    out, _ = replace(NONE, grey=1.0).crop(image, 32, np.random.default_rng(0))
    assert (out[..., 0] == out[..., 1]).all()
    assert (out[..., 0] == out[..., 2]).all()


def test_examples_carry_their_targets(image: np.ndarray) -> None:
    examples = AugmentedCrops(np.stack([image, image]), {"age": np.array([3.0, 4.0])}, 16, NONE)
    found = examples.example(1, np.random.default_rng(0))
    assert found["age"] == 4.0
    assert found["image"].shape == (3, 16, 16)
    assert len(examples) == 2


def test_pixels_lie_between_minus_one_and_one() -> None:
    ends = to_network(np.array([[[0, 127, 255]]], np.uint8))
    assert ends.ravel().tolist() == pytest.approx([-1, -0.5 / 127.5, 1])
