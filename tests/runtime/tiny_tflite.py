"""Writes TensorFlow Lite files of a few operators, from the published schema's field numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np

TYPES = {np.dtype("f4"): 0, np.dtype("f2"): 1, np.dtype("i4"): 2, np.dtype("u1"): 3}


@dataclass
class Op:
    """An operator: schema number, tensor names, options as (field, kind, value)."""

    code: int
    inputs: Sequence[str]
    output: str
    options: Sequence[tuple[int, str, int]] = ()


@dataclass
class Net:
    """A network: shapes of computed tensors, constants, operators."""

    shapes: dict[str, tuple[int, ...]]
    ops: list[Op]
    outputs: list[str]
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    sparse: str | None = None

    def to_bytes(self) -> bytes:
        return _Writer(self).write()


class _Writer:
    def __init__(self, net: Net) -> None:
        self.net, self.b = net, flatbuffers.Builder(1024)
        self.names = [*net.shapes, *net.constants]

    def write(self) -> bytes:
        buffers = self.vector([self.buffer(None), *map(self.buffer, self.net.constants.values())])
        codes = sorted({op.code for op in self.net.ops})
        code_tables = self.vector([self.table({0: ("b", min(c, 127)), 3: ("i", c)}) for c in codes])
        subgraph = self.subgraph(codes)
        model = self.table(
            {
                0: ("I", 3),
                1: ("o", code_tables),
                2: ("o", self.vector([subgraph])),
                4: ("o", buffers),
            }
        )
        self.b.Finish(model, file_identifier=b"TFL3")
        return bytes(self.b.Output())

    def subgraph(self, codes: list[int]) -> int:
        tensors = self.vector([self.tensor(name) for name in self.names])
        operators = self.vector([self.operator(op, codes) for op in self.net.ops])
        first = self.integers([self.names.index("input")])
        last = self.integers([self.names.index(name) for name in self.net.outputs])
        return self.table({0: ("o", tensors), 1: ("o", first), 2: ("o", last), 3: ("o", operators)})

    def tensor(self, name: str) -> int:
        value = self.net.constants.get(name)
        shape = self.net.shapes[name] if value is None else value.shape
        kind = 0 if value is None else TYPES[value.dtype]
        buffer = 0 if value is None else 1 + list(self.net.constants).index(name)
        text = self.b.CreateString(name)
        fields: dict[int, tuple[str, Any]] = {
            0: ("o", self.integers(shape)),
            1: ("b", kind),
            2: ("I", buffer),
            3: ("o", text),
        }
        if name == self.net.sparse:
            fields[6] = ("o", self.table({}))
        return self.table(fields)

    def operator(self, op: Op, codes: list[int]) -> int:
        indices = [-1 if name == "" else self.names.index(name) for name in op.inputs]
        inputs, output = self.integers(indices), self.integers([self.names.index(op.output)])
        options = self.table({number: (kind, value) for number, kind, value in op.options})
        return self.table(
            {
                0: ("I", codes.index(op.code)),
                1: ("o", inputs),
                2: ("o", output),
                3: ("B", OPTIONS_TYPE.get(op.code, 0)),
                4: ("o", options),
            }
        )

    def buffer(self, value: np.ndarray | None) -> int:
        if value is None:
            return self.table({})
        self.b.StartVector(1, value.nbytes, 16)
        for byte in reversed(value.tobytes()):
            self.b.PrependByte(byte)
        return self.table({0: ("o", self.b.EndVector())})

    def integers(self, values: Sequence[int]) -> int:
        self.b.StartVector(4, len(values), 4)
        for value in reversed(values):
            self.b.PrependInt32(value)
        return self.b.EndVector()

    def vector(self, offsets: Sequence[int]) -> int:
        self.b.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.b.PrependUOffsetTRelative(offset)
        return self.b.EndVector()

    def table(self, fields: dict[int, tuple[str, Any]]) -> int:
        put = {
            "b": self.b.PrependInt8Slot,
            "B": self.b.PrependUint8Slot,
            "i": self.b.PrependInt32Slot,
            "I": self.b.PrependUint32Slot,
            "?": self.b.PrependBoolSlot,
        }
        self.b.StartObject(max(fields, default=-1) + 1)
        for number, (kind, value) in fields.items():
            if kind == "o":
                self.b.PrependUOffsetTRelativeSlot(number, value, 0)
            else:
                put[kind](number, value, 0)
        return self.b.EndObject()


#: Number of each operator's option table in the schema's union.
OPTIONS_TYPE = {0: 11, 2: 10, 3: 1, 4: 2, 17: 5, 22: 17, 23: 15, 34: 22}
