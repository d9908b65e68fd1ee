"""The architecture search: relaxation, discretisation, and a choice that the data decides."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("torch")

import torch

from vultus.errors import ConfigError
from vultus.liveness.cdcn.cells import OPERATIONS, build_cell
from vultus.liveness.cdcn.networks import build_from_genotype
from vultus.liveness.cdcn.search import MixedEdge, SearchCell, SearchNet, shuffled


def test_partial_channels_pass_by_untouched() -> None:
    edge = MixedEdge(8, 4, 0.7)
    x = torch.randn(1, 8, 5, 5)
    none = torch.eye(len(OPERATIONS))[OPERATIONS.index("none")]
    out = edge(x, none)
    restored = shuffled(out, 8 // 4)
    assert not restored[:, :2].any()
    torch.testing.assert_close(restored[:, 2:], x[:, 2:])


def test_shuffling_moves_channels_and_loses_none() -> None:
    x = torch.arange(8.0).reshape(1, 8, 1, 1)
    assert shuffled(x, 4).flatten().tolist() == [0, 2, 4, 6, 1, 3, 5, 7]


def test_refuses_channels_that_cannot_be_shared() -> None:
    with pytest.raises(ConfigError, match="5 channels"):
        MixedEdge(5, 2, 0.7)


def test_edge_weights_sum_to_one_into_every_node() -> None:
    cell = SearchCell(4, 3, 2, 0.7)
    torch.nn.init.normal_(cell.gamma)
    weights = cell.edge_weights().detach()
    for target in (1, 2, 3):
        into = [i for i, place in enumerate(cell.places) if place[1] == target]
        assert len(into) == target
        assert float(weights[into].sum()) == pytest.approx(1)


def test_the_derived_cell_follows_alpha_gamma_and_beta() -> None:
    cell = SearchCell(4, 3, 2, 0.7)
    with torch.no_grad():
        cell.alpha[:, OPERATIONS.index("none")] = 9.0  # never derived
        cell.alpha[:, OPERATIONS.index("cdc_2_1.4")] = 5.0
        edge = cell.places.index((1, 2))
        cell.alpha[edge, OPERATIONS.index("cdc")] = 8.0
        cell.gamma[edge] = 3.0
        cell.beta[1] = 1.0
    found = cell.genotype()
    assert found.output == 2
    edges = {(e.source, e.target): e.operation for e in found.edges}
    assert edges[(0, 1)] == "cdc_2_1.4"
    assert edges[(1, 2)] == "cdc"
    assert (0, 2) not in edges
    assert len(cell.genotype(incoming=2).edges) == 5


def test_levels_have_their_own_cells() -> None:
    network = SearchNet(width=0.0625, nodes=2, share=2)
    assert len({id(p) for p in network.architecture()}) == 9
    with torch.no_grad():
        network.architecture()[0][:, OPERATIONS.index("cdc")] = 1.0
    found = network.genotype()
    assert {e.operation for e in found.low.edges} == {"cdc"}
    assert {e.operation for e in found.high.edges} != {"cdc"}


def test_weights_and_architecture_are_all_parameters_once() -> None:
    network = SearchNet(width=0.0625, nodes=2, share=2)
    split = [id(p) for p in network.weights()] + [id(p) for p in network.architecture()]
    assert sorted(split) == sorted(id(p) for p in network.parameters())
    assert float(network.entropy().detach()) == pytest.approx(math.log(len(OPERATIONS)))


def test_what_was_found_can_be_built() -> None:
    network = SearchNet(width=0.0625, nodes=2, share=2)
    x = torch.randn(2, 3, 32, 32)
    assert network(x).shape == (2, 4, 4)
    with torch.no_grad():
        for p in network.architecture():
            p.normal_()
    derived = build_from_genotype(network.genotype(), width=0.0625)
    assert derived(x).shape == (2, 4, 4)


def test_descent_on_the_architecture_finds_the_operation_that_the_data_asks_for() -> None:
    """The target is the input itself: skip must win over cutting and over random convolutions."""
    torch.manual_seed(0)
    cell = SearchCell(4, 2, 1, 0.7)
    mover = torch.optim.Adam([cell.alpha, cell.gamma, cell.beta], lr=0.1)
    x = torch.randn(8, 4, 6, 6)
    for _ in range(60):
        mover.zero_grad()
        (cell(x) - x).square().mean().backward()
        mover.step()
    found = cell.genotype()
    used = build_cell(found, 4, 0.7)
    torch.testing.assert_close(used(x), x)
