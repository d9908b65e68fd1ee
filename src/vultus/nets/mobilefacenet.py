"""MobileFaceNet trunk (Chen et al., 2018, table 1)."""

from __future__ import annotations

from torch import Tensor, nn

from vultus.nets.layers import Activation, Norm, SqueezeExcite, conv

#: Expansion, channels, repeats, stride of the bottleneck rows.
ROWS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


class Bottleneck(nn.Module):
    """Inverted residual with a linear projection."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        expansion: int,
        norm: Norm,
        activation: Activation,
        squeeze: int,
    ) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.add = stride == 1 and inputs == outputs
        self.body = nn.Sequential(
            conv(inputs, hidden, 1, norm=norm, activation=activation),
            conv(hidden, hidden, 3, stride, groups=hidden, norm=norm, activation=activation),
            conv(hidden, outputs, 1, norm=norm, activation="none"),
        )
        if squeeze:
            self.body.append(SqueezeExcite(outputs, squeeze, activation))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y: Tensor = self.body(x)
        return x + y if self.add else y


class MobileFaceNet(nn.Module):
    """Trunk (N, 3, S, S) -> (N, channels, S / 16, S / 16).

    Parameters
    ----------
    width
        Factor on the channels.
    norm, activation
        Behind every convolution; no activation behind the last one of a bottleneck.
    squeeze
        Reduction of a squeeze-and-excitation behind every bottleneck; 0 for none.
    """

    stride = 16

    def __init__(
        self,
        width: float = 1.0,
        norm: Norm = "batch",
        activation: Activation = "prelu",
        squeeze: int = 0,
    ) -> None:
        super().__init__()
        inputs = max(round(64 * width), 1)
        layers: list[nn.Module] = [
            conv(3, inputs, 3, 2, norm=norm, activation=activation),
            conv(inputs, inputs, 3, groups=inputs, norm=norm, activation=activation),
        ]
        for expansion, channels, repeats, stride in ROWS:
            outputs = max(round(channels * width), 1)
            for i in range(repeats):
                step = stride if i == 0 else 1
                layers.append(
                    Bottleneck(inputs, outputs, step, expansion, norm, activation, squeeze)
                )
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
