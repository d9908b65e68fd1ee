"""RecordIO files, written here by the letter of the format."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from vultus.datasets.mxnet import read_mxnet
from vultus.errors import DatasetError

MAGIC = struct.pack("<I", 0xCED7230A)


def frame(data: bytes) -> bytes:
    """Return a record, parted at every aligned magic number as the format asks for."""
    parts, start = [], 0
    for i in range(0, len(data) - 3, 4):
        if data[i : i + 4] == MAGIC:
            parts.append(data[start:i])
            start = i + 4
    parts.append(data[start:])
    out = b""
    for i, part in enumerate(parts):
        mark = 0 if len(parts) == 1 else 1 if i == 0 else 3 if i == len(parts) - 1 else 2
        out += MAGIC + struct.pack("<I", mark << 29 | len(part)) + part + b"\0" * (-len(part) % 4)
    return out


def image_record(labels: float | list[float], picture: bytes = b"") -> bytes:
    if isinstance(labels, list):
        head = struct.pack("<IfQQ", len(labels), 0.0, 0, 0)
        return frame(head + struct.pack(f"<{len(labels)}f", *labels) + picture)
    return frame(struct.pack("<IfQQ", 0, labels, 0, 0) + picture)


def write(root: Path, records: dict[int, bytes], *, index: bool = True) -> Path:
    path, rows, data = root / "train.rec", [], b""
    for key, record in records.items():
        rows.append(f"{key}\t{len(data)}")
        data += record
    path.write_bytes(data)
    if index:
        (root / "train.idx").write_text("\n".join(rows) + "\n")
    return path


def ranged() -> dict[int, bytes]:
    """Return two people with two and one pictures, as face sets are packed."""
    return {
        0: image_record([4.0, 6.0]),
        1: image_record([0.0, 0.0], b"first"),
        2: image_record([0.0, 0.0], b"second"),
        3: image_record([1.0, 0.0], b"third"),
        4: image_record([1.0, 3.0]),
        5: image_record([3.0, 4.0]),
    }


@pytest.mark.parametrize("index", [True, False])
def test_ranges_of_people_give_identities(tmp_path: Path, index: bool) -> None:
    dataset = read_mxnet(write(tmp_path, ranged(), index=index))
    assert [(r.identity, r.source()) for r in dataset] == [
        ("0", b"first"),
        ("0", b"second"),
        ("1", b"third"),
    ]
    assert dataset.identities()[0].tolist() == [0, 0, 1]
    assert [r.source() for r in dataset[1:]] == [b"second", b"third"]
    assert read_mxnet(tmp_path)[-1].source() == b"third"


@pytest.mark.parametrize("index", [True, False])
def test_plain_files_carry_the_label_in_each_header(tmp_path: Path, index: bool) -> None:
    records = {i: image_record(label, bytes([i])) for i, label in enumerate([7.0, 3.0, 7.0])}
    dataset = read_mxnet(write(tmp_path, records, index=index))
    assert [(r.identity, r.source()) for r in dataset] == [("7", b"\0"), ("3", b"\1"), ("7", b"\2")]


def test_pictures_that_hold_the_magic_number_are_put_together(tmp_path: Path) -> None:
    picture = b"abcd" + MAGIC + b"efgh" + MAGIC + MAGIC + b"xyz"
    dataset = read_mxnet(write(tmp_path, {0: image_record(1.0, picture), 1: image_record(2.0)}))
    assert dataset[0].source() == picture
    assert dataset[1].identity == "2"


def test_a_real_picture_is_opened(tmp_path: Path) -> None:
    import cv2

    from vultus.images import open_image

    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    encoded = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
    dataset = read_mxnet(write(tmp_path, {0: image_record(0.0, encoded)}))
    assert (open_image(dataset[0].source()) == pixels).all()


@pytest.mark.parametrize("cut", [1, 7, 30, 60])
def test_cut_files_are_refused(tmp_path: Path, cut: int) -> None:
    path = write(tmp_path, ranged(), index=False)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(DatasetError, match=r"train\.rec"):
        read_mxnet(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: image_record([4.0, 9.0])}, "people are not in the index"),
        ({4: image_record(1.0)}, "record 4 is not the range"),
        ({4: image_record([1.0, 9.0])}, "do not lie among the pictures"),
        ({0: image_record([4.0, 4.0])}, "do not lie among the pictures"),
        ({0: frame(b"short")}, "no image header"),
        ({0: frame(struct.pack("<IfQQ", 9, 0.0, 0, 0))}, "announces 9 labels"),
    ],
)
def test_damaged_headers_are_refused(
    tmp_path: Path, change: dict[int, bytes], message: str
) -> None:
    path = write(tmp_path, ranged() | change)
    with pytest.raises(DatasetError, match=message):
        read_mxnet(path)


@pytest.mark.parametrize("index", ["0\t0\n1\t99999\n", "0 0\n", "0\t0\n0\t40\n", "0\tx\n", ""])
def test_an_index_of_another_file_is_refused(tmp_path: Path, index: str) -> None:
    path = write(tmp_path, ranged())
    path.with_suffix(".idx").write_text(index)
    with pytest.raises(DatasetError, match=r"train\.idx"):
        read_mxnet(path)


def test_offsets_that_hit_no_record_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, ranged())
    path.with_suffix(".idx").write_text("0\t4\n")
    with pytest.raises(DatasetError, match="no whole record at byte 4"):
        read_mxnet(path)


def test_missing_and_empty_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"train\.rec does not exist"):
        read_mxnet(tmp_path)
    (tmp_path / "train.rec").touch()
    with pytest.raises(DatasetError, match="is empty"):
        read_mxnet(tmp_path)


def test_records_open_in_another_process(tmp_path: Path) -> None:
    import pickle

    dataset = read_mxnet(write(tmp_path, ranged()))
    copy = pickle.loads(pickle.dumps(dataset))  # noqa: S301
    assert copy[2].source() == b"third"
