"""A plain small convolutional trunk for experiments on a CPU."""

from __future__ import annotations

from torch import Tensor, nn

from vultus.nets.layers import Norm, conv


class SmallNet(nn.Module):
    """Trunk (N, 3, S, S) -> (N, 8 * base, S / 16, S / 16): four stages of strided 3x3 convolutions.

    Parameters
    ----------
    base
        Channels of the first stage; each further stage doubles them.
    blocks
        Convolutions per stage; the first of them has stride 2.
    norm
        ``"group"`` has no running statistics, so train and test behave alike and the result
        does not depend on how a batch is spread over processes.
    """

    stride = 16

    def __init__(self, base: int = 32, blocks: int = 2, norm: Norm = "batch") -> None:
        super().__init__()
        stages, inputs = [], 3
        for i in range(4):
            outputs = base * 2**i
            layers = [conv(inputs, outputs, stride=2, norm=norm)]
            layers += [conv(outputs, outputs, norm=norm) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(*layers))
            inputs = outputs
        self.channels = inputs
        self.stages = nn.ModuleList(stages)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def taps(self, x: Tensor) -> list[Tensor]:
        """Return the maps after each stage, strides 2, 4, 8, 16."""
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Return the last map."""
        return self.taps(x)[-1]
