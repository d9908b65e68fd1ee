"""The texture atlas that every head shares, and the part classes.

Skin is charted by position on the neutral head: azimuth about a vertical axis through the skull
gives ``u``, height gives ``v``, and above the brow the height turns into the angle of elevation,
so that the crown is a pole. ``u`` wraps at the back of the head. A strip at the bottom holds
patches for everything that is not skin. Coordinates are in [0, 1], ``v`` grows downward.
"""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


class Part(IntEnum):
    """The eleven classes of face parsing; left and right are the image's for a frontal face.

    Ears count as skin; neck, clothes and hats as background.
    """

    BACKGROUND = 0
    SKIN = 1
    LEFT_BROW = 2
    RIGHT_BROW = 3
    LEFT_EYE = 4
    RIGHT_EYE = 5
    NOSE = 6
    UPPER_LIP = 7
    INNER_MOUTH = 8
    LOWER_LIP = 9
    HAIR = 10


class Material(IntEnum):
    """What a triangle is made of: how it shines, and where its colour and part come from."""

    SKIN = 0
    EYE = 1
    TEETH = 2
    MOUTH = 3
    HAIR = 4
    FRAME = 5
    LENS = 6
    CLOTH = 7


#: Row of the atlas, as a fraction of its height, where skin ends and the patches begin.
SKIN_BOTTOM = 0.86

#: Patches of the strip: (u0, v0, u1, v1).
PATCHES = MappingProxyType(
    {
        "eye": (0.005, 0.87, 0.125, 0.99),
        "teeth": (0.135, 0.87, 0.255, 0.99),
        "mouth": (0.265, 0.87, 0.385, 0.99),
        "frame": (0.395, 0.87, 0.425, 0.99),
        "lens": (0.435, 0.87, 0.465, 0.99),
        "cloth": (0.475, 0.87, 0.505, 0.99),
        "hair": (0.515, 0.87, 0.995, 0.99),
    }
)

AXIS_Z = 1.0
DOME_Y = 5.0
DOME_RADIUS = 9.0
TOP = DOME_Y + DOME_RADIUS * np.pi / 2
BOTTOM = -17.0
FRONT_ANGLE = np.deg2rad(100.0)
FRONT_SHARE = 0.8


def skin_chart(points: FloatArray) -> FloatArray:
    """Chart points of a neutral head.

    Parameters
    ----------
    points
        float32 (..., 3) centimetres in the head frame.

    Returns
    -------
    float32 (..., 2): u in [0, 1), v in [0, SKIN_BOTTOM]. The front 200 degrees take four fifths
    of the width.
    """
    x, y, z = points[..., 0], points[..., 1], points[..., 2] - AXIS_Z
    azimuth = np.arctan2(x, z)
    size = np.abs(azimuth)
    share = np.where(
        size < FRONT_ANGLE,
        size / FRONT_ANGLE * FRONT_SHARE,
        FRONT_SHARE + (size - FRONT_ANGLE) / (np.pi - FRONT_ANGLE) * (1 - FRONT_SHARE),
    )
    u = 0.5 + 0.4999 * np.sign(azimuth) * share
    elevation = np.arctan2(y - DOME_Y, np.hypot(x, z)) * DOME_RADIUS + DOME_Y
    height = np.where(y > DOME_Y, elevation, y)
    v = (TOP - height) / (TOP - BOTTOM) * SKIN_BOTTOM
    return np.stack([u, np.clip(v, 0, SKIN_BOTTOM - 0.002)], -1).astype(np.float32)


def patch_chart(name: str, uv: NDArray[np.floating]) -> FloatArray:
    """Place coordinates (..., 2) in [0, 1] into a named patch of the strip."""
    u0, v0, u1, v1 = PATCHES[name]
    out = np.array([u0, v0]) + uv * np.array([u1 - u0, v1 - v0])
    return np.asarray(out, np.float32)


def patch_window(name: str, size: int) -> tuple[slice, slice]:
    """Return the rows and columns of a patch in an atlas of size x size texels, edges included."""
    u0, v0, u1, v1 = PATCHES[name]
    return (
        slice(int(v0 * size) - 1, int(np.ceil(v1 * size)) + 1),
        slice(int(u0 * size) - 1, int(np.ceil(u1 * size)) + 1),
    )
