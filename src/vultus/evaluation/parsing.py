"""Masks of faces against drawn ones: F1 and IoU per class, by the classes of the data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.datasets.masks import FASSEG_CLASSES, mask_classes, read_fasseg
from vultus.datasets.records import Record
from vultus.detection import largest
from vultus.errors import DatasetError
from vultus.evaluation.report import Report
from vultus.images import open_image
from vultus.measure import Estimate
from vultus.measure.intervals import rate
from vultus.measure.parsing import parsing_scores, pixel_confusion
from vultus.parts import PART_NAMES, FaceParts

if TYPE_CHECKING:
    from vultus.faces import Face

UInt8Array = NDArray[np.uint8]

#: Class of FASSEG that each part belongs to: brows have the colour of hair there.
TO_FASSEG: Mapping[str, str] = {
    "background": "background",
    "skin": "skin",
    "left_brow": "hair",
    "right_brow": "hair",
    "left_eye": "eyes",
    "right_eye": "eyes",
    "nose": "nose",
    "upper_lip": "mouth",
    "inner_mouth": "mouth",
    "lower_lip": "mouth",
    "hair": "hair",
}
#: Classes of FASSEG that mean the same. Its skin has the neck, which is background here.
COMPARABLE = ("hair", "eyes", "nose", "mouth")
#: By how much the sides of a mask may differ from its picture's.
_TOLERANCE = 0.03


class Finds(Protocol):
    """What is asked of a detector."""

    def detect(self, image: UInt8Array) -> list[Face]:
        """Return the faces of one picture."""


class Parses(Protocol):
    """What is asked of a parsing network."""

    name: str

    def parse(self, image: UInt8Array, boxes: ArrayLike) -> list[FaceParts]:
        """Return the parts of each face of one picture."""


def evaluate_parsing(
    root: Path,
    *,
    predictor: Parses,
    detector: Finds,
    split: str | None = "test",
    part: str | None = None,
    progress: Callable[[object], None] | None = None,
) -> Report:
    """Measure the masks of a network on FASSEG, detection included.

    A picture in which no face is found is background everywhere. Intervals are over people where
    these are known, else over pictures.

    Parameters
    ----------
    root
        Folder of FASSEG, see :func:`vultus.datasets.masks.read_fasseg`.
    predictor, detector
        What is measured, and what finds the faces; the largest face counts.
    split, part
        Of the data set; None for all.
    progress
        Called with each picture's path.

    Raises
    ------
    DatasetError
        If no picture of the part has a mask of its size.
    """
    table = np.array([FASSEG_CLASSES.index(TO_FASSEG[name]) for name in PART_NAMES], np.uint8)
    matrices, found, kept, left_out = [], [], [], []
    for record in _masked(root, split, part):
        image = open_image(record.source())
        truth = _fitted(mask_classes(open_image(record.labels["mask"])), image.shape[:2])
        if truth is None:
            left_out.append(record.path.name)
            continue
        matrix, seen = _compare(image, truth, predictor, detector, table)
        matrices.append(matrix)
        found.append(seen)
        kept.append(record)
        if progress is not None:
            progress(record.path)
    if not kept:
        raise DatasetError(f"{root}: no mask has the size of its picture, as {left_out[0]} shows")
    people = [str(r.identity or r.path) for r in kept]
    figures = _figures(np.stack(matrices), people, "")
    for name, rows in _groups(kept).items():
        figures |= _figures(np.stack([matrices[i] for i in rows]), [people[i] for i in rows], name)
    figures["faces found"] = rate(np.array(found), people)
    facts = {
        "pictures": len(kept),
        "people": len(set(people)),
        "split": split or "all",
        "comparable classes": ", ".join(COMPARABLE),
        "not comparable": "skin and background (the set's skin has the neck)",
        "brows": "counted as hair, as in the set",
        "left out, as the mask has another size": left_out,
    }
    return Report("parsing-fasseg", {"network": predictor.name}, figures, facts)


def _masked(root: Path, split: str | None, part: str | None) -> list[Record]:
    """Return the pictures of a part that have a mask."""
    records = [r for r in read_fasseg(root) if r.labels["mask"] is not None]
    records = [r for r in records if split is None or r.split == split]
    records = [r for r in records if part is None or r.labels["part"] == part]
    if not records:
        raise DatasetError(f"{root}: no picture of split {split}, part {part} has a mask")
    return records


def _compare(
    image: UInt8Array, truth: UInt8Array, predictor: Parses, detector: Finds, table: UInt8Array
) -> tuple[NDArray[np.int64], bool]:
    faces = detector.detect(image)
    mask = np.zeros(truth.shape, np.uint8)
    if faces:
        shape = (truth.shape[0], truth.shape[1])
        mask = predictor.parse(image, [largest(faces).box])[0].mask(shape)
    return pixel_confusion(table[mask], truth, len(FASSEG_CLASSES)), bool(faces)


def _fitted(mask: UInt8Array, shape: tuple[int, ...]) -> UInt8Array | None:
    """Return a mask in the size of its picture, or None if it is of another view of it.

    Some masks of the set differ by a few pixels, from being reduced apart from their pictures.
    """
    if mask.shape == shape:
        return mask
    if max(abs(a - b) / b for a, b in zip(mask.shape, shape, strict=True)) > _TOLERANCE:
        return None
    rows, columns = (
        np.minimum((np.arange(b) + 0.5) * a / b, a - 1).astype(int)
        for a, b in zip(mask.shape, shape, strict=True)
    )
    return np.asarray(mask[np.ix_(rows, columns)], np.uint8)


def _figures(matrices: NDArray[np.int64], people: Sequence[str], group: str) -> dict[str, Estimate]:
    scores = parsing_scores(matrices, FASSEG_CLASSES, people, mean_over=COMPARABLE)
    after = f", {group}" if group else ""
    figures = {f"F1 {name}{after}": scores.f1[name] for name in FASSEG_CLASSES}
    figures[f"mean F1 of comparable classes{after}"] = scores.mean_f1
    figures[f"mIoU of comparable classes{after}"] = scores.mean_iou
    return figures


def _groups(records: Sequence[Record]) -> dict[str, list[int]]:
    """Divide pictures by part, and those of many poses by the size of the yaw."""
    out: dict[str, list[int]] = {}
    for i, record in enumerate(records):
        name = str(record.labels["part"])
        if "yaw" in record.labels:
            name += f" |yaw| {abs(record.labels['yaw'])}"
        out.setdefault(name, []).append(i)
    return dict(sorted(out.items())) if len(out) > 1 else {}
