"""Whole photographs: how many of their faces a detector finds, and what else it takes for one.

Annotations of photographs are rarely complete: a box on a face that nobody marked is no mistake.
So a second detector, the judge, looks at the same pictures at its full size and a low threshold,
and a box is false only where neither an annotation nor the judge has a face.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vultus.datasets.boxes import read_face_table, read_imglab
from vultus.datasets.records import Dataset
from vultus.detection.mos.teacher import yunet
from vultus.detection.predictor import Detector
from vultus.errors import DatasetError
from vultus.evaluation.report import Report
from vultus.faces import Face
from vultus.geometry import FloatArray, UInt8Array, box_iou
from vultus.images import open_image
from vultus.measure import Estimate
from vultus.measure.bootstrap import bootstrap_ratio
from vultus.measure.detection import match, recall, recall_by_size
from vultus.measure.intervals import rate
from vultus.runtime import Session

#: Overlap from which a box is on a face: annotations are of 68 points, or squares, and so smaller
#: than a detector's boxes.
FOUND = 0.4
#: Overlap with every known face under which a box is false.
FALSE = 0.3
#: Limits of the classes of size, in pixels: the root of the area of the annotated box.
SIZES = (0.0, 24.0, 40.0, 80.0, math.inf)
#: Height of the annotated box from which a face counts for the figure that compares detectors.
HIGH = 40.0

#: Finds the boxes (K, 4) of one picture.
Judge = Callable[[UInt8Array], FloatArray]


def yunet_judge(file: Path | str, threads: int | None = 1) -> Judge:
    """Return YuNet, from a local ONNX file, at the picture's own size and a threshold of 0.3."""
    session = Session(file, threads=threads)
    return lambda image: yunet(session, image)[:, 1:5]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Annotated boxes (K, 4), which of them do not count, bool (K,), and the judge's boxes."""

    boxes: FloatArray
    ignored: NDArray[np.bool_]
    judged: FloatArray


def read_scenes(root: Path) -> Dataset:
    """Return the photographs of a folder with ``faces.csv``, or of a file of dlib's tool.

    Raises
    ------
    DatasetError
        If it is neither.
    """
    if root.is_file():
        return read_imglab(root)
    if (root / "faces.csv").is_file():
        return read_face_table(root)
    raise DatasetError(f"{root}: expected a folder with faces.csv, or an XML file of dlib's tool")


def evaluate_scenes(
    root: Path,
    *,
    detectors: Mapping[str, Detector],
    judge: Judge | None = None,
    progress: Callable[[Path], None] | None = None,
) -> list[Report]:
    """Measure detectors, each at its own threshold, on the same photographs.

    Parameters
    ----------
    root
        As :func:`read_scenes` takes it.
    detectors
        By the name that the report gives them.
    judge
        Finds faces that nobody annotated; without one no box can be called false.
    progress
        Told each picture that is done.

    Returns
    -------
    One report per detector: recall in all and by size, false boxes per picture. Intervals of
    recall take the faces of one picture together; those of false boxes are over pictures.
    """
    data = read_scenes(root)
    scenes: list[Scene] = []
    found: dict[str, list[list[Face]]] = {name: [] for name in detectors}
    for record in data.records:
        image = open_image(record.source())
        boxes = np.asarray(record.labels["boxes"], np.float32).reshape(-1, 4)
        ignored = np.asarray(record.labels.get("ignore", np.zeros(len(boxes))), np.bool_)
        judged = np.empty((0, 4), np.float32) if judge is None else judge(image)
        scenes.append(Scene(boxes, ignored, judged))
        for name, detector in detectors.items():
            found[name].append(detector.detect(image))
        if progress is not None:
            progress(record.path)
    return [
        Report(
            protocol=f"scenes, {data.name}, {name}",
            system={"detector": name, "weights": ", ".join(detectors[name].weights)},
            figures=scene_figures(found[name], scenes, judged=judge is not None),
            facts={
                "pictures": len(scenes),
                "annotated faces": int(sum((~s.ignored).sum() for s in scenes)),
                "threshold": detectors[name].min_score,
                "found": f"overlap of {FOUND} with an annotated box",
                "false": f"overlap under {FALSE} with every annotated and every judged box",
            },
        )
        for name in detectors
    ]


def scene_figures(
    found: Sequence[Sequence[Face]], scenes: Sequence[Scene], *, judged: bool
) -> dict[str, Estimate]:
    """Return recall of all faces, of large ones and by size, and false boxes per picture."""
    boxes = [np.array([f.box for f in faces], np.float32).reshape(-1, 4) for faces in found]
    matches = match(
        boxes,
        [[f.score for f in faces] for faces in found],
        [scene.boxes for scene in scenes],
        ignore=[scene.ignored for scene in scenes],
        iou=FOUND,
    )
    figures = {"recall": recall(matches)}
    # Of the faces that count, in the order of the matches.
    heights = np.concatenate([(s.boxes[:, 3] - s.boxes[:, 1])[~s.ignored] for s in scenes])
    tall, hit = heights >= HIGH, matches.found_at > -np.inf
    figures[f"recall, {HIGH:g} px high and more"] = rate(hit[tall], matches.truth_image[tall])
    for low, high, share in recall_by_size(matches, SIZES):
        size = f"{low:g} px and more" if math.isinf(high) else f"{low:g} to {high:g} px"
        figures[f"recall, {size}"] = share
    if judged:
        counts = [_false(b, scene) for b, scene in zip(boxes, scenes, strict=True)]
        figures["false boxes per picture"] = bootstrap_ratio(np.array(counts, np.float64))
    return figures


def _false(boxes: FloatArray, scene: Scene) -> int:
    known = np.concatenate([scene.boxes, scene.judged])
    if not len(boxes) or not len(known):
        return len(boxes)
    return int((box_iou(boxes, known).max(1) < FALSE).sum())
