"""Annotated points of faces: how far a landmark network is off, by the protocol of 300-W."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vultus.datasets.points import read_300w, read_landmark_table
from vultus.datasets.records import Record
from vultus.errors import DatasetError
from vultus.evaluation.report import Report
from vultus.geometry import FloatArray, UInt8Array
from vultus.images import open_image
from vultus.landmarks import LandmarkPredictor, keypoints_from_boxes
from vultus.measure import Estimate, plots
from vultus.measure.landmarks import Normaliser, landmark_scores, nme
from vultus.points68 import COUNT, PARTS, keypoints

if TYPE_CHECKING:
    from vultus.faces import Face

#: Lengths that errors are divided by, and the error of each up to which AUC and failures count:
#: the usual ones of 300-W (8 and 10 %), and 7 % of the box as in Bulat and Tzimiropoulos (2017).
LIMITS: dict[Normaliser, float] = {"inter-ocular": 0.1, "inter-pupil": 0.1, "box-size": 0.07}
AUC_LIMIT: dict[Normaliser, float] = {"inter-ocular": 0.08, "inter-pupil": 0.08, "box-size": 0.07}

#: Where the first crop comes from: the detector; a box around the true points; the true points.
Start = Literal["detector", "box", "points"]

STARTS: Mapping[str, Start] = {"detector": "detector", "box": "box", "points": "points"}

#: A detected face is the annotated one if the centre of its keypoints is this near to the true
#: one, in distances of the true outer eye corners.
_SAME = 1.0


class Finds(Protocol):
    """What is asked of a detector."""

    def detect(self, image: UInt8Array) -> list[Face]:
        """Return the faces of one picture."""


@dataclass(frozen=True, slots=True, eq=False)
class _Located:
    """Points and truth of N faces, and whether a face was found at all."""

    points: FloatArray
    truth: FloatArray
    found: NDArray[np.bool_]


def evaluate_landmarks(
    root: Path,
    *,
    predictor: LandmarkPredictor,
    detector: Finds | None = None,
    start: Start = "detector",
    split: str | None = None,
    passes: int = 2,
    flip: bool = True,
    progress: Callable[[object], None] | None = None,
) -> Report:
    """Measure 68 points on annotated pictures.

    Parameters
    ----------
    root
        Pictures with ``.pts`` files beside them, or ``landmarks.csv`` with its folders.
    predictor, passes, flip
        What is measured, how often it looks at each face, and whether at its mirror image too.
    detector
        Needed where ``start`` is ``detector``. A face that it misses counts as a failure and adds
        nothing to the AUC.
    start
        What the first crop is aligned by.
    split
        Part of the set, such as ``helen_test``; all of it if not given.

    Raises
    ------
    DatasetError
        If there are no pictures with 68 points.
    """
    records = _records(root, split)
    if start == "detector" and detector is None:
        raise DatasetError("a start from the detector needs a detector")
    look = partial(predictor.locate, passes=passes, flip=flip)
    located = _locate(records, look, detector if start == "detector" else None, start, progress)
    figures: dict[str, Estimate] = {}
    errors: dict[str, NDArray[np.float64]] = {}
    for kind in LIMITS:
        errors[kind] = _errors(located, kind)
        scores = landmark_scores(errors[kind], limit=LIMITS[kind])
        area = landmark_scores(errors[kind], limit=AUC_LIMIT[kind]).auc
        figures[f"NME, {kind}"] = scores.nme
        figures[f"AUC@{AUC_LIMIT[kind]:.0%}, {kind}"] = area
        figures[f"failures above {LIMITS[kind]:.0%}, {kind}"] = scores.failure_rate
    return Report(
        protocol="landmarks",
        system={
            "landmarks": predictor.name,
            "start": start,
            "passes": str(passes),
            "mirrored": "yes" if flip else "no",
        },
        figures=figures,
        facts=_facts(root, split, records, located),
        plots={"ced": lambda: plots.ced({predictor.name: errors["inter-ocular"]})},
    )


def _records(root: Path, split: str | None) -> list[Record]:
    data = read_landmark_table(root) if (root / "landmarks.csv").is_file() else read_300w(root)
    records = [r for r in data if split is None or r.split == split]
    records = [r for r in records if len(r.labels["landmarks"]) == COUNT]
    if not records:
        parts = sorted({str(r.split) for r in data})
        raise DatasetError(f"{root}: no picture with 68 points in {split or 'it'}; parts: {parts}")
    return records


def _locate(
    records: Sequence[Record],
    look: Callable[[UInt8Array, FloatArray], FloatArray],
    detector: Finds | None,
    start: Start,
    progress: Callable[[object], None] | None,
) -> _Located:
    points = np.zeros((len(records), COUNT, 2), np.float32)
    truth = np.stack([r.labels["landmarks"] for r in records]).astype(np.float32)
    found = np.ones(len(records), np.bool_)
    for i, record in enumerate(records):
        image = open_image(record.source())
        if detector is not None:
            five = _detected(detector.detect(image), truth[i])
        elif start == "box":
            five = keypoints_from_boxes([*truth[i].min(0), *truth[i].max(0)])[0]
        else:
            five = keypoints(truth[i])
        if five is None:
            found[i] = False
        else:
            points[i] = look(image, five[None])[0]
        if progress is not None:
            progress(record)
    return _Located(points, truth, found)


def _detected(faces: Sequence[Face], truth: FloatArray) -> FloatArray | None:
    """Return the keypoints of the face that was annotated, None if no detected face is it."""
    reach = _SAME * float(np.linalg.norm(truth[36] - truth[45]))
    face = nearest_face(faces, keypoints(truth), reach)
    return None if face is None else face.keypoints


def nearest_face(
    faces: Sequence[Face], five: FloatArray, reach: float | None = None
) -> Face | None:
    """Return the face whose keypoints' centre is nearest to that of the true ones (5, 2).

    None if no face lies within ``reach`` pixels; without one, within the greatest distance between
    two of the true keypoints, which profiles have too.
    """
    if not faces:
        return None
    aim = five.mean(0)
    away = [float(np.linalg.norm(face.keypoints.mean(0) - aim)) for face in faces]
    nearest = int(np.argmin(away))
    if reach is None:
        reach = float(np.linalg.norm(five[:, None] - five[None], axis=2).max())
    return faces[nearest] if away[nearest] <= reach else None


def _errors(located: _Located, kind: Normaliser) -> NDArray[np.float64]:
    errors = np.full(len(located.found), np.inf)
    if located.found.any():
        shown = located.found
        errors[shown] = nme(located.points[shown], located.truth[shown], kind)
    return errors


def _facts(
    root: Path, split: str | None, records: Sequence[Record], located: _Located
) -> dict[str, Any]:
    missed = [r.path.name for r, found in zip(records, located.found, strict=True) if not found]
    parts: dict[str, float] = {}
    if located.found.any():
        shown = located.found
        lengths = np.linalg.norm(located.truth[shown][:, 36] - located.truth[shown][:, 45], axis=1)
        apart = np.linalg.norm(located.points[shown] - located.truth[shown], axis=2)
        share = (apart / np.maximum(lengths, 1e-6)[:, None]).mean(0)
        parts = {name: round(float(share[list(p)].mean()), 4) for name, p in PARTS.items()}
    return {
        "data": root.name,
        "part": split or "all",
        "faces": len(records),
        "faces without detection": missed,
        **{f"NME of {name}, inter-ocular": value for name, value in parts.items()},
    }
