"""Detectors of other projects, to stand beside ours: YuNet and SCRFD, from local ONNX files.

Both look at the picture shrunk to a long side of at most 640 pixels, as their authors measure
speed, and padded to a multiple of their largest stride. A peer whose file is absent is left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort

from vultus.faces import Face
from vultus.geometry import nms

Image = np.ndarray[Any, np.dtype[np.uint8]]
Find = Callable[[Image], list[Face]]

STRIDES = (8, 16, 32)
LONG_SIDE = 640

_SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "weights"


def peers(threads: int) -> dict[str, Find]:
    """Return the peers whose files are here, by name, at their usual thresholds."""
    teachers = Path(os.environ.get("VULTUS_TEACHERS", _SHARED / "teachers"))
    others = Path(os.environ.get("VULTUS_PEERS", _SHARED / "peers"))
    found: dict[str, Find] = {}
    if (file := teachers / "yunet_n_dynamic.onnx").is_file():
        found["yunet-n"] = yunet(file, threads)
    if (file := others / "scrfd_500m_fixed.onnx").is_file():
        found["scrfd-500m"] = scrfd(file, threads)
    return found


def reference(threads: int) -> Find | None:
    """Return YuNet at full size and a low threshold, which judges false boxes, if it is here."""
    file = Path(os.environ.get("VULTUS_TEACHERS", _SHARED / "teachers")) / "yunet_n_dynamic.onnx"
    return yunet(file, threads, long_side=4096, min_score=0.3) if file.is_file() else None


def yunet(file: Path, threads: int, *, long_side: int = LONG_SIDE, min_score: float = 0.6) -> Find:
    """Wu et al., "YuNet: A tiny millisecond-level face detector" (2023)."""
    session, name = _open(file, threads)
    outputs = [output.name for output in session.get_outputs()]

    def find(image: Image) -> list[Face]:
        canvas, scale = _fit(image, long_side)
        x = canvas[None, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32)
        out = dict(zip(outputs, session.run(None, {name: x}), strict=True))
        boxes, scores, points = [], [], []
        for stride in STRIDES:
            both = np.clip(out[f"cls_{stride}"], 0, 1) * np.clip(out[f"obj_{stride}"], 0, 1)
            score = np.sqrt(both[0, :, 0])
            cells = np.flatnonzero(score >= min_score)
            columns = canvas.shape[1] // stride
            corner = np.stack([cells % columns, cells // columns], 1)
            box = out[f"bbox_{stride}"][0, cells]
            centre, half = (corner + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride / 2
            boxes.append(np.concatenate([centre - half, centre + half], 1))
            points.append(
                (out[f"kps_{stride}"][0, cells].reshape(-1, 5, 2) + corner[:, None]) * stride
            )
            scores.append(score[cells])
        return _faces(boxes, scores, points, scale, 0.45)

    return find


def scrfd(file: Path, threads: int, *, min_score: float = 0.5) -> Find:
    """Guo et al., "Sample and computation redistribution for efficient face detection" (2022)."""
    session, name = _open(file, threads)

    def find(image: Image) -> list[Face]:
        canvas, scale = _fit(image, LONG_SIDE)
        x = ((canvas.astype(np.float32) - 127.5) / 128).transpose(2, 0, 1)[None]
        out = session.run(None, {name: x})
        boxes, scores, points = [], [], []
        for level, stride in enumerate(STRIDES):
            cells = np.flatnonzero(out[level][:, 0] >= min_score)
            columns = canvas.shape[1] // stride
            # Two anchors a cell.
            centre = np.stack([cells // 2 % columns, cells // 2 // columns], 1) * stride
            reach = out[3 + level][cells] * stride
            boxes.append(np.concatenate([centre - reach[:, :2], centre + reach[:, 2:]], 1))
            points.append(centre[:, None] + out[6 + level][cells].reshape(-1, 5, 2) * stride)
            scores.append(out[level][cells, 0])
        return _faces(boxes, scores, points, scale, 0.4)

    return find


def _open(file: Path, threads: int) -> tuple[ort.InferenceSession, str]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return session, session.get_inputs()[0].name


def _fit(image: Image, long_side: int) -> tuple[Image, float]:
    scale = min(long_side / max(image.shape[:2]), 1.0)
    height, width = (max(round(n * scale), 1) for n in image.shape[:2])
    canvas = np.zeros((-(-height // 32) * 32, -(-width // 32) * 32, 3), np.uint8)
    canvas[:height, :width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return canvas, scale


def _faces(boxes: Any, scores: Any, points: Any, scale: float, overlap: float) -> list[Face]:
    box, score, point = (np.concatenate(part) for part in (boxes, scores, points))
    kept = nms(box, score, overlap)
    return [Face(box[i] / scale, float(score[i]), point[i] / scale) for i in kept]
