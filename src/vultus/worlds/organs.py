"""Pieces of the procedural head that are not its outer skin: ears, mouth, teeth and tongue."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vultus.worlds.mesh import smooth_polygon
from vultus.worlds.sculpt import MOUTH_Y, smoothstep

Float64Array = NDArray[np.float64]
IntArray = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Interior:
    """The inside of the mouth: points (V, 3), triangles (F, 3), and share of the jaw's motion."""

    points: Float64Array
    triangles: IntArray
    jaw: Float64Array


def stitch(outer: NDArray[np.integer], inner: NDArray[np.integer]) -> IntArray:
    """Join two closed loops of equally many vertices, int32 (2 N, 3).

    Triangles are counter-clockwise, seen from where the loops are, when the second loop lies
    inside the first.
    """
    a, b = outer, np.roll(outer, -1)
    c, d = inner, np.roll(inner, -1)
    return np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)]).astype(np.int32)


def mouth_interior(rim: Float64Array, rim_jaw: Float64Array) -> Interior:
    """Build lips' backs, cheeks' insides and throat behind the rim of the mouth.

    Parameters
    ----------
    rim
        float64 (N, 3), the rim as a closed loop, clockwise from the upper midline.
    rim_jaw
        float64 (N,) share of the jaw's motion along the rim.
    """
    count = len(rim)
    half = (count + 2) // 2
    turn = np.concatenate([np.linspace(np.pi / 2, -np.pi / 2, half)] * 2)
    turn = np.concatenate([turn[:half], np.pi - turn[half - 2 : 0 : -1]])
    up = np.sin(turn)
    rings = []
    for back, spread, rise in (
        (0.35, 0.99, 0.10),
        (0.9, 1.0, 0.55),
        (2.6, 1.12, 1.5),
        (6.0, 0.9, 1.7),
    ):
        ring = rim.copy()
        ring[:, 0] *= spread
        ring[:, 1] = MOUTH_Y + (rim[:, 1] - MOUTH_Y) + rise * np.sign(up) * np.abs(up) ** 0.6
        # Cheeks lie further back than the front teeth.
        ring[:, 2] = rim[:, 2].max() - back - 0.10 * rim[:, 0] ** 2
        rings.append(ring)
    rings[0][:, 2] = rim[:, 2] - 0.35
    throat = np.array([[0.0, MOUTH_Y - 0.3, 3.4]])
    points = np.concatenate([*rings, throat])
    loops = [np.arange(count) + r * count for r in range(len(rings))]
    triangles = [stitch(a, b) for a, b in pairwise(loops)]
    last, tip = loops[-1], np.full(count, len(points) - 1)
    triangles.append(np.stack([last, np.roll(last, -1), tip], 1).astype(np.int32))
    lower = np.where(np.abs(up) < 1e-6, 0.5, (up < 0).astype(float))
    follow = [rim_jaw + (lower - rim_jaw) * share for share in (0.0, 0.15, 0.6, 1.0)]
    jaw = np.concatenate([*follow, [0.5]])
    return Interior(points, np.concatenate(triangles), jaw)


def teeth(upper: bool, columns: int) -> Float64Array:
    """Return a row of teeth with gums, float64 (5 (columns + 1), 3), rows from top to bottom."""
    turn = np.linspace(-1.25, 1.25, columns + 1)
    levels: tuple[tuple[float, float], ...] = (
        (-2.3, -0.30),
        (-2.65, -0.05),
        (-3.05, 0.0),
        (-3.5, 0.02),
        (-3.74, -0.06),
    )
    if not upper:
        levels = tuple((2 * MOUTH_Y - y - 0.25, out - 0.32) for y, out in reversed(levels))
    rows = [
        np.stack(
            [
                (2.25 + out) * np.sin(turn),
                np.full(columns + 1, y) + 0.05 * np.abs(turn),
                7.05 + (2.95 + out) * np.cos(turn),
            ],
            1,
        )
        for y, out in levels
    ]
    return np.concatenate(rows)


def tongue(count: int) -> tuple[Float64Array, IntArray]:
    """Return a flattened dome: points (V, 3) and triangles (F, 3)."""
    turn = np.arange(count) * (2 * np.pi / count)
    rings = [
        np.stack(
            [
                1.6 * r * np.cos(turn),
                -4.35 + 0.45 * np.sqrt(max(1 - r * r, 0)) * np.ones(count),
                6.9 + 2.5 * r * np.sin(turn),
            ],
            1,
        )
        for r in (1.0, 0.8, 0.45)
    ]
    points = np.concatenate([*rings, [[0.0, -3.9, 6.9]]])
    loops = [np.arange(count) + r * count for r in range(3)]
    # The loops run clockwise seen from above, z being toward the viewer.
    triangles = [stitch(a, b)[:, [0, 2, 1]] for a, b in pairwise(loops)]
    cap = np.stack([loops[-1], np.full(count, len(points) - 1), np.roll(loops[-1], -1)], 1)
    return points, np.concatenate([*triangles, cap]).astype(np.int32)


_EAR_OUTLINE = np.array(
    [
        (0.00, -1.90),
        (0.25, -2.75),
        (0.75, -3.00),
        (1.25, -2.45),
        (1.75, -1.40),
        (2.45, 0.00),
        (2.95, 1.30),
        (2.85, 2.45),
        (2.10, 3.10),
        (1.10, 3.15),
        (0.30, 2.60),
        (-0.05, 1.60),
        (-0.05, 0.40),
        (-0.05, -0.90),
    ],
    np.float32,
)

_EAR_RINGS = (1.0, 0.93, 0.84, 0.74, 0.62, 0.48, 0.32, 0.14)


def ear(count: int) -> tuple[Float64Array, IntArray]:
    """Return the ear on the image's right: points (V, 3) and triangles (F, 3).

    A shell in a plane that opens backward by thirty degrees: rolled helix, groove, antihelix and
    a deep concha, closed behind.
    """
    dense = smooth_polygon(_EAR_OUTLINE, steps=12).astype(np.float64)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(dense, axis=0), axis=1))])
    at = np.arange(count) / count * length[-1]
    outline = np.stack([np.interp(at, length, dense[:, i]) for i in (0, 1)], 1)
    centre = np.array([0.85, 0.1])
    # Where the ear grows out of the head it does not stand off.
    free = smoothstep(outline[:, 0], 0.0, 0.7)
    rings: list[Float64Array] = []
    for r in _EAR_RINGS:
        flat = centre + (outline - centre) * r
        rise = 0.25 + 0.22 * np.exp(-(((r - 0.95) / 0.06) ** 2))
        rise -= 0.18 * np.exp(-(((r - 0.80) / 0.06) ** 2))
        rise += 0.16 * np.exp(-(((r - 0.62) / 0.09) ** 2))
        rise -= 0.75 * np.exp(-((r / 0.40) ** 4))
        lobe = smoothstep(-flat[:, 1], 1.2, 2.0)
        height = rise * (1 - lobe) + 0.25 * lobe
        rings.append(_place(flat, height * (0.25 + 0.75 * free)))
    behind = [
        _place(outline, -0.12 * free),
        _place(centre + (outline - centre) * 0.6, -0.9 - 0.6 * free),
    ]
    loops = [np.arange(count) + k * count for k in range(len(rings) + 2)]
    points = np.concatenate([*rings, *behind, _place(centre[None], np.array([-0.45]))])
    triangles = [stitch(a, b) for a, b in pairwise(loops[: len(rings)])]
    tip = np.full(count, len(points) - 1)
    inner = loops[len(rings) - 1]
    triangles.append(np.stack([inner, np.roll(inner, -1), tip], 1).astype(np.int32))
    triangles.append(stitch(loops[-2], loops[0]))
    triangles.append(stitch(loops[-1], loops[-2]))
    return points, np.concatenate(triangles)


def _place(flat: Float64Array, height: Float64Array) -> Float64Array:
    """Put points of the ear's plane, (N, 2) backward and up, and heights into the head frame."""
    opening = np.deg2rad(30.0)
    backward = np.array([np.sin(opening), 0.0, -np.cos(opening)])
    upward = np.array([0.05, 0.97, -0.24])
    outward = np.array([np.cos(opening), 0.0, np.sin(opening)])
    origin = np.array([6.95, 1.2, 1.9])
    return np.asarray(
        origin + flat[:, :1] * backward + flat[:, 1:] * upward + height[:, None] * outward
    )
