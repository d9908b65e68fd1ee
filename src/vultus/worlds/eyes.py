"""Eyeballs for every head: a polar mesh whose texture turns with the gaze."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vultus.worlds.chart import patch_chart

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]

#: Half angle, in radians, of the cap of the sphere that is modelled, and of the iris on it.
CAP = np.deg2rad(105.0)
IRIS = np.deg2rad(26.0)

#: How far the eye turns at full weight of a gaze expression, radians.
GAZE = np.deg2rad(28.0)


def eyeball(
    centre: FloatArray, radius: float, rings: int, segments: int
) -> tuple[FloatArray, IntArray, FloatArray]:
    """Return vertices (V, 3), triangles (F, 3) and atlas coordinates (V, 2) of an eyeball.

    The cornea stands out by a twentieth of the radius, as in life. The pole looks along +z.
    """
    angle = np.concatenate([[0.0], np.linspace(0.25, 1, rings) * CAP])
    turn = np.arange(segments) * (2 * np.pi / segments)
    a = np.concatenate([[0.0], np.repeat(angle[1:], segments)])
    t = np.concatenate([[0.0], np.tile(turn, rings)])
    bulge = radius * (1 + 0.06 * np.clip(1 - (a / (1.15 * IRIS)) ** 2, 0, None))
    unit = np.stack([np.sin(a) * np.cos(t), np.sin(a) * np.sin(t), np.cos(a)], -1)
    vertices = np.asarray(centre) + unit * bulge[:, None]
    share = a / CAP * 0.5
    uv = np.stack([0.5 + share * np.cos(t), 0.5 - share * np.sin(t)], -1)
    triangles = [(0, 1 + i, 1 + (i + 1) % segments) for i in range(segments)]
    for r in range(rings - 1):
        inner, outer = 1 + r * segments, 1 + (r + 1) * segments
        for i in range(segments):
            j = (i + 1) % segments
            triangles += [(inner + i, outer + i, outer + j), (inner + i, outer + j, inner + j)]
    return (
        vertices.astype(np.float32),
        np.array(triangles, np.int32),
        patch_chart("eye", uv.astype(np.float32)),
    )


def gaze(vertices: FloatArray, centre: FloatArray, name: str, left: bool) -> FloatArray:
    """Return the offsets (V, 3) of an eyeball at full weight of an expression.

    Parameters
    ----------
    vertices
        The eyeball at rest.
    centre
        Its centre.
    name
        Expression name without side. All but ``eyeLook*`` leave the eyeball alone.
    left
        Whether it is the eye on the image's left, where looking in is looking to the right.
    """
    outward = -1.0 if left else 1.0
    turns = {
        "eyeLookUp": (-0.8, 0.0),
        "eyeLookDown": (0.8, 0.0),
        "eyeLookIn": (0.0, -outward),
        "eyeLookOut": (0.0, outward),
    }
    if name not in turns:
        return np.zeros_like(vertices)
    about_x, about_y = (GAZE * t for t in turns[name])
    cx, sx, cy, sy = np.cos(about_x), np.sin(about_x), np.cos(about_y), np.sin(about_y)
    rotation = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ np.array(
        [[1, 0, 0], [0, cx, -sx], [0, sx, cx]]
    )
    offset = vertices - centre
    return np.asarray(offset @ rotation.T - offset, np.float32)
