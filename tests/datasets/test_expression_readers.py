"""FER2013, CK+48, JAFFE and AffectNet, built small."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from vultus.datasets.expressions import (
    EXPRESSIONS,
    read_affectnet,
    read_ck48,
    read_fer2013,
    read_jaffe,
)
from vultus.errors import DatasetError
from vultus.images import open_image


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (48, 48), np.uint8)


def text(picture: np.ndarray) -> str:
    return " ".join(map(str, picture.ravel()))


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("header", ["emotion,pixels,Usage", "emotion, Usage, pixels"])
def test_fer_csv_gives_each_picture_its_own_pixels(tmp_path: Path, header: str, quote: str) -> None:
    order = [name.strip() for name in header.split(",")]
    rows = [
        {"emotion": "3", "pixels": f"{quote}{text(pixels(1))}{quote}", "Usage": "Training"},
        {"emotion": "6", "pixels": f"{quote}{text(pixels(2))}{quote}", "Usage": "PrivateTest"},
    ]
    lines = [header, *(",".join(row[name] for name in order) for row in rows)]
    (tmp_path / "fer2013.csv").write_text("\n".join(lines) + "\n")
    for dataset in (read_fer2013(tmp_path), read_fer2013(tmp_path / "fer2013.csv")):
        assert [(r.labels["expression"], r.split) for r in dataset] == [
            ("happiness", "train"),
            ("neutral", "test"),
        ]
        for record, seed in zip(dataset, (1, 2), strict=True):
            assert (open_image(record.source()) == pixels(seed)[..., None]).all()


@pytest.mark.parametrize(
    "line",
    ["3,1 2 3", "7,1 2 3,Training", "x,1 2 3,Training", "3,1 2 3,Test", "-1,1 2 3,Training"],
)
def test_damaged_fer_lines_are_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "fer2013.csv").write_text(f"emotion,pixels,Usage\n{line}\n")
    with pytest.raises(DatasetError, match=r"fer2013\.csv, line 2: expected"):
        read_fer2013(tmp_path)


@pytest.mark.parametrize("numbers", ["1 2 3", "256 " * 2304, "a " * 2304, "1 " * 2305])
def test_fer_pictures_with_wrong_pixels_are_refused_when_read(tmp_path: Path, numbers: str) -> None:
    (tmp_path / "fer2013.csv").write_text(f"emotion,pixels,Usage\n0,{numbers},Training\n")
    record = read_fer2013(tmp_path)[0]
    with pytest.raises(DatasetError, match="2304 numbers from 0 to 255"):
        record.source()


def test_fer_folders(tmp_path: Path) -> None:
    touch(tmp_path, "train/angry/1.jpg", "validation/Sad/2.jpg", "test/neutral/3.png")
    found = [(r.split, r.labels["expression"]) for r in read_fer2013(tmp_path)]
    assert found == [("test", "neutral"), ("train", "anger"), ("val", "sadness")]


def test_ck48_names_give_subject_sequence_and_frame(tmp_path: Path) -> None:
    touch(tmp_path, "happy/S010_006_00000013.png", "contempt/S138_008_00000007.png")
    one, other = read_ck48(tmp_path)
    assert (one.identity, *one.labels.values()) == ("S138", "contempt", "S138_008", 7)
    assert (other.identity, *other.labels.values()) == ("S010", "happiness", "S010_006", 13)
    touch(tmp_path, "happy/face.png")
    with pytest.raises(DatasetError, match=r"face\.png: expected"):
        read_ck48(tmp_path)


def test_jaffe_names_give_poser_and_expression(tmp_path: Path) -> None:
    touch(tmp_path, "KA.AN1.39.tiff", "YM.NE3.51.jpg", "README.md")
    found = [(r.identity, r.labels["expression"]) for r in read_jaffe(tmp_path)]
    assert found == [("KA", "anger"), ("YM", "neutral")]
    touch(tmp_path, "KA.XX1.39.tiff")
    with pytest.raises(DatasetError, match="XX1"):
        read_jaffe(tmp_path)


def affectnet_line(code: int, valence: float) -> str:
    points = ";".join(f"{i}.5" for i in range(136))
    return f"12/a.jpg,10,20,100,110,{points},{code},{valence},0.25"


def test_affectnet_labels(tmp_path: Path) -> None:
    touch(tmp_path, "Manually_Annotated_Images/12/a.jpg")
    header = (
        "subDirectory_filePath,face_x,face_y,face_width,face_height,"
        "facial_landmarks,expression,valence,arousal"
    )
    (tmp_path / "training.csv").write_text(f"{header}\n{affectnet_line(1, -0.5)}\n")
    (tmp_path / "validation.csv").write_text(f"{affectnet_line(10, -2)}\n")
    train, val = read_affectnet(tmp_path)
    assert (train.split, val.split) == ("train", "val")
    assert train.labels["expression"] == "happiness"
    assert (train.labels["valence"], train.labels["arousal"]) == (-0.5, 0.25)
    assert train.labels["box"].tolist() == [10, 20, 110, 130]
    assert train.labels["landmarks"][0].tolist() == [0.5, 1.5]
    assert val.labels["expression"] == "no-face"
    assert np.isnan(val.labels["valence"])


@pytest.mark.parametrize(
    "line",
    ["a.jpg,1,2,3", affectnet_line(11, 0), affectnet_line(1, 0).replace("0.5;", "", 1)],
)
def test_damaged_affectnet_lines_are_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "validation.csv").write_text(line + "\n")
    with pytest.raises(DatasetError, match=r"validation\.csv, line 1: expected"):
        read_affectnet(tmp_path)


def test_affectnet_lists_without_pictures_say_so(tmp_path: Path) -> None:
    (tmp_path / "validation.csv").write_text(affectnet_line(1, 0) + "\n")
    with pytest.raises(DatasetError, match=r"12/a\.jpg does not exist"):
        read_affectnet(tmp_path)


@pytest.mark.parametrize("reader", [read_fer2013, read_ck48, read_jaffe, read_affectnet])
def test_other_folders_are_refused(tmp_path: Path, reader: object) -> None:
    touch(tmp_path, "notes.txt")
    with pytest.raises(DatasetError, match=r"expected .*; found notes\.txt"):
        reader(tmp_path)  # type: ignore[operator]


def test_real_sets_have_the_announced_pictures(data_root: Path) -> None:
    fer = read_fer2013(data_root / "fer2013")
    assert Counter(r.split for r in fer) == {"train": 7636, "val": 1500}
    assert set(fer.label("expression")) == set(EXPRESSIONS) - {"contempt"}
    ck = Counter(r.labels["expression"] for r in read_ck48(data_root / "ck48"))
    assert ck == {
        "anger": 135,
        "contempt": 54,
        "disgust": 177,
        "fear": 75,
        "happiness": 207,
        "sadness": 84,
        "surprise": 249,
    }
    jaffe = read_jaffe(data_root / "jaffe")
    assert (len(jaffe), len(jaffe.identities()[1])) == (213, 10)
