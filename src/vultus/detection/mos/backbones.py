"""Light trunks with maps at strides 8, 16 and 32."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from vultus.nets.layers import conv

Trunk = Literal["shufflenet-v2", "mobilenet-v2"]

#: Channels of the three stages at width 1, units per stage, channels of the stem.
_STAGES, _UNITS, _STEM = (116, 232, 464), (4, 8, 4), 24


class ShuffleUnit(nn.Module):
    """Unit of ShuffleNetV2 (Ma et al., ECCV 2018, figure 3 c and d)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half = outputs // 2
        self.stride = stride
        narrow = inputs if stride == 2 else half
        self.branch = nn.Sequential(
            conv(narrow, half, 1),
            conv(half, half, 3, stride, groups=half, activation="none"),
            conv(half, half, 1),
        )
        self.shortcut = nn.Sequential(
            conv(inputs, inputs, 3, 2, groups=inputs, activation="none"), conv(inputs, half, 1)
        )
        if stride == 1:
            self.shortcut = nn.Sequential()

    def forward(self, x: Tensor) -> Tensor:
        """Transform half of the channels (all of them where it shrinks the map), then shuffle."""
        kept, worked = (x, x) if self.stride == 2 else x.chunk(2, 1)
        both = torch.stack([self.shortcut(kept), self.branch(worked)], 2)
        return both.flatten(1, 2)


class ShuffleNetV2(nn.Module):
    """ShuffleNetV2 without its last convolution; ``width`` scales the stages' channels."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.channels = tuple(2 * round(c * width / 2) for c in _STAGES)
        self.stem = nn.Sequential(conv(3, _STEM, 3, 2), nn.MaxPool2d(3, 2, 1))
        stages = []
        inputs = _STEM
        for outputs, units in zip(self.channels, _UNITS, strict=True):
            rest = [ShuffleUnit(outputs, outputs, 1) for _ in range(units - 1)]
            stages.append(nn.Sequential(ShuffleUnit(inputs, outputs, 2), *rest))
            inputs = outputs
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the maps of stages 2 to 4 of (N, 3, H, W)."""
        x = self.stem(x)
        taps = []
        for stage in self.stages:
            x = stage(x)
            taps.append(x)
        return taps


class MobileNetV2Taps(nn.Module):
    """MobileNetV2 from transformers; the last map is that of its last inverted residual.

    At width 1 the taps have 32, 96 and 320 channels.
    """

    _TAPS = (4, 11, 15)

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        from transformers import MobileNetV2Config, MobileNetV2Model

        config = MobileNetV2Config(depth_multiplier=width, tf_padding=False)
        body = MobileNetV2Model(config, add_pooling_layer=False)
        self.stem, self.layers = body.conv_stem, body.layer
        with torch.no_grad():
            self.channels = tuple(t.shape[1] for t in self.eval()(torch.zeros(1, 3, 64, 64)))
        self.train()

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the three maps of (N, 3, H, W)."""
        x = self.stem(x)
        taps = []
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if number in self._TAPS:
                taps.append(x)
        return taps


def build_trunk(name: Trunk, width: float) -> ShuffleNetV2 | MobileNetV2Taps:
    """Return a randomly initialised trunk."""
    return ShuffleNetV2(width) if name == "shufflenet-v2" else MobileNetV2Taps(width)
