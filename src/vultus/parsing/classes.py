"""The eleven classes of face parsing, and what happens to them under a mirror."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]

#: In the order of their indices, as :class:`vultus.worlds.Part`. Left and right are the picture's
#: for an upright face. Ears are skin; neck, clothes and hats are background.
CLASSES = (
    "background",
    "skin",
    "left_brow",
    "right_brow",
    "left_eye",
    "right_eye",
    "nose",
    "upper_lip",
    "inner_mouth",
    "lower_lip",
    "hair",
)
BACKGROUND, HAIR = 0, 10

#: Label of pixels that are not known.
IGNORE = 255

#: Class of each class's mirror image, for masks of classes and ``IGNORE``.
MIRROR: UInt8Array = np.arange(256, dtype=np.uint8)
MIRROR[[2, 3, 4, 5]] = 3, 2, 5, 4
MIRROR.flags.writeable = False

#: RGB colours for drawing.
PALETTE: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {
        "background": (0, 0, 0),
        "skin": (238, 187, 153),
        "left_brow": (128, 85, 0),
        "right_brow": (170, 128, 0),
        "left_eye": (0, 90, 255),
        "right_eye": (0, 170, 255),
        "nose": (0, 200, 120),
        "upper_lip": (230, 0, 60),
        "inner_mouth": (255, 255, 255),
        "lower_lip": (200, 0, 130),
        "hair": (110, 60, 160),
    }
)
