"""dlib's embedding networks written as ONNX graphs.

What is constant is folded: the input's mean and scale, and each affine layer, go into the
convolution beside them. Skip connections that widen use a 1x1 convolution with a unit matrix, so
that the runtime keeps its blocked layout through the whole residual part and fuses the additions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vultus.errors import WeightsError
from vultus.runtime.dlib_network import Network, Record, read_network

OPSET = 17
IR_VERSION = 8

#: What dlib divides pixels by, after it has subtracted the mean colour.
_PIXEL_SCALE = 256.0

_COLOURS = ("red", "green", "blue")


def convert_metric_network(data: bytes) -> bytes:
    """Turn a dlib metric-learning network file into ONNX; see :func:`metric_network_to_onnx`."""
    model: bytes = metric_network_to_onnx(read_network(data)).SerializeToString()
    return model


def metric_network_to_onnx(network: Network) -> onnx.ModelProto:
    """Write a residual embedding network as ONNX.

    The input ``crops`` is uint8 RGB (N, rows, columns, 3), the output ``embedding`` float32 (N, D)
    as dlib computes it: not of unit length.

    Raises
    ------
    WeightsError
        If the network is no metric network on pictures of a fixed size, or has layers, or tags
        and skips, other than those of residual blocks.
    """
    if network.loss.kind != "loss_metric" or network.input.kind != "input_rgb_image_sized":
        raise WeightsError(
            f"not a dlib embedding network: loss {network.loss.kind!r}, "
            f"input {network.input.kind!r}"
        )
    rows, columns = network.input.integer("rows"), network.input.integer("columns")
    if rows < 1 or columns < 1:
        raise WeightsError(f"a dlib embedding network on pictures of {rows} x {columns}")
    writer = _Writer(network)
    writer.write()
    initialisers = [numpy_helper.from_array(v, k) for k, v in writer.constants.items()]
    crops = helper.make_tensor_value_info("crops", TensorProto.UINT8, ["N", rows, columns, 3])
    embedding = helper.make_tensor_value_info(
        "embedding", TensorProto.FLOAT, ["N", writer.value.channels]
    )
    graph = helper.make_graph(writer.nodes, "dlib", [crops], [embedding], initialisers)
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="vultus",
    )


@dataclass(frozen=True, slots=True)
class _Value:
    """A tensor of the graph, (N, channels, rows, columns)."""

    name: str
    channels: int
    rows: int
    columns: int


class _Writer:
    """Walks the layers in order; ``value`` is the output of the last one that was written."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._layers = network.layers
        self._at = 0
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray[Any]] = {}
        source = network.input
        self.value = _Value("crops", 3, source.integer("rows"), source.integer("columns"))

    def write(self) -> None:
        self._node("Transpose", ["crops"], 3, perm=[0, 3, 1, 2])
        self._node("Cast", [self.value.name], 3, to=TensorProto.FLOAT)
        self._convolution(self._take("con"), pixels=True)
        while self._at < len(self._layers):
            if self._next("wrapper"):
                self._residual_block()
            else:
                self._layer()
        if self.value.rows != 1 or self.value.columns != 1:
            raise WeightsError("the dlib network does not end in a vector")
        self._node("Flatten", [self.value.name], self.value.channels, output="embedding")

    def _residual_block(self) -> None:
        """Write tag1, layers, [tag2, skip to tag1, layers of the short way], addition.

        Whether a wrapper is a tag or a skip is not in the file; in residual blocks their number
        and place tell.
        """
        self._take("wrapper")
        start = self.value
        self._layers_until("wrapper", "add_prev")
        long_way, short_way = self.value, start
        if self._next("wrapper"):
            self._take("wrapper")
            self._take("wrapper")
            self.value = start
            self._layers_until("add_prev")
            short_way = self.value
        self._take("add_prev")
        self._add(long_way, short_way)

    def _layers_until(self, *kinds: str) -> None:
        while not self._next(*kinds):
            self._layer()

    def _layer(self) -> None:
        layer = self._take("con", "relu", "max_pool", "avg_pool", "fc")
        if layer.kind == "con":
            self._convolution(layer)
        elif layer.kind == "relu":
            self._node("Relu", [self.value.name], self.value.channels)
        elif layer.kind == "fc":
            self._fully_connected(layer)
        else:
            self._pool(layer)

    def _next(self, *kinds: str) -> bool:
        if self._at == len(self._layers):
            raise WeightsError(f"the dlib network ends where {' or '.join(kinds)} must follow")
        return self._layers[self._at].kind in kinds

    def _take(self, *kinds: str) -> Record:
        if not self._next(*kinds):
            raise WeightsError(
                f"layer {self._at} of the dlib network is {self._layers[self._at].kind!r} where "
                f"only {' or '.join(kinds)} can be written as ONNX"
            )
        self._at += 1
        return self._layers[self._at - 1]

    def _convolution(self, layer: Record, *, pixels: bool = False) -> None:
        filters = layer.tensors["filters"].astype(np.float64)
        biases = layer.tensors.get("biases", np.zeros(len(filters))).astype(np.float64)
        if filters.shape[1] != self.value.channels:
            raise WeightsError(
                f"a dlib convolution of {filters.shape[1]} channels follows "
                f"{self.value.channels} channels"
            )
        pads = (layer.integer("pad_y"), layer.integer("pad_x"))
        strides = (layer.integer("stride_y"), layer.integer("stride_x"))
        if pixels:
            if any(pads):
                raise WeightsError("a dlib network pads its picture: the mean cannot be folded")
            means = np.array([self._network.input.numbers[name] for name in _COLOURS])
            biases = biases - np.einsum("oirc,i->o", filters, means) / _PIXEL_SCALE
            filters = filters / _PIXEL_SCALE
        if self._at < len(self._layers) and self._next("affine"):
            filters, biases = _fold_affine(filters, biases, self._take("affine"))
        on_one_pixel = (self.value.rows, self.value.columns) == (1, 1)
        if on_one_pixel and filters.shape[2:] == (2 * pads[0] + 1, 2 * pads[1] + 1):
            # Every tap but the central one meets padding only.
            filters = filters[:, :, pads[0] : pads[0] + 1, pads[1] : pads[1] + 1]
            pads = (0, 0)
        self._window("Conv", filters.shape[2:], strides, pads, filters, biases)
        if layer.numbers["use_relu"]:
            self._node("Relu", [self.value.name], self.value.channels)

    def _pool(self, layer: Record) -> None:
        kind = "MaxPool" if layer.kind == "max_pool" else "AveragePool"
        window = (layer.integer("rows"), layer.integer("columns"))
        strides = (layer.integer("stride_y"), layer.integer("stride_x"))
        if layer.integer("pad_y") or layer.integer("pad_x"):
            raise WeightsError("a dlib pooling layer with padding is not supported")
        # A window of 0 covers the whole map.
        rows, columns = window[0] or self.value.rows, window[1] or self.value.columns
        self._window(kind, (rows, columns), strides, (0, 0))

    def _window(
        self,
        kind: str,
        window: Sequence[int],
        strides: Sequence[int],
        pads: Sequence[int],
        filters: NDArray[np.floating] | None = None,
        biases: NDArray[np.floating] | None = None,
    ) -> None:
        rows = (self.value.rows + 2 * pads[0] - window[0]) // strides[0] + 1
        columns = (self.value.columns + 2 * pads[1] - window[1]) // strides[1] + 1
        if rows < 1 or columns < 1:
            raise WeightsError(
                f"a dlib window of {window} is larger than its map of "
                f"{self.value.rows} x {self.value.columns}"
            )
        inputs, channels = [self.value.name], self.value.channels
        if filters is not None and biases is not None:
            inputs += [self._constant(filters), self._constant(biases)]
            channels = len(filters)
        self._node(
            kind,
            inputs,
            channels,
            rows,
            columns,
            kernel_shape=list(window),
            strides=list(strides),
            pads=[*pads, *pads],
        )

    def _fully_connected(self, layer: Record) -> None:
        weights = layer.tensors["weights"]
        if weights.shape[0] != self.value.channels * self.value.rows * self.value.columns:
            raise WeightsError(
                f"a dlib fully connected layer takes {weights.shape[0]} values of "
                f"{self.value.channels} x {self.value.rows} x {self.value.columns}"
            )
        filters = weights.T.reshape(-1, self.value.channels, self.value.rows, self.value.columns)
        biases = layer.tensors.get("biases", np.zeros(len(filters)))
        self._window("Conv", filters.shape[2:], (1, 1), (0, 0), filters, biases)

    def _add(self, long_way: _Value, short_way: _Value) -> None:
        """Add two maps, each padded with zeros at the end up to the larger size of the two."""
        both = (long_way, short_way)
        shape = (
            max(v.channels for v in both),
            max(v.rows for v in both),
            max(v.columns for v in both),
        )
        names = [self._padded(v, *shape) for v in both]
        self._node("Add", names, *shape)

    def _padded(self, value: _Value, channels: int, rows: int, columns: int) -> str:
        self.value = value
        if value.channels < channels:
            unit = np.eye(channels, value.channels)[:, :, None, None]
            self._window("Conv", (1, 1), (1, 1), (0, 0), unit, np.zeros(channels))
        if (value.rows, value.columns) != (rows, columns):
            ends = [0, 0, 0, 0, 0, 0, rows - value.rows, columns - value.columns]
            pads = self._constant(np.array(ends), np.int64)
            self._node("Pad", [self.value.name, pads], channels, rows, columns)
        return self.value.name

    def _constant(self, array: NDArray[Any], dtype: type[Any] = np.float32) -> str:
        name = f"c{len(self.constants)}"
        with np.errstate(over="ignore"):
            self.constants[name] = np.ascontiguousarray(array, dtype)
        if not np.isfinite(self.constants[name]).all():
            raise WeightsError("a parameter of the dlib network is out of range")
        return name

    def _node(
        self,
        kind: str,
        inputs: Sequence[str],
        channels: int,
        rows: int | None = None,
        columns: int | None = None,
        *,
        output: str | None = None,
        **attributes: Any,
    ) -> None:
        name = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        self.value = _Value(
            name,
            channels,
            self.value.rows if rows is None else rows,
            self.value.columns if columns is None else columns,
        )


def _fold_affine(
    filters: NDArray[np.float64], biases: NDArray[np.float64], affine: Record
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    gamma = affine.tensors["gamma"].astype(np.float64)
    if gamma.shape != (1, len(filters), 1, 1):
        raise WeightsError(
            f"a dlib affine layer of shape {gamma.shape} follows {len(filters)} filters"
        )
    gamma, beta = gamma.reshape(-1), affine.tensors["beta"].astype(np.float64).reshape(-1)
    return filters * gamma[:, None, None, None], biases * gamma + beta
