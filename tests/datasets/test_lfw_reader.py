"""The LFW layout: pictures, lists, pairs, and what is said of a damaged list."""

from __future__ import annotations

from pathlib import Path

import pytest

from vultus.datasets.lfw import read_lfw, read_lfw_pairs, read_people
from vultus.errors import DatasetError

PAIRS = "1\nAnn_Lee\t1\t2\nAnn_Lee\t1\tBob_Ray\t1\n"


def make(root: Path, inside: str) -> Path:
    for name, number in (("Ann_Lee", 1), ("Ann_Lee", 2), ("Bob_Ray", 1)):
        path = root / inside / name / f"{name}_{number:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (root / "pairsDevTrain.txt").write_text(PAIRS)
    (root / "peopleDevTrain.txt").write_text("1\nAnn_Lee\t2\n")
    (root / "peopleDevTest.txt").write_text("1\nBob_Ray\t1\n")
    return root


@pytest.fixture(params=["", "images", "lfw-deepfunneled"])
def lfw(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return make(tmp_path, request.param)


def test_pictures_know_their_person_number_and_split(lfw: Path) -> None:
    assert [(r.identity, r.labels["number"], r.split) for r in read_lfw(lfw)] == [
        ("Ann_Lee", 1, "dev-train"),
        ("Ann_Lee", 2, "dev-train"),
        ("Bob_Ray", 1, "dev-test"),
    ]


def test_pairs_are_genuine_first_and_share_records(lfw: Path) -> None:
    same, different = read_lfw_pairs(lfw, "dev-train")
    assert (same.same, different.same, same.fold) == (True, False, None)
    assert same.first is different.first
    assert (same.second.path.name, different.second.identity) == ("Ann_Lee_0002.jpg", "Bob_Ray")


def test_view2_pairs_carry_their_fold(lfw: Path) -> None:
    body = PAIRS.split("\n", 1)[1]
    (lfw / "pairs.txt").write_text("3\t1\n" + body * 3)
    pairs = read_lfw_pairs(lfw, "view2")
    assert [(p.fold, p.same) for p in pairs] == [
        (fold, same) for fold in range(3) for same in (True, False)
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a header"),
        ("1\nAnn_Lee\t1\t2\n", r"announces \[1\], but 1 pairs follow"),
        ("one\n", "line 1: 'one' is not a whole number"),
        ("1\nAnn_Lee\t1\t2\nAnn_Lee\t1\t2\n", "line 3: 3 fields"),
        ("1\nAnn_Lee\t1\tx\nAnn_Lee\t1\tBob_Ray\t1\n", "line 2: 'x' is not"),
        ("1\nAnn_Lee\t1\t9\nAnn_Lee\t1\tBob_Ray\t1\n", "line 2: there is no .*Ann_Lee_0009"),
    ],
)
def test_damaged_lists_are_named_by_line(lfw: Path, text: str, message: str) -> None:
    (lfw / "pairsDevTest.txt").write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_lfw_pairs(lfw, "dev-test")


def test_a_missing_list_and_an_unknown_view_are_named(lfw: Path) -> None:
    with pytest.raises(DatasetError, match=r"pairs\.txt does not exist"):
        read_lfw_pairs(lfw, "view2")
    with pytest.raises(DatasetError, match="pair lists"):
        read_lfw_pairs(lfw, "view3")  # type: ignore[arg-type]


def test_people_lists_count_the_published_pictures(lfw: Path) -> None:
    assert read_people(lfw, "dev-train") == [("Ann_Lee", 2)]
    (lfw / "peopleDevTest.txt").write_text("2\nBob_Ray\t1\n")
    with pytest.raises(DatasetError, match="1 people listed"):
        read_people(lfw, "dev-test")


def test_another_layout_says_what_was_expected_and_found(tmp_path: Path) -> None:
    (tmp_path / "s1").mkdir()
    (tmp_path / "s1" / "1.pgm").touch()
    with pytest.raises(DatasetError, match=r"expected NAME/NAME_0001.jpg.*; found s1/$"):
        read_lfw(tmp_path)
    with pytest.raises(DatasetError, match="does not exist"):
        read_lfw(tmp_path / "none")


def test_a_foreign_picture_among_them_is_named(lfw: Path) -> None:
    person = read_lfw(lfw)[0].path.parent
    (person / "holiday.jpg").touch()
    with pytest.raises(DatasetError, match=r"holiday\.jpg: expected Ann_Lee_0001\.jpg"):
        read_lfw(lfw)


def test_real_set_has_the_published_development_pairs(data_root: Path) -> None:
    root = data_root / "lfw_view1"
    dataset = read_lfw(root)
    assert len(dataset) == 6758
    train, test = (read_lfw_pairs(root, view) for view in ("dev-train", "dev-test"))
    assert (len(train), len(test)) == (2200, 1000)
    assert sum(pair.same for pair in train) == 1100
    assert all((p.first.identity == p.second.identity) == p.same for p in train + test)
    people = [{r.identity for p in pairs for r in (p.first, p.second)} for pairs in (train, test)]
    assert not people[0] & people[1]
    assert (len(read_people(root, "dev-train")), len(read_people(root, "dev-test"))) == (4038, 1711)
