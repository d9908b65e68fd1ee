"""RTNet's blocks and networks: layout, padding, equivariance under rotation, export."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from vultus.nets.onnx import export_onnx  # noqa: E402
from vultus.parsing.rtnet_parsing.blocks import Bottleneck, HybridBlock, PolarPad  # noqa: E402
from vultus.parsing.rtnet_parsing.networks import Network, RTNet, Shipped  # noqa: E402

SMALL = {"blocks": (1, 2, 2, 1), "planes": (2, 4, 4, 4), "stem": 4, "pool": False, "head": 8}


def lively(module: nn.Module, seed: int = 0) -> nn.Module:
    """Evaluation mode with random statistics: a fresh residual branch would give zero."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (part.weight.data, part.running_var):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
            for tensor in (part.bias.data, part.running_mean):
                tensor.copy_(0.3 * torch.randn(tensor.shape, generator=generator))
    return module.eval()


def test_padding_goes_round_in_rows_and_repeats_columns():
    x = torch.arange(6.0).reshape(1, 1, 3, 2)
    padded = PolarPad(1, "mixed")(x)[0, 0]
    torch.testing.assert_close(
        padded,
        torch.tensor([[4.0, 4, 5, 5], [0, 0, 1, 1], [2, 2, 3, 3], [4, 4, 5, 5], [0, 0, 1, 1]]),
    )
    assert PolarPad(1, "zero")(x)[0, 0, 0].abs().max() == 0
    # A dilated kernel may reach round more than once.
    wide = PolarPad(7, "mixed")(x)[0, 0, :, 7]
    torch.testing.assert_close(wide, torch.tensor([4.0, 0, 2] * 6)[:17])


@pytest.mark.parametrize("stride", [1, 2])
def test_a_hybrid_block_starts_as_its_shortcut(stride):
    block = HybridBlock(16, 4, stride, cross=False).eval()
    x = torch.rand(2, 16, 8, 8)
    torch.testing.assert_close(block(x, {}), torch.relu(block.shortcut(x)))
    assert block(x, {}).shape == (2, 16, 8 // stride, 8 // stride)


def test_each_path_takes_half_of_the_planes():
    block = HybridBlock(32, 8)
    assert block.conv_a[1].weight.shape == block.conv_b[1].weight.shape == (4, 4, 3, 3)
    assert block.expand[0].weight.shape == (32, 8, 1, 1)


def test_the_cross_path_alone_sees_cartesian_space():
    torch.manual_seed(0)
    net = RTNet(Network(**SMALL))
    grids = net.grids(torch.tensor([0.8]), (32, 32))
    assert set(grids) == {(8, 8)}
    block = lively(HybridBlock(8, 2, cross=True))
    x = torch.rand(1, 8, 8, 8)
    other = {(8, 8): tuple(reversed(grids[(8, 8)]))}
    with torch.no_grad():
        assert (block(x, grids) - block(x, other)).abs().max() > 1e-3
        block.expand[0].weight[:, 1:] = 0
        # Without path B the grids do not matter.
        torch.testing.assert_close(block(x, grids), block(x, other))


def test_the_layout_is_that_of_rtnet_50():
    with torch.device("meta"):
        net = RTNet(Network())
    kinds = [[type(b) for b in layer] for layer in net.layers]
    assert kinds[0] == [HybridBlock, Bottleneck, Bottleneck]
    assert [len(k) for k in kinds] == [3, 4, 6, 3]
    assert all(k is HybridBlock for layer in kinds[1:] for k in layer)
    assert [[b.cross for b in layer] for layer in list(net.layers)[1:]] == [
        [False, True, True, True],
        [False, True, True, True, True, True],
        [False, True, True],
    ]
    assert [layer[0].conv_a[1].stride[0] for layer in net.layers] == [1, 2, 1, 1]
    assert [layer[0].conv_a[1].dilation[0] for layer in net.layers] == [1, 1, 2, 4]
    assert net.head[0][1].weight.shape == (512, 2048, 3, 3)
    assert net.stem[0][1].kernel_size == (7, 7)


@pytest.mark.parametrize("pool", [True, False])
def test_logits_cover_the_canvas(pool):
    net = RTNet(Network(**(SMALL | {"pool": pool})))
    for size in ((32, 48), (33, 33)):
        x = torch.rand(2, 3, *size)
        out = net(x, net.grids(torch.tensor([0.8, 1.1]), size))
        assert out.shape == (2, 11, *size)
        out.sum().backward()


def test_spaces_have_the_same_number_of_parameters():
    counts = {
        sum(p.numel() for p in RTNet(Network(**SMALL, space=space)).parameters())
        for space in ("hybrid", "polar", "cartesian")
    }
    assert len(counts) == 1


@pytest.mark.parametrize(("space", "padding"), [("polar", "mixed"), ("polar", "zero")])
def test_rotating_the_face_rotates_the_answer(space, padding):
    torch.manual_seed(1)
    config = Network(**(SMALL | {"fine": 2, "pool": True}), space=space, padding=padding)
    net = lively(RTNet(config))
    x = torch.randn(1, 3, 64, 48)
    # Rows are the angle: rolling by a multiple of the stride turns the face.
    with torch.no_grad():
        straight, turned = net(x, {}), net(x.roll(24, 2), {})
    gap = (straight.roll(24, 2) - turned).abs().max() / straight.abs().max()
    if padding == "mixed":
        assert gap < 1e-5
    else:
        assert gap > 1e-2


def test_enlarging_keeps_every_cell_where_it_was_seen():
    net = RTNet(Network(**SMALL))
    x = torch.rand(1, 1, 8, 8)
    large = net._enlarged(x, (32, 32))
    torch.testing.assert_close(large[..., ::4, ::4], x)
    # Between the last row and the first the angle goes on.
    torch.testing.assert_close(large[0, 0, 30, 0], (x[0, 0, 7, 0] + x[0, 0, 0, 0]) / 2)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"planes": (2, 4, 4, 5)}, "even numbers"),
        ({"blocks": (0, 1, 1, 1)}, "at least 1"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_impossible_layouts_are_refused(changes, reason):
    with pytest.raises(ValueError, match=reason):
        Network(**(SMALL | changes))


def test_the_exported_network_gives_probabilities(tmp_path):
    torch.manual_seed(2)
    net = lively(RTNet(Network(**SMALL)))
    shipped = Shipped(net, 0.8, (32, 32)).eval()
    x = torch.randn(3, 3, 32, 32)
    parity = export_onnx(shipped, x, tmp_path / "net.onnx", outputs=("probabilities",))
    assert parity.relative < 1e-5
    found = shipped(x)
    torch.testing.assert_close(found.sum(1), torch.ones(3, 32, 32))
    expected = net(x, net.grids(torch.full((3,), 0.8), (32, 32))).softmax(1)
    torch.testing.assert_close(found, expected)
    assert np.isfinite(found.detach().numpy()).all()
