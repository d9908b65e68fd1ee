"""Labels for depth supervision: distance, or the face's mask where no distance is known."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.errors import VultusError

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

#: Centimetres behind the nearest point of the face at which its label reaches zero; the ears of a
#: frontal face lie about ten behind the tip of the nose.
REACH = 15.0


def depth_label(depth: FloatArray, face: BoolArray, reach: float = REACH) -> FloatArray:
    """Return the label of a bona fide face, float32 (H, W) in [0, 1].

    1 at the point nearest to the camera, falling evenly with distance, 0 off the face.

    Parameters
    ----------
    depth
        float32 (H, W) centimetres from the camera, from a fitted or rendered head; infinite on the
        background.
    face
        bool (H, W), the visible face.
    reach
        Centimetres from 1 to 0.

    Raises
    ------
    VultusError
        If shapes differ or no pixel of the face has a depth.
    """
    known = face & np.isfinite(depth) if face.shape == depth.shape else np.zeros(1, np.bool_)
    if not known.any():
        raise VultusError(
            f"a depth label needs a face with depth, got {depth.shape} and {face.shape}"
        )
    near = float(depth[known].min())
    label = np.zeros(depth.shape, np.float32)
    label[known] = np.clip(1 - (depth[known] - near) / reach, 0, 1)
    return label


def mask_label(face: BoolArray) -> FloatArray:
    """Return the label (H, W) of a bona fide face of which no depth is known: its mask, 0 or 1."""
    return face.astype(np.float32)


def to_map(label: FloatArray, side: int) -> FloatArray:
    """Return a label (H, W) at the size of the network's map, (side, side), by area."""
    return np.asarray(cv2.resize(label, (side, side), interpolation=cv2.INTER_AREA), np.float32)
