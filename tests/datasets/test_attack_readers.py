"""Presentation attack sets: protocols as published, people kept apart, damage named."""

from __future__ import annotations

from pathlib import Path

import pytest

from vultus.datasets import Dataset
from vultus.datasets.attacks import REPLAY_PROTOCOLS, read_oulu, read_replay_attack
from vultus.errors import ConfigError, DatasetError
from vultus.measure.pad import Presentations, pad_rates

#: Part, people and marks of a miniature of OULU-NPU.
PEOPLE = {"Train": ("01", "02"), "Dev": ("21",), "Test": ("36",)}
MARKS = {1: "+1", 2: "-1", 3: "-1", 4: "-2", 5: "-2"}


@pytest.fixture
def oulu(tmp_path: Path) -> Path:
    for part, people in PEOPLE.items():
        videos = tmp_path / f"{part}_files"
        videos.mkdir()
        names = [f"{phone}_1_{who}_{file}" for phone in (1, 2) for who in people for file in MARKS]
        for name in names:
            (videos / f"{name}.avi").write_bytes(b"")
            (videos / f"{name}.txt").write_text("0,1,2,3,4\n")
        for protocol, suffix in (("1", ""), ("3", "_2")):
            folder = tmp_path / "Protocols" / f"Protocol_{protocol}"
            folder.mkdir(parents=True, exist_ok=True)
            # The protocol that leaves out phone 2 tests on it alone.
            left = [n for n in names if protocol == "1" or (n[0] == "2") == (part == "Test")]
            text = "".join(f"{MARKS[int(n[-1])]},{n}\n" for n in left)
            (folder / f"{part}{suffix}.txt").write_text(text)
    return tmp_path


@pytest.fixture
def replay(tmp_path: Path) -> Path:
    for part, who in (("train", "001"), ("devel", "003"), ("test", "009")):
        real = tmp_path / part / "real"
        real.mkdir(parents=True)
        for take in (1, 2):
            name = f"client{who}_session01_webcam_authenticate_adverse_{take}.mov"
            (real / name).write_bytes(b"")
        for held in ("fixed", "hand"):
            attacks = tmp_path / part / "attack" / held
            attacks.mkdir(parents=True)
            for device, camera, medium in (
                ("print", "highdef", "photo"),
                ("mobile", "mobile", "photo"),
                ("mobile", "mobile", "video"),
                ("highdef", "highdef", "photo"),
                ("highdef", "highdef", "video"),
            ):
                name = f"attack_{device}_client{who}_session01_{camera}_{medium}_controlled.mov"
                (attacks / name).write_bytes(b"")
    (tmp_path / "enroll").mkdir()
    (tmp_path / "enroll" / "client001_session01.mov").write_bytes(b"")
    return tmp_path


def species(data: Dataset, split: str) -> dict[str, int]:
    found = [r.labels["species"] for r in data if r.split == split]
    return {name: found.count(name) for name in sorted(set(found))}


def test_oulu_protocol_1_has_the_listed_videos(oulu: Path) -> None:
    data = read_oulu(oulu)
    assert (data.name, len(data)) == ("oulu-npu-1", 40)
    assert species(data, "train") == {"bona-fide": 4, "print": 8, "replay": 8}
    assert {r.split for r in data} == {"train", "dev", "test"}
    people = {s: {r.identity for r in data if r.split == s} for s in ("train", "dev", "test")}
    assert people == {"train": {"01", "02"}, "dev": {"21"}, "test": {"36"}}
    first = next(r for r in data if r.path.stem == "2_1_01_5")
    assert first.path == oulu / "Train_files" / "2_1_01_5.avi"
    assert first.labels == {"species": "replay", "phone": 2, "session": 1, "instrument": 2}
    second = next(r for r in data if r.path.stem == "2_1_01_2")
    assert second.labels["instrument"] == 1


def test_oulu_protocol_3_leaves_out_a_phone(oulu: Path) -> None:
    data = read_oulu(oulu, 3, fold=2)
    phones = {s: {r.labels["phone"] for r in data if r.split == s} for s in ("train", "test")}
    assert phones == {"train": {1}, "test": {2}}


def test_labels_are_what_the_metrics_take(oulu: Path) -> None:
    test = [r for r in read_oulu(oulu) if r.split == "test"]
    labels = [r.labels["species"] for r in test]
    scores = [1.0 if label == "bona-fide" else 0.0 for label in labels]
    rates = pad_rates(Presentations(scores, labels, [r.identity for r in test]), 0.5)  # type: ignore[arg-type]
    assert (rates.acer.value, sorted(rates.apcer)) == (0.0, ["print", "replay"])


@pytest.mark.parametrize(
    ("protocol", "fold", "words"),
    [(5, None, "protocols"), (3, None, "fold"), (4, 7, "fold"), (1, 2, "no fold")],
)
def test_oulu_has_four_protocols(oulu: Path, protocol: int, fold: int | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_oulu(oulu, protocol, fold)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("+1,9_1_01_1", r"Train\.txt, line 1: expected \+1"),
        ("2,1_1_01_1", "expected"),
        ("", "expected"),
        ("-1,1_1_01_1", "bona-fide by its name"),
        ("+1,1_2_01_1", "there is no video Train_files/1_2_01_1"),
    ],
)
def test_damaged_lists_of_oulu_are_named(oulu: Path, line: str, words: str) -> None:
    (oulu / "Protocols" / "Protocol_1" / "Train.txt").write_text(f"{line}\n+1,1_1_01_1\n")
    with pytest.raises(DatasetError, match=words):
        read_oulu(oulu)


def test_missing_parts_of_oulu_are_named(oulu: Path, tmp_path: Path) -> None:
    (oulu / "Protocols" / "Protocol_1" / "Dev.txt").unlink()
    with pytest.raises(DatasetError, match=r"Dev\.txt does not exist"):
        read_oulu(oulu)
    with pytest.raises(DatasetError, match="Train_files"):
        read_oulu(oulu, 2)
    with pytest.raises(DatasetError, match="does not exist"):
        read_oulu(tmp_path / "nirgendwo")


@pytest.mark.parametrize(
    ("protocol", "attacks"),
    [
        ("grandtest", {"print", "mobile-photo", "mobile-video", "highdef-photo", "highdef-video"}),
        ("print", {"print"}),
        ("photo", {"print", "mobile-photo", "highdef-photo"}),
        ("digitalphoto", {"mobile-photo", "highdef-photo"}),
        ("video", {"mobile-video", "highdef-video"}),
        ("mobile", {"mobile-photo", "mobile-video"}),
        ("highdef", {"highdef-photo", "highdef-video"}),
    ],
)
def test_protocols_of_replay_attack(replay: Path, protocol: str, attacks: set[str]) -> None:
    assert protocol in REPLAY_PROTOCOLS
    data = read_replay_attack(replay, protocol)  # type: ignore[arg-type]
    for split in ("train", "dev", "test"):
        assert species(data, split) == {"bona-fide": 2} | dict.fromkeys(attacks, 2)
    assert {r.identity for r in data if r.split == "dev"} == {"003"}
    assert not any("enroll" in r.path.parts for r in data)


def test_support_of_replay_attack(replay: Path) -> None:
    data = read_replay_attack(replay, "print", support="hand")
    assert species(data, "train") == {"bona-fide": 2, "print": 1}
    supports = {r.labels["support"] for r in data}
    assert supports == {None, "hand"}
    real = next(r for r in data if r.labels["species"] == "bona-fide")
    assert (real.labels["condition"], real.labels["session"]) == ("adverse", 1)


def test_foreign_folders_are_not_replay_attack(replay: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="grandtest"):
        read_replay_attack(replay, "grand")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="support"):
        read_replay_attack(replay, support="foot")  # type: ignore[arg-type]
    (replay / "train" / "real" / "someone.mov").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"someone\.mov: expected client001"):
        read_replay_attack(replay)
    empty = tmp_path / "leer"
    empty.mkdir()
    with pytest.raises(DatasetError, match="found nothing"):
        read_replay_attack(empty)
