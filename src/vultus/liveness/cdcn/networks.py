"""CDCN and CDCN++: from a face crop to a map that imitates depth (sections 3.1 to 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from vultus.liveness.cdcn.cells import CDCN_PLUS_PLUS, Genotype, build_cell, unit
from vultus.liveness.cdcn.convolution import CentralDifferenceConv2d

#: Side of the input over the side of the map.
STRIDE = 8

#: Kernels of the spatial attention on the low, middle and high level (section 3.3).
ATTENTION_KERNELS = (7, 5, 3)


def width_of(channels: int, width: float) -> int:
    """Return a scaled number of channels, at least 4."""
    return max(round(channels * width), 4)


class SpatialAttention(nn.Module):
    """Weighs the places of a map by what its channels have there: F * sigmoid(conv [mean, max]).

    Parameters
    ----------
    kernel
        Side of the convolution, a plain one from two channels to one, without bias.
    """

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W) as given, weighed."""
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.gate(seen))


class Fusion(nn.Module):
    """Brings three levels to the size of the smallest and puts their channels side by side.

    Parameters
    ----------
    kernels
        Of the attention on each level (MAFM), or none for plain concatenation.
    """

    def __init__(self, kernels: Sequence[int] = ()) -> None:
        super().__init__()
        self.attention = nn.ModuleList([SpatialAttention(k) for k in kernels])

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Fuse maps (N, C_i, H_i, W_i) to (N, sum C_i, H_last, W_last)."""
        if self.attention:
            levels = [a(level) for a, level in zip(self.attention, levels, strict=True)]
        size = levels[-1].shape[-2:]
        small = [
            functional.interpolate(level, size, mode="bilinear", align_corners=False)
            for level in levels
        ]
        return torch.cat(small, 1)


def _units(sizes: Sequence[int], theta: float) -> nn.Sequential:
    return nn.Sequential(*[unit(a, b, theta) for a, b in pairwise(sizes)])


class MapHead(nn.Module):
    """From fused features to a depth map; the last convolution has a ReLU but no normalisation.

    Parameters
    ----------
    inputs, hidden
        Channels of the features and of the units between.
    theta
        Of every convolution.
    """

    def __init__(self, inputs: int, hidden: Sequence[int], theta: float) -> None:
        super().__init__()
        self.units = _units([inputs, *hidden], theta)
        self.last = CentralDifferenceConv2d(hidden[-1], 1, theta=theta)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps (N, H, W), non-negative."""
        depth: Tensor = functional.relu(self.last(self.units(x)))
        return depth[:, 0]


class LabelHead(nn.Module):
    """Global pooling and one probability, in place of the map: the baseline of binary labels."""

    def __init__(self, inputs: int, hidden: Sequence[int], theta: float) -> None:
        super().__init__()
        self.units = _units([inputs, *hidden], theta)
        self.last = nn.Linear(hidden[-1], 1)

    def logits(self, x: Tensor) -> Tensor:
        """Return the log odds of bona fide, (N,)."""
        pooled: Tensor = self.units(x).mean((2, 3))
        out: Tensor = self.last(pooled)
        return out[:, 0]

    def forward(self, x: Tensor) -> Tensor:
        """Return the probability of bona fide as a map of one pixel, (N, 1, 1)."""
        return torch.sigmoid(self.logits(x))[:, None, None]


class DepthNet(nn.Module):
    """A stem, three levels that each halve the side, their fusion, and a head.

    Parameters
    ----------
    stem, levels
        Modules; every level ends at half the side it starts from.
    fusion, head
        See :class:`Fusion`; :class:`MapHead` or :class:`LabelHead`.
    """

    def __init__(
        self, stem: nn.Module, levels: Sequence[nn.Module], fusion: Fusion, head: nn.Module
    ) -> None:
        super().__init__()
        self.stem, self.fusion, self.head = stem, fusion, head
        self.levels = nn.ModuleList(levels)

    def features(self, x: Tensor) -> Tensor:
        """Return the fused features (N, C, S / 8, S / 8) of (N, 3, S, S)."""
        maps = []
        x = self.stem(x)
        for level in self.levels:
            x = level(x)
            maps.append(x)
        fused: Tensor = self.fusion(maps)
        return fused

    def forward(self, x: Tensor) -> Tensor:
        """Return maps (N, S / 8, S / 8) of crops (N, 3, S, S); (N, 1, 1) from a label head."""
        out: Tensor = self.head(self.features(x))
        return out


def pool() -> nn.MaxPool2d:
    """Return the max pooling that ends a level."""
    return nn.MaxPool2d(3, stride=2, padding=1)


def build_cdcn(theta: float = 0.7, width: float = 1.0, *, label_head: bool = False) -> DepthNet:
    """Return CDCN (table 1 of the paper), untrained.

    Parameters
    ----------
    theta
        Share of the central difference in every convolution.
    width
        Factor on all channels.
    label_head
        Whether the head gives one probability in place of a map.
    """
    first, mid, wide = (width_of(c, width) for c in (64, 128, 196))
    levels = [
        nn.Sequential(
            unit(inputs, mid, theta), unit(mid, wide, theta), unit(wide, mid, theta), pool()
        )
        for inputs in (first, mid, mid)
    ]
    head = LabelHead if label_head else MapHead
    return DepthNet(
        unit(3, first, theta), levels, Fusion(), head(3 * mid, (mid, width_of(64, width)), theta)
    )


def build_from_genotype(
    genotype: Genotype = CDCN_PLUS_PLUS,
    theta: float = 0.7,
    width: float = 1.0,
    *,
    attention: bool = True,
    label_head: bool = False,
) -> DepthNet:
    """Return the network of a searched architecture; by default CDCN++ (figure 5).

    Parameters
    ----------
    genotype
        One cell per level.
    theta, width, label_head
        See :func:`build_cdcn`.
    attention
        Whether levels are fused with spatial attention (MAFM).
    """
    first, mid = width_of(64, width), width_of(128, width)
    levels = []
    for i, cell in enumerate(genotype.cells()):
        body = [build_cell(cell, mid, theta), pool()]
        # Only the low level starts from the stem's narrower map.
        levels.append(nn.Sequential(*([unit(first, mid, theta)] if i == 0 else []), *body))
    head = LabelHead if label_head else MapHead
    fusion = Fusion(ATTENTION_KERNELS if attention else ())
    return DepthNet(unit(3, first, theta), levels, fusion, head(3 * mid, (mid,), theta))
