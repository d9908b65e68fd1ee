"""Data sets to aligned crops with labels, for training attribute and expression networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.datasets.crops import LabelledCrops
from vultus.datasets.records import Dataset, Record
from vultus.detection import Detector, central
from vultus.errors import ConfigError, DatasetError, ImageError
from vultus.geometry import Template, UInt8Array, align, similarity_transform, transform_points
from vultus.images import open_image

#: Margin added around a picture, as a part of its side: sets of tight crops end at the chin.
MARGIN = 0.25
#: Side in pixels to which smaller pictures are enlarged before the search.
SMALL = 192
#: Text labels with more values than this are no classes but names.
CLASSES = 32


def labelled_crops(
    sets: Sequence[Dataset],
    detector: Detector,
    target: Template,
    *,
    progress: Callable[[Record], None] | None = None,
) -> tuple[LabelledCrops, int]:
    """Align the central face of every picture of some sets.

    Parameters
    ----------
    sets
        Their numbers and classes become labels; ``set``, ``identity`` and ``split`` are added as
        classes. What a set does not know is NaN, or the code -1.
    detector
        Finds the faces.
    target
        Alignment of the crops.
    progress
        Called with every record.

    Returns
    -------
    The crops, and the number of pictures left out: no face was found, or they cannot be read.

    Raises
    ------
    DatasetError
        If no face is found at all.
    """
    images, points, rows = [], [], []
    missed = 0
    for data in sets:
        for record in data:
            found = _aligned(record, detector, target)
            if progress is not None:
                progress(record)
            if found is None:
                missed += 1
                continue
            images.append(found[0])
            points.append(found[1])
            rows.append(
                {**record.labels, "set": data.name, "identity": record.identity or "",
                 "split": record.split or ""}
            )  # fmt: skip
    if not images:
        raise DatasetError(f"no face was found in any of {missed} pictures")
    labels, names = _columns(rows)
    return LabelledCrops(np.stack(images), np.stack(points), labels, names), missed


def scaled_template(base: Template, size: int) -> Template:
    """Return a template for crops of another side: the grid of pixels is scaled.

    Raises
    ------
    ConfigError
        If the side is below 8 pixels.
    """
    if size < 8:
        raise ConfigError(f"crops must be at least 8 pixels wide, got {size}")
    points = (base.points + 0.5) * np.float32(size / base.size) - np.float32(0.5)
    return Template(f"{base.name}@{size}", size, points)


def _aligned(
    record: Record, detector: Detector, target: Template
) -> tuple[NDArray[np.uint8], NDArray[np.float32]] | None:
    try:
        image = open_image(record.source())
    except ImageError:
        return None
    if (short := min(image.shape[:2])) < SMALL:
        factor = SMALL / short
        image = np.asarray(
            cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), np.uint8
        )
    high, wide = (round(MARGIN * side) for side in image.shape[:2])
    padded: UInt8Array = np.pad(image, ((high, high), (wide, wide), (0, 0)), "reflect").astype(
        np.uint8
    )
    faces = detector.detect(padded)
    if not faces:
        return None
    keypoints = central(faces, padded.shape).keypoints
    crop = align(padded, keypoints[None], target)[0]
    places = transform_points(similarity_transform(keypoints, target.points), keypoints)
    return crop, places.astype(np.float32)


def _columns(
    rows: Sequence[dict[str, Any]],
) -> tuple[dict[str, NDArray[Any]], dict[str, tuple[str, ...]]]:
    labels: dict[str, NDArray[Any]] = {}
    names: dict[str, tuple[str, ...]] = {}
    for key in sorted(set().union(*rows)):
        values = [row.get(key) for row in rows]
        if any(isinstance(value, str) for value in values):
            known = _known(values)
            if len(known) > CLASSES and key != "identity":
                continue
            order = {name: code for code, name in enumerate(known)}
            codes = [order.get(value, -1) if value else -1 for value in values]
            labels[key], names[key] = np.array(codes, np.int64), known
        elif all(isinstance(value, int | float | np.number | None) for value in values):
            labels[key] = np.array([np.nan if v is None else v for v in values], np.float32)
    return labels, names


def _known(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value}))
