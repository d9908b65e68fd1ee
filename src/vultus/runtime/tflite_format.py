"""Reader of TensorFlow Lite model files (FlatBuffers, identifier ``TFL3``).

A FlatBuffer is a graph of tables that refer to one another by offsets. A table starts with the
distance back to its vtable, which lists for each field its place inside the table, or 0 where the
field has its default value. Field numbers follow the published TensorFlow Lite schema, version 3.

The reader copies nothing but constants, checks every offset against the file's length, and knows
the operators of the face networks that Vultus ships; see :data:`OPERATORS`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vultus.errors import WeightsError

Options = Mapping[str, int | bool]

#: Tensor types of the schema that occur in float networks.
DTYPES: Mapping[int, np.dtype[Any]] = {
    0: np.dtype("<f4"),
    1: np.dtype("<f2"),
    2: np.dtype("<i4"),
    4: np.dtype("<i8"),
}

_SAME_OR_VALID = (0, "padding", "b", 0)

#: Known operators: schema number, name, and options as (field, name, struct format, default).
#: ``padding`` is 0 for SAME and 1 for VALID; ``activation`` 0 none, 1 ReLU, 3 ReLU6.
OPERATORS: Mapping[int, tuple[str, tuple[tuple[int, str, str, int], ...]]] = {
    0: ("ADD", ((0, "activation", "b", 0),)),
    2: ("CONCATENATION", ((0, "axis", "i", 0), (1, "activation", "b", 0))),
    3: (
        "CONV_2D",
        (
            _SAME_OR_VALID,
            (1, "stride_w", "i", 0),
            (2, "stride_h", "i", 0),
            (3, "activation", "b", 0),
            (4, "dilation_w", "i", 1),
            (5, "dilation_h", "i", 1),
        ),
    ),
    4: (
        "DEPTHWISE_CONV_2D",
        (
            _SAME_OR_VALID,
            (1, "stride_w", "i", 0),
            (2, "stride_h", "i", 0),
            (4, "activation", "b", 0),
            (5, "dilation_w", "i", 1),
            (6, "dilation_h", "i", 1),
        ),
    ),
    6: ("DEQUANTIZE", ()),
    17: (
        "MAX_POOL_2D",
        (
            _SAME_OR_VALID,
            (1, "stride_w", "i", 0),
            (2, "stride_h", "i", 0),
            (3, "filter_w", "i", 0),
            (4, "filter_h", "i", 0),
            (5, "activation", "b", 0),
        ),
    ),
    19: ("RELU", ()),
    22: ("RESHAPE", ()),
    23: ("RESIZE_BILINEAR", ((2, "align_corners", "?", 0), (3, "half_pixel_centers", "?", 0))),
    34: ("PAD", ()),
    54: ("PRELU", ()),
}


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A value of the graph.

    Parameters
    ----------
    name
        As stored; may be empty and need not be unique.
    shape
        Axes in TensorFlow's order: pictures are (N, H, W, C).
    dtype
        Element type.
    data
        The constant's values, or None where an operator or the caller supplies them.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    data: NDArray[Any] | None


@dataclass(frozen=True, slots=True)
class Operator:
    """A node of the graph; -1 stands for an input that is left out."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Options


@dataclass(frozen=True, slots=True)
class Graph:
    """The main subgraph: tensors by index, operators in execution order."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_tflite(data: bytes) -> Graph:
    """Read the main subgraph of a TensorFlow Lite file.

    Parameters
    ----------
    data
        The whole file.

    Raises
    ------
    WeightsError
        If the file is not TensorFlow Lite, is cut short or damaged, or uses an operator, tensor
        type or sparse storage that the reader does not know.
    """
    if data[4:8] != b"TFL3":
        raise WeightsError("not a TensorFlow Lite file: the identifier TFL3 is missing")
    try:
        return _read_model(data)
    except (struct.error, IndexError, ValueError, UnicodeDecodeError) as error:
        raise WeightsError(f"the TensorFlow Lite file is damaged or cut short: {error}") from error


def _read_model(data: bytes) -> Graph:
    model = _Table(data, _follow(data, 0))
    codes = [_operator_code(table) for table in model.tables(1)]
    subgraphs = model.tables(2)
    if not subgraphs:
        raise ValueError("it holds no graph")
    buffers = model.tables(4)
    main = subgraphs[0]
    tensors = tuple(_read_tensor(table, buffers) for table in main.tables(0))
    operators = tuple(_read_operator(table, codes, len(tensors)) for table in main.tables(3))
    inputs, outputs = main.integers(1), main.integers(2)
    _check_indices(inputs + outputs, len(tensors))
    return Graph(tensors, operators, inputs, outputs)


def _operator_code(table: _Table) -> int:
    # Numbers above 127 did not fit the first version's byte field.
    return int(max(table.scalar(0, "b", 0), table.scalar(3, "i", 0)))


def _read_tensor(table: _Table, buffers: list[_Table]) -> Tensor:
    name = table.raw(3).decode()
    if table.has(6):
        raise WeightsError(f"tensor {name!r} is stored sparse: use the dense model file")
    number = int(table.scalar(1, "b", 0))
    if number not in DTYPES:
        raise WeightsError(
            f"tensor {name!r} has type {number}: only float32, float16, int32 and int64 are read"
        )
    shape, dtype = table.integers(0), DTYPES[number]
    raw = buffers[int(table.scalar(2, "I", 0))].raw(0)
    if not raw:
        return Tensor(name, shape, dtype, None)
    if len(raw) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"tensor {name!r} of shape {shape} has {len(raw)} bytes")
    return Tensor(name, shape, dtype, np.frombuffer(raw, dtype).reshape(shape))


def _read_operator(table: _Table, codes: list[int], count: int) -> Operator:
    code = codes[int(table.scalar(0, "I", 0))]
    if code not in OPERATORS:
        raise WeightsError(
            f"TensorFlow Lite operator number {code} is not supported; "
            f"known: {', '.join(name for name, _ in OPERATORS.values())}"
        )
    kind, option_fields = OPERATORS[code]
    options = table.table(4)
    values = {
        name: default if options is None else options.scalar(field, kind_, default)
        for field, name, kind_, default in option_fields
    }
    inputs, outputs = table.integers(1), table.integers(2)
    _check_indices(tuple(i for i in inputs if i != -1) + outputs, count)
    return Operator(kind, inputs, outputs, values)


def _check_indices(indices: tuple[int, ...], count: int) -> None:
    if any(not 0 <= i < count for i in indices):
        raise ValueError(f"a tensor index in {indices} is outside 0..{count - 1}")


def _follow(data: bytes, place: int) -> int:
    """Return where the unsigned offset stored at a place points to."""
    target = place + int(struct.unpack_from("<I", data, place)[0])
    if target > len(data) - 4:
        raise ValueError(f"the offset at byte {place} points outside the file")
    return target


class _Table:
    """A FlatBuffer table: fields by number."""

    __slots__ = ("_data", "_fields", "_start")

    def __init__(self, data: bytes, start: int) -> None:
        self._data, self._start = data, start
        vtable = start - struct.unpack_from("<i", data, start)[0]
        if not 0 <= vtable <= len(data) - 4:
            raise ValueError(f"the table at byte {start} has no vtable")
        (size,) = struct.unpack_from("<H", data, vtable)
        self._fields = struct.unpack_from(f"<{max(size // 2 - 2, 0)}H", data, vtable + 4)

    def has(self, field: int) -> bool:
        return field < len(self._fields) and self._fields[field] != 0

    def _place(self, field: int) -> int:
        return self._start + int(self._fields[field])

    def scalar(self, field: int, kind: str, default: int) -> int | bool:
        if not self.has(field):
            return default
        value: int | bool = struct.unpack_from(f"<{kind}", self._data, self._place(field))[0]
        return value

    def table(self, field: int) -> _Table | None:
        return (
            _Table(self._data, _follow(self._data, self._place(field))) if self.has(field) else None
        )

    def _vector(self, field: int, item_bytes: int) -> tuple[int, int]:
        """Return the place of the first item and the number of items."""
        if not self.has(field):
            return 0, 0
        start = _follow(self._data, self._place(field))
        (count,) = struct.unpack_from("<I", self._data, start)
        if start + 4 + count * item_bytes > len(self._data):
            raise ValueError(f"the list at byte {start} reaches beyond the end")
        return start + 4, count

    def raw(self, field: int) -> bytes:
        start, count = self._vector(field, 1)
        return self._data[start : start + count]

    def integers(self, field: int) -> tuple[int, ...]:
        start, count = self._vector(field, 4)
        return struct.unpack_from(f"<{count}i", self._data, start)

    def tables(self, field: int) -> list[_Table]:
        start, count = self._vector(field, 4)
        return [_Table(self._data, _follow(self._data, start + 4 * i)) for i in range(count)]
