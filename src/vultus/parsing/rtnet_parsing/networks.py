"""RTNet: a dilated residual network of hybrid blocks with a convolutional head."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vultus.nets.tanh_polar import conversion
from vultus.parsing.classes import CLASSES
from vultus.parsing.rtnet_parsing.blocks import (
    Bottleneck,
    Grids,
    HybridBlock,
    Padding,
    PolarPad,
    polar_conv,
    unit,
)
from vultus.settings import settings

Space = Literal["hybrid", "polar", "cartesian"]


@settings
class Network:
    """The layout of a network; the defaults are RTNet-50.

    Parameters
    ----------
    blocks
        Blocks of the four layers; (3, 4, 23, 3) for RTNet-101.
    planes
        A layer gives four times as many channels.
    strides, dilations
        Of the four layers.
    stem
        Channels of the first convolution.
    pool
        Whether that is 7 x 7 and a max-pooling follows (stride 4), or 3 x 3 alone (stride 2).
    head, dropout
        Channels of the head, and the dropout before its last layer.
    fine
        Channels of the first layer that join the head at that layer's resolution, as in the
        decoder of DeepLabV3+; 0 for none, as published.
    space
        ``hybrid`` as published; ``polar`` keeps both paths in polar space; ``cartesian`` is for
        pictures that are not polar. The number of parameters is the same.
    padding
        ``mixed`` as published, or plain ``zero``, for polar convolutions.
    """

    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    planes: tuple[int, int, int, int] = (64, 128, 256, 512)
    strides: tuple[int, int, int, int] = (1, 2, 1, 1)
    dilations: tuple[int, int, int, int] = (1, 1, 2, 4)
    stem: int = 64
    pool: bool = True
    head: int = 512
    dropout: float = 0.1
    fine: int = 0
    space: Space = "hybrid"
    padding: Padding = "mixed"

    def __post_init__(self) -> None:
        if min(*self.blocks, *self.strides, *self.dilations, self.stem, self.head) < 1:
            raise ValueError("blocks, strides, dilations and channels must be at least 1")
        if any(p < 2 or p % 2 for p in self.planes):
            raise ValueError("planes are divided over two paths: need even numbers of 2 or more")
        if self.fine < 0 or not 0 <= self.dropout < 1:
            raise ValueError("need fine >= 0 and dropout in [0, 1)")


class RTNet(nn.Module):
    """Logits of each class on the canvas of the input.

    Parameters
    ----------
    config
        The layout.
    classes
        Number of classes.
    """

    def __init__(self, config: Network, classes: int = len(CLASSES)) -> None:
        super().__init__()
        self.config = config
        padding: Padding = "zero" if config.space == "cartesian" else config.padding
        kernel = 7 if config.pool else 3
        self.stem = nn.Sequential(
            polar_conv(3, config.stem, kernel, 2, 1, padding),
            nn.BatchNorm2d(config.stem),
            nn.ReLU(inplace=True),
            *(_pool(padding) if config.pool else ()),
        )
        given, layers = config.stem, []
        for number in range(4):
            layers.append(_layer(config, number, given, padding))
            given = 4 * config.planes[number]
        self.layers = nn.ModuleList(layers)
        self.head = nn.Sequential(
            polar_conv(given, config.head, 3, 1, 1, padding),
            nn.BatchNorm2d(config.head),
            nn.ReLU(inplace=True),
        )
        self.circular = padding == "mixed"
        self.fine = unit(4 * config.planes[0], config.fine) if config.fine else None
        self.mix = unit(config.head + config.fine, config.head) if config.fine else None
        self.classify = nn.Sequential(
            nn.Dropout(config.dropout), nn.Conv2d(config.head, classes, 1)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def grids(self, ratios: Tensor, size: tuple[int, int]) -> Grids:
        """Return the conversions that the blocks need.

        Parameters
        ----------
        ratios
            (N,) width / height of the boxes, or (1,) for all.
        size
            Rows and columns of the input.
        """
        if self.config.space != "hybrid":
            return {}
        sizes = set()
        size = _halved(_halved(size) if self.config.pool else size)
        for number, stride in enumerate(self.config.strides):
            size = size if stride == 1 else _halved(size, stride)
            if number and self.config.blocks[number] > 1:
                sizes.add(size)
        return {
            s: (conversion(ratios, s, "cartesian"), conversion(ratios, s, "polar")) for s in sizes
        }

    def forward(self, x: Tensor, grids: Grids) -> Tensor:
        """Return logits (N, classes, H, W) of pictures (N, 3, H, W) in [-1, 1]."""
        size = (x.shape[2], x.shape[3])
        x = self.stem(x)
        first = x
        for number, layer in enumerate(self.layers):
            x = layer(x, grids)
            if number == 0:
                first = x
        x = self.head(x)
        if self.fine is not None and self.mix is not None:
            x = self._enlarged(x, (first.shape[2], first.shape[3]))
            x = self.mix(torch.cat([x, self.fine(first)], 1))
        return self._enlarged(self.classify(x), size)

    def _enlarged(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Enlarge so that cell i of the map stays where it was seen: at i times the stride."""
        factor = -(-size[0] // x.shape[2])
        if factor == 1:
            return x
        below = x[:, :, :1] if self.circular else x[:, :, -1:]
        x = torch.cat([x, below], 2)
        x = torch.cat([x, x[..., -1:]], 3)
        whole = ((x.shape[2] - 1) * factor + 1, (x.shape[3] - 1) * factor + 1)
        x = F.interpolate(x, whole, mode="bilinear", align_corners=True)
        return x[:, :, : size[0], : size[1]]


def _pool(padding: Padding) -> tuple[nn.Module, nn.Module]:
    # After a ReLU zeros are no larger than any value.
    return PolarPad(1, padding), nn.MaxPool2d(3, 2)


class Layer(nn.ModuleList):
    """Blocks of one resolution, one after the other."""

    def forward(self, x: Tensor, grids: Grids) -> Tensor:
        """Pass maps (N, C, H, W) through every block."""
        for block in self:
            x = block(x, grids)
        return x


def _layer(config: Network, number: int, given: int, padding: Padding) -> Layer:
    planes, stride = config.planes[number], config.strides[number]
    dilation = config.dilations[number]
    # The first block of a layer keeps both paths in polar space.
    blocks: list[nn.Module] = [
        HybridBlock(given, planes, stride, dilation, cross=False, padding=padding)
    ]
    for _ in range(config.blocks[number] - 1):
        if number == 0:
            blocks.append(Bottleneck(4 * planes, planes, 1, dilation, padding))
        else:
            cross = config.space == "hybrid"
            block = HybridBlock(4 * planes, planes, 1, dilation, cross=cross, padding=padding)
            blocks.append(block)
    return Layer(blocks)


def _halved(size: tuple[int, int], stride: int = 2) -> tuple[int, int]:
    return -(-size[0] // stride), -(-size[1] // stride)


class Shipped(nn.Module):
    """A network for boxes of one ratio, which gives probabilities, as it is exported.

    Parameters
    ----------
    net
        Trained network.
    ratio
        Width / height that the boxes are brought to.
    size
        Rows and columns of the input.
    """

    def __init__(self, net: RTNet, ratio: float, size: tuple[int, int]) -> None:
        super().__init__()
        self.net = net
        where = next(net.parameters())
        grids = net.grids(where.new_tensor([ratio]), size)
        self.sizes = tuple(grids)
        for number, pair in enumerate(grids.values()):
            self.register_buffer(f"to_cartesian_{number}", pair[0], persistent=False)
            self.register_buffer(f"to_polar_{number}", pair[1], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return probabilities (N, classes, H, W) of pictures (N, 3, H, W) in [-1, 1]."""
        grids = {}
        for number, size in enumerate(self.sizes):
            pair = (
                self.get_buffer(f"{name}_{number}").expand(x.shape[0], -1, -1, -1)
                for name in ("to_cartesian", "to_polar")
            )
            grids[size] = tuple(pair)
        logits: Tensor = self.net(x, grids)
        return logits.softmax(1)
