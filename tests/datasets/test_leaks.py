"""Leaks: people, bytes, and pictures in other clothes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vultus.datasets import Dataset, Record
from vultus.datasets.leaks import (
    NEAR,
    find_leaks,
    near_copies,
    picture_hash,
    picture_hashes,
    same_files,
)
from vultus.datasets.mxnet import Packed
from vultus.errors import ImageError


def texture(seed: int) -> np.ndarray:
    """A picture with structure at all scales, as photographs have."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.normal(size=(n, n, 3)), (128, 128), interpolation=cv2.INTER_CUBIC)
        for n in (3, 6, 12, 24)
    ]
    image = sum(layer / 2**i for i, layer in enumerate(layers))
    return np.clip(128 + 25 * image, 0, 255).astype(np.uint8)


def dataset(root: Path, pictures: dict[str, np.ndarray]) -> Dataset:
    records = []
    for name, image in pictures.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
        records.append(Record(path, path.parent.name))
    return Dataset("x", root, tuple(records))


def test_all_three_kinds_are_found(tmp_path: Path) -> None:
    first = dataset(tmp_path / "1", {"ann/1.png": texture(1), "bob/1.png": texture(2)})
    second = dataset(
        tmp_path / "2",
        {"ann/9.png": texture(3), "cat/1.jpg": texture(2), "dan/1.png": texture(1)},
    )
    leaks = find_leaks(first, second)
    assert leaks.identities == ("ann",)
    assert leaks.copies == ((0, 2),)
    assert [pair[:2] for pair in leaks.near_copies] == [(0, 2), (1, 1)]
    assert leaks
    assert leaks.to_dict()["copies"] == [[0, 2]]
    assert not find_leaks(first, dataset(tmp_path / "3", {"eve/1.png": texture(4)}))
    assert find_leaks(first, second, pictures=False).near_copies == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda image: cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA),
        lambda image: cv2.resize(image, (300, 260)),
        lambda image: np.clip(image * 1.2 + 10, 0, 255).astype(np.uint8),
        lambda image: cv2.imdecode(
            cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_COLOR
        ),
    ],
    ids=["half", "larger", "brighter", "compressed"],
)
def test_changed_copies_are_near_and_other_pictures_far(change: object) -> None:
    originals = np.stack([picture_hash(texture(i)) for i in range(12)])
    changed = np.stack([picture_hash(change(texture(i))) for i in range(12)])  # type: ignore[operator]
    assert sorted(pair[:2] for pair in near_copies(originals, changed)) == [
        (i, i) for i in range(12)
    ]


@pytest.mark.parametrize("block", [1, 5, 1024])
def test_distances_are_counted_bit_by_bit(block: int) -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.integers(0, 256, (n, 32), np.uint8) for n in (7, 9))
    second[3] = first[5]
    second[4] = first[5] ^ np.array([1, *[0] * 31], np.uint8)
    found = near_copies(first, second, limit=256, block=block)
    assert len(found) == 63
    for i, j, bits in found:
        assert bits == np.unpackbits(first[i] ^ second[j]).sum()
    assert found[:2] == [(5, 3, 0), (5, 4, 1)]
    assert near_copies(first[:0], second) == []


def test_packed_pictures_are_compared_by_their_own_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"same")

    class Whole(Packed):
        def read(self, path: Path) -> bytes:
            return path.read_bytes()

    packed = Dataset("p", tmp_path, (Record(path, part=Whole(0)),))
    plain = Dataset("q", tmp_path, (Record(path),))
    assert same_files(packed, plain) == [(0, 0)]


def test_broken_pictures_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"bad\.jpg"):
        picture_hashes([Record(tmp_path / "bad.jpg")])


def test_real_people_are_told_apart(data_root: Path) -> None:
    from vultus.datasets.people import read_portraits

    portraits = read_portraits(data_root / "congress_portraits")[:150]
    hashes = picture_hashes(portraits)
    found = near_copies(hashes, hashes, limit=NEAR)
    assert [pair[:2] for pair in found] == [(i, i) for i in range(150)]
