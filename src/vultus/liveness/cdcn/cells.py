"""What the levels of a searched network are made of: operations, cells, genotypes (section 3.2)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from vultus.liveness.cdcn.convolution import CentralDifferenceConv2d
from vultus.settings import settings

Operation = Literal[
    "none", "skip", "cdc", "cdc_2_1.2", "cdc_2_1.4", "cdc_2_1.6", "cdc_2_1.8", "cdc_2_2.0"
]

#: The operations that the search chooses from.
OPERATIONS: tuple[Operation, ...] = (
    "none",
    "skip",
    "cdc",
    "cdc_2_1.2",
    "cdc_2_1.4",
    "cdc_2_1.6",
    "cdc_2_1.8",
    "cdc_2_2.0",
)


def unit(inputs: int, outputs: int, theta: float) -> nn.Sequential:
    """Return central difference convolution 3x3, normalisation, ReLU."""
    return nn.Sequential(
        CentralDifferenceConv2d(inputs, outputs, theta=theta),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Nothing(nn.Module):
    """The operation that cuts an edge."""

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros of the same shape."""
        return torch.zeros_like(x)


def build_operation(name: Operation, channels: int, theta: float) -> nn.Module:
    """Return an operation that keeps the number of channels.

    ``cdc_2_R`` is two convolutions, the first of which widens by the ratio R.
    """
    if name == "none":
        return Nothing()
    if name == "skip":
        return nn.Identity()
    if name == "cdc":
        return unit(channels, channels, theta)
    wide = max(int(channels * float(name.removeprefix("cdc_2_"))), channels)
    return nn.Sequential(unit(channels, wide, theta), unit(wide, channels, theta))


@settings
class Edge:
    """An operation from a node to a later one; node 0 is the cell's input."""

    source: int
    target: int
    operation: Operation

    def __post_init__(self) -> None:
        if not 0 <= self.source < self.target:
            raise ValueError(f"an edge leads forward, got {self.source} -> {self.target}")


@settings
class CellGenotype:
    """A cell: edges, and the node that is its output."""

    edges: tuple[Edge, ...]
    output: int

    def __post_init__(self) -> None:
        reached = {0}
        for edge in sorted(self.edges, key=lambda e: e.target):
            if edge.source in reached:
                reached.add(edge.target)
        stray = sorted({e.target for e in self.edges} - reached)
        if self.output not in reached or stray:
            raise ValueError(
                f"nodes {[*stray, self.output] if self.output not in reached else stray} "
                "cannot be reached from the cell's input"
            )


@settings
class Genotype:
    """A searched architecture: one cell per level."""

    low: CellGenotype
    mid: CellGenotype
    high: CellGenotype

    def cells(self) -> tuple[CellGenotype, CellGenotype, CellGenotype]:
        """Return the cells in order."""
        return self.low, self.mid, self.high


def chain(*operations: Operation) -> CellGenotype:
    """Return the cell that applies operations one after another."""
    edges = [Edge(source=i, target=i + 1, operation=o) for i, o in enumerate(operations)]
    return CellGenotype(edges=tuple(edges), output=len(operations))


#: The architecture that the authors found and released.
CDCN_PLUS_PLUS = Genotype(
    low=chain("cdc_2_1.6"),
    mid=chain("cdc_2_1.2", "cdc_2_1.4"),
    high=chain("cdc", "cdc_2_1.2"),
)


class Cell(nn.Module):
    """A derived cell: every node is the sum of its edges."""

    def __init__(self, genotype: CellGenotype, channels: int, theta: float) -> None:
        super().__init__()
        self.output = genotype.output
        edges = _needed(genotype)
        self.places = [(e.source, e.target) for e in edges]
        self.operations = nn.ModuleList(
            [build_operation(e.operation, channels, theta) for e in edges]
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W) from (N, C, H, W)."""
        nodes = {0: x}
        for (source, target), operation in zip(self.places, self.operations, strict=True):
            y = operation(nodes[source])
            nodes[target] = nodes[target] + y if target in nodes else y
        return nodes[self.output]


def build_cell(genotype: CellGenotype, channels: int, theta: float) -> Cell:
    """Return the module of a cell."""
    return Cell(genotype, channels, theta)


def _needed(genotype: CellGenotype) -> list[Edge]:
    """Return the edges that the output depends on, in the order of computation."""
    wanted, kept = {genotype.output}, []
    for edge in sorted(genotype.edges, key=lambda e: (e.target, e.source), reverse=True):
        if edge.target in wanted:
            kept.append(edge)
            wanted.add(edge.source)
    return kept[::-1]
