"""Labels of real photographs from teachers, run from local files.

Boxes and points: Wu et al., "YuNet: A tiny millisecond-level face detector" (2023). Pose, where it
is asked for: ``head-pose-estimation-adas-0001`` of the Open Model Zoo.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.detection.mos.anchors import STRIDES, Faces
from vultus.errors import ConfigError, DatasetError
from vultus.geometry import FloatArray, UInt8Array, nms
from vultus.images import find_images, open_image
from vultus.runtime import Session
from vultus.settings import settings

#: Score from which a face is true, and from which it is uncertain and so ignored.
SURE, DOUBTFUL = 0.8, 0.3
_OVERLAP = 0.45

#: Side of the pose teacher's input, and how far its crop reaches over each side of a box.
_POSE_SIDE, _POSE_MARGIN = 60, 0.15
#: Smallest face, in pixels of the photograph, whose pose the teacher is believed, and the largest
#: angle: it was made for drivers.
_POSE_FROM, _POSE_MOST = 40.0, 65.0


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
    held
        Every how manieth photograph is kept for development; 0 for none.
    pose
        ``head-pose-estimation-adas-0001.xml``, its ``.bin`` beside it, or None: no pose. Needs
        OpenVINO.
    """

    folders: tuple[str, ...]
    teacher: str
    labels: str
    share: float = 0.7
    held: int = 0
    pose: str | None = None

    def __post_init__(self) -> None:
        if not self.folders or not 0 < self.share <= 1:
            raise ValueError("need a folder, and share in (0, 1]")
        if self.held < 0 or self.held == 1:
            raise ValueError("held must be 0, or 2 and more")


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Photographs with at least one sure face, and the faces of each."""

    paths: tuple[Path, ...]
    faces: tuple[Faces, ...]
    held: int = 0

    def part(self, development: bool) -> Labelled:
        """Return those for development, or those for training."""
        pairs = zip(self.paths, self.faces, strict=True)
        chosen = [
            p for i, p in enumerate(pairs) if (self.held > 0 and i % self.held == 0) == development
        ]
        return Labelled(tuple(p for p, _ in chosen), tuple(f for _, f in chosen))

    def __len__(self) -> int:
        return len(self.paths)


def label(config: Photos) -> Labelled:
    """Return the photographs with the teacher's faces, from the file of labels if it is there.

    Raises
    ------
    DatasetError
        If there is no photograph with a face, or the file of labels is of other photographs.
    """
    paths = find_images([Path(folder) for folder in config.folders])
    if not paths:
        raise DatasetError(f"there is no picture in {', '.join(config.folders)}")
    file = Path(config.labels)
    names = np.array([str(path) for path in paths])
    if not file.exists():
        _write(file, names, _teach(paths, Path(config.teacher), config.pose))
    with np.load(file, allow_pickle=False) as stored:
        if not np.array_equal(stored["names"], names):
            raise DatasetError(f"{file} labels other photographs; remove it to label anew")
        owner, rows = stored["owner"], stored["rows"]
    if rows.shape[1:] != (18,):
        raise DatasetError(f"{file} holds labels of another form; remove it to label anew")
    kept = [(paths[i], _faces(rows[owner == i])) for i in np.unique(owner)]
    sure = [(path, faces) for path, faces in kept if not faces.ignored.all()]
    if not sure:
        raise DatasetError(f"the teacher finds no face in {', '.join(config.folders)}")
    return Labelled(tuple(p for p, _ in sure), tuple(f for _, f in sure), config.held)


def _write(file: Path, names: NDArray[np.str_], rows: list[FloatArray]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    owner = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
    with part.open("wb") as stream:
        np.savez(stream, names=names, owner=owner, rows=np.concatenate(rows))
    os.replace(part, file)


def _teach(paths: Sequence[Path], teacher: Path, pose: str | None) -> list[FloatArray]:
    session = Session(teacher, threads=1)
    heads = PoseTeacher(pose) if pose is not None else None
    rows = []
    for path in paths:
        image = open_image(path)
        found = yunet(session, image)
        poses = np.full((len(found), 3), np.nan, np.float32)
        if heads is not None:
            poses = heads.poses(image, found[:, 1:5])
        rows.append(np.concatenate([found, poses], 1))
    return rows


class PoseTeacher:
    """Yaw, pitch and roll of faces in a photograph.

    Raises
    ------
    ConfigError
        If the file cannot be read or OpenVINO is not installed.
    """

    def __init__(self, model: Path | str) -> None:
        try:
            import openvino as ov

            core = ov.Core()
            network = core.read_model(str(model))
            network.reshape({network.inputs[0]: [-1, 3, _POSE_SIDE, _POSE_SIDE]})
            self._run = core.compile_model(network, "CPU", {"INFERENCE_NUM_THREADS": 1})
        except ImportError as error:
            raise ConfigError(
                "the teacher of pose needs the openvino package: pip install 'vultus[openvino]'"
            ) from error
        except RuntimeError as error:
            raise ConfigError(f"{model}: not a network that openvino reads: {error}") from error

    def poses(self, image: UInt8Array, boxes: FloatArray) -> FloatArray:
        """Return degrees, float32 (K, 3); NaN where the teacher is not to be believed."""
        out = np.full((len(boxes), 3), np.nan, np.float32)
        spans = boxes[:, 2:] - boxes[:, :2]
        asked = np.flatnonzero(spans.min(1, initial=np.inf) >= _POSE_FROM)
        if not len(asked):
            return out
        crops = np.stack([_crop(image, boxes[i], spans[i]) for i in asked])
        given = crops[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
        found = {key.any_name: value.reshape(-1) for key, value in self._run(given).items()}
        # Its pitch has the other sign.
        angles = np.stack([found["angle_y_fc"], -found["angle_p_fc"], found["angle_r_fc"]], 1)
        believed = np.abs(angles).max(1) <= _POSE_MOST
        out[asked[believed]] = angles[believed]
        return out


def _crop(image: UInt8Array, box: FloatArray, span: FloatArray) -> UInt8Array:
    scale = _POSE_SIDE / (span * (1 + 2 * _POSE_MARGIN))
    # From pixel centres to pixel centres, by way of edges.
    shift = -(box[:2] - _POSE_MARGIN * span) * scale + (scale - 1) / 2
    affine = np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]], np.float64)
    size = (_POSE_SIDE, _POSE_SIDE)
    return np.asarray(
        cv2.warpAffine(image, affine, size, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


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
    posed = np.asarray(np.isfinite(rows[:, 15:]).all(1), np.bool_)
    return Faces(
        rows[:, 1:5],
        rows[:, 5:15].reshape(-1, 5, 2),
        np.where(posed[:, None], rows[:, 15:], 0).astype(np.float32),
        posed,
        rows[:, 0] < SURE,
    )
