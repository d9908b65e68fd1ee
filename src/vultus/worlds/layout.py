"""Where the vertices of the procedural head lie on its parameter plane, and how they connect.

The plane has ``p``, nine times the azimuth in radians, from 0 at the front to 9 pi at the back, and
``q``, a height in centimetres up to the brow and nine times the elevation above. One half is laid
out, with rings around eye and mouth so that lids and lips deform cleanly; the other half is its
mirror image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vultus.worlds.sculpt import (
    DOME,
    DOME_HEIGHT,
    EYE,
    MOUTH_Y,
    azimuth_at,
    half_width,
    lip_bottom,
    lip_top,
    rim_of_eye,
)

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]
Float64Array = NDArray[np.float64]

#: Points around an eye, around half a mouth, spacing on the face, on the nose and at the back.
DENSITY = {"low": (20, 13, 0.72, 0.33, 1.7), "high": (40, 25, 0.38, 0.17, 0.9)}

EYE_RINGS = (0.0, 0.1, 0.24, 0.44, 0.7)
LIP_RINGS = (0.0, 0.3, 0.65, 1.0)
MOUTH_RINGS = (1.13, 1.38)

BOTTOM = -16.5
CROWN = 5.0 + 9.0 * np.pi / 2


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Half of the skin on the parameter plane.

    Parameters
    ----------
    p, q
        float64 (V,) plane coordinates.
    triangles
        int32 (F, 3), counter-clockwise seen from outside for the half with x >= 0.
    lid
        int32 (V,) ring around the eye, 0 at the rim, -1 elsewhere.
    lip
        int32 (V,) ring around the mouth, 0 at the rim, -1 elsewhere.
    eye_rim
        int32 (N,) vertices along the rim of the eye, counter-clockwise from the outer corner.
    mouth_rim
        int32 (M,) vertices along the rim of the mouth from the upper midline to the lower one.
    anchors
        int32 (21,) jaw points from the ear to the chin (9), brow from the nose outward (5), nose
        ridge downward (4), nose base from the middle outward (3).
    """

    p: Float64Array
    q: Float64Array
    triangles: IntArray
    lid: IntArray
    lip: IntArray
    eye_rim: IntArray
    mouth_rim: IntArray
    anchors: IntArray


def layout(detail: str) -> Layout:
    """Lay out half of the skin at a level of detail, ``low`` or ``high``."""
    from scipy.spatial import Delaunay

    around_eye, around_mouth, front, nose, back = DENSITY[detail]
    eye, lid = _eye_rings(around_eye)
    mouth, lip = _mouth_rings(around_mouth)
    hollow_eye, hollow_mouth = eye[-around_eye:], mouth[-around_mouth:]
    ring_points = np.concatenate([eye, mouth])
    rings = np.stack([9 * azimuth_at(ring_points[:, 0], ring_points[:, 1]), ring_points[:, 1]], 1)
    filler = _filler(front, nose, back)
    width = half_width(filler[:, 1])
    flat = np.stack([_front_x(filler), filler[:, 1]], 1)
    front_side = filler[:, 0] < 9 * np.pi / 2
    gap = 0.45 * front
    near = _inside(flat, _grown(hollow_eye, gap)) | _inside(
        flat, _grown(_closed_mouth(hollow_mouth), gap)
    )
    filler = filler[~(near & front_side & (width > 0))]
    anchors = _anchors()
    apart = np.linalg.norm(filler[:, None] - anchors[None], axis=2).min(1)
    filler = filler[apart > np.where(filler[:, 1] < 2.5, 0.6, 0.55) * nose]
    plane = np.concatenate([rings, anchors, filler])
    triangles = Delaunay(plane, qhull_options="Qbb Qc Qz Q12").simplices
    triangles = _cut_holes(plane, triangles, rings, around_eye, len(eye), around_mouth)
    a, b, c = (plane[triangles[:, i]] for i in range(3))
    turn = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    triangles[turn < 0] = triangles[turn < 0][:, [0, 2, 1]]
    triangles = triangles[np.abs(turn) > 1e-7]
    rest = np.full(len(plane), -1, np.int32)
    lid_of, lip_of = rest.copy(), rest.copy()
    lid_of[: len(eye)] = lid
    lip_of[len(eye) : len(ring_points)] = lip
    return Layout(
        plane[:, 0],
        plane[:, 1],
        triangles.astype(np.int32),
        lid_of,
        lip_of,
        np.arange(around_eye, dtype=np.int32),
        np.arange(len(eye), len(eye) + around_mouth, dtype=np.int32),
        np.arange(len(rings), len(rings) + len(anchors), dtype=np.int32),
    )


def _eye_rings(count: int) -> tuple[Float64Array, IntArray]:
    rim = rim_of_eye(count)
    centre = np.array(EYE[:2])
    rings = [centre + (rim - centre) * np.array([1 + a, 1 + 2.3 * a]) for a in EYE_RINGS]
    return np.concatenate(rings), np.repeat(np.arange(len(rings), dtype=np.int32), count)


def _mouth_rings(count: int) -> tuple[Float64Array, IntArray]:
    turn = np.linspace(np.pi / 2, -np.pi / 2, count)
    share = np.cos(turn)
    share[[0, -1]] = 0.0
    side = np.sign(np.round(np.sin(turn), 9))
    rim = np.stack([2.45 * share, MOUTH_Y + 0.005 * np.sin(turn)], 1)
    x = 2.62 * share
    border = np.where(side >= 0, lip_top(x), lip_bottom(x))
    border[side == 0] = MOUTH_Y
    outer = np.stack([x, border], 1)
    rings = [rim + (outer - rim) * share_of for share_of in LIP_RINGS]
    centre = np.array([0.0, MOUTH_Y])
    rings += [centre + (outer - centre) * np.array([s, s * s]) for s in MOUTH_RINGS]
    return np.concatenate(rings), np.repeat(np.arange(len(rings), dtype=np.int32), count)


def _filler(front: float, nose: float, back: float) -> Float64Array:
    """Rows of staggered points, dense on the face, plus a denser patch on the nose."""
    rows: list[Float64Array] = []
    q, odd = BOTTOM, False
    while q < CROWN - 0.6:
        facial = np.exp(-(((q + 1.0) / 7.5) ** 4))
        step = back + (front - back) * facial
        reach = 9 * np.pi
        scale = max(half_width(np.array([q]))[0] / 8.0, 0.12)
        edges = [0.0]
        while edges[-1] < reach:
            turn = np.clip((edges[-1] - 9.0) / 6.0, 0, 1)
            edges.append(edges[-1] + (step + (back - step) * turn) / min(scale, 1.2))
        points = np.array(edges) * reach / edges[-1]
        if odd:
            points = np.concatenate([[0.0], (points[1:] + points[:-1]) / 2, [reach]])
        rows.append(np.stack([points, np.full(len(points), q)], 1))
        q += step * 0.87
        odd = not odd
    crown = np.linspace(0, 9 * np.pi, 7)
    rows.append(np.stack([crown, np.full(7, CROWN)], 1))
    coarse = np.concatenate(rows)
    in_nose = (coarse[:, 0] < 3.3) & (coarse[:, 1] > -1.75) & (coarse[:, 1] < 2.6)
    fine: list[Float64Array] = []
    for i, y in enumerate(np.arange(-1.6, 2.5, nose * 0.87)):
        xs = np.arange(0, 2.9, nose) + (nose / 2 if i % 2 else 0)
        xs = np.concatenate([[0.0], xs]) if i % 2 else xs
        fine.append(np.stack([9 * azimuth_at(xs, np.full(len(xs), y)), np.full(len(xs), y)], 1))
    return np.concatenate([coarse[~in_nose], *fine])


def _anchors() -> Float64Array:
    """Return where the landmarks outside the rings lie on the plane, float64 (21, 2)."""
    jaw_x = np.array([7.02, 6.92, 6.66, 6.30, 5.55, 4.40, 3.05, 1.55, 0.0])
    jaw_y = np.array([3.6, 1.5, -0.5, -2.4, -4.4, -6.0, -6.9, -7.3, -7.5])
    brow = np.array([(1.15, 5.55), (2.4, 5.95), (3.75, 6.1), (4.95, 5.8), (5.85, 5.15)])
    ridge = np.array([(0.0, 3.7), (0.0, 2.6), (0.0, 1.5), (0.0, 0.4)])
    base = np.array([(0.0, -1.25), (0.62, -1.2), (1.3, -1.15)])
    points = np.concatenate([np.stack([jaw_x, jaw_y], 1), brow, ridge, base])
    # The brow lies on the dome, whose height is curved.
    above = np.clip(points[:, 1] - DOME, 0, None)
    height = np.minimum(points[:, 1], DOME) + 9 * np.arcsin(above / DOME_HEIGHT)
    return np.stack([9 * azimuth_at(points[:, 0], height), height], 1)


def _front_x(plane: Float64Array) -> Float64Array:
    from vultus.worlds.sculpt import base_surface

    return base_surface(plane[:, 0], plane[:, 1])[:, 0]


def _closed_mouth(half: Float64Array) -> Float64Array:
    return np.concatenate([half, half[::-1] * [-1, 1]])


def _grown(polygon: Float64Array, margin: float) -> Float64Array:
    centre = polygon.mean(0)
    offset = polygon - centre
    reach = np.linalg.norm(offset, axis=1, keepdims=True)
    return np.asarray(centre + offset * (1 + margin / reach))


def _inside(points: Float64Array, polygon: Float64Array) -> NDArray[np.bool_]:
    """Even-odd test of points (N, 2) against a polygon (M, 2)."""
    x, y = points[:, 0], points[:, 1]
    out = np.zeros(len(points), bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, 0), strict=True):
        crosses = (y0 > y) != (y1 > y)
        if y1 != y0:
            out ^= crosses & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return out


def _cut_holes(
    plane: Float64Array,
    triangles: IntArray,
    rings: Float64Array,
    around_eye: int,
    eye_points: int,
    around_mouth: int,
) -> IntArray:
    centre = plane[triangles].mean(1)
    eye = rings[:around_eye]
    mouth = _closed_mouth(rings[eye_points : eye_points + around_mouth])
    drop = _inside(centre, eye) | _inside(centre, mouth)
    # A sliver may span the rim with its centre outside: three rim vertices never make a triangle.
    for first, count in ((0, around_eye), (eye_points, around_mouth)):
        drop |= ((triangles >= first) & (triangles < first + count)).all(1)
    return np.asarray(triangles[~drop], np.int32)
