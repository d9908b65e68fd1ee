"""Points in boxes: known errors, bands of yaw, sweeps, and conventions that do not mix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vultus.errors import DatasetError
from vultus.evaluation.boxed_landmarks import Sweeps, evaluate_boxed, read_annotated
from vultus.faces import Face
from vultus.images import save_image
from vultus.landmarks.heatmaps import face_boxes
from vultus.points68 import MEAN, keypoints

TRUTH = np.array(MEAN, np.float32) * 2 + 300
SIZE = float(np.sqrt(np.ptp(TRUTH, axis=0).prod()))


class Anchored:
    """Puts a mean face where its box says, moved right by a share of the box's size."""

    convention: Any = "contour"

    def __init__(self, share: float, name: str = "anchored") -> None:
        self.share, self.name = share, name
        self.seen: list[np.ndarray] = []
        self.sides: list[tuple[int, ...]] = []

    def locate(
        self, images: Sequence[np.ndarray], boxes: np.ndarray, *, flip: bool = False
    ) -> np.ndarray:
        self.seen.append(boxes.copy())
        self.sides += [image.shape for image in images]
        (home,) = face_boxes(TRUTH[None])
        scale = (boxes[:, 2:] - boxes[:, :2]) / (home[2:] - home[:2])
        points = boxes[:, None, :2] + scale[:, None] * (TRUTH - home[:2])
        return (points + np.array([self.share * SIZE, 0])).astype(np.float32)


class Detector:
    """Finds the true box moved down by some pixels, or nobody."""

    def __init__(self, offsets: list[float | None]) -> None:
        self.offsets = list(offsets)

    def detect(self, image: np.ndarray) -> list[Face]:
        offset = self.offsets.pop(0)
        if offset is None:
            return []
        (box,) = face_boxes(TRUTH[None])
        moved = keypoints(TRUTH) + np.float32([0, offset])
        return [Face(box + np.float32([0, offset, 0, offset]), 0.9, moved)]


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    text = "\n".join(f"{x + 1:.4f} {y + 1:.4f}" for x, y in TRUTH)
    for i in range(3):
        folder = tmp_path / "set" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        save_image(folder / f"{i}.png", np.full((900, 900, 3), 90, np.uint8))
        (folder / f"{i}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{text}\n}}\n")
    return tmp_path / "set"


def test_known_shifts_give_known_errors_by_the_size_of_the_box(annotated: Path) -> None:
    report = evaluate_boxed(annotated, [Anchored(0.035)])
    assert report.figures["NME"].value == pytest.approx(0.035, abs=1e-4)
    assert report.figures["AUC@7%"].value == pytest.approx(0.5, abs=0.02)
    assert report.figures["failures above 7%"].value == 0
    assert report.facts["convention"] == "contour"


def test_several_networks_are_a_sweep_over_size(annotated: Path) -> None:
    report = evaluate_boxed(annotated, [Anchored(0.01, "small"), Anchored(0.0, "large")])
    assert report.figures["small: NME"].value > report.figures["large: NME"].value
    assert report.figures["large: NME"].value == pytest.approx(0, abs=1e-5)


def test_boxes_and_resolution_are_swept(annotated: Path) -> None:
    network = Anchored(0.0)
    sweeps = Sweeps(noise=(0.1, 0.3), faces=(16,))
    figures = evaluate_boxed(annotated, [network], sweeps=sweeps).figures
    clean, some, much = (
        figures[f"NME{after}"].value for after in ("", ", boxes off by 10%", ", boxes off by 30%")
    )
    assert clean < some < much
    assert figures["NME, faces of 16 pixels"].value == pytest.approx(clean)
    again = evaluate_boxed(annotated, [Anchored(0.0)], sweeps=sweeps).figures
    assert again["NME, boxes off by 30%"].value == much


def test_only_what_lies_around_a_face_is_kept(annotated: Path) -> None:
    network = Anchored(0.0)
    evaluate_boxed(annotated, [network])
    assert max(max(side[:2]) for side in network.sides) < 900


def test_a_missed_face_is_a_failure(annotated: Path) -> None:
    report = evaluate_boxed(annotated, [Anchored(0.0)], detector=Detector([None, 0.0, 5.0]))
    assert report.facts["faces without detection"] == 1
    assert report.figures["failures above 7%"].value == pytest.approx(1 / 3)
    assert report.figures["NME"].value == pytest.approx(2.5 / SIZE, rel=0.01)


def test_a_part_is_measured_alone(annotated: Path) -> None:
    assert evaluate_boxed(annotated, [Anchored(0.0)], part="a").facts["faces"] == 2
    with pytest.raises(DatasetError, match=r"in nowhere; parts: \['a', 'b'\]"):
        evaluate_boxed(annotated, [Anchored(0.0)], part="nowhere")


def test_conventions_do_not_mix(annotated: Path) -> None:
    other = Anchored(0.0)
    other.convention = "projected"
    with pytest.raises(DatasetError, match="points are contour, the network's projected"):
        evaluate_boxed(annotated, [other])
    with pytest.raises(DatasetError, match="one convention"):
        evaluate_boxed(annotated, [Anchored(0.0), other])


def test_a_file_of_faces_has_bands_of_yaw(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from vultus.landmarks.fan.faces import Faces, save_faces

    n = 6
    points = np.tile(TRUTH - 280, (n, 1, 1)).astype(np.float32)
    solid = np.concatenate([points, np.zeros((n, 68, 1), np.float32)], 2)
    faces = Faces(
        np.zeros((n, 240, 240, 3), np.uint8), points, solid, face_boxes(points),
        np.array([0, -29, 31, 59, -61, 90], np.float32), np.array([0, 0, 0, 0, 0, 1], np.uint8),
    )  # fmt: skip
    save_faces(tmp_path / "faces.safetensors", faces)
    report = evaluate_boxed(tmp_path / "faces.safetensors", [Anchored(0.02)])
    for band in ("0 to 30", "30 to 60", "60 to 90"):
        assert report.figures[f"NME, yaw {band} degrees"].n == 2
    assert report.figures["NME"].value == pytest.approx(0.02, abs=1e-4)
    assert len(read_annotated(tmp_path / "faces.safetensors", "development", "projected").yaw) == 1
    with pytest.raises(DatasetError, match="no part 'test'"):
        read_annotated(tmp_path / "faces.safetensors", "test", "projected")


def test_the_report_is_written_with_its_curve(annotated: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    written = evaluate_boxed(annotated, [Anchored(0.0)]).write(tmp_path / "out")
    assert [path.name for path in written] == ["report.json", "ced.png"]


def test_profiles_of_aflw2000_are_projected_points(data_root: Path) -> None:
    faces = read_annotated(data_root / "aflw2000_16", None, "projected")
    assert np.isfinite(faces.yaw).all()
    with pytest.raises(DatasetError, match="points are projected"):
        read_annotated(data_root / "aflw2000_16", None, "contour")


def test_the_default_detector_gives_the_boxes_that_crops_want() -> None:
    pytest.importorskip("torch")
    from vultus.detection import Detector
    from vultus.errors import WeightsError
    from vultus.landmarks.fan.faces import render_faces

    try:
        detector = Detector(threads=1)
    except WeightsError as error:
        pytest.skip(f"{error}: run 'vultus models get --default' first")
    faces = render_faces("procedural", 40, 5, size=160)
    sides, centres = [], []
    for image, box in zip(faces.images, faces.boxes, strict=True):
        found = detector.detect(np.pad(image, ((40, 40), (40, 40), (0, 0))))
        if found:
            seen = found[0].box - 40
            sides.append((seen[2:] - seen[:2]).sum() / (box[2:] - box[:2]).sum())
            middle = (seen[2:] + seen[:2] - box[2:] - box[:2]) / 2
            centres.append(middle / (box[2:] - box[:2]))
    assert len(sides) >= 34
    assert np.median(sides) == pytest.approx(1, abs=0.06)
    assert np.abs(np.median(centres, axis=0)).max() < 0.04
