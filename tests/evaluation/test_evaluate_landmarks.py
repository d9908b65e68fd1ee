"""The landmark protocol: known errors give known figures, whatever the first crop comes from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vultus.errors import DatasetError
from vultus.evaluation.landmarks import evaluate_landmarks
from vultus.faces import Face
from vultus.images import save_image
from vultus.measure import plots
from vultus.points68 import MEAN, keypoints

TRUTH = np.array(MEAN, np.float32) * 2 + 20
EYES = float(np.linalg.norm(TRUTH[36] - TRUTH[45]))


class Shifted:
    """Gives the true points, moved to the right by a share of the eye corners' distance."""

    name = "shifted"

    def __init__(self, shares: list[float]) -> None:
        self.shares, self.calls, self.starts = shares, 0, list[np.ndarray]()

    def locate(self, image: np.ndarray, five: np.ndarray, *, passes: int, flip: bool) -> np.ndarray:
        self.starts.append(five[0])
        moved = TRUTH + np.array([self.shares[self.calls] * EYES, 0], np.float32)
        self.calls += 1
        return moved[None].astype(np.float32)


class Detector:
    """Finds faces at given offsets from the true one; none where the offset is None."""

    def __init__(self, offsets: list[float | None]) -> None:
        self.offsets = list(offsets)

    def detect(self, image: np.ndarray) -> list[Face]:
        offset = self.offsets.pop(0)
        if offset is None:
            return []
        five = keypoints(TRUTH) + np.float32(offset)
        box = np.concatenate([five.min(0), five.max(0)])
        return [Face(box, 0.9, five)]


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    """Four pictures with .pts files, two in each of two parts."""
    text = "\n".join(f"{x + 1:.4f} {y + 1:.4f}" for x, y in TRUTH)
    for i in range(4):
        folder = tmp_path / "set" / ("common" if i < 2 else "challenging")
        folder.mkdir(parents=True, exist_ok=True)
        save_image(folder / f"{i}.png", np.full((240, 240, 3), 90, np.uint8))
        body = f"version: 1\nn_points: 68\n{{\n{text}\n}}\n"
        (folder / f"{i}.pts").write_text(body)
    return tmp_path / "set"


def test_known_shifts_give_known_errors(annotated: Path) -> None:
    predictor = Shifted([0.0, 0.02, 0.04, 0.2])
    report = evaluate_landmarks(annotated, predictor=predictor, start="points")
    figures = report.figures
    assert figures["NME, inter-ocular"].value == pytest.approx(0.065, abs=1e-5)
    assert figures["failures above 10%, inter-ocular"].value == 0.25
    assert figures["AUC@8%, inter-ocular"].value == pytest.approx((1 + 0.75 + 0.5) / 4, abs=1e-4)
    pupils = np.linalg.norm(TRUTH[36:42].mean(0) - TRUTH[42:48].mean(0))
    assert figures["NME, inter-pupil"].value == pytest.approx(0.065 * EYES / pupils, abs=1e-5)
    box = np.sqrt(np.ptp(TRUTH, axis=0).prod())
    assert figures["NME, box-size"].value == pytest.approx(0.065 * EYES / box, abs=1e-5)
    assert all(e.low <= e.value <= e.high for e in figures.values())


def test_a_part_is_measured_alone(annotated: Path) -> None:
    predictor = Shifted([0.01, 0.01])
    report = evaluate_landmarks(annotated, predictor=predictor, start="points", split="common")
    assert (report.facts["faces"], report.facts["part"]) == (2, "common")
    with pytest.raises(DatasetError, match=r"parts: .*challenging"):
        evaluate_landmarks(annotated, predictor=predictor, start="points", split="other")


def test_a_missed_face_is_a_failure_and_no_error(annotated: Path) -> None:
    predictor = Shifted([0.02] * 3)
    # In the order of paths: 2 and 1 are found, 3 is not, in 0 another face is.
    detector = Detector([0.0, None, 2 * EYES, 1.0])
    report = evaluate_landmarks(annotated, predictor=predictor, detector=detector)
    assert report.facts["faces without detection"] == ["3.png", "0.png"]
    assert report.figures["NME, inter-ocular"].n == 2
    assert report.figures["failures above 10%, inter-ocular"].value == 0.5
    assert report.figures["AUC@8%, inter-ocular"].value == pytest.approx(0.75 / 2, abs=1e-4)


def test_a_box_starts_near_the_true_keypoints(annotated: Path) -> None:
    predictor = Shifted([0.0] * 4)
    evaluate_landmarks(annotated, predictor=predictor, start="box")
    np.testing.assert_allclose(predictor.starts[0], keypoints(TRUTH), atol=0.5)


def test_a_detector_is_needed_for_its_start(annotated: Path) -> None:
    with pytest.raises(DatasetError, match="needs a detector"):
        evaluate_landmarks(annotated, predictor=Shifted([0.0]))


def test_the_report_is_written_with_its_curve(annotated: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    report = evaluate_landmarks(annotated, predictor=Shifted([0.01] * 4), start="points")
    written = report.write(tmp_path / "out")
    assert [path.name for path in written] == ["report.json", "ced.png"]
    stored = json.loads(written[0].read_text())
    assert stored["figures"]["NME, inter-ocular"]["value"] == pytest.approx(0.01, abs=1e-5)
    assert stored["facts"]["NME of nose, inter-ocular"] == pytest.approx(0.01, abs=1e-4)


def test_the_curve_counts_missed_faces() -> None:
    pytest.importorskip("matplotlib")
    figure = plots.ced({"a": np.array([0.02, 0.05, np.inf, 0.3])}, limit=0.1)
    (line,) = figure.axes[0].get_lines()
    np.testing.assert_allclose(line.get_xdata(), [0, 2, 5, 10])
    np.testing.assert_allclose(line.get_ydata(), [0, 0.25, 0.5, 0.5])
