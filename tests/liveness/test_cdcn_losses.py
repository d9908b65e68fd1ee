"""Depth losses: known answers."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vultus.liveness.cdcn.losses import (
    contrast_kernels,
    contrastive_depth_loss,
    contrasts,
    depth_loss,
)


def test_kernels_take_one_neighbour_less_the_centre() -> None:
    kernels = contrast_kernels()
    assert kernels.shape == (8, 1, 3, 3)
    assert (kernels.sum((1, 2, 3)) == 0).all()
    assert (kernels[:, 0, 1, 1] == -1).all()
    assert len({tuple(k.flatten().tolist()) for k in kernels}) == 8


def test_one_raised_pixel() -> None:
    label, depth = torch.zeros(1, 3, 3), torch.zeros(1, 3, 3)
    depth[0, 1, 1] = 2.0
    # Each of the eight contrasts at the only place is -2.
    assert float(contrastive_depth_loss(depth, label)) == 4.0
    assert float(depth_loss(depth, label)) == pytest.approx(4 / 9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999), st.floats(-3, 3))
def test_contrast_sees_shape_and_not_level(seed: int, offset: float) -> None:
    maps = torch.rand(2, 6, 5, generator=torch.Generator().manual_seed(seed))
    assert float(contrastive_depth_loss(maps + offset, maps)) == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(float(depth_loss(maps + offset, maps)), offset**2, atol=1e-5)


def test_contrasts_shrink_by_the_border() -> None:
    assert contrasts(torch.zeros(2, 12, 12)).shape == (2, 8, 10, 10)


def test_losses_are_taken_in_float32() -> None:
    assert depth_loss(torch.zeros(1, 3, 3).bfloat16(), torch.zeros(1, 3, 3)).dtype == torch.float32
