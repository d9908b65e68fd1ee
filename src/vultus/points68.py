"""The 68 points of iBUG (300-W): mirror images, parts, and the five keypoints they contain."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float32]

COUNT = 68

#: The mirror image of each point.
MIRROR: tuple[int, ...] = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *range(54, 47, -1),
    *range(59, 54, -1),
    *range(64, 59, -1),
    *(67, 66, 65),
)

#: Points of each part; left and right are the picture's.
PARTS: Mapping[str, range] = {
    "contour": range(0, 17),
    "left_brow": range(17, 22),
    "right_brow": range(22, 27),
    "nose": range(27, 36),
    "left_eye": range(36, 42),
    "right_eye": range(42, 48),
    "outer_lips": range(48, 60),
    "inner_lips": range(60, 68),
}


#: A mean face, float pairs (68, 2): rendered heads, in the crop of the template ``landmarks96``.
MEAN: tuple[tuple[float, float], ...] = (
    (17.5, 26.0),
    (17.8, 35.9),
    (18.9, 44.8),
    (20.3, 53.6),
    (23.7, 63.6),
    (29.4, 72.2),
    (34.4, 76.6),
    (40.8, 79.2),
    (47.5, 80.9),
    (54.2, 79.2),
    (60.6, 76.6),
    (65.6, 72.2),
    (71.3, 63.6),
    (74.7, 53.6),
    (76.1, 44.8),
    (77.2, 35.9),
    (77.5, 26.0),
    (23.2, 18.6),
    (26.8, 14.8),
    (31.6, 13.4),
    (37.4, 13.5),
    (42.6, 14.9),
    (52.4, 14.9),
    (57.6, 13.5),
    (63.4, 13.4),
    (68.2, 14.8),
    (71.8, 18.6),
    (47.5, 25.4),
    (47.5, 30.9),
    (47.5, 35.9),
    (47.5, 41.9),
    (41.8, 48.6),
    (44.7, 49.0),
    (47.5, 49.5),
    (50.3, 49.0),
    (53.2, 48.6),
    (28.7, 27.2),
    (31.1, 25.3),
    (35.7, 25.0),
    (39.7, 28.0),
    (36.0, 28.6),
    (31.2, 28.6),
    (55.3, 28.0),
    (59.3, 25.0),
    (63.9, 25.3),
    (66.3, 27.2),
    (63.8, 28.6),
    (59.0, 28.6),
    (36.2, 60.1),
    (39.6, 56.3),
    (44.0, 54.8),
    (47.5, 55.2),
    (51.0, 54.8),
    (55.4, 56.3),
    (58.8, 60.1),
    (55.7, 63.8),
    (52.3, 65.6),
    (47.5, 66.2),
    (42.7, 65.6),
    (39.3, 63.8),
    (37.6, 60.2),
    (42.7, 58.9),
    (47.5, 59.2),
    (52.3, 58.9),
    (57.4, 60.2),
    (52.5, 60.9),
    (47.5, 61.4),
    (42.5, 60.9),
)


def mirrored(points: ArrayLike, width: int) -> FloatArray:
    """Return the points (..., 68, 2) of pictures flipped left to right, ``width`` pixels wide."""
    flipped = np.asarray(points, np.float32)[..., MIRROR, :].copy()
    flipped[..., 0] = width - 1 - flipped[..., 0]
    return flipped


def keypoints(points: ArrayLike) -> FloatArray:
    """Return the five keypoints (..., 5, 2) of :class:`~vultus.faces.Face` from (..., 68, 2).

    Eye centres are the means of the six points around each eye.
    """
    p = np.asarray(points, np.float32)
    eyes = [p[..., list(PARTS[eye]), :].mean(-2) for eye in ("left_eye", "right_eye")]
    return np.stack([*eyes, p[..., 30, :], p[..., 48, :], p[..., 54, :]], -2)
