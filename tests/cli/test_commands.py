"""Commands as a shell sees them: output, exit code, files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vultus.analysis import Analyzer
from vultus.images import open_image, save_image


class Shell:
    """Runs ``vultus`` in a second process, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "vultus", *map(str, arguments)],
            cwd=self.folder,
            capture_output=True,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "XDG_CONFIG_HOME": str(self.folder)},
            timeout=120,
        )
        assert done.returncode == code, done.stderr
        return done


@pytest.fixture
def vultus(tmp_path: Path, analyzer: Analyzer, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.delenv("VULTUS_KEY", raising=False)
    return Shell(tmp_path)


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    save_image(tmp_path / "grey.png", np.full((80, 80, 3), 127, np.uint8))
    return tmp_path / "grey.png"


COMMANDS = (
    *("detect", "analyze", "embed", "verify", "enroll", "identify", "cluster", "calibrate"),
    *("doctor", "demo", "systems", "train", "export", "reproduce", "gallery", "evaluate"),
    *("models", "cards", "data", "serve"),
)


def test_help_names_every_command(vultus: Shell) -> None:
    text = vultus("--help").stdout
    assert all(command in text for command in COMMANDS)
    assert "Exit codes" in text


def test_detect_prints_one_document_a_picture(vultus: Shell, portraits: Path, grey: Path) -> None:
    out = vultus("detect", portraits, grey, "--json").stdout
    documents = [json.loads(line) for line in out.splitlines()]
    assert len(documents) == 6
    assert sorted(len(d["faces"]) for d in documents) == [0, 1, 1, 1, 1, 1]
    assert "embedding" not in documents[0]["faces"][0]


def test_detect_uses_the_detector_that_was_named(vultus: Shell, portraits: Path) -> None:
    usual, named = (
        json.loads(vultus("detect", portraits, "--json", *more).stdout.splitlines()[0])
        for more in ((), ("--detector", "dlib-frontal"))
    )
    assert usual["faces"][0]["box"] != named["faces"][0]["box"]


def test_analyze_draws(vultus: Shell, portraits: Path, tmp_path: Path) -> None:
    vultus("analyze", portraits / "hopper", "--draw", tmp_path / "drawn")
    drawn = sorted((tmp_path / "drawn").iterdir())
    assert [path.name for path in drawn] == ["mirrored.png", "portrait.png", "small.png"]
    original = open_image(portraits / "hopper" / "portrait.png")
    assert open_image(drawn[1]).shape == original.shape
    assert (open_image(drawn[1]) != original).any()


def test_broken_pictures_are_skipped_and_counted(
    vultus: Shell, portraits: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    done = vultus("detect", portraits, tmp_path / "broken.jpg", "--json", code=3)
    assert len(done.stdout.splitlines()) == 6
    assert "broken.jpg" in done.stderr
    assert "1 of 6 pictures skipped" in done.stderr
    vultus("detect", tmp_path / "broken.jpg", code=2)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["verify", "nowhere.jpg", "nowhere.jpg"], "nowhere.jpg"),
        (["detect", "nowhere"], "nowhere"),
        (["detect", "."], "no pictures"),
        (["detect", "grey.png", "--provider", "cuda"], "cuda"),
        (["detect", "grey.png", "--detector", "eyes"], "eyes"),
        (["analyze", "grey.png", "--network", "expression"], "FIELD=ID"),
        (["analyze", "grey.png", "--network", "pose=mos-light"], "pose"),
        (["verify", "grey.png", "grey.png", "--subject", "tallest"], "tallest"),
        (["verify", "grey.png", "grey.png"], "no face"),
        (["verify", "grey.png", "grey.png", "--fmr", "1e-12"], "strictest"),
        (["cluster", "grey.png", "--must-link", "a"], "PICTURE#FACE"),
        (["identify", "nothing", "grey.png"], "key"),
        (["embed", "grey.png", "--out", "t.csv"], "t.csv"),
        (["models", "path", "nothing"], "unknown weight"),
        (["evaluate", "lfw", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    vultus: Shell, grey: Path, arguments: list[str], reason: str
) -> None:
    if "." in arguments:
        grey.unlink()
    error = vultus(*arguments, code=2).stderr
    assert reason in error
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) == 1


def test_verify(vultus: Shell, portraits: Path) -> None:
    hopper, collins = portraits / "hopper", portraits / "collins"
    same = json.loads(
        vultus("verify", hopper / "portrait.png", hopper / "small.jpg", "--json").stdout
    )
    assert same["same"] is True
    assert same["threshold"]["fmr"] <= 1e-3
    assert same["threshold"]["calibrated_on"]
    text = vultus(
        "verify", hopper / "portrait.png", collins / "portrait.png", "--exit-code", code=1
    ).stdout
    assert "different persons" in text
    assert "measured on" in text


def test_embed_writes_templates(vultus: Shell, portraits: Path, tmp_path: Path) -> None:
    from vultus.templates import read_templates

    summary = json.loads(vultus("embed", portraits, "--out", "t.parquet", "--json").stdout)
    sources, templates = read_templates(tmp_path / "t.parquet")
    assert summary["faces"] == len(sources) == len(templates) == 5


def test_a_gallery_from_first_enrolment_to_removal(
    vultus: Shell, portraits: Path, tmp_path: Path
) -> None:
    first = vultus("enroll", "g", portraits, "--json")
    assert json.loads(first.stdout)["added"] == 5
    assert "made the key" in first.stderr
    (key,) = tmp_path.rglob("gallery.key")
    assert key.stat().st_mode & 0o077 == 0
    twice = json.loads(vultus("enroll", "g", portraits, "--json").stdout)
    assert (twice["added"], twice["unchanged"]) == (0, 5)
    answer = json.loads(
        vultus("identify", "g", portraits / "hopper" / "small.jpg", "--json").stdout
    )
    assert answer["faces"][0]["person"] == "hopper"
    assert answer["threshold"]["fpir"] <= 0.01
    vultus("gallery", "rename", "g", "hopper", "Grace")
    vultus("gallery", "rekey", "g", "new.key")
    assert "key" in vultus("gallery", "info", "g", code=2).stderr
    people = json.loads(vultus("gallery", "people", "g", "--key", "new.key", "--json").stdout)
    assert people == {"Grace": 3, "collins": 2}
    vultus("gallery", "export", "g", "out.parquet", "--key", "new.key")
    vultus("gallery", "remove", "g", "Grace", "--key", "new.key")
    again = vultus("gallery", "remove", "g", "Grace", "--key", "new.key", code=2)
    assert "no person 'Grace'" in again.stderr
    vultus("gallery", "import", "g", "out.parquet", "--key", "new.key")
    info = json.loads(vultus("gallery", "info", "g", "--key", "new.key", "--json").stdout)
    assert (info["faces"], info["problems"]) == (5, [])


def test_cluster_writes_sheets(vultus: Shell, portraits: Path, tmp_path: Path) -> None:
    document = json.loads(vultus("cluster", portraits, "--out", "c", "--json").stdout)
    assert [len(person) for person in document["people"]] == [3, 2]
    names = sorted(path.name for path in (tmp_path / "c").iterdir())
    assert names == ["people.json", "person-0001.png", "person-0002.png"]


def test_models(vultus: Shell) -> None:
    weights = json.loads(vultus("models", "list", "--commercial", "--json").stdout)
    assert {w["commercial"] for w in weights} == {"yes"}
    status = json.loads(vultus("models", "verify", "--json").stdout)
    assert "damaged" not in status.values()
    path = vultus("models", "path", "dlib-resnet29").stdout.strip()
    assert Path(path).is_file()


def test_data_sets_are_listed_and_counted(vultus: Shell, portraits: Path, tmp_path: Path) -> None:
    listed = json.loads(vultus("data", "list", "--json").stdout)
    assert {"lfw", "orl", "utkface"} <= {entry["key"] for entry in listed}
    for picture in (1, 2):
        path = tmp_path / "data" / "orl_faces" / "s1" / f"{picture}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((portraits / "hopper" / "portrait.png").read_bytes())
    counted = json.loads(vultus("data", "check", "orl", "--root", "data", "--json").stdout)
    assert (counted["pictures"], counted["people"]) == (2, 1)
    assert "lfw" in vultus("data", "check", "lfw", "--root", "data", code=2).stderr


def test_doctor(vultus: Shell) -> None:
    report = json.loads(vultus("doctor", "--json").stdout)
    assert report["providers"]["cpu"]["error"] is None
    assert report["packages"]["vultus"]


def test_demo_ends_with_table_json_and_picture(vultus: Shell, tmp_path: Path) -> None:
    text = vultus("demo", "--out", "d").stdout
    assert "Eileen Collins" in text
    report = json.loads((tmp_path / "d" / "faces.json").read_text())
    assert len(report["faces"]) == 4
    assert len({face["person"] for face in report["faces"]}) == 2
    decisions = {a["picture"]: a["decision"] for a in report["identifications"]}
    assert decisions == {
        "Eileen Collins mirrored, half size": "known",
        "Grace Hopper": "unknown",
        "Grace Hopper mirrored, half size": "unknown",
    }
    assert (tmp_path / "d" / "Grace Hopper.png").is_file()
