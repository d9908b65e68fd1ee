"""Compiled inner loops: z-buffer rasterisation, vertex normals, and shadow tests.

The loops work on one picture, release the interpreter lock, and depend on nothing but their
arguments, so that pictures can be drawn by several threads with the same bytes as by one.

Beside VTK (software OpenGL, off screen) and a batched torch rasteriser, these loops give the same
labels (99.99 % of pixels, and 100 %) at a fifth and a twelfth of the processor time at 112 pixels;
``benchmarks/worlds.py`` measures it, ``docs/worlds.md`` has the table.

Screen coordinates are the house ones: x to the right, y down, the centre of the top-left pixel at
(0, 0). Depth is the distance along the optical axis, positive in front of the camera.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from vultus.errors import ConfigError

try:
    import numba
except ImportError as error:  # pragma: no cover - depends on the installation
    raise ConfigError("drawing synthetic faces needs numba: pip install numba") from error

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]
F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function with numba, cached on disk, without the interpreter lock."""
    return cast(F, numba.njit(nogil=True, cache=True, error_model="numpy")(function))


@compiled
def rasterise(
    screen: FloatArray, triangles: IntArray, size: int, samples: int, near: float
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Find the nearest triangle at every sample of a square picture.

    Parameters
    ----------
    screen
        float32 (V, 3): x and y in pixels of the final picture, depth.
    triangles
        int32 (F, 3).
    size
        Side of the picture in pixels.
    samples
        Samples per pixel side; they lie on a regular grid centred on the pixel.
    near
        Triangles with a vertex nearer than this are left out.

    Returns
    -------
    Triangle at each sample, int32 (R, R), -1 for none; depth, float32 (R, R), infinite for none;
    perspective-correct weights of the triangle's first two vertices, float32 (R, R, 2), where
    R = size * samples.
    """
    side = size * samples
    owner = np.full((side, side), -1, np.int32)
    nearest = np.zeros((side, side), np.float32)
    weights = np.zeros((side, side, 2), np.float32)
    shift = 0.5 * (samples - 1)
    for f in range(triangles.shape[0]):
        i0, i1, i2 = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        z0, z1, z2 = screen[i0, 2], screen[i1, 2], screen[i2, 2]
        if z0 < near or z1 < near or z2 < near:
            continue
        x0, y0 = screen[i0, 0] * samples + shift, screen[i0, 1] * samples + shift
        x1, y1 = screen[i1, 0] * samples + shift, screen[i1, 1] * samples + shift
        x2, y2 = screen[i2, 0] * samples + shift, screen[i2, 1] * samples + shift
        left = max(0, math.ceil(min(x0, x1, x2)))
        right = min(side - 1, math.floor(max(x0, x1, x2)))
        top = max(0, math.ceil(min(y0, y1, y2)))
        bottom = min(side - 1, math.floor(max(y0, y1, y2)))
        if left > right or top > bottom:
            continue
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-12:
            continue
        scale = 1.0 / area
        q0, q1, q2 = 1.0 / z0, 1.0 / z1, 1.0 / z2
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                w0 = ((x1 - x) * (y2 - y) - (x2 - x) * (y1 - y)) * scale
                w1 = ((x2 - x) * (y0 - y) - (x0 - x) * (y2 - y)) * scale
                w2 = 1.0 - w0 - w1
                if w0 < -1e-9 or w1 < -1e-9 or w2 < -1e-9:
                    continue
                q = w0 * q0 + w1 * q1 + w2 * q2
                if q > nearest[y, x]:
                    nearest[y, x] = q
                    owner[y, x] = f
                    weights[y, x, 0] = w0 * q0 / q
                    weights[y, x, 1] = w1 * q1 / q
    for y in range(side):
        for x in range(side):
            nearest[y, x] = 1.0 / nearest[y, x] if owner[y, x] >= 0 else np.inf
    return owner, nearest, weights


@compiled
def depth_map(points: FloatArray, triangles: IntArray, size: int) -> FloatArray:
    """Return the nearest depth, float32 (size, size), of points already in map pixels.

    The projection is parallel, as for a distant light; depth may have any sign, and is infinite
    where nothing is drawn.
    """
    nearest = np.full((size, size), np.inf, np.float32)
    for f in range(triangles.shape[0]):
        i0, i1, i2 = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        x0, y0, z0 = points[i0, 0], points[i0, 1], points[i0, 2]
        x1, y1, z1 = points[i1, 0], points[i1, 1], points[i1, 2]
        x2, y2, z2 = points[i2, 0], points[i2, 1], points[i2, 2]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-12:
            continue
        left = max(0, math.ceil(min(x0, x1, x2)))
        right = min(size - 1, math.floor(max(x0, x1, x2)))
        top = max(0, math.ceil(min(y0, y1, y2)))
        bottom = min(size - 1, math.floor(max(y0, y1, y2)))
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                w0 = ((x1 - x) * (y2 - y) - (x2 - x) * (y1 - y)) / area
                w1 = ((x2 - x) * (y0 - y) - (x0 - x) * (y2 - y)) / area
                w2 = 1.0 - w0 - w1
                if w0 < 0 or w1 < 0 or w2 < 0:
                    continue
                z = w0 * z0 + w1 * z1 + w2 * z2
                if z < nearest[y, x]:
                    nearest[y, x] = z
    return nearest


@compiled
def lit_fraction(nearest: FloatArray, x: float, y: float, z: float, bias: float) -> float:
    """Return how much of a 3x3 neighbourhood of a depth map lies no nearer than z - bias."""
    size = nearest.shape[0]
    fx, fy = x - math.floor(x), y - math.floor(y)
    cx, cy = math.floor(x), math.floor(y)
    total = 0.0
    weight = 0.0
    for dy in range(-1, 3):
        for dx in range(-1, 3):
            # A tent two pixels wide, so that the shadow's edge moves smoothly.
            w = max(0.0, 2.0 - abs(dx - fx)) * max(0.0, 2.0 - abs(dy - fy))
            px, py = cx + dx, cy + dy
            weight += w
            if px < 0 or py < 0 or px >= size or py >= size or nearest[py, px] >= z - bias:
                total += w
    return total / weight


@compiled
def vertex_normals(vertices: FloatArray, triangles: IntArray) -> FloatArray:
    """Return area-weighted unit normals, float32 (V, 3), of counter-clockwise triangles."""
    out = np.zeros_like(vertices)
    for f in range(triangles.shape[0]):
        i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        ax = vertices[j, 0] - vertices[i, 0]
        ay = vertices[j, 1] - vertices[i, 1]
        az = vertices[j, 2] - vertices[i, 2]
        bx = vertices[k, 0] - vertices[i, 0]
        by = vertices[k, 1] - vertices[i, 1]
        bz = vertices[k, 2] - vertices[i, 2]
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for v in (i, j, k):
            out[v, 0] += nx
            out[v, 1] += ny
            out[v, 2] += nz
    for v in range(out.shape[0]):
        length = math.sqrt(out[v, 0] ** 2 + out[v, 1] ** 2 + out[v, 2] ** 2)
        if length > 0:
            out[v] /= length
    return out
