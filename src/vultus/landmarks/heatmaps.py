"""Heat maps to points, and the square crop around a box that they are seen in; no PyTorch.

Pixels have their centres at whole numbers, in pictures, crops and maps alike, so that every step
between them is one affine map without half-pixel corrections (Bulat and Tzimiropoulos, 2017, count
from 1 and correct; the released networks need that, see ``landmarks.fan.released``).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import VultusError
from vultus.geometry import FloatArray, UInt8Array, warp
from vultus.points68 import MIRROR

#: Sum of a box's sides, in pixels, of a face of scale 1: that of the detector of the paper's code.
REFERENCE = 195.0

#: Side of the crop of a face of scale 1, and how far above the box's centre it lies, in heights.
SIDE, LIFT = 200.0, 0.12

#: How far a peak moves towards its higher neighbour, in map pixels.
QUARTER = 0.25

#: Height of the forehead above the brows, as a share of the height from brows to chin.
FOREHEAD = 0.33


def crop_maps(boxes: ArrayLike, size: int, reference: float = REFERENCE) -> FloatArray:
    """Return the affine maps, float32 (N, 2, 3), from picture pixels to crop pixels.

    Parameters
    ----------
    boxes
        xyxy (N, 4) of faces, from ear to ear and from chin to hairline.
    size
        Side of the crop in pixels.
    reference
        Depends on what makes the boxes; a larger value gives a tighter crop.

    Raises
    ------
    VultusError
        If a box has no area.
    """
    b = np.asarray(boxes, np.float64).reshape(-1, 4)
    width, height = (b[:, 2:] - b[:, :2]).T
    if not ((width > 0) & (height > 0)).all():
        raise VultusError("crops need boxes with a width and a height above 0, xyxy")
    centre = (b[:, :2] + b[:, 2:]) / 2 - np.stack([0 * height, LIFT * height], 1)
    scale = size * reference / (SIDE * (width + height))
    maps = np.zeros((len(b), 2, 3))
    maps[:, 0, 0] = maps[:, 1, 1] = scale
    maps[:, :, 2] = (size - 1) / 2 - scale[:, None] * centre
    return maps.astype(np.float32)


def face_boxes(points: ArrayLike) -> FloatArray:
    """Return boxes (N, 4) of faces with points (N, 68, 2): their extent, and the forehead."""
    p = np.asarray(points, np.float32)[..., :2].reshape(-1, 68, 2)
    low, high = np.nanmin(p, 1), np.nanmax(p, 1)
    low[:, 1] -= FOREHEAD * (high[:, 1] - low[:, 1])
    return np.concatenate([low, high], 1)


def jittered(boxes: ArrayLike, share: float, rng: np.random.Generator) -> FloatArray:
    """Move every side of boxes (N, 4) by up to a share of the box's width or height."""
    b = np.asarray(boxes, np.float32).reshape(-1, 4)
    sides = np.tile(b[:, 2:] - b[:, :2], 2)
    return np.asarray(b + share * sides * rng.uniform(-1, 1, b.shape), np.float32)


def coarse(image: UInt8Array, box: ArrayLike, face: int) -> UInt8Array:
    """Shrink a picture until the root of the box's area is ``face`` pixels, and enlarge it again.

    A picture whose face is smaller already comes back as it is.

    Parameters
    ----------
    image, box
        uint8 (H, W, 3), and xyxy pixels (4,).
    """
    x1, y1, x2, y2 = np.asarray(box, np.float64)
    factor = face / float(np.sqrt(max((x2 - x1) * (y2 - y1), 1e-6)))
    if factor >= 1:
        return image
    height, width = image.shape[:2]
    small = max(round(width * factor), 1), max(round(height * factor), 1)
    tiny = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    back = cv2.resize(tiny, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(back, np.uint8)


def cut_boxes(
    images: Sequence[UInt8Array], boxes: ArrayLike, size: int, reference: float = REFERENCE
) -> tuple[UInt8Array, FloatArray]:
    """Return the crops, uint8 (N, size, size, 3), and maps (N, 2, 3) of one box in each picture.

    Parameters
    ----------
    images, boxes
        uint8 RGB (H, W, 3) each, and xyxy (N, 4).
    size, reference
        As in :func:`crop_maps`.

    Raises
    ------
    VultusError
        If there are not as many boxes as pictures, or a box has no area.
    """
    maps = crop_maps(boxes, size, reference)
    if len(images) != len(maps):
        raise VultusError(f"{len(images)} pictures and {len(maps)} boxes do not fit")
    crops = [warp(image, m, size)[0] for image, m in zip(images, maps, strict=True)]
    return np.stack(crops) if crops else np.empty((0, size, size, 3), np.uint8), maps


def decode(maps: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return the places (N, K, 2) and heights (N, K) of the peaks of maps (N, K, H, W).

    The greatest value's pixel, moved by a quarter towards the higher neighbour along x and y;
    along an axis where the peak lies on the border it stays.
    """
    values = np.asarray(maps, np.float32)
    n, k, height, width = values.shape
    flat = values.reshape(n, k, -1)
    best = flat.argmax(-1)
    row, column = np.divmod(best, width)
    points = np.stack([column, row], -1).astype(np.float32)
    for axis, (place, side, step) in enumerate(((column, width, 1), (row, height, width))):
        inner = (place > 0) & (place < side - 1)
        around = [
            np.take_along_axis(flat, np.where(inner, best + sign * step, best)[..., None], -1)[
                ..., 0
            ]
            for sign in (1, -1)
        ]
        points[..., axis] += np.where(inner, QUARTER * np.sign(around[0] - around[1]), 0)
    return points, np.take_along_axis(flat, best[..., None], -1)[..., 0]


def unflipped(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the maps (N, 68, H, W) of mirror images as maps of the pictures."""
    return np.ascontiguousarray(maps[:, list(MIRROR), :, ::-1])


def to_crop(points: ArrayLike, size: int, side: int) -> FloatArray:
    """Return crop pixels (..., 2) of places on maps of ``side`` pixels over a crop of ``size``."""
    stride = size / side
    return np.asarray((np.asarray(points, np.float32) + 0.5) * stride - 0.5, np.float32)
