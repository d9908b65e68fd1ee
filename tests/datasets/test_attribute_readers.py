"""UTKFace, CelebA and SCUT-FBP5500, built small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vultus.datasets.attributes import (
    CELEBA_ATTRIBUTES,
    read_celeba,
    read_scut_fbp5500,
    read_utkface,
)
from vultus.errors import DatasetError

NAMES = ("000001.jpg", "000002.jpg")


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize("inside", ["", "images/", "UTKFace/", "part2/"])
def test_utkface_names(tmp_path: Path, inside: str) -> None:
    touch(
        tmp_path,
        f"{inside}26_1_0_20170116174525125.jpg.chip.jpg",
        f"{inside}101_0_4_20170105174739309.jpg",
        f"{inside}61_1_20170109142408075.jpg",
        f"{inside}55_0_0_20170116232725357jpg.jpg",
    )
    labels = {tuple(r.labels.values())[:3] for r in read_utkface(tmp_path)}
    assert labels == {
        (26, "female", "white"),
        (101, "male", "other"),
        (61, None, None),
        (55, "male", "white"),
    }


@pytest.mark.parametrize("name", ["face.jpg", "26_2_0_20170116174525125.jpg", "26_1_5_2017.jpg"])
def test_other_utkface_names_are_refused(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name)
    with pytest.raises(DatasetError, match="expected pictures such as"):
        read_utkface(tmp_path)


def celeba(root: Path, images: str = "img_align_celeba", lists: str = "") -> Path:
    touch(root, *(f"{images}/{name}" for name in NAMES))
    (root / lists).mkdir(exist_ok=True)
    attributes = [["1" if i == j else "-1" for j in range(40)] for i in range(2)]
    head = f"2\n{' '.join(CELEBA_ATTRIBUTES)} \n"
    rows = zip(NAMES, attributes, strict=True)
    (root / lists / "list_attr_celeba.txt").write_text(
        head + "".join(f"{name}  {' '.join(values)}\n" for name, values in rows)
    )
    for file in ("list_landmarks_align_celeba.txt", "list_landmarks_celeba.txt"):
        (root / lists / file).write_text(
            "2\nlefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y "
            "rightmouth_x rightmouth_y\n"
            + "".join(f"{name} 69 109 106 113 77 142 73 152 108 154\n" for name in NAMES)
        )
    (root / lists / "list_bbox_celeba.txt").write_text(
        "2\nimage_id x_1 y_1 width height\n" + "".join(f"{name} 95 71 226 313\n" for name in NAMES)
    )
    (root / lists / "identity_CelebA.txt").write_text(
        "".join(f"{name} {2880 + i}\n" for i, name in enumerate(NAMES))
    )
    (root / lists / "list_eval_partition.txt").write_text(f"{NAMES[0]} 0\n{NAMES[1]} 2\n")
    return root


@pytest.mark.parametrize("lists", ["", "Anno"])
def test_celeba_joins_its_lists(tmp_path: Path, lists: str) -> None:
    one, other = read_celeba(celeba(tmp_path, lists=lists))
    assert (one.identity, one.split, other.identity, other.split) == (
        "2880",
        "train",
        "2881",
        "test",
    )
    assert np.flatnonzero(other.labels["attributes"]).tolist() == [1]
    assert one.labels["keypoints"][2].tolist() == [77, 142]
    assert "box" not in one.labels


def test_celeba_in_the_wild_has_boxes(tmp_path: Path) -> None:
    record = read_celeba(celeba(tmp_path, images="img_celeba"))[0]
    assert record.labels["box"].tolist() == [95, 71, 321, 384]


def test_celeba_needs_not_all_lists_but_one(tmp_path: Path) -> None:
    celeba(tmp_path)
    for path in tmp_path.glob("list_*.txt"):
        path.unlink()
    record = read_celeba(tmp_path)[0]
    assert (record.identity, record.split, record.labels) == ("2880", None, {})
    (tmp_path / "identity_CelebA.txt").unlink()
    with pytest.raises(DatasetError, match="expected img_align_celeba"):
        read_celeba(tmp_path)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("list_attr_celeba.txt", "2\n", "3\n", "2 pictures follow a count of '3'"),
        ("list_attr_celeba.txt", "Bald", "Bold", "not the forty attributes"),
        ("list_attr_celeba.txt", "  1 -1", "  1 0", "line 3: attributes are 1 or -1"),
        ("list_attr_celeba.txt", "000002.jpg", "000001.jpg", "line 4: expected a new picture"),
        ("list_eval_partition.txt", " 2", " 3", "line 2: a part is 0, 1 or 2"),
        ("identity_CelebA.txt", "000002", "000003", "differ in 2 pictures, such as 000002.jpg"),
        ("list_landmarks_align_celeba.txt", " 154", "", "line 3: expected"),
        ("list_landmarks_align_celeba.txt", " 154", " x", "'x' is not a number"),
    ],
)
def test_damaged_celeba_lists_are_named(
    tmp_path: Path, file: str, old: str, new: str, message: str
) -> None:
    path = celeba(tmp_path) / file
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DatasetError, match=message):
        read_celeba(tmp_path)


def test_scut_lists(tmp_path: Path) -> None:
    for fold, name in enumerate(("fty1", "mty2", "ftw3", "mtw4", "fty5"), 1):
        touch(tmp_path, f"data/{fold}/test_{fold}.txt").joinpath(
            f"data/{fold}/test_{fold}.txt"
        ).write_text(f"{name}.jpg 2.5\n")
    records = {r.path.stem: r.labels for r in read_scut_fbp5500(tmp_path)}
    assert records["ftw3"] == {"score": 2.5, "sex": "female", "race": "white", "fold": 2}
    (tmp_path / "data/5/test_5.txt").write_text("fty1.jpg 2.5\n")
    with pytest.raises(DatasetError, match="line 1: expected a new picture"):
        read_scut_fbp5500(tmp_path)


def test_real_sets_have_the_announced_pictures(data_root: Path) -> None:
    utk = read_utkface(data_root / "utkface")
    assert len(utk) == 9000
    assert 0 < utk.label("age").min() < utk.label("age").max() <= 116
    scut = read_scut_fbp5500(data_root / "scut_fbp5500_labels")
    assert len(scut) == 5500
    assert np.bincount(scut.label("fold")).tolist() == [1100] * 5
    assert scut.label("score").mean() == pytest.approx(2.991, abs=5e-4)
