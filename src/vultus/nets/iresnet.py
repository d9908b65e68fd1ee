"""Improved residual trunk of ArcFace (Deng et al., 2019; "IR" blocks, Han et al., 2017)."""

from __future__ import annotations

from torch import Tensor, nn

DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 14, 3), 100: (3, 13, 30, 3)}


class IRBlock(nn.Module):
    """BN, 3x3, BN, PReLU, 3x3 with the stride, BN, added to a shortcut without activation."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y: Tensor = self.shortcut(x) + self.residual(x)
        return y


class IResNet(nn.Module):
    """Trunk (N, 3, S, S) -> (N, channels, S / 16, S / 16).

    Parameters
    ----------
    depth
        18, 34, 50 or 100.
    width
        Factor on the channels 64, 128, 256, 512.
    """

    stride = 16

    def __init__(self, depth: int = 50, width: float = 1.0) -> None:
        super().__init__()
        stages = [max(round(c * width), 1) for c in (64, 128, 256, 512)]
        self.channels = stages[-1]
        self.stage_channels = tuple(stages)
        self.stem = nn.Sequential(
            nn.Conv2d(3, stages[0], 3, padding=1, bias=False),
            nn.BatchNorm2d(stages[0]),
            nn.PReLU(stages[0]),
        )
        inputs, layers = stages[0], []
        for blocks, outputs in zip(DEPTHS[depth], stages, strict=True):
            strides = [2] + [1] * (blocks - 1)
            layers.append(nn.Sequential(*self._blocks(inputs, outputs, strides)))
            inputs = outputs
        self.stages = nn.ModuleList(layers)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0, 0.1)

    @staticmethod
    def _blocks(inputs: int, outputs: int, strides: list[int]) -> list[nn.Module]:
        blocks: list[nn.Module] = []
        for stride in strides:
            blocks.append(IRBlock(inputs, outputs, stride))
            inputs = outputs
        return blocks

    def taps(self, x: Tensor) -> list[Tensor]:
        """Return the maps after each of the four stages, strides 2, 4, 8, 16."""
        x, maps = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Return the last map."""
        return self.taps(x)[-1]
