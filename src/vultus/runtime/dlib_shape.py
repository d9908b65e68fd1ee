"""Reading dlib's landmark predictors (cascades of regression trees, Kazemi and Sullivan 2014)."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vultus.errors import WeightsError
from vultus.runtime.dlib_format import SPECIAL_EXPONENT, FloatArray

IntArray = NDArray[np.int64]

_MAX_COUNT = 1 << 24


@dataclass(frozen=True, slots=True, eq=False)
class ShapePredictor:
    """A cascade of C forests of T trees with S splits and S + 1 leaves, for P points.

    Parameters
    ----------
    initial_shape
        float32 (P, 2): mean shape, x and y in units of the face box.
    splits
        uint16 (C, T, S, 2): the two of a cascade's F sampled pixels that a split compares.
    thresholds
        float32 (C, T, S): go to child 2i + 1 if the first pixel minus the second is above, else to
        2i + 2.
    leaves
        float32 (C, T, S + 1, P, 2): what is added to the shape.
    anchors
        uint16 (C, F): the point that a sampled pixel is relative to.
    offsets
        float32 (C, F, 2): and its distance from it.
    """

    initial_shape: FloatArray
    splits: NDArray[np.uint16]
    thresholds: FloatArray
    leaves: FloatArray
    anchors: NDArray[np.uint16]
    offsets: FloatArray

    def to_npz(self) -> bytes:
        """Return the arrays as an uncompressed ``.npz`` file."""
        buffer = io.BytesIO()
        np.savez(buffer, **{f.name: getattr(self, f.name) for f in fields(self)})
        return buffer.getvalue()


def load_shape_predictor(path: Path | str) -> ShapePredictor:
    """Load a predictor from the ``.npz`` of :meth:`ShapePredictor.to_npz`, without pickle.

    Raises
    ------
    WeightsError
        If the file cannot be read or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return ShapePredictor(**{f.name: arrays[f.name] for f in fields(ShapePredictor)})
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path}: not a converted landmark predictor: {error}") from error


def convert_shape_predictor(data: bytes) -> bytes:
    """Turn a dlib landmark predictor file into ``.npz``; raise :class:`WeightsError`."""
    return read_shape_predictor(data).to_npz()


def read_shape_predictor(data: bytes) -> ShapePredictor:
    """Parse a dlib landmark predictor file down to its last byte.

    Raises
    ------
    WeightsError
        If the file is malformed, or its trees differ in size.
    """
    values = _Values(_integers(data))
    if values.take(1)[0] != 1:
        raise WeightsError("not a dlib landmark predictor of version 1")
    initial = values.matrix()
    coordinates = len(initial)
    splits, thresholds, leaves = zip(
        *(_forest(values, coordinates) for _ in range(values.count())), strict=True
    )
    anchors = [values.take(values.count()) for _ in range(values.count())]
    offsets = [values.floats(2 * values.count()) for _ in range(values.count())]
    if values.remaining:
        raise WeightsError(f"malformed landmark predictor: {values.remaining} values left over")
    cascade = {"splits": splits, "leaves": leaves, "anchors": anchors, "offsets": offsets}
    shapes = {name: {part.shape for part in parts} for name, parts in cascade.items()}
    if any(len(found) != 1 for found in shapes.values()) or len(anchors) != len(splits):
        raise WeightsError(f"the stages of the landmark predictor differ in size: {shapes}")
    points = coordinates // 2
    return ShapePredictor(
        initial_shape=initial.reshape(points, 2),
        splits=_indices(np.stack(splits), len(anchors[0]), "pixel"),
        thresholds=np.stack(thresholds),
        leaves=np.stack(leaves).reshape(*np.shape(leaves)[:3], points, 2),
        anchors=_indices(np.stack(anchors), points, "point"),
        offsets=np.stack(offsets).reshape(len(offsets), -1, 2),
    )


def _forest(values: _Values, coordinates: int) -> tuple[IntArray, FloatArray, FloatArray]:
    """Read one forest, whose trees all have the size of the first."""
    trees = values.count()
    splits = values.peek(0)
    leaf = 2 + 2 * coordinates
    stride = 2 + 4 * splits + (splits + 1) * leaf
    if not 0 < splits < _MAX_COUNT:
        raise WeightsError(f"malformed landmark predictor: a tree with {splits} splits")
    rows = values.take(trees * stride).reshape(trees, stride)
    nodes = rows[:, 1 : 1 + 4 * splits].reshape(trees, splits, 4)
    ends = rows[:, 2 + 4 * splits :].reshape(trees, splits + 1, leaf)
    regular = (
        (rows[:, 0] == splits).all()
        and (rows[:, 1 + 4 * splits] == splits + 1).all()
        and (np.abs(ends[:, :, :2]) == (coordinates, 1)).all()
    )
    if not regular:
        raise WeightsError("malformed landmark predictor: its trees differ in size")
    leaves = _floats(ends[:, :, 2::2], ends[:, :, 3::2])
    return nodes[:, :, :2], _floats(nodes[:, :, 2], nodes[:, :, 3]), leaves


class _Values:
    """The integers of the file, taken from the front."""

    def __init__(self, values: IntArray) -> None:
        self._values = values
        self._position = 0

    @property
    def remaining(self) -> int:
        return len(self._values) - self._position

    def take(self, count: int) -> IntArray:
        if count > self.remaining:
            raise WeightsError(
                f"truncated landmark predictor: {count} values expected, {self.remaining} left"
            )
        self._position += count
        return self._values[self._position - count : self._position]

    def peek(self, ahead: int) -> int:
        if ahead >= self.remaining:
            raise WeightsError("truncated landmark predictor")
        return int(self._values[self._position + ahead])

    def count(self) -> int:
        value = int(self.take(1)[0])
        if not 0 < value < _MAX_COUNT:
            raise WeightsError(f"malformed landmark predictor: {value} is no count")
        return value

    def floats(self, count: int) -> FloatArray:
        pairs = self.take(2 * count)
        return _floats(pairs[0::2], pairs[1::2])

    def matrix(self) -> FloatArray:
        rows, columns = np.abs(self.take(2))
        if columns != 1 or rows % 2 or not 0 < rows < _MAX_COUNT:
            raise WeightsError(f"malformed landmark predictor: a shape of {rows} x {columns}")
        return self.floats(int(rows))


def _integers(data: bytes) -> IntArray:
    """Decode a file that is nothing but dlib integers.

    Where an integer starts depends on all before it, so the starts are found one by one; decoding
    is vectorised.
    """
    steps = data.translate(bytes((i & 0x0F) + 1 for i in range(256)))
    starts: list[int] = []
    position, end = 0, len(data)
    append = starts.append
    while position < end:
        append(position)
        position += steps[position]
    if position != end or not starts:
        raise WeightsError("truncated landmark predictor")
    raw = np.frombuffer(data + b"\0" * 8, np.uint8)
    at = np.array(starts, np.int64)
    control = raw[at]
    sizes = control & 0x0F
    wrong = (control & 0x70 != 0) | (sizes == 0) | (sizes > 7)
    if wrong.any():
        raise WeightsError(
            f"malformed landmark predictor at byte {at[wrong.argmax()]}: no integer starts there"
        )
    values = np.zeros(len(at), np.int64)
    for i in range(int(sizes.max())):
        values |= np.where(sizes > i, raw[at + 1 + i], 0).astype(np.int64) << (8 * i)
    return np.where(control & 0x80, -values, values)


def _floats(mantissas: IntArray, exponents: IntArray) -> FloatArray:
    if (exponents >= SPECIAL_EXPONENT).any():
        raise WeightsError("malformed landmark predictor: a number is not finite")
    limited = np.clip(exponents, -2000, 2000).astype(np.int32)
    with np.errstate(over="ignore", under="ignore"):
        values = np.ldexp(mantissas.astype(np.float64), limited).astype(np.float32)
    if not np.isfinite(values).all():
        raise WeightsError("malformed landmark predictor: a number is out of range")
    return values


def _indices(values: IntArray, limit: int, what: str) -> NDArray[np.uint16]:
    if limit > 1 << 16 or (values < 0).any() or (values >= limit).any():
        raise WeightsError(f"malformed landmark predictor: a {what} index is out of range")
    out: NDArray[Any] = values.astype(np.uint16)
    return out
