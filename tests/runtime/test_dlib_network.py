"""Reading dlib network files, and writing them as ONNX."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import dlib_files as df
import numpy as np
import onnx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.signal import correlate

from vultus.errors import WeightsError
from vultus.runtime import Session
from vultus.runtime.dlib_network import read_network
from vultus.runtime.dlib_onnx import convert_metric_network, metric_network_to_onnx

ROWS, COLUMNS = 31, 35
MEANS = (120.0, 110.0, 100.0)


class Conv:
    """A convolution with its affine layer: parameters, file records, and float64 arithmetic."""

    def __init__(
        self,
        rng: np.random.Generator,
        inputs: int,
        outputs: int,
        size: int = 3,
        *,
        stride: int = 1,
        pad: int = 0,
    ) -> None:
        self.stride, self.pad = stride, pad
        self.filters = rng.normal(0, 0.2, (outputs, inputs, size, size)).astype(np.float32)
        self.biases, self.beta = rng.normal(0, 0.2, (2, outputs)).astype(np.float32)
        self.gamma = rng.uniform(0.5, 1.5, outputs).astype(np.float32)

    @property
    def records(self) -> list[bytes]:
        return [
            df.con(self.filters, self.biases, self.stride, self.pad),
            df.affine(self.gamma, self.beta),
        ]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        padded = np.pad(x, ((0, 0), (self.pad, self.pad), (self.pad, self.pad)))
        maps = [
            correlate(padded, f.astype(np.float64), "valid")[0][:: self.stride, :: self.stride]
            for f in self.filters
        ]
        y = np.stack(maps) + self.biases[:, None, None]
        return y * self.gamma[:, None, None] + self.beta[:, None, None]


class Tiny:
    """A network with every part of dlib's face network, small enough to compute by hand."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.stem = Conv(rng, 3, 4, 7, stride=2)
        self.same = [Conv(rng, 4, 4, pad=1), Conv(rng, 4, 4, pad=1)]
        # 6 x 7 pixels, then 3 x 3, then 1 x 1: the first long way has one row fewer, 2 x 3.
        self.down = [
            [Conv(rng, 4, 6, stride=2), Conv(rng, 6, 6, pad=1)],
            [Conv(rng, 6, 6, stride=2), Conv(rng, 6, 6, pad=1)],
        ]
        self.weights = rng.normal(0, 0.3, (6, 5)).astype(np.float32)

    @property
    def layers(self) -> list[bytes]:
        first, second = self.same
        layers = [*self.stem.records, df.RELU, df.pool("max", 3, 2), df.WRAPPER]
        layers += [*first.records, df.RELU, *second.records, df.ADD_PREV, df.RELU]
        for first, second in self.down:
            layers += [df.WRAPPER, *first.records, df.RELU, *second.records]
            layers += [df.WRAPPER, df.WRAPPER, df.pool("avg", 2, 2), df.ADD_PREV, df.RELU]
        return [*layers, df.pool("avg", 0, 1), df.fc(self.weights)]

    def file(self) -> bytes:
        return df.network(ROWS, COLUMNS, MEANS, self.layers)

    def __call__(self, crop: np.ndarray) -> np.ndarray:
        x = (crop.astype(np.float64) - MEANS).transpose(2, 0, 1) / 256
        x = _pool(np.maximum(self.stem(x), 0), 3, 2, np.max)
        first, second = self.same
        x = np.maximum(x + second(np.maximum(first(x), 0)), 0)
        for first, second in self.down:
            long_way = second(np.maximum(first(x), 0))
            x = np.maximum(_padded_sum(long_way, _pool(x, 2, 2, np.mean)), 0)
        return x.mean((1, 2)) @ self.weights


def _pool(x: np.ndarray, size: int, stride: int, reduce: object) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))
    return reduce(windows[:, ::stride, ::stride], axis=(3, 4))  # type: ignore[operator]


def _padded_sum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    out = np.zeros(np.maximum(a.shape, b.shape))
    for array in (a, b):
        out[tuple(slice(0, n) for n in array.shape)] += array
    return out


def test_reader_gives_layers_in_order_of_computation() -> None:
    tiny = Tiny()
    network = read_network(tiny.file())
    assert network.loss.kind == "loss_metric"
    assert network.loss.numbers["threshold"] == pytest.approx(0.6)
    assert (network.input.integer("rows"), network.input.integer("columns")) == (ROWS, COLUMNS)
    kinds = [layer.kind for layer in network.layers]
    assert kinds[:7] == ["con", "affine", "relu", "max_pool", "wrapper", "con", "affine"]
    assert kinds[-2:] == ["avg_pool", "fc"]
    stem = network.layers[0]
    assert stem.integer("stride_y") == 2
    np.testing.assert_array_equal(stem.tensors["filters"], tiny.stem.filters)
    np.testing.assert_array_equal(stem.tensors["biases"], tiny.stem.biases)
    np.testing.assert_array_equal(network.layers[1].tensors["gamma"].ravel(), tiny.stem.gamma)
    np.testing.assert_array_equal(network.layers[-1].tensors["weights"], tiny.weights)


def test_onnx_equals_float64_arithmetic(rng: np.random.Generator) -> None:
    tiny = Tiny()
    crops = rng.integers(0, 256, (3, ROWS, COLUMNS, 3), np.uint8)
    session = Session(convert_metric_network(tiny.file()), threads=1)
    expected = np.stack([tiny(crop) for crop in crops])
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(session.run(crops)[0], expected, atol=2e-6)


def test_onnx_is_valid_and_has_a_free_batch() -> None:
    model = metric_network_to_onnx(read_network(Tiny().file()))
    onnx.checker.check_model(model, full_check=True)
    axes = model.graph.input[0].type.tensor_type.shape.dim
    assert [axis.dim_param or axis.dim_value for axis in axes] == ["N", ROWS, COLUMNS, 3]
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}


def test_conversion_is_reproducible() -> None:
    assert convert_metric_network(Tiny().file()) == convert_metric_network(Tiny().file())


def test_left_over_byte_is_refused() -> None:
    with pytest.raises(WeightsError, match="1 bytes left over"):
        read_network(Tiny().file() + b"\0")


def test_every_truncation_is_refused() -> None:
    data = Tiny().file()
    # Inside tensors all cuts are alike: a prime step still meets every kind of place.
    for length in [*range(300), *range(300, len(data), 97)]:
        with pytest.raises(WeightsError):
            read_network(data[:length])


DATA = Tiny().file()


@given(st.integers(0, len(DATA) - 1), st.integers(0, 255))
@example(0, 0)
@example(2, 0x7F)
def test_damaged_bytes_never_escape_as_other_errors(position: int, value: int) -> None:
    damaged = DATA[:position] + bytes([value]) + DATA[position + 1 :]
    with contextlib.suppress(WeightsError):
        convert_metric_network(damaged)


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(WeightsError):
        read_network(b"\x01\x01" + noise)


CONV = Conv(np.random.default_rng(0), 3, 4, 3)
GAP = df.pool("avg", 0, 1)
FC = df.fc(np.ones((4, 5), np.float32))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([df.RELU, GAP], "'relu' where only con"),
        ([*CONV.records, *CONV.records], "3 channels follows 4 channels"),
        ([*CONV.records], "does not end in a vector"),
        ([*CONV.records, GAP, df.fc(np.ones((9, 5), np.float32))], "takes 9 values"),
        ([*CONV.records, df.WRAPPER, df.RELU], "ends where"),
        ([*CONV.records, df.ADD_PREV, GAP], "'add_prev' where only"),
        ([*CONV.records, df.pool("max", 99, 1), FC], "larger than its map"),
        ([df.con(CONV.filters, CONV.biases, 1, 1), GAP], "pads its picture"),
        ([CONV.records[0], df.affine(np.ones(2), np.ones(2)), GAP], "follows 4 filters"),
        ([CONV.records[0], df.affine(np.ones(4), np.ones(3)), GAP], "gamma"),
        ([df.con(CONV.filters, CONV.biases, 0, 0), GAP], "stride 0"),
        ([df.string("con_5x")], "unknown record"),
    ],
)
def test_networks_that_cannot_be_written(layers: Sequence[bytes], message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        convert_metric_network(df.network(9, 9, MEANS, layers))
