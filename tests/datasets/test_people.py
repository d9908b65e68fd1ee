"""Folders of people, ORL and Extended Yale B."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from vultus.datasets.people import read_folder, read_orl, read_yale_b
from vultus.errors import DatasetError
from vultus.images import open_image


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_folders_are_people_and_other_files_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "Bo/2.png", "Bo/1.JPG", "Al/x.webp", "Al/notes.txt", "README.md", "Al/.x.jpg")
    touch(tmp_path, ".cache/1.jpg", "Empty/readme.txt")
    dataset = read_folder(tmp_path, name="ours")
    assert [(r.identity, r.path.name) for r in dataset] == [
        ("Al", "x.webp"),
        ("Bo", "1.JPG"),
        ("Bo", "2.png"),
    ]
    assert dataset.name == "ours"
    assert {r.split for r in dataset} == {None}


def test_first_level_may_be_splits(tmp_path: Path) -> None:
    touch(tmp_path, "train/Al/1.jpg", "Validation/Bo/1.jpg", "test/Al/2.jpg")
    assert [(r.split, r.identity) for r in read_folder(tmp_path)] == [
        ("val", "Bo"),
        ("test", "Al"),
        ("train", "Al"),
    ]


def test_a_person_may_be_called_like_a_split(tmp_path: Path) -> None:
    touch(tmp_path, "Test/1.jpg")
    assert [(r.split, r.identity) for r in read_folder(tmp_path)] == [(None, "Test")]


def test_orl_is_sorted_by_number(tmp_path: Path) -> None:
    touch(tmp_path, "s10/1.pgm", "s2/10.pgm", "s2/9.pgm", "README")
    assert [(r.identity, r.labels["number"]) for r in read_orl(tmp_path)] == [
        ("s2", 9),
        ("s2", 10),
        ("s10", 1),
    ]
    touch(tmp_path, "s2/face.pgm")
    with pytest.raises(DatasetError, match=r"face\.pgm: expected folders s1"):
        read_orl(tmp_path)


def test_yale_names_give_the_light(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "yaleB01/yaleB01_P00A+000E+20.pgm",
        "yaleB01/yaleB01_P00A-035E-20.pgm",
        "yaleB02/yaleB02_P03_Ambient.pgm",
    )
    labels = [(r.identity, *r.labels.values()) for r in read_yale_b(tmp_path)]
    assert labels == [
        ("yaleB01", 0, 0, 20),
        ("yaleB01", 0, -35, -20),
        ("yaleB02", 3, None, None),
    ]
    touch(tmp_path, "yaleB02/yaleB01_P00A+000E+20.pgm")
    with pytest.raises(DatasetError, match=r"expected yaleB02_P00A\+000E\+20\.pgm"):
        read_yale_b(tmp_path)


@pytest.mark.parametrize("reader", [read_folder, read_orl, read_yale_b])
def test_folders_of_another_layout_say_what_is_there(tmp_path: Path, reader: object) -> None:
    touch(tmp_path, "1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg", "6.jpg")
    with pytest.raises(DatasetError, match=r"expected .*; found 1.jpg, .* and 1 more"):
        reader(tmp_path)  # type: ignore[operator]


def test_real_sets_have_the_announced_pictures(data_root: Path) -> None:
    orl = read_orl(data_root / "orl_faces")
    assert Counter(r.identity for r in orl).most_common() == [(f"s{i}", 10) for i in range(1, 40)]
    yale = read_yale_b(data_root / "yale_b")
    assert (len(yale), len(yale.identities()[1])) == (760, 38)
    celebrities = read_folder(data_root / "five_celebrities")
    assert Counter(r.split for r in celebrities) == {"train": 88, "test": 5}
    assert len(read_folder(data_root / "dlib_examples" / "johns")) == 55


def test_light_from_the_image_left_brightens_that_half(data_root: Path) -> None:
    yale = read_yale_b(data_root / "yale_b")
    differences = []
    for record in yale.where(lambda r: abs(r.labels["azimuth"]) >= 50):
        pixels = open_image(record.path).mean(2)
        half = pixels.shape[1] // 2
        left_brighter = pixels[:, :half].mean() > pixels[:, half:].mean()
        differences.append(left_brighter == (record.labels["azimuth"] > 0))
    assert np.mean(differences) > 0.98
