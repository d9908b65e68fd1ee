"""The eleven classes of face parsing, and what happens to them under a mirror."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vultus.parts import PART_NAMES

UInt8Array = NDArray[np.uint8]

#: In the order of their indices, as :class:`vultus.worlds.Part`.
CLASSES = PART_NAMES
BACKGROUND, HAIR = 0, 10

#: Label of pixels that are not known.
IGNORE = 255

#: Class of each class's mirror image, for masks of classes and ``IGNORE``.
MIRROR: UInt8Array = np.arange(256, dtype=np.uint8)
MIRROR[[2, 3, 4, 5]] = 3, 2, 5, 4
MIRROR.flags.writeable = False
