"""Supervision by depth: mean squared error and contrastive depth loss (section 3.1, eq. 5)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def contrast_kernels() -> Tensor:
    """Return (8, 1, 3, 3): one neighbour minus the centre, for each neighbour."""
    kernels = torch.zeros(8, 1, 3, 3)
    kernels[:, 0, 1, 1] = -1.0
    for i, place in enumerate(p for p in range(9) if p != 4):
        kernels[i, 0, place // 3, place % 3] = 1.0
    return kernels


def contrasts(maps: Tensor) -> Tensor:
    """Return the differences to the eight neighbours, (N, 8, H - 2, W - 2), of maps (N, H, W)."""
    return functional.conv2d(maps[:, None].float(), contrast_kernels().to(maps.device))


def contrastive_depth_loss(maps: Tensor, labels: Tensor) -> Tensor:
    """Return the mean squared difference between the contrasts of maps and labels, (N, H, W)."""
    return (contrasts(maps) - contrasts(labels)).square().mean()


def depth_loss(maps: Tensor, labels: Tensor) -> Tensor:
    """Return the mean squared difference between maps and labels, (N, H, W), in float32."""
    return (maps.float() - labels.float()).square().mean()
