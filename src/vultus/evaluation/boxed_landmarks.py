"""Networks that find points in a box: error by the box's size, by yaw, and swept over boxes' noise,
faces' resolution and networks (Bulat and Tzimiropoulos, 2017, section 6).

Points that follow the visible outline and points that are projected from the head are different
things; a network is refused on a set of the other kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vultus.datasets.points import read_300w, read_aflw2000, read_landmark_table
from vultus.errors import DatasetError
from vultus.evaluation.landmarks import Finds, nearest_face
from vultus.evaluation.report import Report
from vultus.geometry import FloatArray, UInt8Array, expand_box
from vultus.images import open_image
from vultus.landmarks.heatmaps import coarse, face_boxes, jittered
from vultus.landmarks.lifting import is_lifted
from vultus.measure import Estimate, plots
from vultus.measure.landmarks import landmark_scores, nme
from vultus.points68 import COUNT, keypoints

if TYPE_CHECKING:
    from vultus.landmarks.fan.faces import Convention

#: Error up to which the AUC counts and beyond which a face is a failure; thresholds of the curve.
LIMIT, STEPS = 0.07, 70

#: Bands of yaw in degrees, as LS3D-W Balanced has them.
BANDS = ((0.0, 30.0), (30.0, 60.0), (60.0, 90.1))

#: How much of a picture around a face is kept, in sides of its box: crops are twice as wide, and
#: boxes may be off.
_AROUND = 4.0


class Locates(Protocol):
    """A network on pictures of one boxed face each."""

    @property
    def name(self) -> str:
        """For reports."""

    @property
    def convention(self) -> Convention:
        """Of its points."""

    def locate(
        self, images: Sequence[UInt8Array], boxes: FloatArray, *, flip: bool = False
    ) -> FloatArray:
        """Return points (N, 68, 2) in picture pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Annotated:
    """N faces with points under one convention.

    Parameters
    ----------
    pictures
        Functions that open each picture.
    points
        float32 (N, 68, 2) in its pixels.
    boxes
        float32 (N, 4), ear to ear and chin to hairline.
    yaw
        float32 (N,) degrees, NaN where not known.
    convention
        Of the points.
    """

    pictures: Sequence[Callable[[], UInt8Array]]
    points: FloatArray
    boxes: FloatArray
    yaw: FloatArray
    convention: Convention


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweeps:
    """What is measured besides.

    Parameters
    ----------
    noise
        Shares of its sides by which every box is off at random.
    faces
        Roots of the box's area, in pixels, that pictures are shrunk to and enlarged from.
    seed
        Of the noise.
    """

    noise: tuple[float, ...] = ()
    faces: tuple[int, ...] = ()
    seed: int = 0


def evaluate_boxed(
    root: Path,
    networks: Sequence[Locates],
    *,
    detector: Finds | None = None,
    part: str | None = None,
    flip: bool = False,
    sweeps: Sweeps = Sweeps(),
    progress: Callable[[object], None] | None = None,
) -> Report:
    """Measure networks on annotated faces.

    Parameters
    ----------
    root
        Pictures with ``.pts`` files or ``landmarks.csv`` (contour points; projected ones where
        ``vultus data lift`` wrote them), AFLW2000-3D (projected
        points, and yaw), or what ``python -m vultus.landmarks faces`` wrote, which has both.
    networks
        All of one convention; of different sizes for a sweep over size.
    detector
        Takes the first crop from the detected box; from a box around the true points if not given.
        A face that it misses counts as a failure. Sweeps start from the same boxes.
    part
        Part of the set.
    flip
        Whether networks also look at mirror images.
    sweeps
        Noise and resolutions.

    Raises
    ------
    DatasetError
        If there are no faces, or their points follow another convention than the networks'.
    """
    conventions = {network.convention for network in networks}
    if len(conventions) != 1:
        raise DatasetError(f"networks of one convention are needed, got {sorted(conventions)}")
    annotated = read_annotated(root, part, conventions.pop())
    images, annotated, boxes, found = _opened(annotated, detector)
    settings = _settings(sweeps, images, boxes, annotated.boxes)
    figures: dict[str, Estimate] = {}
    curves: dict[str, NDArray[np.float64]] = {}
    for network in networks:
        prefix = f"{network.name}: " if len(networks) > 1 else ""
        for setting, (pictures, starts) in settings.items():
            errors = _errors(network, pictures, starts, found, annotated, flip)
            figures |= _figures(errors, prefix, setting)
            if not setting:
                curves[network.name] = errors
                figures |= _by_yaw(errors, annotated.yaw, prefix)
            if progress is not None:
                progress(setting)
    return Report(
        protocol="boxed landmarks",
        system={
            "landmarks": ", ".join(network.name for network in networks),
            "start": "box of the true points" if detector is None else "detector",
            "mirrored": "yes" if flip else "no",
        },
        figures=figures,
        facts=_facts(root, part, annotated, found),
        plots={"ced": lambda: plots.ced(curves, limit=LIMIT, length="the root of the box's area")},
    )


def _settings(
    sweeps: Sweeps, images: Sequence[UInt8Array], boxes: FloatArray, true: FloatArray
) -> dict[str, tuple[Sequence[UInt8Array], FloatArray]]:
    """Return pictures and first boxes as they are, and by what was made worse about them."""
    rng = np.random.default_rng(sweeps.seed)
    out: dict[str, tuple[Sequence[UInt8Array], FloatArray]] = {"": (images, boxes)}
    for share in sweeps.noise:
        out[f"boxes off by {share:.0%}"] = (images, jittered(boxes, share, rng))
    for face in sweeps.faces:
        pairs = zip(images, true, strict=True)
        out[f"faces of {face} pixels"] = ([coarse(i, b, face) for i, b in pairs], boxes)
    return out


def read_annotated(root: Path, part: str | None, convention: Convention) -> Annotated:
    """Return the faces of a set or file that :func:`evaluate_boxed` takes; errors as there."""
    if root.is_file():
        return _faces_file(root, part, convention)
    given: Convention = "contour"
    if (root / "landmarks.csv").is_file():
        data = read_landmark_table(root)
    elif next(root.glob("*.mat"), None) is not None:
        data, given = read_aflw2000(root), "projected"
    else:
        data = read_300w(root)
        given = "projected" if is_lifted(root) else "contour"
    if given != convention:
        raise DatasetError(
            f"{root}: its points are {given}, the network's {convention}; along the jaw these are "
            "not the same points"
        )
    kept = [r for r in data if part is None or r.split == part]
    kept = [r for r in kept if len(r.labels["landmarks"]) == COUNT]
    if not kept:
        parts = sorted({str(r.split) for r in data})
        raise DatasetError(f"{root}: no face with 68 points in {part or 'it'}; parts: {parts}")
    points = np.stack([r.labels["landmarks"] for r in kept]).astype(np.float32)
    yaw = [float(r.labels["pose"][0]) if "pose" in r.labels else np.nan for r in kept]
    openers = [_opener(record.source()) for record in kept]
    return Annotated(openers, points, face_boxes(points), np.array(yaw, np.float32), convention)


def _faces_file(path: Path, part: str | None, convention: Convention) -> Annotated:
    from vultus.landmarks.crops import DEVELOPMENT, TRAIN
    from vultus.landmarks.fan.faces import load_faces

    faces = load_faces(path).known(convention)
    parts = {"train": TRAIN, "development": DEVELOPMENT}
    if part is not None:
        if part not in parts:
            raise DatasetError(f"{path}: no part {part!r}; parts: {sorted(parts)}")
        faces = faces.take(faces.split == parts[part])
    if not len(faces):
        raise DatasetError(f"{path}: no face with {convention} points in {part or 'it'}")
    openers = [lambda image=image: image for image in faces.images]
    return Annotated(openers, faces.points(convention), faces.boxes, faces.yaw, convention)


def _opener(source: Any) -> Callable[[], UInt8Array]:
    return lambda: open_image(source)


def _opened(
    annotated: Annotated, detector: Finds | None
) -> tuple[list[UInt8Array], Annotated, FloatArray, NDArray[np.bool_]]:
    """Return what lies around every face, labels in its pixels, first boxes, and faces found.

    Whole photographs of a large set would not fit into memory.
    """
    images, corners = [], []
    boxes, found = annotated.boxes.copy(), np.ones(len(annotated.points), np.bool_)
    for i, open_picture in enumerate(annotated.pictures):
        image = open_picture()
        if detector is not None:
            face = nearest_face(detector.detect(image), keypoints(annotated.points[i]))
            found[i] = face is not None
            boxes[i] = annotated.boxes[i] if face is None else face.box
        height, width = image.shape[:2]
        x1, y1, x2, y2 = expand_box(annotated.boxes[i], _AROUND)
        left, top = (int(np.clip(v, 0, n - 1)) for v, n in ((x1, width), (y1, height)))
        right, bottom = (int(np.clip(v + 1, 1, n)) for v, n in ((x2, width), (y2, height)))
        images.append(image[top : max(bottom, top + 1), left : max(right, left + 1)].copy())
        corners.append((left, top))
    shift = np.array(corners, np.float32)
    moved = replace(
        annotated,
        points=annotated.points - shift[:, None],
        boxes=annotated.boxes - np.tile(shift, 2),
    )
    return images, moved, boxes - np.tile(shift, 2), found


def _errors(
    network: Locates,
    images: Sequence[UInt8Array],
    boxes: FloatArray,
    found: NDArray[np.bool_],
    annotated: Annotated,
    flip: bool,
) -> NDArray[np.float64]:
    errors = np.full(len(found), np.inf)
    rows = np.flatnonzero(found)
    if len(rows):
        points = network.locate([images[int(i)] for i in rows], boxes[rows], flip=flip)
        errors[rows] = nme(points, annotated.points[rows], "box-size")
    return errors


def _figures(errors: NDArray[np.float64], prefix: str, setting: str) -> dict[str, Estimate]:
    scores = landmark_scores(errors, limit=LIMIT, steps=STEPS)
    after = f", {setting}" if setting else ""
    return {
        f"{prefix}NME{after}": scores.nme,
        f"{prefix}AUC@{LIMIT:.0%}{after}": scores.auc,
        f"{prefix}failures above {LIMIT:.0%}{after}": scores.failure_rate,
    }


def _by_yaw(errors: NDArray[np.float64], yaw: FloatArray, prefix: str) -> dict[str, Estimate]:
    figures: dict[str, Estimate] = {}
    for low, high in BANDS:
        inside = (np.abs(yaw) >= low) & (np.abs(yaw) < high)
        if inside.any():
            figures |= _figures(errors[inside], prefix, f"yaw {low:.0f} to {high:.0f} degrees")
    return figures


def _facts(
    root: Path, part: str | None, annotated: Annotated, found: NDArray[np.bool_]
) -> dict[str, Any]:
    sides = annotated.boxes[:, 2:] - annotated.boxes[:, :2]
    return {
        "data": root.name,
        "part": part or "all",
        "convention": annotated.convention,
        "normalised by": "root of the area of the true points' box",
        "faces": len(found),
        "faces without detection": int((~found).sum()),
        "median face in pixels": round(float(np.median(np.sqrt(sides.prod(1)))), 1),
    }
