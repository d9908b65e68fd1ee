"""68 points read off the face mesh, vertex by vertex.

The mesh has a vertex near each of the 68 points; which one is common knowledge among its users.
Eyes and mouth agree well with annotations; the contour is the mesh's own outline, which lies inside
the jaw line of iBUG where the head is turned.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import VultusError

FloatArray = NDArray[np.float32]

#: The mesh vertex that stands for each of the 68 points.
VERTICES: tuple[int, ...] = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
    *(78, 82, 13, 312, 308, 317, 14, 87),
)


def points_of_mesh(mesh: ArrayLike) -> FloatArray:
    """Return the points float32 (N, 68, 2) of meshes (N, V, 2 or more), V of at least 468.

    Raises
    ------
    VultusError
        If the meshes have another shape.
    """
    points = np.asarray(mesh, np.float32)
    if points.ndim != 3 or points.shape[1] < 468 or points.shape[2] < 2:
        raise VultusError(f"meshes must be (N, 468, 2), got {points.shape}")
    return points[:, VERTICES, :2]
