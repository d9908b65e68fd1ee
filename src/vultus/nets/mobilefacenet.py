"""MobileFaceNet trunk (Chen et al., 2018, table 1)."""

from __future__ import annotations

from torch import Tensor, nn

from vultus.nets.layers import conv

#: Expansion, channels, repeats, stride of the bottleneck rows.
ROWS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


class Bottleneck(nn.Module):
    """Inverted residual with PReLU and a linear projection."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.add = stride == 1 and inputs == outputs
        self.body = nn.Sequential(
            conv(inputs, hidden, 1, activation="prelu"),
            conv(hidden, hidden, 3, stride, groups=hidden, activation="prelu"),
            conv(hidden, outputs, 1, activation="none"),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y: Tensor = self.body(x)
        return x + y if self.add else y


class MobileFaceNet(nn.Module):
    """Trunk (N, 3, S, S) -> (N, channels, S / 16, S / 16); ``width`` scales the channels."""

    stride = 16

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        inputs = max(round(64 * width), 1)
        layers: list[nn.Module] = [
            conv(3, inputs, 3, 2, activation="prelu"),
            conv(inputs, inputs, 3, groups=inputs, activation="prelu"),
        ]
        for expansion, channels, repeats, stride in ROWS:
            outputs = max(round(channels * width), 1)
            for i in range(repeats):
                layers.append(Bottleneck(inputs, outputs, stride if i == 0 else 1, expansion))
                inputs = outputs
        self.channels = inputs
        self.layers = nn.Sequential(*layers)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        """Return the last map."""
        y: Tensor = self.layers(x)
        return y
