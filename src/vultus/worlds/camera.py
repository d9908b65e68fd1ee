"""Cameras and head rotation.

The camera frame has x to the right, y up and z toward the viewer; the camera sits at
(0, 0, distance) and looks along -z. A rotation is stated as the house's yaw, pitch and roll.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import ConfigError

FloatArray = NDArray[np.float32]

#: Point of the head frame, in centimetres, that the head turns about and the camera looks at.
PIVOT = np.array([0.0, 1.0, 2.5], np.float32)

#: Height in centimetres that a fill of 1 makes as high as the picture: chin to crown.
HEAD_HEIGHT = 24.0


def rotation(yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """Return the rotation matrix (3, 3) from the head frame to the camera frame.

    Angles are degrees: yaw > 0 turns the nose to the image's right, pitch > 0 up, roll > 0 is
    clockwise in the image. The head is first pitched, then turned, then rolled:
    R = Z(-roll) Y(yaw) X(-pitch), so that without roll yaw and pitch are the azimuth and the
    elevation of the nose.
    """
    y, p, r = np.deg2rad([yaw, pitch, roll])
    cy, sy, cp, sp, cr, sr = np.cos(y), np.sin(y), np.cos(p), np.sin(p), np.cos(r), np.sin(r)
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    tilt = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    return np.asarray(tilt @ turn @ nod)


def angles(matrix: ArrayLike) -> tuple[float, float, float]:
    """Return yaw, pitch and roll in degrees of a rotation matrix (3, 3).

    The inverse of :func:`rotation` for yaw strictly between -90 and 90 degrees; a head that looks
    away comes out as the equivalent rotation with its yaw in that range.
    """
    m = np.asarray(matrix, np.float64)
    # Undo the roll first: without it the head's x axis is level.
    roll = np.arctan2(-m[1, 0], m[0, 0])
    level = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]]) @ m[:2]
    yaw, pitch = np.arctan2(level[0, 2], m[2, 2]), np.arcsin(np.clip(level[1, 2], -1, 1))
    return float(np.rad2deg(yaw)), float(np.rad2deg(pitch)), float(np.rad2deg(roll))


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera over a square picture.

    Parameters
    ----------
    distance
        From the camera to the pivot of the head, centimetres. Small ones give the perspective of
        a selfie, large ones that of a long lens.
    fill
        Height of the head at the pivot's distance as a share of the picture's height.
    offset
        Where the pivot appears, as a share of the picture's side from its centre: x right, y down.
    """

    distance: float = 70.0
    fill: float = 0.75
    offset: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if not self.distance >= 22.0:
            raise ConfigError(f"camera distance must be at least 22 cm, got {self.distance}")
        if not 0.01 <= self.fill <= 20.0:
            raise ConfigError(f"camera fill must lie in [0.01, 20], got {self.fill}")

    def focal(self, size: int) -> float:
        """Return the focal length in pixels of a picture of the given side."""
        return self.fill * size * self.distance / HEAD_HEIGHT

    def project(self, points: FloatArray, size: int) -> FloatArray:
        """Project points of the camera frame.

        Parameters
        ----------
        points
            (..., 3) centimetres in the camera frame.
        size
            Side of the picture in pixels.

        Returns
        -------
        float32 (..., 3): x and y in pixels, depth along the optical axis in centimetres.
        """
        depth = self.distance - points[..., 2]
        scale = self.focal(size) / np.maximum(depth, 1e-3)
        centre = (size - 1) / 2
        x = centre + self.offset[0] * size + points[..., 0] * scale
        y = centre + self.offset[1] * size - points[..., 1] * scale
        return np.stack([x, y, depth], -1).astype(np.float32)
