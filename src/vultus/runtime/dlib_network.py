"""Reading dlib's network files into layers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from vultus.runtime.dlib_format import FloatArray, Stream

Numbers = dict[str, float]
Tensors = dict[str, FloatArray]

_MAX_LAYERS = 10_000
_WRAPPER, _LAYER, _INNERMOST = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Record:
    """One loss, input or layer record.

    Parameters
    ----------
    kind
        dlib's name without its version: ``con``, ``affine``, ``relu``, ``max_pool``, ``fc`` ...;
        ``wrapper`` for a tag or skip, whose name the file does not hold.
    numbers, tensors
        Settings and float32 parameters by name.
    """

    kind: str
    numbers: Mapping[str, float]
    tensors: Mapping[str, FloatArray]

    def integer(self, name: str) -> int:
        """Return a setting that is a whole number."""
        return int(self.numbers[name])


@dataclass(frozen=True, slots=True)
class Network:
    """A network file: its loss, its input, and its layers in the order of computation."""

    loss: Record
    input: Record
    layers: tuple[Record, ...]


def read_network(data: bytes) -> Network:
    """Parse a network file down to its last byte.

    Supported are files of the layer wrappers that dlib has written since 2016, with the records
    of its metric, multi-class and (version 1) max-margin detection losses.

    Raises
    ------
    WeightsError
        If anything in the file is malformed, unknown, or left over.
    """
    stream = Stream(data)
    stream.expect(1, "loss wrapper version")
    loss = _record(stream, _LOSSES)
    versions = _wrapper_versions(stream)
    source = _record(stream, _INPUTS)
    layers = tuple(_layer(stream, version) for version in reversed(versions))
    if stream.remaining:
        raise stream.error(f"{stream.remaining} bytes left over after the last layer")
    return Network(loss, source, layers)


def _wrapper_versions(stream: Stream) -> list[int]:
    """Read one version per nested wrapper, outermost first, up to the input's name."""
    versions: list[int] = []
    while len(versions) <= _MAX_LAYERS:
        start = stream.position
        value = stream.integer()
        if value > _INNERMOST:
            # The length of the input record's name.
            stream.position = start
            if not versions:
                raise stream.error("the network has no layers")
            return versions
        if value < _WRAPPER:
            raise stream.error(f"unknown layer version {value}")
        versions.append(value)
    raise stream.error(f"more than {_MAX_LAYERS} layers")


def _layer(stream: Stream, version: int) -> Record:
    if version == _WRAPPER:
        return Record("wrapper", MappingProxyType({}), MappingProxyType({}))
    record = _record(stream, _LAYERS)
    for _ in range(3):  # setup called, gradient stale, output disabled
        stream.boolean()
    for _ in range(3):  # gradients and the last output, kept from training
        stream.tensor()
    if version == _INNERMOST:
        stream.integer()  # sample expansion factor
    return record


def _record(stream: Stream, readers: Mapping[str, Reader]) -> Record:
    name = stream.string()
    match = re.fullmatch(r"([a-z_]+?)_?([0-9]*)", name)
    kind = match[1] if match else name
    if match is None or kind not in readers:
        raise stream.error(f"unknown record {name!r}; known: {sorted(readers)}")
    numbers: Numbers = {}
    tensors: Tensors = {}
    readers[kind](stream, int(match[2] or 1), numbers, tensors)
    return Record(kind, MappingProxyType(numbers), MappingProxyType(tensors))


#: Reads a record's body: stream, record version, and the two dicts to fill.
Reader = Callable[[Stream, int, Numbers, Tensors], None]


def _read_nothing(stream: Stream, version: int, numbers: Numbers, tensors: Tensors) -> None:
    pass


def _read_metric(stream: Stream, version: int, numbers: Numbers, tensors: Tensors) -> None:
    numbers["margin"] = stream.number()
    numbers["threshold"] = stream.number()


def _read_mmod(stream: Stream, version: int, numbers: Numbers, tensors: Tensors) -> None:
    stream.expect(1, "version of the detection options")
    numbers["width"] = stream.integer()
    numbers["height"] = stream.integer()
    for name in ("loss_per_false_alarm", "loss_per_missed_target", "truth_match_iou"):
        numbers[name] = stream.number()
    for name in ("nms", "ignore"):
        numbers[f"{name}_iou"] = stream.number()
        numbers[f"{name}_covered"] = stream.number()


def _read_image(stream: Stream, version: int, numbers: Numbers, tensors: Tensors) -> None:
    for name in ("red", "green", "blue"):
        numbers[name] = stream.number()


def _read_sized_image(stream: Stream, version: int, numbers: Numbers, tensors: Tensors) -> None:
    _read_image(stream, version, numbers, tensors)
    numbers["rows"] = stream.size(1 << 20)
    numbers["columns"] = stream.size(1 << 20)


def _read_pyramid(stream: Stream, version: int, numbers: Numbers, tensors: Tensors) -> None:
    _read_image(stream, version, numbers, tensors)
    if version > 1:
        numbers["padding"] = stream.integer()
        numbers["outer_padding"] = stream.integer()


def _read_con(stream: Stream, version: int, numbers: Numbers, tensors: Tensors) -> None:
    params = stream.tensor()
    names = ("filters", "rows", "columns", "stride_y", "stride_x", "pad_y", "pad_x")
    for name in names:
        numbers[name] = stream.size(1 << 20)
    filters, biases = stream.alias(), stream.alias()
    _learning_rates(stream)
    numbers["use_bias"] = stream.boolean() if version >= 5 else True
    numbers["use_relu"] = stream.boolean() if version >= 6 else False
    tensors["filters"] = _view(stream, params, 0, filters)
    if numbers["use_bias"]:
        tensors["biases"] = _view(stream, params, tensors["filters"].size, biases).reshape(-1)
        if tensors["biases"].size != filters[0]:
            raise stream.error("a convolution has another number of biases than of filters")
    if filters[0] != numbers["filters"] or filters[2:] != (numbers["rows"], numbers["columns"]):
        raise stream.error(f"a convolution's filters {filters} differ from its settings")
    if not numbers["stride_y"] or not numbers["stride_x"]:
        raise stream.error("a convolution has stride 0")


def _read_affine(stream: Stream, version: int, numbers: Numbers, tensors: Tensors) -> None:
    params = stream.tensor()
    gamma, beta = stream.alias(), stream.alias()
    stream.integer()  # per channel or per element
    if version >= 2:
        stream.boolean()
    tensors["gamma"] = _view(stream, params, 0, gamma)
    tensors["beta"] = _view(stream, params, tensors["gamma"].size, beta)
    if gamma != beta or gamma[0] != 1:
        raise stream.error(f"an affine layer has gamma {gamma} and beta {beta}")


def _read_batch_norm(stream: Stream, version: int, numbers: Numbers, tensors: Tensors) -> None:
    if version != 2:
        raise stream.error(f"batch normalisation record version {version}, only 2 is known")
    params = stream.tensor()
    gamma, beta = stream.alias(), stream.alias()
    stream.tensor(), stream.tensor()  # statistics of the last batch
    mean, variance = stream.tensor(), stream.tensor()
    stream.integer(), stream.integer()  # number of updates, window
    _learning_rates(stream)
    numbers["eps"] = stream.number()
    tensors["gamma"] = _view(stream, params, 0, gamma)
    tensors["beta"] = _view(stream, params, tensors["gamma"].size, beta)
    tensors["mean"], tensors["variance"] = mean, variance
    if len({array.shape for array in tensors.values()}) != 1 or (variance < 0).any():
        raise stream.error("a batch normalisation's parameters do not fit together")


def _read_pool(stream: Stream, version: int, numbers: Numbers, tensors: Tensors) -> None:
    for name in ("rows", "columns", "stride_y", "stride_x", "pad_y", "pad_x"):
        numbers[name] = stream.size(1 << 20)
    if not numbers["stride_y"] or not numbers["stride_x"]:
        raise stream.error("a pooling layer has stride 0")


def _read_fc(stream: Stream, version: int, numbers: Numbers, tensors: Tensors) -> None:
    outputs, inputs = stream.size(1 << 31), stream.size(1 << 31)
    params = stream.tensor()
    weights, biases = stream.alias(), stream.alias()
    without_bias = stream.size(1)
    _learning_rates(stream)
    if version >= 3:
        without_bias |= not stream.boolean()
    tensors["weights"] = _view(stream, params, 0, weights).reshape(weights[0], -1)
    if tensors["weights"].shape != (inputs, outputs):
        raise stream.error(f"fully connected weights {weights} are not {inputs} x {outputs}")
    if not without_bias:
        tensors["biases"] = _view(stream, params, tensors["weights"].size, biases).reshape(-1)
        if tensors["biases"].size != outputs:
            raise stream.error("a fully connected layer has another number of biases than outputs")


def _read_dropout(stream: Stream, version: int, numbers: Numbers, tensors: Tensors) -> None:
    numbers["rate"] = stream.number()
    stream.tensor()


def _read_multiply(stream: Stream, version: int, numbers: Numbers, tensors: Tensors) -> None:
    numbers["factor"] = stream.number()


def _read_relu(stream: Stream, version: int, numbers: Numbers, tensors: Tensors) -> None:
    if version >= 2:
        stream.boolean()


def _learning_rates(stream: Stream) -> None:
    for _ in range(4):  # learning rate and weight decay multipliers, of weights and biases
        stream.number()


def _view(
    stream: Stream, params: FloatArray, start: int, shape: tuple[int, int, int, int]
) -> FloatArray:
    size = shape[0] * shape[1] * shape[2] * shape[3]
    if size < 1 or start + size > params.size:
        raise stream.error(f"parameters of shape {shape} do not fit into {params.size} values")
    return params.reshape(-1)[start : start + size].reshape(shape)


_LOSSES: Mapping[str, Reader] = {
    "loss_metric": _read_metric,
    "loss_multiclass_log": _read_nothing,
    "loss_mmod": _read_mmod,
}

_INPUTS: Mapping[str, Reader] = {
    "input_rgb_image": _read_image,
    "input_rgb_image_sized": _read_sized_image,
    "input_rgb_image_pyramid": _read_pyramid,
}

_LAYERS: Mapping[str, Reader] = {
    "con": _read_con,
    "affine": _read_affine,
    "bn_con": _read_batch_norm,
    "bn_fc": _read_batch_norm,
    "relu": _read_relu,
    "max_pool": _read_pool,
    "avg_pool": _read_pool,
    "add_prev": _read_nothing,
    "fc": _read_fc,
    "dropout": _read_dropout,
    "multiply": _read_multiply,
}
