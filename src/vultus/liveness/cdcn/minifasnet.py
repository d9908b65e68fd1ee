"""MiniFASNet V2 with central difference convolutions and a map of the face beside its answer.

The trunk is that of Silent-Face-Anti-Spoofing (minivision-ai, Apache-2.0), which looks at 2.7 times
the box of a face and ends in the classes print, live and replay. Every convolution that sees a
neighbourhood is a central difference convolution here; the published weights carry over without
a change of what the network computes. Beside it a head as in CDCN++ makes a map of the face from
three levels under spatial attention.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vultus.errors import WeightsError
from vultus.liveness.cdcn.convolution import CentralDifferenceConv2d, difference_kernel, fused
from vultus.liveness.cdcn.networks import Fusion, MapHead
from vultus.nets.onnx import export_onnx

#: Side of the crops, and of the map.
SIDE, MAP = 80, 10

#: Place of the class live among print, live, replay.
LIVE = 1

#: Channels between the pointwise convolutions of each block, as pruned by the authors.
LOW, MIDDLE, HIGH = (13, 13, 13, 13), (231, 52, 26, 77, 26, 26), (26, 26)


class Block(nn.Module):
    """Pointwise, depthwise central difference, pointwise; PReLU after the first two.

    Parameters
    ----------
    inputs, wide, outputs
        Channels.
    stride
        Of the depthwise convolution; with 1 the input is added.
    theta
        Share of the central difference.
    """

    def __init__(self, inputs: int, wide: int, outputs: int, stride: int, theta: float) -> None:
        super().__init__()
        self.adds = stride == 1
        self.expand = nn.Conv2d(inputs, wide, 1)
        self.first = nn.PReLU(wide)
        self.depthwise = CentralDifferenceConv2d(
            wide, wide, stride=stride, groups=wide, bias=True, theta=theta
        )
        self.second = nn.PReLU(wide)
        self.project = nn.Conv2d(wide, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H / stride, W / stride)."""
        y = self.second(self.depthwise(self.first(self.expand(x))))
        out: Tensor = self.project(y)
        return x + out if self.adds else out


class MiniFASNet(nn.Module):
    """Crops (N, 3, 80, 80) to three levels and the logits of print, live and replay.

    Parameters
    ----------
    theta
        Share of the central difference in the 3x3 convolutions.
    """

    def __init__(self, theta: float = 0.7) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            CentralDifferenceConv2d(3, 32, stride=2, bias=True, theta=theta),
            nn.PReLU(32),
            CentralDifferenceConv2d(32, 32, groups=32, bias=True, theta=theta),
            nn.PReLU(32),
        )
        self.low = nn.Sequential(
            Block(32, 103, 64, 2, theta), *[Block(64, w, 64, 1, theta) for w in LOW]
        )
        self.middle = nn.Sequential(
            Block(64, 231, 128, 2, theta), *[Block(128, w, 128, 1, theta) for w in MIDDLE]
        )
        self.high = nn.Sequential(
            Block(128, 308, 128, 2, theta), *[Block(128, w, 128, 1, theta) for w in HIGH]
        )
        # The last convolution covers the whole map: there is no neighbourhood left to differ from.
        self.gather = nn.Sequential(
            nn.Conv2d(128, 512, 1), nn.PReLU(512), nn.Conv2d(512, 512, 5, groups=512)
        )
        self.classes = nn.Linear(512, 3)

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return maps of strides 4, 8 and 16, and logits (N, 3), of crops in [-1, 1]."""
        # As in its first training grey levels from 0, where padding is black.
        low = self.low(self.stem(x * 128 + 127.5))
        middle = self.middle(low)
        high = self.high(middle)
        logits: Tensor = self.classes(self.gather(high).flatten(1))
        return [low, middle, high], logits


class WindowNet(nn.Module):
    """MiniFASNet and a map head: what is shipped for windows of 2.7 times the box.

    Parameters
    ----------
    theta
        Share of the central difference.
    hidden
        Channels of the map head.
    share
        Weight of the map in the score; the rest is the probability of the class live.
    """

    def __init__(self, theta: float = 0.7, hidden: int = 32, share: float = 0.5) -> None:
        super().__init__()
        self.share = share
        self.trunk = MiniFASNet(theta)
        # The middle level comes last, since it has the side of the map.
        self.fusion = Fusion((7, 3, 5))
        self.head = MapHead(64 + 128 + 128, (hidden,), theta)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return maps (N, 10, 10), non-negative, and logits (N, 3), of crops (N, 3, 80, 80)."""
        (low, middle, high), logits = self.trunk(x)
        maps: Tensor = self.head(self.fusion([low, high, middle]))
        return maps, logits

    def forward(self, x: Tensor) -> Tensor:
        """Return scores in [0, 1] as maps of one pixel, (N, 1, 1)."""
        maps, logits = self.parts(x)
        alive = torch.softmax(logits, 1)[:, LIVE]
        return (self.share * map_score(maps) + (1 - self.share) * alive)[:, None, None]


class Published(nn.Module):
    """The published network as it is, answering like :class:`WindowNet` without the map."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.trunk = MiniFASNet()
        load_minifasnet(self.trunk, path)

    def forward(self, x: Tensor) -> Tensor:
        """Return the probability of the class live as maps of one pixel, (N, 1, 1)."""
        return torch.softmax(self.trunk(x)[1], 1)[:, LIVE, None, None]


def export_published(source: Path, target: Path) -> None:
    """Write the published network as the liveness networks of the package are written.

    Parameters
    ----------
    source
        See :func:`load_minifasnet`.
    target
        The ONNX file to write, for crops of the template ``window2.7``.
    """
    generator = torch.Generator().manual_seed(0)
    example = torch.rand(2, 3, SIDE, SIDE, generator=generator) * 2 - 1
    export_onnx(fused(Published(source)), example, target, outputs=("score",))


def map_score(maps: Tensor) -> Tensor:
    """Return how alive the most alive place of each map is, (N,) in [0, 1], from maps (N, h, w).

    A place is three cells wide: in a window of 2.7 times the box about the face, in a tight one a
    part of it. So the score needs no mask.
    """
    places = functional.avg_pool2d(maps[:, None], 3, stride=1)
    return places.amax((1, 2, 3)).clamp(max=1.0)


def load_minifasnet(network: MiniFASNet, path: Path) -> None:
    """Give a trunk the published weights, from an ONNX file of MiniFASNet V2.

    Parameters
    ----------
    network
        Any theta below 1; it computes what the file computes, for crops RGB where the file takes
        BGR, up to rounding.
    path
        With normalisation folded into convolutions.

    Raises
    ------
    WeightsError
        If the file cannot be read or holds another network.
    """
    import onnx
    from onnx import numpy_helper

    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:
        raise WeightsError(f"{path}: no ONNX file of MiniFASNet V2: {error}") from error
    tensors = {
        t.name: torch.from_numpy(np.array(numpy_helper.to_array(t))) for t in graph.initializer
    }
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    slopes = [m for m in network.modules() if isinstance(m, nn.PReLU)]
    nodes = {kind: [n for n in graph.node if n.op_type == kind] for kind in _KINDS}
    wanted = (len(convolutions), len(slopes), 2, 1)
    if tuple(len(nodes[kind]) for kind in _KINDS) != wanted:
        raise WeightsError(f"{path}: not MiniFASNet V2, which has {wanted} of {_KINDS}")
    try:
        with torch.no_grad():
            for layer, node in zip(convolutions, nodes["Conv"], strict=True):
                _set_convolution(layer, tensors[node.input[1]], tensors[node.input[2]])
            for slope, node in zip(slopes, nodes["PRelu"], strict=True):
                slope.weight.copy_(tensors[node.input[1]].flatten())
            _set_classes(
                network.classes,
                [tensors[n.input[1]] for n in nodes["MatMul"]],
                [tensors[name] for name in nodes["BatchNormalization"][0].input[1:]],
            )
            first = convolutions[0]
            first.weight.copy_(first.weight.flip(1))
    except (KeyError, RuntimeError) as error:
        raise WeightsError(f"{path}: not MiniFASNet V2: {error}") from error


_KINDS = ("Conv", "PRelu", "MatMul", "BatchNormalization")


def _set_convolution(layer: nn.Conv2d, kernel: Tensor, bias: Tensor) -> None:
    if isinstance(layer, CentralDifferenceConv2d):
        kernel = difference_kernel(kernel.double(), layer.theta)
    layer.weight.copy_(kernel)
    assert layer.bias is not None
    layer.bias.copy_(bias)


def _set_classes(layer: nn.Linear, matrices: list[Tensor], norm: list[Tensor]) -> None:
    """Fold matrix, normalisation and matrix into one layer; nothing bends between them."""
    first, last = (m.double() for m in matrices)
    scale, shift, mean, variance = (v.double() for v in norm)
    gain = scale / (variance + 1e-5).sqrt()
    layer.weight.copy_((first * gain @ last).T)
    layer.bias.copy_((shift - mean * gain) @ last)
