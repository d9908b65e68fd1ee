"""From maps to scores of frames, and from frames to clips."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import VultusError

FloatArray = NDArray[np.float32]

#: Frames of a clip that are scored.
FRAMES = 8


def frame_scores(maps: FloatArray, masks: ArrayLike) -> FloatArray:
    """Return the map's sum over the face's area, float32 (N,): higher is more like bona fide.

    Parameters
    ----------
    maps
        float (N, h, w). A map of one pixel is a score of the whole crop and is returned as it is.
    masks
        bool or float (N, H, W) in [0, 1], brought to the maps' size by area.

    Raises
    ------
    VultusError
        If numbers differ or a mask is empty: without a face there is nothing to score.
    """
    faces = np.asarray(masks, np.float32)
    if maps.ndim != 3 or faces.ndim != 3 or len(faces) != len(maps):
        raise VultusError(
            f"scores need maps and masks (N, H, W), got {maps.shape} and {faces.shape}"
        )
    height, width = maps.shape[1:]
    if height == width == 1:
        return np.asarray(maps[:, 0, 0], np.float32)
    areas = np.array(
        [cv2.resize(m, (width, height), interpolation=cv2.INTER_AREA).sum() for m in faces],
        np.float32,
    )
    if (areas <= 0).any():
        raise VultusError(f"the face mask of frame {int(np.argmin(areas))} is empty")
    return np.asarray(maps.sum((1, 2)) / areas, np.float32)


def uniform_frames(count: int, wanted: int = FRAMES) -> NDArray[np.intp]:
    """Return the numbers of frames, (M,), spread evenly over a clip of ``count``.

    Parameters
    ----------
    count, wanted
        Frames that there are; most that are chosen.

    Raises
    ------
    VultusError
        If either is below 1.
    """
    if count < 1 or wanted < 1:
        raise VultusError(f"cannot choose {wanted} of {count} frames")
    chosen = min(count, wanted)
    return ((np.arange(chosen) + 0.5) * count / chosen).astype(np.intp)


def clip_scores(scores: ArrayLike, clips: ArrayLike) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the clips' numbers in ascending order, int64 (C,), and their mean scores, (C,).

    Parameters
    ----------
    scores, clips
        (N,) scores of frames, and the number of the clip that each belongs to.

    Raises
    ------
    VultusError
        If shapes differ, or there is no frame.
    """
    values, numbers = np.asarray(scores, np.float64), np.asarray(clips, np.int64)
    if values.shape != numbers.shape or values.ndim != 1 or not len(values):
        raise VultusError(f"need one clip per score, got {values.shape} and {numbers.shape}")
    known, codes = np.unique(numbers, return_inverse=True)
    sums = np.bincount(codes, values) / np.bincount(codes)
    return known, sums.astype(np.float32)
