"""What is reported of a liveness network: by attack, by camera, and on real pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("numba")

from vultus.datasets.records import Dataset, Record
from vultus.errors import DatasetError
from vultus.evaluation.liveness import (
    attack_figures,
    development_threshold,
    evaluate_liveness,
    evaluate_pictures,
    hand_scorer,
)
from vultus.evaluation.presentations import SEEN_SPECIES, presentations, records_of, split_of
from vultus.faces import Face
from vultus.liveness.cdcn.presentations import PadCrops, loose_side
from vultus.measure.pad import BONA_FIDE, Presentations
from vultus.worlds import SPECIES

SIZE = 24


class Brightness:
    """A network whose score is the mean grey level."""

    name, size, threshold = "brightness", SIZE, None

    def predict(self, crops: np.ndarray) -> np.ndarray:
        return crops.mean((1, 2, 3)).astype(np.float32) / 255


class OneFace:
    """Finds one face in every picture that is not black."""

    def detect(self, image: np.ndarray) -> list[Face]:
        if not image.any():
            return []
        points = np.array([[8, 8], [16, 8], [12, 12], [9, 16], [15, 16]], np.float32)
        return [Face([2, 2, 22, 22], 0.9, points)]


def drawn(split: str, rows: list[tuple[str, str, int]]) -> PadCrops:
    """Return presentations of (species, domain, grey level), a person each."""
    side, count = loose_side(SIZE), len(rows)
    rng = np.random.default_rng(0)
    levels = np.array([level for *_, level in rows])
    images = levels[:, None, None, None] + rng.integers(-3, 4, (count, side, side, 3))
    return PadCrops(
        images=images.astype(np.uint8),
        depth=np.zeros((count, side, side), np.uint8),
        masks=np.full((count, side, side), 255, np.uint8),
        species=np.array([species for species, *_ in rows]),
        domains=np.array([domain for _, domain, _ in rows]),
        splits=np.full(count, split),
        people=np.arange(count),
        clips=np.arange(count),
        size=SIZE,
    )


def learned() -> PadCrops:
    from vultus.liveness.cdcn.presentations import joined

    rows = [(BONA_FIDE, "rendered phone", level) for level in (150, 160, 170, 180)]
    rows += [("print", "rendered phone", level) for level in (60, 70, 80, 90)]
    return joined([drawn("train", rows), drawn("development", rows)])


def test_attacks_and_cameras_that_are_new_stand_apart() -> None:
    test = drawn(
        "test",
        [
            (BONA_FIDE, "rendered phone", 170),
            (BONA_FIDE, "rendered phone", 20),
            ("print", "rendered phone", 20),
            ("replay", "rendered phone", 200),
            ("replay", "rendered phone", 20),
            (BONA_FIDE, "rendered webcam", 200),
            ("print", "rendered webcam", 200),
            (BONA_FIDE, "photograph phone", 200),
        ],
    )
    threshold = development_threshold(learned(), Brightness())
    assert 0.35 < threshold < 0.65
    seen, unseen = sorted(
        evaluate_liveness(learned(), test, Brightness()), key=lambda r: r.facts["presentations"]
    )[::-1]
    assert seen.protocol == "liveness, rendered, seen cameras"
    assert seen.figures["BPCER"].value == 0.5
    assert seen.figures["APCER, print"].value == 0
    assert seen.figures["APCER, replay"].value == 0.5
    assert seen.figures["APCER, replay"].note == "not trained on"
    assert seen.figures["APCER, print"].note == ""
    assert seen.figures["ACER, attacks trained on"].value == pytest.approx(0.25)
    assert seen.figures["ACER, attacks not trained on"].value == pytest.approx(0.5)
    assert "hand features: BPCER" in seen.figures
    assert seen.facts["threshold"] == threshold
    assert unseen.protocol == "liveness, rendered, unseen cameras"
    assert unseen.figures["BPCER"].value == 0
    assert unseen.figures["APCER, print"].value == 1
    # A photograph without an attack beside it has no report.
    with pytest.raises(DatasetError, match="no part"):
        evaluate_liveness(learned(), test.take([2, 7]), Brightness())


def test_injections_count_in_no_group() -> None:
    scored = Presentations(
        np.array([0.9, 0.9, 0.1, 0.95]), np.array([BONA_FIDE, BONA_FIDE, "print", "swap"])
    )
    figures = attack_figures(scored, 0.5, {"print"})
    assert figures["APCER, swap"].value == 1
    assert figures["ACER, attacks trained on"].value == 0
    assert "ACER, attacks not trained on" not in figures


def test_a_picture_without_a_face_has_no_response() -> None:
    black = np.zeros((24, 24, 3), np.uint8)
    grey, white = np.full_like(black, 100), np.full_like(black, 250)
    report = evaluate_pictures(
        [black, grey, white],
        [black, white],
        lambda image, face: float(image.mean()) / 255,
        OneFace(),
        0.5,
        name="x",
        title="pictures",
    )
    assert report.figures["BPCER"].value == pytest.approx(2 / 3)
    assert report.figures["BPCER, face found"].value == 0.5
    assert report.figures["no face found, bona fide"].value == pytest.approx(1 / 3)
    assert report.figures["APCER"].value == 0.5
    assert report.figures["APCER, face found"].value == 1
    assert report.figures["area under the ROC curve, face found"].value == pytest.approx(0.25)
    with pytest.raises(DatasetError, match="give pictures"):
        evaluate_pictures([], [], lambda *_: 0.0, OneFace(), 0.5, name="x", title="y")


def test_hand_features_stand_beside_real_pictures() -> None:
    grey, white = (np.full((24, 24, 3), level, np.uint8) for level in (100, 250))
    hand = (lambda image, face: 1 - float(image.mean()) / 255), 0.5
    report = evaluate_pictures(
        [white],
        [grey],
        lambda image, face: float(image.mean()) / 255,
        OneFace(),
        0.5,
        name="x",
        title="pictures",
        hand=hand,
    )
    assert report.figures["BPCER"].value == report.figures["APCER"].value == 0
    for error in ("BPCER", "APCER"):
        assert report.figures[f"hand features: {error}"].value == 1
    alone = evaluate_pictures(
        [white], [], lambda *_: 1.0, OneFace(), 0.5, name="x", title="pictures"
    )
    assert "not measured" in str(alone.facts["hand features"])


def test_hand_features_learn_from_the_training_presentations() -> None:
    class Network(Brightness):
        def crop(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
            return image[None]

    score, threshold = hand_scorer(learned(), Network())  # type: ignore[arg-type]
    rows = [(BONA_FIDE, "rendered phone", 165), ("print", "rendered phone", 75)]
    light, dark = drawn("test", rows).crops(SIZE)[0]
    face = OneFace().detect(light)[0]
    assert score(light, face) >= threshold > score(dark, face)


def test_nobody_is_in_two_parts() -> None:
    people = [Record(Path(f"{n}-{i}.jpg"), f"p{n}") for n in range(60) for i in range(2)]
    data = Dataset("x", Path(), people)
    parts = {s: records_of(data, s) for s in ("train", "development", "test")}
    names = [{r.identity for r in records} for records in parts.values()]
    assert sum(map(len, names)) == 60 == len(set().union(*names))
    assert sum(map(len, parts.values())) == 60, "one picture of each person"
    assert 5 < len(parts["test"]) < 30
    assert len(records_of(data, "train", 3)) == 3
    assert split_of(Record(Path("a.jpg"), "a", "dev-test")) == "test"
    for n in range(50):
        assert split_of(Record(Path(f"{n}.jpg"), f"{n}", "dev-train")) != "test"
        assert split_of(Record(Path(f"{n}.jpg"))) != "test", "who it shows is not known"


def test_photographs_stand_on_both_sides(tmp_path: Path) -> None:
    from vultus.images import save_image

    rng = np.random.default_rng(0)
    records = []
    for n in range(40):
        save_image(tmp_path / f"{n}.png", rng.integers(1, 256, (24, 24, 3)).astype(np.uint8))
        records.append(Record(tmp_path / f"{n}.png", f"p{n}"))
    data = Dataset("noise", tmp_path, records)

    def found(part: str) -> PadCrops:
        return presentations(
            part, [data], OneFace(), size=SIZE, people=4, limit=4, heads=("procedural",)
        )  # type: ignore[arg-type]

    learn, test = found("learn"), found("test")
    photographed = np.char.startswith(learn.domains, "photograph")
    assert photographed.any()
    assert learn.live[photographed].any()
    assert not learn.live[photographed].all()
    assert set(np.unique(learn.splits)) == {"train", "development"}
    assert set(np.unique(learn.species)) == {BONA_FIDE, *SEEN_SPECIES}
    assert set(np.unique(test.species)) == {BONA_FIDE, *set(SPECIES)}
    assert not any("webcam" in name for name in learn.domains.tolist())
    assert any("webcam" in name for name in test.domains.tolist())


def test_the_command_measures_files_and_pictures(tmp_path: Path, grace_hopper: np.ndarray) -> None:
    import json

    from typer.testing import CliRunner

    from vultus.cli.app import app
    from vultus.images import save_image
    from vultus.liveness.cdcn.presentations import save_presentations

    rows = [(BONA_FIDE, "rendered phone", 170), ("print", "rendered phone", 60)]
    save_presentations(tmp_path / "learn.safetensors", learned())
    save_presentations(tmp_path / "test.safetensors", drawn("test", rows))
    save_image(tmp_path / "live.png", grace_hopper)
    command = ["evaluate", "liveness", str(tmp_path / "learn.safetensors"), "--threads", "1"]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2
    assert "--test TEST" in refused.output
    refused = CliRunner().invoke(app, ["evaluate", "liveness"])
    assert refused.exit_code == 2
    command += ["--test", str(tmp_path / "test.safetensors"), "--json"]
    command += ["--bona-fide", str(tmp_path / "live.png")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    simulated, real = json.loads(done.stdout)
    assert simulated["figures"]["APCER, print"]["n"] == 1
    assert real["figures"]["BPCER"]["n"] == 1
    assert real["figures"]["no face found, bona fide"]["value"] == 0
    assert real["facts"]["threshold"] == simulated["facts"]["packaged threshold"]
    wrong = ["data", "presentations", "congress", "--out", str(tmp_path / "x"), "--part", "all"]
    refused = CliRunner().invoke(app, wrong)
    assert refused.exit_code == 2
    assert "learn or test" in refused.output
