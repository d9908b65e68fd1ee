"""Masks against those of FASSEG: known agreement, missed faces, and damaged folders."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vultus.datasets.masks import FASSEG_CLASSES
from vultus.errors import DatasetError
from vultus.evaluation.parsing import COMPARABLE, TO_FASSEG, evaluate_parsing
from vultus.faces import Face
from vultus.parts import PART_NAMES, FaceParts

COLOURS = {
    "background": (255, 0, 0),
    "hair": (127, 0, 0),
    "skin": (255, 255, 0),
    "eyes": (0, 0, 255),
    "nose": (0, 255, 255),
    "mouth": (0, 255, 0),
}
BOX = np.array([20, 20, 60, 70], np.float32)


class OneFace:
    """Finds a large and a small face, or none in black pictures."""

    def detect(self, image: np.ndarray) -> list[Face]:
        if image.max() == 0:
            return []
        small = Face([1, 1, 9, 9], 0.99, np.full((5, 2), 5))
        return [small, Face(BOX, 0.9, np.full((5, 2), 40))]


class Discs:
    """Says skin inside the ellipse of the box and hair around it."""

    name = "discs"

    def parse(self, image: np.ndarray, boxes: object) -> list[FaceParts]:
        polar = np.zeros((48, 48, len(PART_NAMES)), np.uint8)
        radius = np.arctanh(np.arange(48) / 48)
        polar[:, radius < 1, PART_NAMES.index("skin")] = 255
        polar[:, (radius >= 1) & (radius < 1.5), PART_NAMES.index("hair")] = 255
        polar[:, radius >= 1.5, 0] = 255
        return [FaceParts({}, box, polar) for box in np.asarray(boxes)]


def write(root: Path, pictures: list[np.ndarray], masks: list[np.ndarray]) -> None:
    for kind in ("Test_RGB", "Test_Labels"):
        (root / "frontal02" / kind).mkdir(parents=True, exist_ok=True)
    for i, (picture, mask) in enumerate(zip(pictures, masks, strict=True)):
        cv2.imwrite(str(root / "frontal02" / "Test_RGB" / f"{i}.png"), picture)
        cv2.imwrite(str(root / "frontal02" / "Test_Labels" / f"{i}.png"), mask[..., ::-1])


def drawn() -> np.ndarray:
    """The mask that :class:`Discs` gives, in the colours of the set."""
    classes = Discs().parse(np.zeros(0), [BOX])[0].mask((90, 80))
    names = [TO_FASSEG[name] for name in PART_NAMES]
    return np.array([COLOURS[name] for name in names], np.uint8)[classes]


def test_every_part_has_a_class_of_the_set():
    assert list(TO_FASSEG) == list(PART_NAMES)
    assert set(TO_FASSEG.values()) == set(FASSEG_CLASSES)
    assert set(COMPARABLE) < set(FASSEG_CLASSES)


def test_agreement_is_one(tmp_path):
    grey = np.full((90, 80, 3), 90, np.uint8)
    write(tmp_path, [grey, grey], [drawn(), drawn()])
    seen: list[object] = []
    report = evaluate_parsing(tmp_path, predictor=Discs(), detector=OneFace(), progress=seen.append)
    figures = report.figures
    assert figures["F1 skin"].value == figures["F1 hair"].value == 1
    assert figures["mIoU of comparable classes"].value == 1
    assert not figures["F1 eyes"].estimable
    assert figures["faces found"].value == 1
    assert len(seen) == 2
    assert report.system == {"network": "discs"}
    assert report.facts["pictures"] == 2


def test_a_missed_face_is_background_everywhere(tmp_path):
    grey, black = np.full((90, 80, 3), 90, np.uint8), np.zeros((90, 80, 3), np.uint8)
    write(tmp_path, [grey, black], [drawn(), drawn()])
    figures = evaluate_parsing(tmp_path, predictor=Discs(), detector=OneFace()).figures
    # Half of the pixels of every part are missed: F1 = 2 * 1 / (2 + 1).
    assert figures["F1 skin"].value == pytest.approx(2 / 3)
    assert figures["F1 hair"].value == pytest.approx(2 / 3)
    assert figures["faces found"].value == 0.5
    assert figures["F1 hair"].low < 2 / 3 < figures["F1 hair"].high


def test_parts_of_the_set_are_measured_apart(tmp_path):
    grey = np.full((90, 80, 3), 90, np.uint8)
    write(tmp_path, [grey, grey], [drawn(), drawn()])
    for kind, data in (("Test_RGB", grey), ("Test_labels", drawn()[..., ::-1])):
        folder = tmp_path / "multipose01" / kind / "+30"
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / "personne01146+0+30.png"), data)
    figures = evaluate_parsing(tmp_path, predictor=Discs(), detector=OneFace()).figures
    assert figures["F1 hair, frontal02"].n == 2
    assert figures["F1 hair, multipose01 |yaw| 30"].n == 1
    alone = evaluate_parsing(tmp_path, predictor=Discs(), detector=OneFace(), part="multipose01")
    assert alone.facts["pictures"] == 1
    assert not any("frontal02" in name for name in alone.figures)


def test_folders_that_do_not_fit_are_refused(tmp_path):
    grey = np.full((90, 80, 3), 90, np.uint8)
    write(tmp_path, [grey], [drawn()[:50]])
    with pytest.raises(DatasetError, match=r"no mask has the size of its picture, as 0.png"):
        evaluate_parsing(tmp_path, predictor=Discs(), detector=OneFace())
    with pytest.raises(DatasetError, match="no picture of split train"):
        evaluate_parsing(tmp_path, predictor=Discs(), detector=OneFace(), split="train")


def test_masks_of_another_view_are_left_out_and_named(tmp_path):
    grey = np.full((90, 80, 3), 90, np.uint8)
    wider = cv2.resize(drawn(), (82, 90), interpolation=cv2.INTER_NEAREST)
    write(tmp_path, [grey, grey, grey], [drawn(), drawn()[:50], wider])
    report = evaluate_parsing(tmp_path, predictor=Discs(), detector=OneFace())
    assert report.facts["pictures"] == 2
    assert report.facts["left out, as the mask has another size"] == ["1.png"]
    # Two columns more were taken out again.
    assert report.figures["F1 hair"].value > 0.97
