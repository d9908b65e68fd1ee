"""RoI tanh-polar pictures: a whole picture resampled around one face, with NumPy and OpenCV.

Lin, Shen, Wang and Pantic, "RoI Tanh-polar Transformer Network for Face Parsing in the Wild"
(2021). Rows are the angle, columns the radius: row ``v`` of ``H`` looks in the direction
``2 pi v / H``, clockwise from the picture's right, and column ``u`` of ``W`` lies at the tanh
radius ``u / W``. The ellipse with half axes ``w / sqrt(pi)`` and ``h / sqrt(pi)``, which has the
area of the box, lies at ``tanh(1)``, about 0.762; infinity lies at 1. :mod:`vultus.nets.tanh_polar`
does the same in PyTorch. Points of the picture count from the outer edge of its first pixel, as
boxes do.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import VultusError

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]


def checked_boxes(boxes: ArrayLike) -> NDArray[np.float64]:
    """Return boxes xyxy as float64 (N, 4).

    Raises
    ------
    VultusError
        If a box is empty or not finite.
    """
    rows = np.asarray(boxes, np.float64).reshape(-1, 4)
    if not np.isfinite(rows).all() or (rows[:, 2:] <= rows[:, :2]).any():
        raise VultusError("a tanh-polar picture needs finite boxes with x1 < x2 and y1 < y2")
    return rows


def with_ratio(boxes: ArrayLike, ratio: float) -> FloatArray:
    """Return boxes (N, 4) of the same centres and areas, ``ratio`` times as wide as high."""
    rows = checked_boxes(boxes)
    centre, sides = (rows[:, :2] + rows[:, 2:]) / 2, rows[:, 2:] - rows[:, :2]
    height = np.sqrt(sides.prod(1) / ratio)
    half = np.stack([ratio * height, height], 1) / 2
    return np.concatenate([centre - half, centre + half], 1).astype(np.float32)


def polar_points(
    boxes: ArrayLike,
    size: tuple[int, int],
    angles: ArrayLike = 0.0,
    *,
    keep_aspect: bool = True,
) -> FloatArray:
    """Return the points of the picture that the pixels of tanh-polar pictures show.

    Parameters
    ----------
    boxes
        (N, 4) xyxy.
    size
        Rows (angle) and columns (radius).
    angles
        Angular offset in radians, one or (N,): the first row looks in this direction, measured
        from the picture's right towards its bottom.
    keep_aspect
        Whether lengths along a row are true to scale in every direction; otherwise the ellipse
        is stretched into a circle.

    Returns
    -------
    float32 (N, H, W, 2): x and y.

    Raises
    ------
    VultusError
        If a box is empty or not finite.
    """
    rows = checked_boxes(boxes)
    height, width = size
    offsets = np.broadcast_to(np.asarray(angles, np.float64), len(rows))
    theta = (2 * np.pi / height) * np.arange(height, dtype=np.float64)
    reach = np.arctanh(np.arange(width) / width)
    centre, axes = _ellipses(rows)
    across, down = _directions(theta, axes, keep_aspect)
    cosine, sine = np.cos(offsets)[:, None], np.sin(offsets)[:, None]
    x = cosine * across - sine * down
    y = sine * across + cosine * down
    points = np.stack([x, y], -1)[:, :, None] * reach[None, None, :, None]
    return (points + centre[:, None, None]).astype(np.float32)


def polar_indices(
    points: ArrayLike,
    box: ArrayLike,
    size: tuple[int, int],
    angle: float = 0.0,
    *,
    keep_aspect: bool = True,
) -> FloatArray:
    """Return where points of the picture lie in the tanh-polar picture of one box.

    Parameters
    ----------
    points
        (..., 2): x and y.
    box, size, angle, keep_aspect
        As in :func:`polar_points`, whose inverse this is.

    Returns
    -------
    float32 (..., 2): column in [0, W) and row in [0, H).
    """
    centre, axes = _ellipses(checked_boxes(box))
    a, b = axes[0]
    offset = np.asarray(points, np.float64) - centre[0]
    x = np.cos(angle) * offset[..., 0] + np.sin(angle) * offset[..., 1]
    y = np.cos(angle) * offset[..., 1] - np.sin(angle) * offset[..., 0]
    if keep_aspect:
        # Along a ray the ellipse ends at length 1 of this norm, whatever the direction.
        radius, theta = np.hypot(x / a, y / b), np.arctan2(y, x)
    else:
        radius, theta = np.hypot(x / a, y / b), np.arctan2(y / b, x / a)
    height, width = size
    row = np.mod(theta / (2 * np.pi), 1.0) * height
    return np.stack([np.tanh(radius) * width, np.where(row >= height, 0.0, row)], -1).astype(
        np.float32
    )


def warp_polar(
    image: UInt8Array,
    boxes: ArrayLike,
    size: tuple[int, int],
    angles: ArrayLike = 0.0,
    *,
    keep_aspect: bool = True,
    fill: int = 0,
) -> UInt8Array:
    """Return the tanh-polar pictures of the faces of one picture.

    A face that has more pixels than the result can show is first reduced by area averaging.

    Parameters
    ----------
    image
        uint8 RGB (H', W', 3).
    boxes, size, angles, keep_aspect
        As in :func:`polar_points`.
    fill
        Grey level outside the picture.

    Returns
    -------
    uint8 (N, H, W, 3).

    Raises
    ------
    VultusError
        If the picture is not uint8 (H', W', 3), or a box is empty or not finite.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise VultusError(f"warp_polar needs uint8 (H, W, 3), got {image.dtype} {image.shape}")
    rows = checked_boxes(boxes)
    offsets = np.broadcast_to(np.asarray(angles, np.float64), len(rows))
    out = np.empty((len(rows), *size, 3), np.uint8)
    for face, box, angle in zip(out, rows, offsets, strict=True):
        part, local = _reduced(image, box, size)
        points = polar_points(local, size, float(angle), keep_aspect=keep_aspect)[0] - 0.5
        x, y = points[..., 0], points[..., 1]
        border = (fill, fill, fill)
        cv2.remap(
            part, x, y, cv2.INTER_LINEAR, face, borderMode=cv2.BORDER_CONSTANT, borderValue=border
        )
    return out


def restore_polar(
    maps: FloatArray,
    box: ArrayLike,
    shape: tuple[int, int],
    angle: float = 0.0,
    *,
    keep_aspect: bool = True,
    region: ArrayLike | None = None,
) -> FloatArray:
    """Return a tanh-polar map as seen in the picture; the inverse of :func:`warp_polar`.

    Parameters
    ----------
    maps
        float32 (H, W, C).
    box
        (4,) xyxy in the picture.
    shape
        Height and width of the picture, or of what is wanted of it.
    angle, keep_aspect
        As they were for the warp.
    region
        (4,) xyxy: the part of the picture that is wanted; all of it, pixel by pixel, if not given.

    Returns
    -------
    float32 (H', W', C), bilinear; fades to 0 where the map does not reach.

    Raises
    ------
    VultusError
        If the map is not float32 (H, W, C), or the box is empty or not finite.
    """
    if maps.dtype != np.float32 or maps.ndim != 3 or not maps.size:
        raise VultusError(f"restore_polar needs float32 (H, W, C), got {maps.dtype} {maps.shape}")
    height, width, channels = maps.shape
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32) + np.float32(0.5)
    points = np.stack([x, y], -1)
    if region is not None:
        frame = checked_boxes(region)[0]
        points = frame[:2] + points * ((frame[2:] - frame[:2]) / shape[::-1])
    place = polar_indices(points, box, (height, width), angle, keep_aspect=keep_aspect)
    # The angle goes round: one row more on both sides; the centre has no column to its left.
    padded = np.concatenate([maps[-1:], maps, maps[:1]])
    padded = np.concatenate([padded[:, :1], padded], 1)
    x, y = place[..., 0] + 1, place[..., 1] + 1
    out = np.empty((*shape, channels), np.float32)
    for first in range(0, channels, 4):
        # OpenCV fills the border of at most four channels at a time.
        some = np.ascontiguousarray(padded[..., first : first + 4])
        done = cv2.remap(some, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        out[..., first : first + 4] = done.reshape(*shape, -1)
    return out


def _ellipses(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return centres and half axes, float64 (N, 2) each, of ellipses as large as their boxes."""
    return (rows[:, :2] + rows[:, 2:]) / 2, (rows[:, 2:] - rows[:, :2]) / np.sqrt(np.pi)


def _directions(
    theta: NDArray[np.float64], axes: NDArray[np.float64], keep_aspect: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the points of the ellipse, before rotation, in each direction: (N, H) x and y."""
    a, b = axes[:, :1], axes[:, 1:]
    cosine, sine = np.cos(theta)[None], np.sin(theta)[None]
    if not keep_aspect:
        return a * cosine, b * sine
    length = a * b / np.sqrt((b * cosine) ** 2 + (a * sine) ** 2)
    return length * cosine, length * sine


def _reduced(
    image: UInt8Array, box: NDArray[np.float64], size: tuple[int, int]
) -> tuple[UInt8Array, NDArray[np.float64]]:
    """Return what the warp can see, with the face at most as large as the result, and its box."""
    side = float(np.sqrt((box[2:] - box[:2]).prod()))
    ratio = side / size[1]
    if ratio <= 1:
        return image, box
    centre, axes = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / np.sqrt(np.pi)
    reach = float(np.arctanh(1 - 1 / size[1]) * axes.max() + 2 * ratio)
    limit = np.array(image.shape[1::-1])
    low = np.floor(centre - reach).clip(0, limit - 1).astype(int)
    high = np.ceil(centre + reach).clip(low + 1, limit).astype(int)
    new = np.maximum(np.round((high - low) / ratio), 1).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    small = cv2.resize(part, (int(new[0]), int(new[1])), interpolation=cv2.INTER_AREA)
    factor = np.tile(new / (high - low), 2)
    return small, (box - np.tile(low, 2)) * factor  # type: ignore[return-value]
