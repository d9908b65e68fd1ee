"""Convolutions out of OpenVINO's format: what is read, what it fills, and clear refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
ov = pytest.importorskip("openvino")
from openvino import opset13 as ops  # noqa: E402
from torch import nn  # noqa: E402

from vultus.errors import WeightsError  # noqa: E402
from vultus.nets.layers import SqueezeExcite, conv  # noqa: E402
from vultus.nets.openvino_weights import Convolution, fill, read_chain  # noqa: E402


def saved(path: Path, *, scaled: bool = True) -> Path:
    """Write a chain: scale, convolution with a PReLU, one in groups, and the gate of channels."""
    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    def convolution(x: ov.Node, weight: np.ndarray, outputs: int) -> ov.Node:
        pad = weight.shape[-1] // 2
        kind = ops.group_convolution if weight.ndim == 5 else ops.convolution
        y = kind(x, weight, [1, 1], [pad, pad], [pad, pad], [1, 1])
        return ops.add(y, drawn(1, outputs, 1, 1))

    picture = ops.parameter([1, 3, 8, 8], np.float32)
    x: ov.Node = picture
    if scaled:
        x = ops.add(ops.multiply(x, drawn(1, 3, 1, 1)), drawn(1, 3, 1, 1))
    x = ops.prelu(convolution(x, drawn(4, 3, 3, 3), 4), np.array([-0.3], np.float32))
    x = convolution(x, drawn(4, 1, 1, 3, 3), 4)
    gate = ops.reduce_mean(x, np.array([2, 3]), keep_dims=True)
    gate = ops.prelu(convolution(gate, drawn(2, 4, 1, 1), 2), np.array([1.7], np.float32))
    x = ops.multiply(x, ops.sigmoid(convolution(gate, drawn(4, 2, 1, 1), 4)))
    ov.save_model(ov.Model([x], [picture]), path, compress_to_fp16=True)
    return path


def like(chain_scale: np.ndarray, chain_shift: np.ndarray) -> nn.Sequential:
    """Return the same network in PyTorch, the scale filled and the convolutions not."""
    scale = nn.Conv2d(3, 3, 1, groups=3)
    scale.weight.data = torch.from_numpy(chain_scale).reshape(3, 1, 1, 1)
    scale.bias.data = torch.from_numpy(chain_shift)
    return nn.Sequential(
        scale,
        conv(3, 4, norm="none", activation="leaky"),
        conv(4, 4, groups=4, norm="none", activation="none"),
        SqueezeExcite(4, 2, "leaky"),
    )


def test_a_filled_network_gives_what_openvino_gives(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.xml")
    chain = read_chain(path)
    assert [c.weight.shape for c in chain.convolutions] == [
        (4, 3, 3, 3), (4, 1, 3, 3), (2, 4, 1, 1), (4, 2, 1, 1)
    ]  # fmt: skip
    network = like(chain.scale, chain.shift)
    fill(network[1:].modules(), chain.convolutions)
    x = np.random.default_rng(1).normal(size=(1, 3, 8, 8)).astype(np.float32)
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    (wanted,) = ov.Core().compile_model(path, "CPU", exact)(x).values()
    with torch.no_grad():
        found = network(torch.from_numpy(x)).numpy()
    assert wanted.std() > 0.1
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_a_convolution_without_bias_and_activation_has_zeros_and_no_slope(tmp_path: Path) -> None:
    picture = ops.parameter([1, 1, 4, 4], np.float32)
    one = np.ones((1, 1, 1, 1), np.float32)
    x = ops.add(ops.multiply(picture, one), one)
    x = ops.convolution(x, 3 * one, [1, 1], [0, 0], [0, 0], [1, 1])
    ov.save_model(ov.Model([x], [picture]), tmp_path / "n.xml")
    (found,) = read_chain(tmp_path / "n.xml").convolutions
    assert (found.weight.item(), found.bias.item(), found.slope) == (3, 0, None)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no convolution behind a scaled"):
        read_chain(saved(tmp_path / "plain.xml", scaled=False))
    (tmp_path / "text.xml").write_text("no network")
    with pytest.raises(WeightsError, match="not a network that openvino reads"):
        read_chain(tmp_path / "text.xml")


@pytest.mark.parametrize(
    ("shape", "slope", "count", "message"),
    [
        ((4, 3, 3, 3), 1, 2, "2 convolutions do not fill 1"),
        ((5, 3, 3, 3), 1, 1, r"convolution 0 is \(5, 3, 3, 3\), not \(4, 3, 3, 3\)"),
        ((4, 3, 3, 3), 0, 1, "0 slopes behind it"),
        ((4, 3, 3, 3), 4, 1, "4 slopes behind it"),
    ],
)
def test_what_does_not_fit_is_refused(
    shape: tuple[int, ...], slope: int, count: int, message: str
) -> None:
    source = Convolution(
        np.zeros(shape, np.float32),
        np.zeros(shape[0], np.float32),
        np.zeros(slope, np.float32) if slope else None,
    )
    with pytest.raises(WeightsError, match=message):
        fill(conv(3, 4, norm="none", activation="leaky").modules(), [source] * count)
