"""Head pose from the face mesh: the rotation that takes a mean face onto the mesh."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import VultusError
from vultus.geometry import head_angles

FloatArray = NDArray[np.float32]

#: Vertices that move little with expression and identity, and where they lie on the mean of 200
#: rendered heads, turned to the front with their exact rotations: index, then x to the image's
#: right, y down and z away, with a root mean square distance of 100 from their centre.
# fmt: off
_MEAN_FACE = (
    (0, 0, 82, -35), (2, 0, 44, -32), (4, 0, 7, -82), (24, -102, -57, 41), (50, -131, 11, 37),
    (55, -35, -122, 3), (74, -49, 97, -7), (76, -64, 104, 19), (87, -16, 107, -14),
    (101, -93, -9, 23), (102, -53, 20, -13), (114, -38, -42, 5), (118, -121, -25, 40),
    (120, -67, -35, 27), (122, -16, -65, -13), (125, -8, 34, -67), (133, -48, -73, 43),
    (165, -53, 64, -10), (168, 0, -93, -4), (197, 0, -51, -37), (206, -84, 52, 11),
    (207, -120, 61, 31), (218, -35, 22, -51), (222, -74, -116, 24), (236, -26, -23, -36),
    (254, 102, -57, 41), (280, 131, 11, 37), (285, 35, -122, 3), (304, 49, 97, -7),
    (306, 64, 104, 19), (317, 16, 107, -14), (330, 93, -9, 23), (331, 53, 20, -13),
    (343, 38, -42, 5), (347, 121, -25, 40), (349, 67, -35, 27), (351, 16, -65, -13),
    (354, 8, 34, -67), (362, 48, -73, 43), (391, 53, 64, -10), (426, 84, 52, 11),
    (427, 120, 61, 31), (438, 35, 22, -51), (442, 74, -116, 24), (456, 26, -23, -36),
)
# fmt: on

#: The mesh is flatter than a face. Of 0.8, 1, 1.2, 1.4 and 1.7 this factor on its depth gave the
#: smallest error on rendered heads.
_DEPTH = 1.2


def head_pose(points: ArrayLike, depth: ArrayLike) -> FloatArray:
    """Return yaw, pitch and roll in degrees, float32 (N, 3), signs as in :mod:`vultus.faces`.

    Least squares over similarities (Kabsch, 1976; Umeyama, 1991). The angles are those of
    :func:`vultus.geometry.head_rotation`. Beyond a yaw of about 60 degrees the mesh no longer
    follows the face, and the angle stays below the true one.

    Parameters
    ----------
    points
        (N, 468, 2) mesh in picture pixels.
    depth
        (N, 468) in picture pixels, smaller is nearer.

    Raises
    ------
    VultusError
        If the shapes do not fit or a value is not finite.
    """
    flat, far = np.asarray(points, np.float64), np.asarray(depth, np.float64)
    if flat.ndim != 3 or flat.shape[1] < 468 or far.shape != flat.shape[:2]:
        raise VultusError(f"a mesh needs points (N, 468, 2) and depth, got {flat.shape}")
    if not (np.isfinite(flat).all() and np.isfinite(far).all()):
        raise VultusError("a mesh must be finite")
    table = np.array(_MEAN_FACE, np.float64)
    chosen, mean = table[:, 0].astype(int), table[:, 1:]
    mesh = np.concatenate([flat[:, chosen, :2], _DEPTH * far[:, chosen, None]], 2)
    mesh -= mesh.mean(1, keepdims=True)
    covariance = np.einsum("nki,kj->nij", mesh, mean - mean.mean(0))
    u, _, v = np.linalg.svd(covariance)
    # Without this the best map may be a reflection.
    u[:, :, 2] *= np.sign(np.linalg.det(u @ v))[:, None]
    return head_angles(u @ v)
