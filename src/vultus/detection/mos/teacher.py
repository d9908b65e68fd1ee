"""Boxes and points of real photographs from a teacher: YuNet, run from a local ONNX file.

Wu et al., "YuNet: A tiny millisecond-level face detector" (2023). Head pose is not labelled.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vultus.detection.mos.anchors import STRIDES, Faces
from vultus.errors import DatasetError
from vultus.geometry import FloatArray, UInt8Array, nms
from vultus.images import find_images, open_image
from vultus.runtime import Session
from vultus.settings import settings

#: Score from which a face is true, and from which it is uncertain and so ignored.
SURE, DOUBTFUL = 0.8, 0.3
_OVERLAP = 0.45


@settings
class Photos:
    """Photographs to learn from.

    Parameters
    ----------
    folders
        Searched with their subfolders.
    teacher
        YuNet as an ONNX file with inputs of any size.
    labels
        File of labels, written on first use (``.npz``).
    share
        Share of the training pictures that shows a photograph.
    """

    folders: tuple[str, ...]
    teacher: str
    labels: str
    share: float = 0.7

    def __post_init__(self) -> None:
        if not self.folders or not 0 < self.share <= 1:
            raise ValueError("need a folder, and share in (0, 1]")


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Photographs with at least one sure face, and the faces of each."""

    paths: tuple[Path, ...]
    faces: tuple[Faces, ...]

    def __len__(self) -> int:
        return len(self.paths)


def label(config: Photos) -> Labelled:
    """Return the photographs with the teacher's faces, from the file of labels if it is there.

    Raises
    ------
    DatasetError
        If there is no photograph with a face, or the file of labels names other photographs.
    """
    paths = find_images([Path(folder) for folder in config.folders])
    if not paths:
        raise DatasetError(f"there is no picture in {', '.join(config.folders)}")
    file = Path(config.labels)
    names = np.array([str(path) for path in paths])
    if not file.exists():
        _write(file, names, _teach(paths, Path(config.teacher)))
    with np.load(file, allow_pickle=False) as stored:
        if not np.array_equal(stored["names"], names):
            raise DatasetError(f"{file} labels other photographs; remove it to label anew")
        owner, rows = stored["owner"], stored["rows"]
    kept = [(paths[i], _faces(rows[owner == i])) for i in np.unique(owner)]
    sure = [(path, faces) for path, faces in kept if not faces.ignored.all()]
    if not sure:
        raise DatasetError(f"the teacher finds no face in {', '.join(config.folders)}")
    return Labelled(tuple(p for p, _ in sure), tuple(f for _, f in sure))


def _write(file: Path, names: NDArray[np.str_], rows: list[FloatArray]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    owner = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
    with part.open("wb") as stream:
        np.savez(stream, names=names, owner=owner, rows=np.concatenate(rows))
    os.replace(part, file)


def _teach(paths: Sequence[Path], teacher: Path) -> list[FloatArray]:
    session = Session(teacher, threads=1)
    return [yunet(session, open_image(path)) for path in paths]


def yunet(session: Session, image: UInt8Array) -> FloatArray:
    """Return the teacher's faces, float32 (K, 15): score, box, five points, in pixels."""
    height, width = image.shape[:2]
    canvas = np.zeros((-(-height // 32) * 32, -(-width // 32) * 32, 3), np.uint8)
    canvas[:height, :width] = image
    batch = canvas[None, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32)
    names = [info.name for info in session.outputs]
    out = dict(zip(names, session.run(batch), strict=True))
    rows = []
    for stride in STRIDES:
        both = np.clip(out[f"cls_{stride}"], 0, 1) * np.clip(out[f"obj_{stride}"], 0, 1)
        scores = np.sqrt(both[0, :, 0])
        cells = np.flatnonzero(scores >= DOUBTFUL)
        columns = canvas.shape[1] // stride
        corner = np.stack([cells % columns, cells // columns], 1)
        code = out[f"bbox_{stride}"][0, cells]
        middle, half = (corner + code[:, :2]) * stride, np.exp(code[:, 2:]) * stride / 2
        points = (out[f"kps_{stride}"][0, cells].reshape(-1, 5, 2) + corner[:, None]) * stride
        parts = [scores[cells, None], middle - half, middle + half, points.reshape(-1, 10)]
        rows.append(np.concatenate(parts, 1))
    found = np.concatenate(rows).astype(np.float32)
    return found[nms(found[:, 1:5], found[:, 0], _OVERLAP)]


def _faces(rows: FloatArray) -> Faces:
    count = len(rows)
    return Faces(
        rows[:, 1:5],
        rows[:, 5:].reshape(-1, 5, 2),
        np.zeros((count, 3), np.float32),
        np.zeros(count, np.bool_),
        rows[:, 0] < SURE,
    )
