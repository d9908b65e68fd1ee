"""Photographs with several faces: what counts as found, and what as false."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from vultus.cli.app import app
from vultus.errors import DatasetError
from vultus.evaluation.scenes import Scene, evaluate_scenes, scene_figures
from vultus.faces import Face
from vultus.images import save_image


def face(x: float, y: float, side: float, score: float = 0.9) -> Face:
    return Face(np.array([x, y, x + side, y + side]), score, np.full((5, 2), x))


def scene(
    boxes: list[list[float]], judged: list[list[float]] | None = None, ignored: tuple[int, ...] = ()
) -> Scene:
    marks = np.isin(np.arange(len(boxes)), ignored)
    return Scene(
        np.array(boxes, np.float32).reshape(-1, 4),
        marks,
        np.array(judged or [], np.float32).reshape(-1, 4),
    )


class Fixed:
    """A detector that finds the same faces in every picture."""

    weights = ("fixed@0",)
    min_score = 0.5

    def __init__(self, faces: list[Face]) -> None:
        self.faces = faces

    def detect(self, image: Any) -> list[Face]:
        return self.faces


def test_recall_counts_faces_by_size() -> None:
    scenes = [scene([[0, 0, 20, 20], [100, 0, 150, 50], [200, 0, 300, 100]])]
    figures = scene_figures([[face(100, 0, 50), face(200, 0, 100)]], scenes, judged=False)
    assert figures["recall"].value == pytest.approx(2 / 3)
    assert figures["recall, 0 to 24 px"].value == 0
    assert figures["recall, 40 px high and more"].value == 1
    assert figures["recall, 40 px high and more"].n == 2
    assert not figures["recall, 24 to 40 px"].estimable
    assert "false boxes per picture" not in figures


def test_height_decides_what_is_high() -> None:
    # As wide as high faces are, and not high.
    figures = scene_figures([[]], [scene([[0, 0, 60, 39], [0, 100, 39, 140]])], judged=False)
    assert figures["recall, 40 px high and more"].n == 1


def test_boxes_on_faces_that_only_the_judge_sees_are_not_false() -> None:
    scenes = [scene([[0, 0, 50, 50]], judged=[[100, 100, 150, 150]]), scene([])]
    found = [[face(0, 0, 50), face(100, 100, 50), face(300, 0, 50)], [face(0, 0, 20)]]
    assert scene_figures(found, scenes, judged=True)["false boxes per picture"].value == 1
    blind = [scene([[0, 0, 50, 50]]), scene([])]
    assert scene_figures(found, blind, judged=True)["false boxes per picture"].value == 1.5


def test_ignored_faces_are_neither_missed_nor_false() -> None:
    scenes = [scene([[0, 0, 50, 50], [100, 0, 150, 50]], ignored=(1,))]
    figures = scene_figures([[face(0, 0, 50), face(100, 0, 50)]], scenes, judged=True)
    assert figures["recall"].value == 1
    assert figures["recall"].n == 1
    assert figures["false boxes per picture"].value == 0


def test_a_report_for_each_detector_on_the_same_pictures(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", np.zeros((80, 120, 3), np.uint8))
    points = ",".join("1" for _ in range(136))
    names = ",".join(f"x{i},y{i}" for i in range(68))
    (tmp_path / "faces.csv").write_text(f"image,x0,y0,x1,y1,{names}\na.png,10,10,60,60,{points}\n")
    seen = []
    detectors: Any = {"sees": Fixed([face(10, 10, 50)]), "blind": Fixed([])}
    one, other = evaluate_scenes(tmp_path, detectors=detectors, progress=seen.append)
    assert one.figures["recall"].value == 1
    assert other.figures["recall"].value == 0
    assert one.system["weights"] == "fixed@0"
    assert one.facts["annotated faces"] == 1
    assert seen == [tmp_path / "a.png"]


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"faces\.csv"):
        evaluate_scenes(tmp_path, detectors={})


def test_the_command_measures_at_every_threshold_that_is_named(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", np.zeros((80, 120, 3), np.uint8))
    points = ",".join("1" for _ in range(136))
    names = ",".join(f"x{i},y{i}" for i in range(68))
    (tmp_path / "faces.csv").write_text(f"image,x0,y0,x1,y1,{names}\na.png,10,10,60,60,{points}\n")
    words = ["evaluate", "scenes", str(tmp_path), "--detector", "mos", "--json"]
    done = CliRunner().invoke(app, [*words, "--min-score", "0.5", "--min-score", "0.25"])
    reports = json.loads(done.stdout)
    assert [r["protocol"].split(", ")[-1] for r in reports] == ["mos at 0.5", "mos at 0.25"]
    assert [r["facts"]["threshold"] for r in reports] == [0.5, 0.25]
    own = json.loads(CliRunner().invoke(app, words).stdout)
    assert own["facts"]["threshold"] == 0.9
