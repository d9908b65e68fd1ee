"""Protocols on small parts of real sets, and the arithmetic below them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from vultus.analysis import Analyzer
from vultus.errors import DatasetError
from vultus.evaluation import (
    calibrate_people,
    evaluate_folder,
    evaluate_lfw,
    evaluate_orl,
)
from vultus.evaluation.embedding import Embedded, embed_all
from vultus.evaluation.folder import development_people
from vultus.evaluation.identification import _number_within, _searches
from vultus.measure.scores import read_scores

N_PEOPLE, N_PICTURES = 12, 4


@pytest.fixture(scope="module")
def orl(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve people of ORL with four pictures each."""
    root = tmp_path_factory.mktemp("orl")
    for person in range(1, N_PEOPLE + 1):
        (root / f"s{person}").mkdir()
        for picture in range(1, N_PICTURES + 1):
            name = f"s{person}/{picture}.png"
            shutil.copy(data_root / "orl_faces" / name, root / name)
    return root


@pytest.fixture(scope="module")
def lfw(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first six genuine and six impostor pairs of each list of LFW View 1."""
    source, root = data_root / "lfw_view1", tmp_path_factory.mktemp("lfw")
    for file in ("pairsDevTrain.txt", "pairsDevTest.txt"):
        _, *lines = (source / file).read_text().splitlines()
        half = len(lines) // 2
        kept = lines[:6] + lines[half : half + 6]
        (root / file).write_text("\n".join(["6", *kept]) + "\n")
        for line in kept:
            first, n, *rest = line.split("\t")
            pictures = [(first, n), (first if len(rest) == 1 else rest[0], rest[-1])]
            for name, number in pictures:
                path = Path("images") / name / f"{name}_{int(number):04d}.jpg"
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source / path, root / path)
    return root


def test_lfw_view_1(lfw: Path, analyzer: Analyzer, tmp_path: Path) -> None:
    report = evaluate_lfw(lfw, analyzer=analyzer)
    assert report.figures["accuracy"].value > 0.9
    assert report.figures["accuracy"].n == 12
    assert report.figures["failure to acquire"].value == 0
    assert not report.figures["TAR@FAR=0.01"].estimable, "six impostors say nothing of 1 %"
    written = {path.name for path in report.write(tmp_path)}
    assert written == {"report.json", "scores.csv.gz", "roc.png", "det.png", "histogram.png"}
    assert json.loads((tmp_path / "report.json").read_text())["protocol"] == "lfw-view1"
    scores = list(read_scores(tmp_path / "scores.csv.gz"))
    assert [s.set for s in scores] == ["dev"] * 12 + ["eval"] * 12
    assert [s.label for s in scores].count("genuine") == 12


def test_orl(orl: Path, analyzer: Analyzer, tmp_path: Path) -> None:
    report = evaluate_orl(orl, analyzer=analyzer)
    assert report.figures["rank-1"].n == N_PEOPLE * N_PICTURES * (N_PICTURES - 1)
    assert report.figures["rank-1"].value > 0.9
    assert (report.write(tmp_path, suffix=".svg")[-1]).read_text().startswith("<?xml")


def test_folder(orl: Path, analyzer: Analyzer) -> None:
    report = evaluate_folder(orl, analyzer=analyzer)
    assert report.facts["people"] == N_PEOPLE
    assert report.figures["rank-1 of enrolled people"].value > 0.9
    assert report.figures["B-cubed F"].value > 0.8
    again = evaluate_folder(orl, analyzer=analyzer)
    assert report.to_dict() == again.to_dict()
    other = evaluate_folder(orl, seed=1, analyzer=analyzer)
    assert other.facts["verification threshold"] != report.facts["verification threshold"]


def test_calibration_names_its_data(orl: Path, analyzer: Analyzer) -> None:
    name, people = development_people(orl)
    calibration, embedded = calibrate_people(people, data=name, command="none", analyzer=analyzer)
    assert (calibration.n_people, calibration.n_faces) == (N_PEOPLE, N_PEOPLE * N_PICTURES)
    assert calibration.space == analyzer.embedder.space
    assert embedded.found.all()
    genuine = N_PEOPLE * N_PICTURES * (N_PICTURES - 1) // 2
    assert calibration.n_genuine == genuine


def test_too_few_people(tmp_path: Path, portraits: Path, analyzer: Analyzer) -> None:
    with pytest.raises(DatasetError, match="eight people"):
        evaluate_orl(portraits, analyzer=analyzer)
    with pytest.raises(DatasetError, match="eight people"):
        evaluate_folder(portraits, analyzer=analyzer)
    with pytest.raises(DatasetError):
        evaluate_lfw(tmp_path, analyzer=analyzer)


def test_failures_are_kept_in_place(portraits: Path, analyzer: Analyzer, tmp_path: Path) -> None:
    from vultus.images import save_image

    blank = tmp_path / "blank.png"
    save_image(blank, np.zeros((64, 64, 3), np.uint8))
    one = portraits / "hopper" / "portrait.png"
    embedded = embed_all([one, blank, one], analyzer)
    assert embedded.found.tolist() == [True, False, True]
    assert embedded.reasons == {blank: "no face was found"}
    assert embedded.failure_to_acquire().value == pytest.approx(1 / 3)
    same, failed = embedded.similarity(np.array([0, 0]), np.array([2, 1]))
    assert same == pytest.approx(1, abs=1e-5)
    assert failed == -np.inf
    with pytest.raises(DatasetError, match="no face was found in any of 1"):
        embed_all([blank], analyzer)


def test_numbers_within_groups() -> None:
    assert _number_within(np.array([2, 0, 2, 1, 0, 2])).tolist() == [0, 0, 1, 0, 1, 2]


def test_every_round_enrols_one_picture_a_person() -> None:
    # Two people on two axes; the second picture of person 1 looks like person 0.
    vectors = np.array([[1, 0], [1, 0], [0, 1], [1, 0]], np.float32)
    paths = tuple(Path(f"{i}.png") for i in range(4))
    embedded = Embedded(paths, vectors, np.ones(4, np.bool_), {})
    who, picture = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    searches = _searches(embedded, who, picture, np.arange(2), np.arange(2))
    # Round 0: 0 finds itself, 1's second finds 0. Round 1: all are alike, ties go against the mate.
    assert searches.rank.tolist() == [1, 2, 2, 2]
    assert searches.n_enrolled == 2
