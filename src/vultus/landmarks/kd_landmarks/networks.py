"""Coordinate regressors: the MobileNetV2 student and the EfficientNet teachers."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from vultus.errors import ConfigError
from vultus.geometry import template
from vultus.landmarks.crops import TEMPLATE
from vultus.points68 import COUNT, MEAN
from vultus.settings import settings

#: The teacher's scaling of EfficientNet: width, depth (Tan and Le, 2019).
EFFICIENTNETS = {"efficientnet-b0": (1.0, 1.0), "efficientnet-b3": (1.2, 1.4)}

#: Share of the running statistics that one batch replaces. The transformers library takes the
#: complement from TensorFlow as it stands, which would keep the last batch's statistics only.
_MOMENTUM = 0.03


@settings
class Network:
    """A trunk and a linear layer to 2N coordinates.

    Parameters
    ----------
    trunk
        ``mobilenet-v2`` or one of :data:`EFFICIENTNETS`.
    width
        Factor on the trunk's channels; on the depth too where a teacher is scaled down.
    head
        ``pool``: global average, dropout, linear layer, as published. ``maps``: the linear layer
        reads places as well, from few channels of the maps at strides 16 and 32.
    dropout
        Before the linear layer.
    """

    trunk: Literal["mobilenet-v2", "efficientnet-b0", "efficientnet-b3"] = "mobilenet-v2"
    width: float = 1.0
    head: Literal["pool", "maps"] = "pool"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.width <= 0 or not 0 <= self.dropout < 1:
            raise ValueError("need width > 0 and 0 <= dropout < 1")


class Regressor(nn.Module):
    """float32 (N, 3, S, S) in [-1, 1], RGB -> coordinates (N, points, 2), in sides from the centre.

    Parameters
    ----------
    config
        Trunk and head.
    size
        Side of the input, a multiple of 16 (of 32 for the teachers' class of trunks).
    points
        68, 98 or 29.
    """

    def __init__(self, config: Network, size: int, points: int = 68) -> None:
        super().__init__()
        if size % 16 or size < 32:
            raise ConfigError(f"the input's side must be a multiple of 16 from 32 on, got {size}")
        self.size, self.points, self.head_name = size, points, config.head
        self.body = _trunk(config, size)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = _MOMENTUM
        with torch.no_grad():
            coarse, deep = self.eval()._maps(torch.zeros(1, 3, size, size))
        self.train()
        self.dropout = nn.Dropout(config.dropout)
        if config.head == "pool":
            self.linear = nn.Linear(deep.shape[1], 2 * points)
        else:
            self.coarse = _reduce(coarse.shape[1], 32)
            self.deep = _reduce(deep.shape[1], 64)
            places = 32 * coarse[0, 0].numel() + 64 * deep[0, 0].numel()
            self.linear = nn.Linear(places, 2 * points)
        # Faces differ by a few hundredths of the side: start near the mean face.
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)
        if points == COUNT:
            with torch.no_grad():
                mean = to_coordinates(torch.tensor(MEAN), template(TEMPLATE).size)
                self.linear.bias.copy_(mean.reshape(-1))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last map of stride 16 and the last map of the trunk."""
        out = self.body(x, output_hidden_states=True)
        side = x.shape[-1] // 16
        coarse = [h for h in out.hidden_states if h.shape[-1] == side][-1]
        return coarse, out.last_hidden_state

    def forward(self, x: Tensor) -> Tensor:
        """Return the coordinates, (N, points, 2): 0 the centre, 0.5 the edge."""
        coarse, deep = self._maps(x.contiguous(memory_format=torch.channels_last))
        if self.head_name == "pool":
            features = deep.mean((2, 3))
        else:
            features = torch.cat([self.coarse(coarse).flatten(1), self.deep(deep).flatten(1)], 1)
        return self.linear(self.dropout(features)).reshape(-1, self.points, 2)  # type: ignore[no-any-return]


class Shipped(nn.Module):
    """The student as it is exported: points in crop pixels."""

    def __init__(self, network: Regressor) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return points (N, points, 2) in pixels, 0 the centre of the first."""
        return to_pixels(self.network(x), self.network.size)


def to_pixels(coordinates: Tensor, size: int) -> Tensor:
    """Return pixels (..., 2), 0 the centre of the first, from coordinates as the network gives."""
    return coordinates * size + (size - 1) / 2


def to_coordinates(pixels: Tensor, size: int) -> Tensor:
    """Return coordinates in sides from the centre, about -0.5..0.5, from pixels.

    The released code has the opposite sign, (112 - x) / 224, which no loss here can tell.
    """
    return (pixels - (size - 1) / 2) / size


def _reduce(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, 1, bias=False),
        nn.BatchNorm2d(out, momentum=_MOMENTUM),
        nn.ReLU(),
    )


def _trunk(config: Network, size: int) -> nn.Module:
    trunk: Any
    if config.trunk == "mobilenet-v2":
        from transformers import MobileNetV2Config, MobileNetV2Model

        # With its own head the 1280 channels that global pooling wants are not needed.
        fine = config.head == "pool"
        trunk = MobileNetV2Model(
            MobileNetV2Config(
                image_size=size, depth_multiplier=config.width, finegrained_output=fine
            ),
            add_pooling_layer=False,
        )
    else:
        from transformers import EfficientNetConfig, EfficientNetModel

        width, depth = EFFICIENTNETS[config.trunk]
        trunk = EfficientNetModel(
            EfficientNetConfig(
                image_size=size,
                width_coefficient=width * config.width,
                depth_coefficient=depth * min(config.width, 1.0),
                hidden_dim=max(8, round(1280 * width * config.width / 8) * 8),
            )
        )
    return trunk  # type: ignore[no-any-return]
