"""Annotations in the manner of LS3D-W: from visible points, projected ones (and depth), in files.

The network that lifts sees the picture and the points that people marked on the visible outline,
and gives those that are fixed on the head (Bulat and Tzimiropoulos, 2017, section 4).
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from vultus.datasets.points import read_300w, read_landmark_table
from vultus.datasets.records import Record
from vultus.errors import DatasetError
from vultus.geometry import FloatArray, UInt8Array
from vultus.images import open_image
from vultus.landmarks.heatmaps import face_boxes
from vultus.measure.landmarks import nme
from vultus.points68 import COUNT, PARTS

Pictures = Literal["link", "copy", "none"]

_CHUNK = 16

#: File that says what was done, and so which convention the points of a folder follow.
_ABOUT = "lifted.json"


class Lifts(Protocol):
    """What turns visible points into projected ones."""

    @property
    def name(self) -> str:
        """For the record."""

    def locate(
        self,
        images: Sequence[UInt8Array],
        boxes: FloatArray,
        guides: ArrayLike | None = None,
        *,
        flip: bool = False,
    ) -> FloatArray:
        """Return points (N, 68, 2) in picture pixels."""


class Deepens(Protocol):
    """What gives projected points their depth."""

    def lift(
        self, images: Sequence[UInt8Array], boxes: FloatArray, points: FloatArray
    ) -> FloatArray:
        """Return points (N, 68, 3), depth in picture pixels."""


@dataclass(frozen=True, slots=True)
class Lifted:
    """What :func:`lift_folder` wrote.

    Parameters
    ----------
    faces
        Number of faces.
    moved
        Mean distance from the visible to the projected points, over the root of the box's area.
    contour, inner
        The same for the 17 points of the contour and for the others: a network that lifts well
        moves the first and leaves the second.
    """

    faces: int
    moved: float
    contour: float
    inner: float


def lift_folder(
    root: Path,
    out: Path,
    lifter: Lifts,
    *,
    depth: Deepens | None = None,
    part: str | None = None,
    pictures: Pictures = "link",
    flip: bool = False,
    progress: Callable[[object], None] | None = None,
) -> Lifted:
    """Annotate a folder of 300-W's or of ``landmarks.csv``'s layout anew, with projected points.

    Parameters
    ----------
    root, part
        Where faces with 68 visible points lie; one of its parts.
    out
        A new folder: ``.pts`` files that count from 1 as those of 300-W do, each beside its
        picture, in the same sub-folders; ``points3d.csv`` with depth where a network for it is
        given; ``lifted.json`` with what was done. The convention stands there and as a comment in
        every file, since readers of ``.pts`` cannot tell.
    lifter, depth
        Networks.
    pictures
        Whether pictures are linked to, copied, or left out.
    flip
        Whether the lifter also looks at mirror images.

    Raises
    ------
    DatasetError
        If there are no such faces, they were lifted before, or the output folder is not empty.
    """
    _check_folders(root, out)
    base, records = _records(root, part)
    spaces: list[list[object]] = []
    shares = []
    for start in range(0, len(records), _CHUNK):
        chosen = records[start : start + _CHUNK]
        images = [open_image(record.source()) for record in chosen]
        visible = np.stack([r.labels["landmarks"] for r in chosen]).astype(np.float32)
        boxes = face_boxes(visible)
        points = lifter.locate(images, boxes, visible, flip=flip)
        shares.append(_moved(points, visible))
        solid = None if depth is None else depth.lift(images, boxes, points)
        for i, record in enumerate(chosen):
            where = _write(base, out, record, points[i], pictures)
            if solid is not None:
                spaces.append([where.as_posix(), *solid[i].round(3).ravel().tolist()])
            if progress is not None:
                progress(record)
    if depth is not None:
        _table(out / "points3d.csv", spaces)
    found = Lifted(len(records), *np.concatenate(shares).mean(0).tolist())
    about = {
        "convention": "projected",
        "from": root.name,
        "part": part or "all",
        "network": lifter.name,
        "depth": depth is not None,
        **asdict(found),
    }
    (out / _ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return found


def _check_folders(root: Path, out: Path) -> None:
    if is_lifted(root):
        raise DatasetError(f"{root}: its points are projected already, see {root / _ABOUT}")
    if out.exists() and any(out.iterdir()):
        raise DatasetError(f"{out} is not empty: name a new folder for the annotations")


def is_lifted(root: Path) -> bool:
    """Return whether :func:`lift_folder` wrote a folder: its points are then projected ones."""
    return (root / _ABOUT).is_file()


def _records(root: Path, part: str | None) -> tuple[Path, list[Record]]:
    data = read_landmark_table(root) if (root / "landmarks.csv").is_file() else read_300w(root)
    kept = [
        r for r in data
        if (part is None or r.split == part) and len(r.labels["landmarks"]) == COUNT
    ]  # fmt: skip
    if not kept:
        parts = sorted({str(r.split) for r in data})
        raise DatasetError(f"{root}: no face with 68 points in {part or 'it'}; parts: {parts}")
    return data.root, kept


def _moved(points: FloatArray, visible: FloatArray) -> FloatArray:
    contour = np.isin(np.arange(COUNT), list(PARTS["contour"]))
    shares = [
        nme(points, visible, "box-size", visible=np.tile(rows, (len(points), 1)))
        for rows in (np.ones(COUNT, np.bool_), contour, ~contour)
    ]
    return np.stack(shares, 1).astype(np.float32)


def _write(root: Path, out: Path, record: Record, points: FloatArray, pictures: Pictures) -> Path:
    where = record.path.relative_to(root)
    target = out / where
    target.parent.mkdir(parents=True, exist_ok=True)
    body = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points + 1)
    text = (
        f"version: 1\n// projected from the head, not on the visible outline\nn_points: {COUNT}\n"
    )
    target.with_suffix(".pts").write_text(f"{text}{{\n{body}\n}}\n", encoding="ascii")
    if pictures == "copy":
        shutil.copyfile(record.path, target)
    elif pictures == "link":
        os.symlink(record.path.resolve(), target)
    return where


def _table(path: Path, rows: Sequence[Sequence[object]]) -> None:
    head = ["image", *(f"{axis}{i}" for i in range(COUNT) for axis in "xyz")]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(head)
        writer.writerows(rows)
