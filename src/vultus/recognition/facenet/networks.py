"""The networks of FaceNet: NN1 (Zeiler and Fergus with 1x1 convolutions), NN2 to NN4 (Inception),
and two small ones.

NN2's widths are those of the paper's table. The paper does not print the top blocks of NN4 nor the
layouts of NNS1 and NNS2; these are narrower NN2s of about the printed cost (0.22 and 0.02 GMAC),
with fewer parameters than the paper's (26 M and 4.3 M).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from vultus.nets.layers import L2Pool2d

Norm = Literal["batch", "none"]


@dataclass(frozen=True, slots=True)
class Row:
    """One Inception block; a width of 0 leaves the branch out.

    Parameters
    ----------
    one
        1x1 branch.
    three, five
        (1x1 reduction, k x k) of the 3x3 and 5x5 branches.
    pool, kind
        Width after the pooling branch (0: passed through as it is) and its pooling.
    stride
        2 halves the map; such blocks have no 1x1 branch.
    """

    one: int
    three: tuple[int, int]
    five: tuple[int, int]
    pool: int
    kind: Literal["max", "l2"]
    stride: int = 1

    def scaled(self, width: float) -> Row:
        """Return the row with all widths multiplied."""

        def to(n: int) -> int:
            return max(round(n * width / 8), 1) * 8 if n else 0

        return replace(
            self,
            one=to(self.one),
            three=(to(self.three[0]), to(self.three[1])),
            five=(to(self.five[0]), to(self.five[1])),
            pool=to(self.pool),
        )


#: Inception blocks 3a to 5b of NN2, the paper's table 2.
NN2_ROWS = (
    Row(64, (96, 128), (16, 32), 32, "max"),
    Row(64, (96, 128), (32, 64), 64, "l2"),
    Row(0, (128, 256), (32, 64), 0, "max", 2),
    Row(256, (96, 192), (32, 64), 128, "l2"),
    Row(224, (112, 224), (32, 64), 128, "l2"),
    Row(192, (128, 256), (32, 64), 128, "l2"),
    Row(160, (144, 288), (32, 64), 128, "l2"),
    Row(0, (160, 256), (64, 128), 0, "max", 2),
    Row(384, (192, 384), (48, 128), 128, "l2"),
    Row(384, (192, 384), (48, 128), 128, "max"),
)
#: NN4 has no 5x5 branch in its top blocks.
NN4_ROWS = (*NN2_ROWS[:8], *(replace(row, five=(0, 0)) for row in NN2_ROWS[8:]))


def _conv(i: int, o: int, kernel: int, stride: int = 1, norm: Norm = "batch") -> nn.Sequential:
    layer = nn.Conv2d(i, o, kernel, stride, kernel // 2, bias=norm == "none")
    between = nn.BatchNorm2d(o) if norm == "batch" else nn.Identity()
    return nn.Sequential(layer, between, nn.ReLU(inplace=True))


class Inception(nn.Module):
    """Branches 1x1, 3x3, 5x5 and pooling, concatenated."""

    def __init__(self, inputs: int, row: Row, norm: Norm) -> None:
        super().__init__()
        branches: list[nn.Module] = []
        if row.one:
            branches.append(_conv(inputs, row.one, 1, norm=norm))
        for kernel, (reduced, width) in ((3, row.three), (5, row.five)):
            if width:
                first = _conv(inputs, reduced, 1, norm=norm)
                branches.append(
                    nn.Sequential(first, _conv(reduced, width, kernel, row.stride, norm))
                )
        pool: nn.Module = (
            nn.MaxPool2d(3, row.stride, 1) if row.kind == "max" else L2Pool2d(3, row.stride, 1)
        )
        if row.pool:
            pool = nn.Sequential(pool, _conv(inputs, row.pool, 1, norm=norm))
        branches.append(pool)
        self.branches = nn.ModuleList(branches)
        self.channels = row.one + row.three[1] + row.five[1] + (row.pool or inputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, channels, H / stride, W / stride)."""
        return torch.cat([branch(x) for branch in self.branches], 1)


class InceptionNet(nn.Module):
    """NN2 and its relatives: (N, 3, H, W) -> (N, dim), not normalised.

    Parameters
    ----------
    rows
        Inception blocks.
    dim
        Length of the embedding.
    stem
        Channels of the 7x7, 1x1 and 3x3 convolutions before them.
    norm
        ``batch`` in place of the paper's two local response normalisations, which train only with
        patience; ``none`` for those.
    """

    def __init__(
        self,
        rows: Sequence[Row] = NN2_ROWS,
        dim: int = 128,
        stem: tuple[int, int, int] = (64, 64, 192),
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        a, b, c = stem
        local = nn.LocalResponseNorm(5) if norm == "none" else nn.Identity()
        layers: list[nn.Module] = [
            _conv(3, a, 7, 2, norm),
            nn.MaxPool2d(3, 2, 1),
            local,
            _conv(a, b, 1, norm=norm),
            _conv(b, c, 3, norm=norm),
            local,
            nn.MaxPool2d(3, 2, 1),
        ]
        inputs = c
        for row in rows:
            block = Inception(inputs, row, norm)
            layers.append(block)
            inputs = block.channels
        self.trunk = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.embedding = nn.Linear(inputs, dim)
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Return the embeddings."""
        y: Tensor = self.embedding(self.trunk(x))
        return y


class Maxout(nn.Module):
    """Fully connected layer whose units are the largest of ``pieces`` linear ones."""

    def __init__(self, inputs: int, outputs: int, pieces: int = 2) -> None:
        super().__init__()
        self.pieces = pieces
        self.linear = nn.Linear(inputs, outputs * pieces)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs) to (N, outputs)."""
        y: Tensor = self.linear(x).unflatten(1, (-1, self.pieces)).amax(2)
        return y


class NN1(nn.Module):
    """The paper's table 1, for inputs (N, 3, 220, 220)."""

    def __init__(self, dim: int = 128, norm: Norm = "batch") -> None:
        super().__init__()

        def pair(i: int, o: int) -> list[nn.Module]:
            return [_conv(i, i, 1, norm=norm), _conv(i, o, 3, norm=norm)]

        local = nn.LocalResponseNorm(5) if norm == "none" else nn.Identity()
        pool = nn.MaxPool2d(3, 2, 1)
        self.trunk = nn.Sequential(
            *(_conv(3, 64, 7, 2, norm), pool, local),
            *(*pair(64, 192), local, pool),
            *(*pair(192, 384), pool),
            *(*pair(384, 256), *pair(256, 256), *pair(256, 256), pool),
            *(nn.Flatten(), Maxout(256 * 49, 32 * 128), Maxout(32 * 128, 32 * 128)),
        )
        self.embedding = nn.Linear(32 * 128, dim)
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Return the embeddings."""
        y: Tensor = self.embedding(self.trunk(x))
        return y


#: Height and width of each network's input.
INPUTS: Mapping[str, tuple[int, int]] = {
    "nn1": (220, 220),
    "nn2": (224, 224),
    "nn3": (160, 160),
    "nn4": (96, 96),
    "nns1": (165, 165),
    "nns2": (140, 116),
}


def build_network(name: str, dim: int = 128, norm: Norm = "batch") -> nn.Module:
    """Return ``nn1`` to ``nn4``, ``nns1`` or ``nns2``, with random weights."""
    if name == "nn1":
        return NN1(dim, norm)
    if name == "nn4":
        return InceptionNet(NN4_ROWS, dim, norm=norm)
    if name == "nns1":
        rows = [row.scaled(0.52) for row in NN2_ROWS]
        return InceptionNet(rows, dim, (24, 24, 56), norm)
    if name == "nns2":
        rows = [row.scaled(0.19) for row in NN2_ROWS]
        return InceptionNet(rows, dim, (8, 8, 16), norm)
    return InceptionNet(NN2_ROWS, dim, norm=norm)
