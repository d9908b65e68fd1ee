"""The face alignment network of stacked hourglasses, and the residual network for depth."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from vultus.points68 import COUNT
from vultus.settings import settings

#: A crop's side over that of its heat maps.
STRIDE = 4

Block = Literal["hierarchical", "bottleneck"]
Pooling = Literal["max", "average"]


@settings
class Network:
    """Stacked hourglasses (Bulat and Tzimiropoulos, 2017, section 3).

    Parameters
    ----------
    stacks
        Hourglasses, each with its own heat maps and loss.
    block
        ``hierarchical``: three 3 x 3 convolutions one after the other, side by side in the
        output. ``bottleneck``: 1 x 1, 3 x 3, 1 x 1, of the first hourglass networks.
    channels
        Of the maps that the hourglasses work on.
    pooling
        In stem and hourglasses: ``max`` in the paper's own code, ``average`` in the networks
        released for Python.
    depth
        Times that an hourglass halves its maps.
    inner
        Channels inside a bottleneck, as a share of the block's.
    """

    stacks: int = 4
    block: Block = "hierarchical"
    channels: int = 256
    pooling: Pooling = "max"
    depth: int = 4
    inner: float = 0.5

    def __post_init__(self) -> None:
        if min(self.stacks, self.depth) < 1 or self.channels < 16 or self.channels % 16:
            raise ValueError("need stacks and depth >= 1, and channels a multiple of 16")
        if not 0 < self.inner <= 2:
            raise ValueError("inner must lie in (0, 2]")


@settings
class DepthNetwork:
    """ResNet of bottlenecks that gives the depth of each point; 3, 8, 36, 3 is ResNet-152.

    Parameters
    ----------
    layers
        Blocks at each of the four resolutions.
    channels
        Of the first blocks' inside; outputs have four times as many, doubled at each resolution.
    """

    layers: tuple[int, int, int, int] = (3, 8, 36, 3)
    channels: int = 64

    def __post_init__(self) -> None:
        if min(*self.layers, self.channels) < 1:
            raise ValueError("layers and channels must be at least 1")


class Fan(nn.Module):
    """float (N, inputs, S, S) -> one (N, points, S / 4, S / 4) of heat maps per stack.

    Parameters
    ----------
    config
        Of the network.
    inputs
        Channels of the input: 3 for a picture, 71 with 68 maps that guide.
    points
        Heat maps.
    """

    def __init__(self, config: Network, inputs: int = 3, points: int = COUNT) -> None:
        super().__init__()
        c = config.channels
        self.pool = _pool(config.pooling)
        self.stem = nn.Sequential(nn.Conv2d(inputs, c // 4, 7, 2, 3), nn.BatchNorm2d(c // 4))
        self.first = make_block(config, c // 4, c // 2)
        self.second = make_block(config, c // 2, c // 2)
        self.third = make_block(config, c // 2, c)
        self.stacks = nn.ModuleList(
            Stack(config, points, last=i == config.stacks - 1) for i in range(config.stacks)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the heat maps of every stack, the last one's at the end."""
        x = self.pool(self.first(functional.relu(self.stem(x))))
        x = self.third(self.second(x))
        out = []
        for stack in self.stacks:
            maps, x = stack(x)
            out.append(maps)
        return out


class Stack(nn.Module):
    """An hourglass, its heat maps, and what the next stack gets."""

    def __init__(self, config: Network, points: int, *, last: bool) -> None:
        super().__init__()
        c = config.channels
        self.hourglass = Hourglass(config, config.depth)
        self.block = make_block(config, c, c)
        self.features = nn.Sequential(nn.Conv2d(c, c, 1), nn.BatchNorm2d(c))
        self.maps = nn.Conv2d(c, points, 1)
        self.last = last
        if not last:
            self.back = nn.Conv2d(c, c, 1)
            self.maps_back = nn.Conv2d(points, c, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return heat maps, and the input of the next stack."""
        features = functional.relu(self.features(self.block(self.hourglass(x))))
        maps = self.maps(features)
        if not self.last:
            x = x + self.back(features) + self.maps_back(maps)
        return maps, x


class Hourglass(nn.Module):
    """Halve, look, double, and add what was seen at the full side."""

    def __init__(self, config: Network, depth: int) -> None:
        super().__init__()
        c = config.channels
        self.pool = _pool(config.pooling)
        self.beside = make_block(config, c, c)
        self.down = make_block(config, c, c)
        deepest = depth == 1
        self.inside = make_block(config, c, c) if deepest else Hourglass(config, depth - 1)
        self.up = make_block(config, c, c)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps of the same shape."""
        low = self.up(self.inside(self.down(self.pool(x))))
        return self.beside(x) + functional.interpolate(low, scale_factor=2.0, mode="nearest")  # type: ignore[no-any-return]


class Hierarchical(nn.Module):
    """Parallel multi-scale block with pre-activation: C/2, C/4 and C/4 channels side by side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.one = _step(inputs, outputs // 2, 3)
        self.two = _step(outputs // 2, outputs // 4, 3)
        self.three = _step(outputs // 4, outputs // 4, 3)
        self.skip = _step(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H, W)."""
        one = self.one(x)
        two = self.two(one)
        return torch.cat([one, two, self.three(two)], 1) + self.skip(x)  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolution with pre-activation (Newell et al., 2016)."""

    def __init__(self, inputs: int, outputs: int, inner: float) -> None:
        super().__init__()
        middle = max(round(outputs * inner), 1)
        self.steps = nn.Sequential(
            _step(inputs, middle, 1), _step(middle, middle, 3), _step(middle, outputs, 1)
        )
        self.skip = _step(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H, W)."""
        return self.steps(x) + self.skip(x)  # type: ignore[no-any-return]


class DepthNet(nn.Module):
    """float (N, 71, S, S), a crop and the maps of its points, -> depth (N, 68) in crop pixels.

    Depth is relative to the mean of the points, and positive towards the camera.
    """

    def __init__(self, config: DepthNetwork, inputs: int = 3 + COUNT, points: int = COUNT) -> None:
        super().__init__()
        width = config.channels
        self.stem = nn.Sequential(
            nn.Conv2d(inputs, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
        )
        blocks: list[nn.Module] = []
        channels = width
        for level, count in enumerate(config.layers):
            inner = width * 2**level
            for i in range(count):
                stride = 2 if level and not i else 1
                blocks.append(Residual(channels, inner, stride))
                channels = 4 * inner
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(channels, points)

    def forward(self, x: Tensor) -> Tensor:
        """Return depth (N, points)."""
        x = functional.max_pool2d(functional.relu(self.stem(x)), 3, 2, 1)
        x = self.blocks(x)
        # The released network pools the first 7 x 7 of the 8 x 8 that 256 pixels leave.
        kernel = min(7, x.shape[-1])
        return self.linear(x[..., :kernel, :kernel].mean((-2, -1)))  # type: ignore[no-any-return]


class Residual(nn.Module):
    """Bottleneck of ResNet, with the activation after the sum (He et al., 2016)."""

    def __init__(self, inputs: int, inner: int, stride: int) -> None:
        super().__init__()
        self.one = _normed(inputs, inner, 1, 1)
        self.two = _normed(inner, inner, 3, stride)
        self.three = _normed(inner, 4 * inner, 1, 1)
        same = inputs == 4 * inner and stride == 1
        self.skip = nn.Identity() if same else _normed(inputs, 4 * inner, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 4 inner, H / stride, W / stride)."""
        out = functional.relu(self.two(functional.relu(self.one(x))))
        return functional.relu(self.three(out) + self.skip(x))


def make_block(config: Network, inputs: int, outputs: int) -> nn.Module:
    """Return one residual block of the kind that the settings name."""
    if config.block == "hierarchical":
        return Hierarchical(inputs, outputs)
    return Bottleneck(inputs, outputs, config.inner)


def parameters(network: nn.Module) -> int:
    """Return the number of trained values."""
    return sum(p.numel() for p in network.parameters())


def matched_inner(config: Network) -> float:
    """Return the share of inner channels that gives bottlenecks this network's parameters.

    In steps of a sixteenth of the channels' reciprocal, the nearest from below or above.
    """
    aim = parameters(Fan(config))
    shares = [i / config.channels for i in range(config.channels // 4, config.channels + 1)]
    plain = {
        "stacks": config.stacks,
        "channels": config.channels,
        "pooling": config.pooling,
        "depth": config.depth,
    }
    counts = [
        parameters(Fan(Network(block="bottleneck", inner=share, **plain)))  # type: ignore[arg-type]
        for share in shares
    ]
    return min(zip(shares, counts, strict=True), key=lambda pair: abs(pair[1] - aim))[0]


def _step(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(inputs),
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
    )


def _normed(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


def _pool(kind: Pooling) -> nn.Module:
    return nn.MaxPool2d(2) if kind == "max" else nn.AvgPool2d(2)
