"""Backbones: parameter counts of the published tables, shapes, ONNX parity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from vultus.errors import ConfigError, TrainingError  # noqa: E402
from vultus.nets.backbones import TRUNKS, Backbone, Embedder, build_backbone, to_input  # noqa: E402
from vultus.nets.iresnet import DEPTHS  # noqa: E402
from vultus.nets.layers import GeneralizedMeanPool, L2Pool2d, PoolHead, unit  # noqa: E402
from vultus.nets.onnx import export_onnx  # noqa: E402
from vultus.nets.pretrainable import EfficientNet, Swin, ViT  # noqa: E402


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("name", "dim", "expected"),
    [
        ("iresnet18", 512, 24_025_600),
        ("iresnet34", 512, 34_139_328),
        ("iresnet50", 512, 43_590_848),
        ("mobilefacenet", 128, 1_003_136),
    ],
)
def test_parameter_counts(name: str, dim: int, expected: int) -> None:
    assert count(build_backbone(Backbone(name=name, dim=dim))) == expected


def test_iresnet_count_follows_from_its_table() -> None:
    # Per block: BN(in), 3x3 in-out, BN(out), PReLU(out), 3x3 out-out, BN(out), shortcut 1x1 + BN.
    total = 3 * 64 * 9 + 2 * 64 + 64
    inputs = 64
    for blocks, outputs in zip(DEPTHS[34], (64, 128, 256, 512), strict=True):
        for i in range(blocks):
            total += 2 * inputs + 9 * inputs * outputs + 9 * outputs**2 + 5 * outputs
            if i == 0:
                total += inputs * outputs + 2 * outputs
            inputs = outputs
    total += 2 * 512 + 512 * 49 * 512 + 512 + 2 * 512
    assert total == count(build_backbone(Backbone(name="iresnet34")))


@pytest.mark.parametrize("name", sorted(TRUNKS))
def test_every_name_gives_embeddings_at_112_and_64(name: str) -> None:
    for size in (112, 64):
        net = build_backbone(Backbone(name=name, size=size, dim=24, width=0.5)).eval()
        with torch.no_grad():
            assert net(torch.zeros(2, 3, size, size)).shape == (2, 24)


def shallow(name: str) -> nn.Module:
    """Every family at a depth that exports in seconds."""
    trunks = {
        "vit": lambda: ViT(64, patch=16, channels=48, depth=2),
        "swin": lambda: Swin(64, patch=4, channels=24, depths=(2, 2), heads=(2, 4), window=4),
        "efficientnet": lambda: EfficientNet(64, width=0.25, depth=0.2),
    }
    if name not in trunks:
        return build_backbone(Backbone(name=name, size=64, dim=24, width=0.25))
    trunk = trunks[name]()
    return Embedder(trunk, PoolHead(trunk.channels, 24), 64, 24)


@pytest.mark.parametrize(
    "name",
    [
        "iresnet18",
        "mobilefacenet",
        "smallnet",
        "smallnet-gn",
        "mobilenet-v2",
        "vit",
        "swin",
        "efficientnet",
    ],
)
def test_gradient_and_onnx_parity(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = shallow(name)
    x = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    y = net(x)
    assert y.shape == (3, 24)
    y.square().sum().backward()
    missing = [n for n, p in net.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []
    parity = export_onnx(net, x, tmp_path / "net.onnx")
    assert parity.relative < 1e-4
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    x5 = torch.cat([x, x[:2]])
    with torch.no_grad():
        expected = net.eval()(x5).numpy()
    (found,) = session.run(None, {"input": x5.numpy()})
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_swin_taps_are_after_merging_as_swinface_reads_them() -> None:
    net = build_backbone(Backbone(name="swin-tiny")).trunk.eval()
    with torch.no_grad():
        shapes = [tuple(t.shape[1:]) for t in net.taps(torch.zeros(1, 3, 112, 112))]
    assert shapes == [(192, 28, 28), (384, 14, 14), (768, 7, 7), (768, 7, 7)]
    assert count(net) == pytest.approx(28.0e6, rel=0.03)


def test_export_that_disagrees_writes_nothing(tmp_path: Path) -> None:
    class Shaky(nn.Module):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            Shaky.calls += 1
            return x * float(Shaky.calls)

    with pytest.raises(TrainingError, match="differs"):
        export_onnx(Shaky(), torch.ones(2, 3), tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_export_keeps_the_mode_of_the_module(tmp_path: Path) -> None:
    net = build_backbone(Backbone(name="smallnet", size=32, dim=8, width=0.25)).train()
    export_onnx(net, torch.randn(2, 3, 32, 32), tmp_path / "x.onnx")
    assert net.training


@pytest.mark.parametrize(
    "bad", [{"size": 8}, {"dim": 0}, {"width": 0.0}, {"dropout": 1.0}], ids=str
)
def test_settings_out_of_range(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="backbone smallnet"):
        Backbone(name="smallnet", **bad)


def test_swin_size_must_fit() -> None:
    with pytest.raises(ConfigError, match="no multiple of 16"):
        build_backbone(Backbone(name="swin-tiny", size=100))


def test_to_input_scales_uint8() -> None:
    crops = torch.tensor([0, 127, 255], dtype=torch.uint8).reshape(1, 1, 1, 3)
    np.testing.assert_allclose(to_input(crops).flatten().numpy(), [-1, -0.5 / 127.5, 1], atol=1e-6)


def test_unit_is_finite_at_zero_and_float32_in_half() -> None:
    x = torch.zeros(1, 4, requires_grad=True)
    unit(x).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert unit(torch.ones(1, 4, dtype=torch.bfloat16)).dtype == torch.float32


def test_l2_pool_is_the_root_of_the_sum_of_squares() -> None:
    x = torch.tensor([[[[3.0, 4.0], [0.0, 0.0]]]])
    assert L2Pool2d(2, 2)(x).item() == pytest.approx(5.0, abs=1e-4)
    zero = torch.zeros(1, 1, 2, 2, requires_grad=True)
    L2Pool2d(2, 2)(zero).sum().backward()
    assert torch.isfinite(zero.grad).all()


def test_generalized_mean_lies_between_mean_and_maximum() -> None:
    x = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 2, 2)
    assert GeneralizedMeanPool(1.0)(x).item() == pytest.approx(2.5, abs=1e-5)
    assert 2.5 < GeneralizedMeanPool(3.0)(x).item() < 4
    assert GeneralizedMeanPool(60.0)(x).item() == pytest.approx(4, rel=0.03)
