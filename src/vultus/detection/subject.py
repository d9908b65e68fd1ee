"""Which of several faces a picture is about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vultus.errors import NoFaceError
from vultus.faces import Face


def largest(faces: Sequence[Face]) -> Face:
    """Return the face with the largest box; the better score wins a tie.

    Raises
    ------
    NoFaceError
        If there is no face.
    """
    if not faces:
        raise NoFaceError("there is no face to choose the largest from")
    return max(faces, key=lambda face: (face.width * face.height, face.score))


def central(faces: Sequence[Face], shape: Sequence[int]) -> Face:
    """Return the face that the picture is centred on.

    The distance from the picture's centre to the box's centre counts in units of the box's size,
    so that a large face slightly off the centre is preferred to a small one behind it.

    Parameters
    ----------
    faces
        Faces of one picture.
    shape
        The picture's shape, (H, W) or (H, W, 3).

    Raises
    ------
    NoFaceError
        If there is no face.
    """
    if not faces:
        raise NoFaceError("there is no face to choose the most central from")
    middle = np.array([shape[1], shape[0]], np.float64) / 2

    def offset(face: Face) -> float:
        centre = (face.box[:2] + face.box[2:]) / 2
        size = float(np.sqrt(face.width * face.height))
        return float(np.linalg.norm(centre - middle)) / size

    return min(faces, key=offset)
