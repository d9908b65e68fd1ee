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


def test_shade_darkens_one_side_and_never_brightens(image: np.ndarray) -> None:
    grey = np.full_like(image, 180)
    for seed in range(8):
        out, _ = replace(NONE, shade=1.0).crop(grey, 32, np.random.default_rng(seed))
        assert out.max() <= 180
        assert int(out.max()) - int(out.min()) > 10


def test_defocus_takes_detail_and_keeps_the_mean(image: np.ndarray) -> None:
    large = np.kron(image[:16, :16], np.ones((8, 8, 1), np.uint8))
    out, _ = replace(NONE, defocus=1.0).crop(large, 128, np.random.default_rng(1))
    assert (
        np.abs(np.diff(out.astype(int), axis=0)).max()
        < np.abs(np.diff(large.astype(int), axis=0)).max()
    )
    assert out.mean() == pytest.approx(large.mean(), abs=2)


def test_bounds_of_shade_and_resolution_are_kept(image: np.ndarray) -> None:
    grey, detail = np.full_like(image, 200), np.kron(image[:16, :16], np.ones((2, 2, 1), np.uint8))
    for seed in range(8):
        rng = np.random.default_rng
        light, _ = replace(NONE, shade=1.0, darkest=0.5).crop(grey, 32, rng(seed))
        assert ((light / 200.0) ** 2.2).min() > 0.49
        deep, _ = replace(NONE, shade=1.0, darkest=0.001).crop(grey, 32, rng(seed))
        assert deep.min() <= light.min()
        same, _ = replace(NONE, blur=1.0, reduction=1.0).crop(detail, 32, rng(seed))
        np.testing.assert_array_equal(same, detail)
    low, _ = replace(NONE, blur=1.0, reduction=4.0).crop(detail, 32, np.random.default_rng(0))
    assert low.std() < detail.std()


def test_what_is_off_draws_nothing(image: np.ndarray) -> None:
    rng = np.random.default_rng(5)
    for _ in range(3):
        Augmentation(jpeg=0).crop(image, 32, rng)
    # The next number before there was defocus or shade: older recipes see the same pictures.
    assert rng.integers(1 << 30) == 288609855


def test_lower_quality_spoils_more() -> None:
    smooth = np.tile(np.arange(0, 256, 2, dtype=np.uint8)[None, :, None], (128, 1, 3))
    smooth[40:90, 40:90] = (200, 30, 90)
    gaps = []
    for quality in (2, 78):
        found = [
            replace(NONE, jpeg=1.0, quality=quality).crop(smooth, 128, np.random.default_rng(s))[0]
            for s in range(12)
        ]
        gaps.append(max(np.abs(f.astype(int) - smooth).mean() for f in found))
    assert gaps[0] > 1.5 * gaps[1]
