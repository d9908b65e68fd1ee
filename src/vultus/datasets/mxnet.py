"""Training sets packed for MXNet (``train.rec`` and ``train.idx``), read without mxnet.

The format, as far as face sets use it (dmlc RecordIO): each record is a 4-byte magic number, 4
bytes with the length in the lower 29 bits and a continuation mark in the upper 3, the data, and
zeros up to a multiple of 4. The data of an image record are a header (flag, label, two identifiers)
and, where the flag is not 0, that many float32 labels; then the encoded picture.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from vultus.datasets.layout import lines
from vultus.datasets.records import Dataset, Record
from vultus.errors import DatasetError

Int = NDArray[np.int64]

_MAGIC = 0xCED7230A
_FRAME = struct.Struct("<II")
_HEADER = struct.Struct("<IfQQ")
_LENGTH = (1 << 29) - 1
#: Continuation marks: a whole record, and the first, middle and last part of one.
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)


@dataclass(frozen=True, slots=True)
class Packed:
    """A picture at a byte offset of a ``.rec`` file."""

    offset: int

    def read(self, path: Path) -> bytes:
        """Return the encoded picture."""
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            return _split(_record(view, self.offset, path)[0], path, self.offset)[1]


class _Records(Sequence[Record]):
    """Records made when asked for: sets have millions."""

    def __init__(self, path: Path, offsets: Int, labels: Int) -> None:
        self._path, self._offsets, self._labels = path, offsets, labels

    def __len__(self) -> int:
        return len(self._offsets)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        if isinstance(index, slice):
            return _Records(self._path, self._offsets[index], self._labels[index])
        part = Packed(int(self._offsets[index]))
        return Record(self._path, str(self._labels[index]), None, {}, part)


def read_mxnet(path: Path | str) -> Dataset:
    """List the pictures of a ``.rec`` file with their identities.

    The index beside it (``.idx``: a key and a byte offset a line) is used where it is there;
    without it the file is scanned once. Identities are the labels as decimal numbers. Face sets
    usually start with a record that says where the pictures end and the records of people begin,
    which hold the range of their pictures; the ranges then give the identities, in that order.
    In other files the header of every picture is read.

    Parameters
    ----------
    path
        The ``.rec`` file, or a folder that holds one called ``train.rec``.

    Raises
    ------
    DatasetError
        If the file is missing or damaged, or the index does not fit it.
    """
    path = Path(path)
    file = path / "train.rec" if path.is_dir() else path
    if not file.is_file():
        raise DatasetError(f"{file} does not exist; expected a .rec file, or a folder of train.rec")
    if not file.stat().st_size:
        raise DatasetError(f"{file} is empty; expected image records")
    with file.open("rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as view:
        index = file.with_suffix(".idx")
        if index.is_file():
            keys, offsets = _read_index(index, len(view))
        else:
            offsets = _scan(view, file)
            keys = np.arange(len(offsets))
        first = _labels(view, file, int(offsets[0]))
        if len(first) == 2 and keys[0] == 0:
            kept, labels = _from_ranges(view, file, keys, offsets, first)
        else:
            kept = np.arange(len(offsets))
            labels = np.array([_labels(view, file, int(o))[0] for o in offsets], np.int64)
    return Dataset(file.parent.resolve().name, file.parent, _Records(file, offsets[kept], labels))


def _from_ranges(
    view: mmap.mmap, path: Path, keys: Int, offsets: Int, first: NDArray[np.float64]
) -> tuple[Int, Int]:
    """Return the places of the pictures among the keys, and their labels."""
    people = np.arange(int(first[0]), int(first[1]))
    rows = _places(keys, people, f"{path}: records of people are not in the index")
    starts = np.empty((len(people), 2), np.int64)
    for i, row in enumerate(rows):
        span = _labels(view, path, int(offsets[row]))
        if len(span) != 2:
            raise DatasetError(f"{path}: record {people[i]} is not the range of a person")
        starts[i] = span
    sizes = starts[:, 1] - starts[:, 0]
    if not len(people) or (sizes < 0).any() or starts.min() < 1 or starts.max() > people[0]:
        raise DatasetError(f"{path}: the ranges of people do not lie among the pictures")
    wanted = np.concatenate([np.arange(low, high) for low, high in starts])
    kept = _places(keys, wanted, f"{path}: the ranges name pictures that are not in the index")
    return kept, np.repeat(np.arange(len(people)), sizes)


def _places(keys: Int, wanted: Int, message: str) -> Int:
    places = np.searchsorted(keys, wanted).clip(0, len(keys) - 1)
    if (keys[places] != wanted).any():
        raise DatasetError(message)
    return np.asarray(places, np.int64)


def _read_index(path: Path, size: int) -> tuple[Int, Int]:
    rows = [row.split("\t") for row in lines(path, "a key, a tab and a byte offset a line")]
    if not rows or any(len(row) != 2 or not row[1].isdigit() for row in rows):
        raise DatasetError(f"{path}: expected a key, a tab and a byte offset a line")
    table = np.array([(int(key), int(offset)) for key, offset in rows], np.int64)
    table = table[np.argsort(table[:, 0], kind="stable")]
    if table[:, 1].max() >= size or (np.diff(table[:, 0]) == 0).any():
        raise DatasetError(f"{path}: does not belong to the .rec file of {size} bytes beside it")
    return table[:, 0], table[:, 1]


def _scan(view: mmap.mmap, path: Path) -> Int:
    offsets, offset = [], 0
    while offset < len(view):
        offsets.append(offset)
        offset = _record(view, offset, path)[1]
    return np.array(offsets, np.int64)


def _record(view: mmap.mmap, offset: int, path: Path) -> tuple[bytes, int]:
    """Return the data of a record, and where the next one starts."""
    parts: list[bytes] = []
    while True:
        if offset + _FRAME.size > len(view):
            raise DatasetError(f"{path}: a record at byte {offset} is cut off")
        magic, word = _FRAME.unpack_from(view, offset)
        mark, length = word >> 29, word & _LENGTH
        start = offset + _FRAME.size
        expected = (_MIDDLE, _LAST) if parts else (_WHOLE, _FIRST)
        if magic != _MAGIC or mark not in expected or start + length > len(view):
            raise DatasetError(f"{path}: no whole record at byte {offset}")
        parts.append(view[start : start + length])
        offset = start + length + -length % 4
        if mark in (_WHOLE, _LAST):
            # A record was parted wherever its data held the magic number.
            return struct.pack("<I", _MAGIC).join(parts), offset


def _split(data: bytes, path: Path, offset: int) -> tuple[NDArray[np.float64], bytes]:
    """Return the labels and the picture of a record."""
    if len(data) < _HEADER.size:
        raise DatasetError(f"{path}: the record at byte {offset} has no image header")
    flag, label, _, _ = _HEADER.unpack_from(data)
    end = _HEADER.size + 4 * flag
    if len(data) < end:
        raise DatasetError(f"{path}: the record at byte {offset} announces {flag} labels")
    if not flag:
        return np.array([label], np.float64), data[end:]
    return np.frombuffer(data, "<f4", flag, _HEADER.size).astype(np.float64), data[end:]


def _labels(view: mmap.mmap, path: Path, offset: int) -> NDArray[np.float64]:
    return _split(_record(view, offset, path)[0], path, offset)[0]
