"""CDCN and CDCN++: shapes, sizes and wiring as published."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from vultus.errors import ConfigError
from vultus.liveness.cdcn.cells import (
    CDCN_PLUS_PLUS,
    OPERATIONS,
    CellGenotype,
    Edge,
    Genotype,
    build_cell,
    build_operation,
    chain,
)
from vultus.liveness.cdcn.convolution import CentralDifferenceConv2d, fused
from vultus.liveness.cdcn.networks import (
    Fusion,
    SpatialAttention,
    build_cdcn,
    build_from_genotype,
)
from vultus.nets.onnx import export_onnx
from vultus.settings import plain, read_settings


def convolution_weights(network: torch.nn.Module) -> int:
    return sum(m.weight.numel() for m in network.modules() if isinstance(m, torch.nn.Conv2d))


def test_cdcn_has_the_published_number_of_weights() -> None:
    # 3-64, (64 or 128)-128-196-128 three times, 384-128-64-1, all 3x3.
    assert convolution_weights(build_cdcn()) == 2_241_792


def test_cdcn_plus_plus_is_the_released_architecture() -> None:
    sizes = [
        (m.in_channels, m.out_channels)
        for m in build_from_genotype().levels.modules()
        if isinstance(m, CentralDifferenceConv2d)
    ]
    assert sizes == [
        (64, 128), (128, 204), (204, 128),
        (128, 153), (153, 128), (128, 179), (179, 128),
        (128, 128), (128, 153), (153, 128),
    ]  # fmt: skip


@pytest.mark.parametrize("build", [build_cdcn, build_from_genotype])
def test_maps_are_an_eighth_of_the_side_and_not_negative(build) -> None:
    network = build(width=0.125).eval()
    maps = network(torch.randn(2, 3, 48, 48))
    assert maps.shape == (2, 6, 6)
    assert (maps >= 0).all()
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.head.last.modules())


def test_every_convolution_of_the_trunk_has_the_same_theta() -> None:
    thetas = {
        m.theta for m in build_cdcn(0.3, 0.125).modules() if isinstance(m, CentralDifferenceConv2d)
    }
    assert thetas == {0.3}


def test_the_label_head_gives_one_probability_from_the_same_trunk() -> None:
    torch.manual_seed(0)
    with_map = build_cdcn(width=0.125)
    torch.manual_seed(0)
    with_label = build_cdcn(width=0.125, label_head=True)
    for a, b in zip(with_map.levels.parameters(), with_label.levels.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    out = with_label.eval()(torch.randn(3, 3, 32, 32))
    assert out.shape == (3, 1, 1)
    assert ((out > 0) & (out < 1)).all()


def test_attention_weighs_places_alike_in_all_channels() -> None:
    attention = SpatialAttention(5)
    assert attention.gate.weight.shape == (1, 2, 5, 5)
    assert attention.gate.bias is None
    x = torch.rand(1, 4, 6, 6) + 0.5
    ratio = attention(x) / x
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))
    assert ratio.amax() < 1
    assert ratio.amin() > 0


def test_attention_with_a_silent_gate_halves() -> None:
    attention = SpatialAttention(3)
    torch.nn.init.zeros_(attention.gate.weight)
    x = torch.randn(1, 2, 4, 4)
    torch.testing.assert_close(attention(x), x / 2)


def test_fusion_brings_all_levels_to_the_smallest() -> None:
    levels = [torch.full((1, 2, s, s), float(s)) for s in (16, 8, 4)]
    out = Fusion()(levels)
    assert out.shape == (1, 6, 4, 4)
    np.testing.assert_allclose(out[0, :, 0, 0].numpy(), [16, 16, 8, 8, 4, 4])


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_keep_the_shape(name) -> None:
    x = torch.randn(2, 5, 6, 6)
    out = build_operation(name, 5, 0.7)(x)
    assert out.shape == x.shape
    if name == "none":
        assert not out.any()
    if name == "skip":
        torch.testing.assert_close(out, x)


def test_a_cell_sums_its_edges_and_skips_what_the_output_does_not_need() -> None:
    cell = build_cell(
        CellGenotype(
            edges=(
                Edge(source=0, target=1, operation="skip"),
                Edge(source=0, target=2, operation="skip"),
                Edge(source=1, target=2, operation="skip"),
                Edge(source=2, target=3, operation="cdc_2_2.0"),
            ),
            output=2,
        ),
        4,
        0.7,
    )
    x = torch.randn(1, 4, 3, 3)
    torch.testing.assert_close(cell(x), 2 * x)
    assert not list(cell.parameters())


def test_a_genotype_survives_plain_values() -> None:
    assert read_settings(Genotype, plain(CDCN_PLUS_PLUS), "here") == CDCN_PLUS_PLUS


@pytest.mark.parametrize(
    ("edges", "output", "why"),
    [
        ([{"source": 1, "target": 1, "operation": "cdc"}], 1, "forward"),
        ([{"source": 1, "target": 2, "operation": "cdc"}], 2, "reached"),
        ([{"source": 0, "target": 1, "operation": "cdc"}], 2, "reached"),
        ([{"source": 0, "target": 1, "operation": "conv"}], 1, "operation"),
    ],
)
def test_refuses_cells_that_do_not_hang_together(edges, output, why) -> None:
    with pytest.raises(ConfigError, match=why):
        read_settings(CellGenotype, {"edges": edges, "output": output}, "here")


def test_a_chain_is_computed_in_order() -> None:
    assert chain("cdc", "skip").output == 2


def test_the_fused_network_runs_the_same_in_onnx_runtime(tmp_path) -> None:
    torch.manual_seed(1)
    network = build_cdcn(width=0.0625).eval()
    crops = torch.randn(2, 3, 32, 32)
    plain_network = fused(network)
    torch.testing.assert_close(plain_network(crops), network(crops), rtol=1e-4, atol=1e-5)
    parity = export_onnx(plain_network, crops, tmp_path / "cdcn.onnx")
    assert parity.relative < 1e-4
