"""Which part of a picture a liveness network looks at: the templates of this room."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import VultusError
from vultus.geometry import crop_boxes
from vultus.liveness.masks import EXPANSION

UInt8Array = NDArray[np.uint8]
FloatArray = NDArray[np.float32]

#: The square around the box, enlarged by 1.3, filled up where it leaves the picture.
BOX = "box1.3"

#: 2.7 times the box, kept inside the picture, stretched to a square: see :func:`window_of`.
WINDOW = "window2.7"

TEMPLATES = (BOX, WINDOW)

#: How many times the box a window is wide, if the picture allows.
SCALE = 2.7


def window_of(box: ArrayLike, shape: tuple[int, ...], scale: float = SCALE) -> FloatArray:
    """Return the window around a box, xyxy float32 (4,), inside a picture.

    The box is scaled about its centre, by less where the picture is smaller, and moved inside: a
    face in a tight picture is seen with all of that picture. So no pixel is made up, and the edge
    of a sheet or a screen is in view where there is one. As MiniFASNet was trained (Apache-2.0).

    Parameters
    ----------
    box
        xyxy pixels.
    shape
        Of the picture, height and width first.
    scale
        Largest factor.

    Raises
    ------
    VultusError
        If the box is empty, not finite or outside of the picture.
    """
    x1, y1, x2, y2 = np.asarray(box, np.float64)
    high, wide = shape[:2]
    inside = x2 > 0 and y2 > 0 and x1 < wide and y1 < high
    if not (np.isfinite([x1, y1, x2, y2]).all() and x2 > x1 and y2 > y1 and inside):
        raise VultusError(f"no window around the box {[x1, y1, x2, y2]} in a picture {shape[:2]}")
    factor = min(scale, (wide - 1) / (x2 - x1), (high - 1) / (y2 - y1))
    span = np.array([x2 - x1, y2 - y1]) * factor
    corner = np.array([x1 + x2, y1 + y2]) / 2 - span / 2
    corner = np.clip(corner, 0, np.array([wide, high]) - 1 - span)
    return np.concatenate([corner, corner + span]).astype(np.float32)


def cut_window(image: UInt8Array, window: ArrayLike, size: int) -> UInt8Array:
    """Return a window of a picture as a square, uint8 (size, size, 3); bilinear, not averaged."""
    x1, y1, x2, y2 = (int(v) for v in np.asarray(window))
    part = image[y1 : y2 + 1, x1 : x2 + 1]
    return np.asarray(cv2.resize(part, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)


def crop_faces(image: UInt8Array, boxes: ArrayLike, template: str, size: int) -> UInt8Array:
    """Return the crops of faces that a network wants, uint8 RGB (N, size, size, 3).

    Parameters
    ----------
    image
        uint8 RGB (H, W, 3).
    boxes
        xyxy (N, 4).
    template
        One of :data:`TEMPLATES`.
    size
        Side of the crops.

    Raises
    ------
    VultusError
        If the template is unknown or a box is empty.
    """
    rows = np.asarray(boxes, np.float32).reshape(-1, 4)
    if template == BOX:
        return crop_boxes(image, rows, EXPANSION, size)
    if template != WINDOW:
        raise VultusError(f"unknown liveness template {template!r}; known: {TEMPLATES}")
    crops = [cut_window(image, window_of(box, image.shape), size) for box in rows]
    return np.stack(crops) if crops else np.empty((0, size, size, 3), np.uint8)
