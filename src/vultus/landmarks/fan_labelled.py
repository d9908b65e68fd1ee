"""Annotated sets as faces to train ``fan-alignment`` on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from vultus.datasets.points import (
    read_300w,
    read_300w_lp,
    read_aflw2000,
    read_landmark_table,
)
from vultus.datasets.records import Dataset, Record
from vultus.errors import DatasetError
from vultus.geometry import FloatArray, UInt8Array
from vultus.images import open_image
from vultus.landmarks.crops import DEVELOPMENT, TRAIN
from vultus.landmarks.fan.faces import Faces, cut_faces, joined
from vultus.landmarks.lifting import is_lifted
from vultus.landmarks.prepare import DEVELOPED

_LAYOUTS: Mapping[str, Callable[[Path], Dataset]] = {
    "300w": read_300w,
    "300w-lp": read_300w_lp,
    "table": read_landmark_table,
    "aflw2000": read_aflw2000,
}


def labelled_faces(
    root: Path, layout: str, sets: Sequence[str] | None = None, *, size: int = 384, seed: int = 0
) -> Faces:
    """Return the faces of an annotated set, with the points of the conventions that it has.

    Parameters
    ----------
    root, layout
        Where it lies; ``300w-lp`` (both conventions), ``300w`` or ``table`` (contour points;
        projected ones where ``vultus data lift`` wrote the folder) or ``aflw2000`` (projected
        points with depth, and yaw).
    sets
        Parts to take; all if not given.
    size
        Side of the pictures that are kept.
    seed
        Of the draw of development faces. Views of one photograph stay together.

    Raises
    ------
    DatasetError
        If the layout is unknown, or there are no such faces.
    """
    if layout not in _LAYOUTS:
        raise DatasetError(f"unknown layout {layout!r}; known: {sorted(_LAYOUTS)}")
    records = [r for r in _LAYOUTS[layout](root) if sets is None or r.split in sets]
    records = [r for r in records if len(r.labels["landmarks"]) == 68]
    if not records:
        raise DatasetError(f"{root}: no face with 68 points in {sets or 'it'}")
    lifted = is_lifted(root)
    # 300W-LP turns each photograph into several, which differ in what follows the last underscore.
    sources = [(r.split, r.path.stem.rsplit("_", 1)[0]) for r in records]
    order = sorted(set(sources), key=str)
    drawn = np.random.default_rng(seed).random(len(order)) < DEVELOPED
    drawn[np.random.default_rng(seed).integers(len(order))] = True
    held = {source for source, chosen in zip(order, drawn, strict=True) if chosen}
    parts = []
    for split in (TRAIN, DEVELOPMENT):
        chosen = [r for r, s in zip(records, sources, strict=True) if (s in held) == bool(split)]
        if chosen:
            faces = (_face(record, lifted) for record in chosen)
            parts.append(cut_faces(faces, size=size, split=split))
    return joined(parts)


def _face(
    record: Record, lifted: bool
) -> tuple[UInt8Array, FloatArray | None, FloatArray | None, float]:
    labels = record.labels
    image = open_image(record.source())
    if "projected" in labels:
        return image, labels["landmarks"], labels["projected"], float("nan")
    if "landmarks3d" in labels:
        return image, None, labels["landmarks3d"], float(labels["pose"][0])
    if lifted:
        return image, None, labels["landmarks"], float("nan")
    return image, labels["landmarks"], None, float("nan")
