"""Where the labels of a picture go when the picture is shown again on a sheet."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.worlds.render import View
from vultus.worlds.sheets import Sheet, Shown

FloatArray = NDArray[np.float32]


def source_size(size: int) -> int:
    """Return the side of the picture that an attack shows again."""
    return int(min(max(1.5 * size, 128), 512))


def box_corners(box: FloatArray) -> FloatArray:
    """Return the four corners, float32 (4, 2), of a box xyxy (4,)."""
    x1, y1, x2, y2 = box
    return np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], np.float32)


def on_picture(points: FloatArray, shown: Shown) -> FloatArray:
    """Map points (K, 2) of the shown picture to the camera's, by a homography fitted to the sheet.

    A bent sheet deviates from the plane by less than a pixel at the curvatures in use.
    """
    rows, columns = np.nonzero(shown.place[..., 0] >= 0)
    if len(rows) < 8:
        return np.full((len(points), 2), -1e3, np.float32)
    step = max(len(rows) // 400, 1)
    here = np.stack([columns, rows], 1)[::step].astype(np.float32)
    there = shown.place[rows, columns][::step]
    matrix, _ = cv2.findHomography(there, here, 0)
    return np.asarray(
        cv2.perspectiveTransform(points[None].astype(np.float32), matrix)[0], np.float32
    )


def on_sheet(source: View, shown: Shown, sheet: Sheet) -> tuple[FloatArray, FloatArray]:
    """Return where the landmarks of the shown picture appear, and their places in space."""
    flat = on_picture(source.landmarks, shown)
    size = len(shown.depth)
    column, row = np.clip(np.round(flat.T).astype(int), 0, size - 1)
    depth = shown.depth[row, column]
    depth = np.where(np.isfinite(depth), depth, np.median(shown.depth[np.isfinite(shown.depth)]))
    middle = float(np.median(depth))
    # The camera frame's origin lies at the centre of the sheet.
    focal = _focal(shown, sheet, middle)
    x = (flat[:, 0] - (size - 1) / 2) * depth / focal
    y = -(flat[:, 1] - (size - 1) / 2) * depth / focal
    return flat, np.stack([x, y, middle - depth], 1).astype(np.float32)


def _focal(shown: Shown, sheet: Sheet, depth: float) -> float:
    on = shown.place[..., 1] >= 0
    rows = np.flatnonzero(on.any(1))
    span = shown.place[..., 1][on]
    share = max((span.max() - span.min()) / max(span.max(), 1.0), 1e-3)
    return float(len(rows) * depth / (sheet.height * share))
