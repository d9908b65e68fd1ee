"""Backbones by name: a trunk that gives a feature map, and a head that gives an embedding."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal, Protocol, cast

import torch
from torch import Tensor, nn

from vultus.errors import ConfigError
from vultus.nets.iresnet import IResNet
from vultus.nets.layers import DepthwiseHead, FlattenHead, PoolHead
from vultus.nets.mobilefacenet import MobileFaceNet
from vultus.nets.pretrainable import EfficientNet, MobileNetV2, Swin, ViT
from vultus.nets.smallnet import SmallNet
from vultus.settings import settings

Name = Literal[
    "iresnet18",
    "iresnet34",
    "iresnet50",
    "iresnet100",
    "mobilefacenet",
    "smallnet",
    "smallnet-gn",
    "vit-tiny",
    "swin-tiny",
    "mobilenet-v2",
    "efficientnet-b0",
]


class Trunk(Protocol):
    """What a head needs of a trunk: (N, 3, S, S) -> (N, channels, S / stride, S / stride)."""

    channels: int
    stride: int

    def __call__(self, x: Tensor) -> Tensor:
        """Return the last map."""


@settings
class Backbone:
    """Which network turns an aligned crop into an embedding.

    Parameters
    ----------
    name
        One of :data:`TRUNKS`.
    size
        Side of the input crop in pixels, a multiple of the trunk's stride.
    dim
        Length of the embedding.
    width
        Factor on the trunk's channels (not for the transformers).
    dropout
        Before the last layer.
    """

    name: Name
    size: int = 112
    dim: int = 512
    width: float = 1.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.size < 16 or self.dim < 1 or self.width <= 0 or not 0 <= self.dropout < 1:
            raise ConfigError(
                f"backbone {self.name}: need size >= 16, dim >= 1, width > 0, 0 <= dropout < 1, "
                f"got {self.size}, {self.dim}, {self.width}, {self.dropout}"
            )


def _smallnet(b: Backbone, norm: Literal["batch", "group"]) -> nn.Module:
    return SmallNet(max(round(32 * b.width), 1), norm=norm)


def _swin(b: Backbone) -> nn.Module:
    # Two-pixel patches at 112 (SwinFace), four-pixel ones where the picture is large.
    patch = 2 if b.size <= 128 else 4
    if b.size % (8 * patch):
        raise ConfigError(f"backbone swin-tiny: size {b.size} is no multiple of {8 * patch}")
    # No window may be larger than the last stage's map.
    return Swin(b.size, patch=patch, window=min(7, b.size // (8 * patch)))


TRUNKS: Mapping[str, Callable[[Backbone], nn.Module]] = {
    "iresnet18": lambda b: IResNet(18, b.width),
    "iresnet34": lambda b: IResNet(34, b.width),
    "iresnet50": lambda b: IResNet(50, b.width),
    "iresnet100": lambda b: IResNet(100, b.width),
    "mobilefacenet": lambda b: MobileFaceNet(b.width),
    "smallnet": lambda b: _smallnet(b, "batch"),
    "smallnet-gn": lambda b: _smallnet(b, "group"),
    "vit-tiny": lambda b: ViT(b.size, patch=8),
    "swin-tiny": _swin,
    "mobilenet-v2": lambda b: MobileNetV2(b.size, b.width),
    "efficientnet-b0": lambda b: EfficientNet(b.size, b.width),
}


class Embedder(nn.Module):
    """Trunk and head: float (N, 3, S, S) in [-1, 1], RGB -> float (N, dim), not normalised."""

    def __init__(self, trunk: nn.Module, head: nn.Module, size: int, dim: int) -> None:
        super().__init__()
        self.trunk, self.head, self.size, self.dim = trunk, head, size, dim

    def forward(self, x: Tensor) -> Tensor:
        """Return the embeddings; their length is meaningful for AdaFace and MagFace."""
        y: Tensor = self.head(self.trunk(x))
        return y


def build_backbone(backbone: Backbone) -> Embedder:
    """Return a randomly initialised network; seed torch before the call.

    Raises
    ------
    ConfigError
        If the input size does not fit the trunk's stride.
    """
    trunk = TRUNKS[backbone.name](backbone)
    shape = cast(Trunk, trunk)
    side = math.ceil(backbone.size / shape.stride)
    head: nn.Module
    if backbone.name.startswith("iresnet"):
        head = FlattenHead(shape.channels, side, backbone.dim, backbone.dropout)
    elif backbone.name == "mobilefacenet":
        head = DepthwiseHead(shape.channels, side, backbone.dim)
    else:
        head = PoolHead(
            shape.channels, backbone.dim, backbone.dropout, bn=backbone.name != "smallnet-gn"
        )
    return Embedder(trunk, head, backbone.size, backbone.dim)


def to_input(crops: Tensor) -> Tensor:
    """Return float32 (N, 3, S, S) in [-1, 1] from uint8 RGB crops (N, S, S, 3)."""
    return crops.permute(0, 3, 1, 2).to(torch.float32).sub(127.5).div(127.5)
