"""Where the face lies in a crop: what liveness maps are normalised by."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import VultusError

BoolArray = NDArray[np.bool_]

#: How much larger than the detector's box a crop is.
EXPANSION = 1.3

#: Width over height of a face.
ASPECT = 0.8


def ellipse_mask(size: int, expansion: float = EXPANSION) -> BoolArray:
    """Return the face of a crop of which nothing but its box is known, bool (size, size).

    The ellipse that stands in the detector's box, in the middle of a crop that is larger than the
    square around the box by a factor.
    """
    place = (np.arange(size) + 0.5) / size * 2 - 1
    return np.asarray(
        (place[None] / ASPECT) ** 2 + place[:, None] ** 2 <= expansion**-2.0, np.bool_
    )


def hull_mask(landmarks: ArrayLike, shape: tuple[int, int]) -> BoolArray:
    """Return the face of 68 landmarks, bool (H, W).

    The convex hull of the landmarks and of the brows moved up by half the distance from brows to
    nose tip, since the 68 points end below the forehead.

    Parameters
    ----------
    landmarks
        (68, 2) pixels, points at whole coordinates in the centres of pixels.
    shape
        Height and width.

    Raises
    ------
    VultusError
        If there are not 68 finite points.
    """
    points = np.asarray(landmarks, np.float32)
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise VultusError(f"a face mask needs 68 finite points, got {points.shape}")
    brows = points[17:27]
    # Along the face's own axis, so that a rolled face keeps its forehead.
    up = (points[27] - points[30]) * 0.75
    hull = cv2.convexHull(np.concatenate([points, brows + up]))
    mask = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(mask, np.round(hull).astype(np.int32), 1)
    return np.asarray(mask > 0, np.bool_)
