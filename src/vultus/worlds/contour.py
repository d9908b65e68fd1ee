"""Contour points where the outline of the face is seen, instead of where they lie on the head.

Annotators of photographs place the 17 contour points on the visible outline: on a turned head those
of the far side slide over the cheek. Zhu et al. ("High-fidelity pose and expression normalization",
2015) let such a point march along a level line of the face to its outermost place; so does this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vultus.worlds.camera import rotation
from vultus.worlds.chart import Material
from vultus.worlds.heads import Head

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]

#: The point of the chin, which stays where it is.
_CHIN = 8

#: Points at the height of the eyes, whose lines end at the outer corner of the eye.
_TEMPLES = 2

#: Centimetres that a line may start behind its point.
_BEHIND = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Rail:
    """The level line of a contour point: places on edges of the mesh.

    Parameters
    ----------
    ends
        int32 (M, 2) vertices of each edge.
    share
        float32 (M, 1): how far from the first vertex to the second.
    """

    ends: IntArray
    share: FloatArray

    def places(self, vertices: FloatArray) -> FloatArray:
        """Return the places (M, D) on a deformed head with vertices (V, D)."""
        first, second = vertices[self.ends[:, 0]], vertices[self.ends[:, 1]]
        return np.asarray(first + self.share * (second - first), np.float32)


def contour_rails(head: Head) -> tuple[Rail, ...]:
    """Return the lines of the 17 contour points, from each towards the middle of the face.

    They end at the outer corner of the eye, at the corner of the mouth, and below the lips at the
    middle, so that no point slides onto the nose.
    """
    edges = _edges(head.triangles[head.material == Material.SKIN])
    points = head.neutral[head.landmarks]
    rails = []
    for number, point in enumerate(points[:17]):
        if number == _CHIN:
            limit = np.inf
        elif min(number, 16 - number) < _TEMPLES:
            limit = float(np.abs(points[[36, 45], 0]).max())
        elif point[1] > points[57, 1]:
            limit = float(np.abs(points[[48, 54], 0]).max())
        else:
            limit = 0.0
        rails.append(_rail(head.neutral, edges, point, limit))
    return tuple(rails)


def _edges(triangles: IntArray) -> IntArray:
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    return np.unique(np.sort(pairs, axis=1), axis=0)


def _rail(neutral: FloatArray, edges: IntArray, point: FloatArray, limit: float) -> Rail:
    rise = neutral[edges, 1] - point[1]
    crossing = (rise[:, 0] < 0) != (rise[:, 1] < 0)
    ends, rise = edges[crossing], rise[crossing]
    rail = Rail(ends, (rise[:, :1] / (rise[:, :1] - rise[:, 1:])).astype(np.float32))
    place = rail.places(neutral)
    inwards = np.abs(place[:, 0])
    kept = (
        (place[:, 0] * point[0] > 0)
        & (inwards >= limit)
        & (inwards <= abs(point[0]))
        & (place[:, 2] >= point[2] - _BEHIND)
    )
    return Rail(ends[kept], rail.share[kept])


def visible_contour(
    rails: tuple[Rail, ...],
    screen: FloatArray,
    landmarks: IntArray,
    pose: tuple[float, float, float],
) -> FloatArray:
    """Return the 68 points with the contour on the visible outline, float32 (68, 2) pixels.

    Parameters
    ----------
    rails
        From :func:`contour_rails`.
    screen
        float32 (V, 2 or more): projected vertices of the head.
    landmarks
        int32 (68,) vertices of the points.
    pose
        Yaw, pitch, roll in degrees.
    """
    turned = rotation(*pose)
    # The image's direction across the face; the head's own x axis vanishes in profile.
    across = np.array([turned[1, 1], turned[0, 1]])
    points = np.array(screen[landmarks, :2], np.float32)
    for number, rail in enumerate(rails):
        outwards = across if number > _CHIN else -across
        places = np.concatenate([points[number][None], rail.places(screen[:, :2])])
        points[number] = places[int(np.argmax(places @ outwards))]
    return points
