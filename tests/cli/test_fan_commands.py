"""A network of fan-alignment from training to figures and new annotations, by commands alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

from vultus.cli.app import app
from vultus.images import save_image
from vultus.landmarks.fan.faces import render_faces, save_faces
from vultus.landmarks.fan_labelled import labelled_faces

ROOT = Path(__file__).resolve().parents[2]


def call(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four annotated pictures, and a file of the same faces."""
    root = tmp_path_factory.mktemp("fan")
    faces = render_faces("procedural", 4, 3, size=96, development=0.5)
    save_faces(root / "faces.safetensors", faces)
    for i, (image, points) in enumerate(zip(faces.images, faces.contour, strict=True)):
        (root / "set").mkdir(exist_ok=True)
        save_image(root / "set" / f"{i}.png", image)
        text = "\n".join(f"{x + 1:.3f} {y + 1:.3f}" for x, y in points)
        (root / "set" / f"{i}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{text}\n}}\n")
    recipe = ROOT / "recipes" / "fan-alignment" / "cpu.yaml"
    for task in ("align", "lift"):
        call("train", recipe, f"config.task={task}", "--debug", "--out", root / task)
    return root


def test_a_run_is_measured_by_yaw_and_under_sweeps(root: Path) -> None:
    words = ("--fan", root / "align", "--start", "box", "--noise", "20", "--faces", "16", "--json")
    figures = json.loads(call("evaluate", "landmarks", root / "faces.safetensors", *words))[
        "figures"
    ]
    for name in ("NME", "AUC@7%", "NME, boxes off by 20%", "NME, faces of 16 pixels"):
        assert name in figures
    assert any("yaw" in name for name in figures)


def test_annotations_of_the_other_convention_are_refused(root: Path) -> None:
    words = [
        "evaluate",
        "landmarks",
        str(root / "set"),
        "--fan",
        str(root / "align"),
        "--start",
        "box",
    ]
    done = CliRunner().invoke(app, words)
    assert done.exit_code != 0
    assert "points are contour" in str(done.exception)


def test_options_that_do_not_fit_are_named(root: Path) -> None:
    words = ["evaluate", "landmarks", str(root / "set"), "--noise", "10"]
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, "--fan" in done.output) == (2, True)


def test_annotations_are_lifted(root: Path, tmp_path: Path) -> None:
    text = call(
        "data", "lift", root / "set", tmp_path / "out", "--network", root / "lift", "--json"
    )
    assert json.loads(text)["faces"] == 4
    assert len(list((tmp_path / "out").glob("*.pts"))) == 4
    lifted = labelled_faces(tmp_path / "out", "300w", size=64)
    assert lifted.images.shape == (4, 64, 64, 3)
    # What was lifted is known to be projected, though the files look alike.
    assert np.isfinite(lifted.projected[..., :2]).all()
    assert np.isnan(lifted.contour).all()
    words = ("--fan", root / "align", "--start", "box", "--json")
    report = json.loads(call("evaluate", "landmarks", tmp_path / "out", *words))
    assert report["facts"]["convention"] == "projected"


def test_a_run_of_another_task_is_refused(root: Path, tmp_path: Path) -> None:
    words = [
        "data",
        "lift",
        str(root / "set"),
        str(tmp_path / "out"),
        "--network",
        str(root / "align"),
    ]
    done = CliRunner().invoke(app, words)
    assert "wanted fan-alignment with task lift, it has align" in str(done.exception)
