"""Blocks that compute in tanh-polar space, and in tanh-Cartesian space beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vultus.nets.tanh_polar import convert

Padding = Literal["mixed", "zero"]
#: Grids from polar to Cartesian and back, by rows and columns of the maps they are for.
Grids = Mapping[tuple[int, int], tuple[Tensor, Tensor]]


class PolarPad(nn.Module):
    """Padding of polar maps: rows are an angle and go round, columns end and are repeated.

    Parameters
    ----------
    amount
        Cells on every side.
    padding
        ``mixed``, or ``zero`` for plain zeros.
    """

    def __init__(self, amount: int, padding: Padding) -> None:
        super().__init__()
        self.amount, self.padding = amount, padding

    def forward(self, x: Tensor) -> Tensor:
        """Pad (N, C, H, W); an angle goes round as often as the padding needs."""
        p = self.amount
        if self.padding == "zero":
            return F.pad(x, (p, p, p, p))
        height = x.shape[2]
        times = -(-p // height)
        above = x if times == 1 else x.repeat(1, 1, times, 1)
        x = torch.cat([above[:, :, above.shape[2] - p :], x, above[:, :, :p]], 2)
        return F.pad(x, (p, p, 0, 0), mode="replicate")


def polar_conv(
    given: int, made: int, kernel: int, stride: int, dilation: int, padding: Padding
) -> nn.Sequential:
    """Return a convolution of polar maps without bias, padded to keep the size at stride 1."""
    return nn.Sequential(
        PolarPad(dilation * (kernel // 2), padding),
        nn.Conv2d(given, made, kernel, stride, dilation=dilation, bias=False),
    )


def unit(given: int, made: int) -> nn.Sequential:
    """Return a 1 x 1 convolution with batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(given, made, 1, bias=False), nn.BatchNorm2d(made), nn.ReLU(inplace=True)
    )


class Bottleneck(nn.Module):
    """A plain residual bottleneck (He et al., 2016) whose 3 x 3 convolution is polar."""

    def __init__(
        self,
        given: int,
        planes: int,
        stride: int = 1,
        dilation: int = 1,
        padding: Padding = "mixed",
    ) -> None:
        super().__init__()
        self.shortcut = _shortcut(given, 4 * planes, stride)
        self.reduce = unit(given, planes)
        self.middle = nn.Sequential(
            polar_conv(planes, planes, 3, stride, dilation, padding),
            nn.BatchNorm2d(planes),
            nn.ReLU(inplace=True),
        )
        self.expand = _expand(planes)

    def forward(self, x: Tensor, grids: Grids) -> Tensor:
        """Map (N, given, H, W) to (N, 4 planes, H / stride, W / stride)."""
        return F.relu(self.expand(self.middle(self.reduce(x))) + self.shortcut(x))


class HybridBlock(nn.Module):
    """A residual block of two paths with half of the planes each.

    Path A convolves in polar space. Path B, where ``cross`` is on, resamples to tanh-Cartesian
    space, convolves there with plain zero padding, and resamples back; otherwise it is polar too.

    Parameters
    ----------
    given, planes
        Channels in; the block gives ``4 * planes``.
    stride, dilation
        Of both 3 x 3 convolutions.
    cross
        Whether path B crosses into Cartesian space; only at stride 1.
    padding
        Of polar convolutions.
    """

    def __init__(
        self,
        given: int,
        planes: int,
        stride: int = 1,
        dilation: int = 1,
        *,
        cross: bool = True,
        padding: Padding = "mixed",
    ) -> None:
        super().__init__()
        half = planes // 2
        self.cross = cross and stride == 1
        self.shortcut = _shortcut(given, 4 * planes, stride)
        self.reduce_a, self.reduce_b = unit(given, half), unit(given, half)
        self.conv_a = polar_conv(half, half, 3, stride, dilation, padding)
        # In Cartesian space the picture has an edge, and nothing is known beyond it.
        b_padding: Padding = "zero" if self.cross else padding
        self.conv_b = polar_conv(half, half, 3, stride, dilation, b_padding)
        self.norm_a, self.norm_b = nn.BatchNorm2d(half), nn.BatchNorm2d(half)
        self.expand = _expand(2 * half, 4 * planes)

    def forward(self, x: Tensor, grids: Grids) -> Tensor:
        """Map (N, given, H, W) to (N, 4 planes, H / stride, W / stride).

        ``grids`` holds the conversions of this size where the block crosses.
        """
        a, b = self.conv_a(self.reduce_a(x)), self.reduce_b(x)
        if self.cross:
            to_cartesian, to_polar = grids[(x.shape[2], x.shape[3])]
            b = convert(b, to_cartesian, "cartesian")
            b = convert(self.conv_b(b), to_polar, "polar")
        else:
            b = self.conv_b(b)
        joined = torch.cat([F.relu(self.norm_a(a)), F.relu(self.norm_b(b))], 1)
        return F.relu(self.expand(joined) + self.shortcut(x))


def _expand(given: int, made: int | None = None) -> nn.Sequential:
    norm = nn.BatchNorm2d(made or 4 * given)
    # The residual branch starts at zero: every block starts as its shortcut.
    nn.init.zeros_(norm.weight)
    return nn.Sequential(nn.Conv2d(given, made or 4 * given, 1, bias=False), norm)


def _shortcut(given: int, made: int, stride: int) -> nn.Module:
    if given == made and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(given, made, 1, stride, bias=False), nn.BatchNorm2d(made))
