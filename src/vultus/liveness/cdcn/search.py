"""Architecture search for the levels of CDCN++ (section 3.2).

A continuous relaxation of the choice of operations (DARTS) with partial channel connections and
edge normalisation (PC-DARTS), a cell of its own on every level, and attention over the nodes of a
cell in place of their concatenation.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from vultus.errors import ConfigError
from vultus.liveness.cdcn.cells import (
    OPERATIONS,
    CellGenotype,
    Edge,
    Genotype,
    build_operation,
    unit,
)
from vultus.liveness.cdcn.networks import Fusion, MapHead, pool, width_of


class MixedEdge(nn.Module):
    """All operations on one edge, on a share of the channels; the others pass by.

    Parameters
    ----------
    channels
        Of the node.
    share
        1 / share of the channels goes through the operations (K of PC-DARTS).
    theta
        Of every convolution.

    Raises
    ------
    ConfigError
        If the channels are no multiple of the share.
    """

    def __init__(self, channels: int, share: int, theta: float) -> None:
        super().__init__()
        if channels % share:
            raise ConfigError(f"{channels} channels cannot be cut into {share} shares")
        self.part, self.share = channels // share, share
        self.operations = nn.ModuleList(
            [build_operation(name, self.part, theta) for name in OPERATIONS]
        )

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Return (N, C, H, W), mixed by weights (number of operations,)."""
        chosen, rest = x[:, : self.part], x[:, self.part :]
        mixed = torch.stack(
            [w * op(chosen) for w, op in zip(weights, self.operations, strict=True)]
        ).sum(0)
        return shuffled(torch.cat([mixed, rest], 1), self.share)


def shuffled(x: Tensor, groups: int) -> Tensor:
    """Interleave the channels of groups, (N, C, H, W), so that each edge works on other ones."""
    n, c, h, w = x.shape
    return x.reshape(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


class SearchCell(nn.Module):
    """A cell of which every edge holds every operation.

    Parameters
    ----------
    channels
        Of every node.
    nodes
        Intermediate nodes; each receives an edge from the input and from all earlier ones.
    share, theta
        See :class:`MixedEdge`.

    Attributes
    ----------
    alpha : (E, O)
        Logits of the operations of each edge.
    gamma : (E,)
        Logits of the edges into a node (edge normalisation).
    beta : (nodes,)
        Logits of the nodes (node attention).
    """

    def __init__(self, channels: int, nodes: int, share: int, theta: float) -> None:
        super().__init__()
        self.places = [(s, t) for t in range(1, nodes + 1) for s in range(t)]
        self.nodes = nodes
        self.edges = nn.ModuleList([MixedEdge(channels, share, theta) for _ in self.places])
        # At exactly zero, weight decay moves nothing while the architecture is frozen.
        self.alpha = nn.Parameter(torch.zeros(len(self.places), len(OPERATIONS)))
        self.gamma = nn.Parameter(torch.zeros(len(self.places)))
        self.beta = nn.Parameter(torch.zeros(nodes))

    def edge_weights(self) -> Tensor:
        """Return (E,): softmax of gamma over the edges that end in the same node."""
        targets = torch.tensor([t for _, t in self.places], device=self.gamma.device)
        parts = [torch.softmax(self.gamma[targets == t], 0) for t in range(1, self.nodes + 1)]
        return torch.cat(parts)

    def forward(self, x: Tensor) -> Tensor:
        """Return the nodes' mean under attention, (N, C, H, W)."""
        operations, edges = torch.softmax(self.alpha, 1), self.edge_weights()
        states: dict[int, Tensor] = {0: x}
        for i, (source, target) in enumerate(self.places):
            y = edges[i] * self.edges[i](states[source], operations[i])
            states[target] = states[target] + y if target in states else y
        attention = torch.softmax(self.beta, 0)
        return torch.stack([attention[t - 1] * states[t] for t in range(1, self.nodes + 1)]).sum(0)

    @torch.no_grad()
    def genotype(self, incoming: int = 1) -> CellGenotype:
        """Return the strongest operation per edge, edges per node, and node.

        Parameters
        ----------
        incoming
            Edges kept into every node; the released architecture has one.
        """
        operations = torch.softmax(self.alpha, 1)
        operations[:, OPERATIONS.index("none")] = 0
        best = operations.max(1)
        strength = self.edge_weights() * best.values
        kept: list[Edge] = []
        for target in range(1, self.nodes + 1):
            edges = [i for i, place in enumerate(self.places) if place[1] == target]
            edges.sort(key=lambda i: float(strength[i]), reverse=True)
            kept += [
                Edge(
                    source=self.places[i][0],
                    target=target,
                    operation=OPERATIONS[int(best.indices[i])],
                )
                for i in sorted(edges[:incoming])
            ]
        return CellGenotype(edges=tuple(kept), output=int(self.beta.argmax()) + 1)


class SearchNet(nn.Module):
    """The supernet: stem, a search cell per level, fusion, head.

    Parameters
    ----------
    theta, width
        See :func:`~vultus.liveness.cdcn.networks.build_cdcn`.
    nodes, share
        See :class:`SearchCell`.
    """

    def __init__(
        self, theta: float = 0.7, width: float = 0.5, nodes: int = 4, share: int = 4
    ) -> None:
        super().__init__()
        first, mid = width_of(64, width), width_of(128, width)
        self.stem = nn.Sequential(unit(3, first, theta), unit(first, mid, theta))
        self.cells = nn.ModuleList([SearchCell(mid, nodes, share, theta) for _ in range(3)])
        self.pool = pool()
        self.fusion = Fusion()
        self.head = MapHead(3 * mid, (mid,), theta)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps (N, S / 8, S / 8) of crops (N, 3, S, S)."""
        maps = []
        x = self.stem(x)
        for cell in self.cells:
            x = self.pool(cell(x))
            maps.append(x)
        depth: Tensor = self.head(self.fusion(maps))
        return depth

    def _search_cells(self) -> Iterator[SearchCell]:
        for cell in self.cells:
            assert isinstance(cell, SearchCell)
            yield cell

    def architecture(self) -> list[nn.Parameter]:
        """Return the parameters that the validation loss moves: alpha, gamma and beta."""
        return [p for cell in self._search_cells() for p in (cell.alpha, cell.gamma, cell.beta)]

    def weights(self) -> list[nn.Parameter]:
        """Return all other parameters, which the training loss moves."""
        architecture = {id(p) for p in self.architecture()}
        return [p for p in self.parameters() if id(p) not in architecture]

    def genotype(self, incoming: int = 1) -> Genotype:
        """Return the architecture as it stands; see :meth:`SearchCell.genotype`."""
        low, mid, high = (cell.genotype(incoming) for cell in self._search_cells())
        return Genotype(low=low, mid=mid, high=high)

    def entropy(self) -> Tensor:
        """Return the mean entropy of the operation weights in nats, log(8) at the start."""
        p = torch.cat([torch.softmax(cell.alpha, 1) for cell in self._search_cells()])
        return -(p * p.clamp(min=1e-12).log()).sum(1).mean()
