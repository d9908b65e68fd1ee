"""FASSEG: parts, masks by colour, and the sign of yaw."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from vultus.datasets.masks import FASSEG_CLASSES, mask_classes, read_fasseg
from vultus.errors import DatasetError
from vultus.images import open_image


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_parts_splits_masks_and_yaw(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "frontal02/Train_RGB/2.jpg",
        "frontal02/Train_RGB/10.jpg",
        "frontal02/Train_Labels/2.png",
        "frontal02/Test_RGB/1.bmp",
        "multipose01/Test_RGB/+15/personne08147+0+15.jpg",
        "multipose01/Test_labels/+15/personne08147+0+15.png",
    )
    records = list(read_fasseg(tmp_path))
    assert [(r.path.name, r.split, r.labels["mask"] is not None) for r in records] == [
        ("2.jpg", "train", True),
        ("10.jpg", "train", False),
        ("1.bmp", "test", False),
        ("personne08147+0+15.jpg", "test", True),
    ]
    assert (records[-1].identity, records[-1].labels["yaw"]) == ("personne08", -15)
    touch(tmp_path, "multipose01/Test_RGB/+15/personne08147+0+30.jpg")
    with pytest.raises(DatasetError, match=r"personne08147\+0\+30"):
        read_fasseg(tmp_path)


def test_colours_are_classes_and_mixtures_take_the_nearest() -> None:
    mask = np.array([[[255, 0, 0], [120, 10, 4]], [[250, 250, 9], [0, 5, 250]]], np.uint8)
    names = [[FASSEG_CLASSES[i] for i in row] for row in mask_classes(mask)]
    assert names == [["background", "hair"], ["skin", "eyes"]]
    with pytest.raises(DatasetError, match="uint8"):
        mask_classes(np.zeros((2, 2), np.uint8))


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected frontal02"):
        read_fasseg(touch(tmp_path, "faces/1.jpg"))


def test_real_set(data_root: Path) -> None:
    dataset = read_fasseg(data_root / "fasseg")
    parts = Counter((r.labels["part"], r.split, r.labels["mask"] is not None) for r in dataset)
    assert parts == {
        ("frontal02", "train", True): 20,
        ("frontal02", "test", True): 50,
        ("multipose01", "test", True): 96,
        ("multipose01", "test", False): 112,
    }
    masked = next(r for r in dataset if r.labels["mask"])
    shares = np.bincount(mask_classes(open_image(masked.labels["mask"])).ravel(), minlength=6)
    assert (shares > 0).all()
    assert shares.argmax() in (0, 2)


def test_real_yaw_is_positive_where_the_nose_points_right(data_root: Path) -> None:
    # Near profile the nose's mask lies on the side that the face looks to.
    nose, skin = FASSEG_CLASSES.index("nose"), FASSEG_CLASSES.index("skin")
    sides = []
    for record in read_fasseg(data_root / "fasseg"):
        if record.labels["mask"] and abs(record.labels.get("yaw", 0)) >= 60:
            classes = mask_classes(open_image(record.labels["mask"]))
            columns = [np.nonzero(classes == c)[1].mean() for c in (nose, skin)]
            sides.append(np.sign(columns[0] - columns[1]) == np.sign(record.labels["yaw"]))
    assert len(sides) == 48
    assert np.mean(sides) > 0.95
