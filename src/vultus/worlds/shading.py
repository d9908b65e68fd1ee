"""Compiled shading of rasterised pictures: skin, eyes, hair, shadows, and compositing."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vultus.worlds.raster import FloatArray, IntArray, compiled, lit_fraction

UInt8Array = NDArray[np.uint8]

#: Per material: strength and exponent of the highlight, and how far light creeps past the
#: terminator in red, green and blue (skin scatters red furthest).
SURFACES = np.array(
    [
        (0.055, 14.0, 0.28, 0.16, 0.11),
        (0.90, 220.0, 0.20, 0.20, 0.20),
        (0.25, 60.0, 0.25, 0.22, 0.20),
        (0.12, 40.0, 0.30, 0.20, 0.18),
        (0.07, 16.0, 0.15, 0.15, 0.15),
        (0.40, 60.0, 0.00, 0.00, 0.00),
        (0.90, 120.0, 0.00, 0.00, 0.00),
        (0.02, 8.0, 0.10, 0.10, 0.10),
    ],
    np.float32,
)

#: Materials whose triangles are seen from both sides.
HAIR, SKIN = 4, 0


@compiled
def sample(atlas: FloatArray, u: float, v: float, channel: int) -> float:
    """Return one channel of an atlas at (u, v) with bilinear weights; u wraps, v is clamped."""
    rows, columns = atlas.shape[0], atlas.shape[1]
    x = (u - math.floor(u)) * columns - 0.5
    y = min(max(v * rows - 0.5, 0.0), rows - 1.001)
    x0, y0 = math.floor(x), math.floor(y)
    fx, fy = x - x0, y - y0
    xa, xb = x0 % columns, (x0 + 1) % columns
    top = atlas[y0, xa, channel] * (1 - fx) + atlas[y0, xb, channel] * fx
    bottom = atlas[y0 + 1, xa, channel] * (1 - fx) + atlas[y0 + 1, xb, channel] * fx
    return float(top * (1 - fy) + bottom * fy)


@compiled
def chart_point(
    uv: FloatArray, i0: int, i1: int, i2: int, w0: float, w1: float, w2: float, wraps: bool
) -> tuple[float, float]:
    """Interpolate atlas coordinates inside a triangle, across the seam at the back if need be."""
    u0, u1, u2 = uv[i0, 0], uv[i1, 0], uv[i2, 0]
    if wraps and max(u0, u1, u2) - min(u0, u1, u2) > 0.5:
        u0 += 1.0 if u0 < 0.5 else 0.0
        u1 += 1.0 if u1 < 0.5 else 0.0
        u2 += 1.0 if u2 < 0.5 else 0.0
    u = w0 * u0 + w1 * u1 + w2 * u2
    v = w0 * uv[i0, 1] + w1 * uv[i1, 1] + w2 * uv[i2, 1]
    return u - math.floor(u), v


@compiled
def shade(
    owner: IntArray,
    weights: FloatArray,
    camera: FloatArray,
    normals: FloatArray,
    triangles: IntArray,
    uv: FloatArray,
    material: UInt8Array,
    occlusion: FloatArray,
    atlas: FloatArray,
    eye: FloatArray,
    directions: FloatArray,
    colours: FloatArray,
    sky: FloatArray,
    ground: FloatArray,
    shadow: FloatArray,
    to_shadow: FloatArray,
    surfaces: FloatArray,
    gloss: float,
) -> FloatArray:
    """Light every sample that has an owner.

    Parameters
    ----------
    owner, weights
        From :func:`~vultus.worlds.raster.rasterise`, (R, R) and (R, R, 2).
    camera, normals
        float32 (V, 3) positions and unit normals in the camera frame.
    triangles, uv, material, occlusion
        As in :class:`~vultus.worlds.heads.Head`.
    atlas
        float32 (T, T, 3), linear reflectance in [0, 1].
    eye
        float32 (3,), the camera's place.
    directions, colours
        float32 (L, 3) unit vectors toward the lights, and their linear radiance.
    sky, ground
        float32 (3,) linear ambient radiance from above and below.
    shadow
        float32 (M, M) depth map seen from the first light; empty for none.
    to_shadow
        float32 (3, 4) map from the camera frame to shadow pixels and depth.
    surfaces
        The table :data:`SURFACES`.
    gloss
        Factor on the highlight of skin.

    Returns
    -------
    float32 (R, R, 4): linear radiance premultiplied with coverage, and coverage (0 or 1).
    """
    side = owner.shape[0]
    out = np.zeros((side, side, 4), np.float32)
    shadows = shadow.shape[0] > 0
    for y in range(side):
        for x in range(side):
            f = owner[y, x]
            if f < 0:
                continue
            i0, i1, i2 = triangles[f, 0], triangles[f, 1], triangles[f, 2]
            w0, w1 = weights[y, x, 0], weights[y, x, 1]
            w2 = 1.0 - w0 - w1
            px = w0 * camera[i0, 0] + w1 * camera[i1, 0] + w2 * camera[i2, 0]
            py = w0 * camera[i0, 1] + w1 * camera[i1, 1] + w2 * camera[i2, 1]
            pz = w0 * camera[i0, 2] + w1 * camera[i1, 2] + w2 * camera[i2, 2]
            nx = w0 * normals[i0, 0] + w1 * normals[i1, 0] + w2 * normals[i2, 0]
            ny = w0 * normals[i0, 1] + w1 * normals[i1, 1] + w2 * normals[i2, 1]
            nz = w0 * normals[i0, 2] + w1 * normals[i1, 2] + w2 * normals[i2, 2]
            length = math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-12
            nx, ny, nz = nx / length, ny / length, nz / length
            vx, vy, vz = eye[0] - px, eye[1] - py, eye[2] - pz
            length = math.sqrt(vx * vx + vy * vy + vz * vz) + 1e-12
            vx, vy, vz = vx / length, vy / length, vz / length
            facing = nx * vx + ny * vy + nz * vz
            m = material[f]
            if facing < 0 and m >= HAIR:
                nx, ny, nz, facing = -nx, -ny, -nz, -facing
            open_sky = w0 * occlusion[i0] + w1 * occlusion[i1] + w2 * occlusion[i2]
            strength, exponent = surfaces[m, 0], surfaces[m, 1]
            if m == SKIN:
                strength *= gloss
            grazing = (1.0 - min(max(facing, 0.0), 1.0)) ** 2
            rim = strength * (1.0 + 3.0 * grazing * grazing)
            r, g, b, shine_r, shine_g, shine_b = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for k in range(directions.shape[0]):
                lx, ly, lz = directions[k, 0], directions[k, 1], directions[k, 2]
                cosine = nx * lx + ny * ly + nz * lz
                lit = 1.0
                if k == 0 and shadows and cosine > -0.28:
                    ox, oy, oz = px + 0.4 * nx, py + 0.4 * ny, pz + 0.4 * nz
                    sx = to_shadow[0, 0] * ox + to_shadow[0, 1] * oy + to_shadow[0, 2] * oz
                    sy = to_shadow[1, 0] * ox + to_shadow[1, 1] * oy + to_shadow[1, 2] * oz
                    sz = to_shadow[2, 0] * ox + to_shadow[2, 1] * oy + to_shadow[2, 2] * oz
                    lit = lit_fraction(
                        shadow,
                        sx + to_shadow[0, 3],
                        sy + to_shadow[1, 3],
                        sz + to_shadow[2, 3],
                        0.3,
                    )
                lit *= 0.4 + 0.6 * open_sky
                cr, cg, cb = colours[k, 0] * lit, colours[k, 1] * lit, colours[k, 2] * lit
                # Lambert that wraps past the terminator, most in red, and ends softly.
                tr = max(0.0, (cosine + surfaces[m, 2]) / (1 + surfaces[m, 2]))
                tg = max(0.0, (cosine + surfaces[m, 3]) / (1 + surfaces[m, 3]))
                tb = max(0.0, (cosine + surfaces[m, 4]) / (1 + surfaces[m, 4]))
                r += cr * tr * (0.75 + 0.25 * tr)
                g += cg * tg * (0.75 + 0.25 * tg)
                b += cb * tb * (0.75 + 0.25 * tb)
                if cosine > 0:
                    hx, hy, hz = lx + vx, ly + vy, lz + vz
                    length = math.sqrt(hx * hx + hy * hy + hz * hz) + 1e-12
                    half = max(0.0, (nx * hx + ny * hy + nz * hz) / length)
                    if half > 0.4:
                        shine = rim * half**exponent * (0.5 + 0.5 * cosine)
                        shine_r += cr * shine
                        shine_g += cg * shine
                        shine_b += cb * shine
            up = 0.5 + 0.5 * ny
            r += open_sky * (up * sky[0] + (1 - up) * ground[0])
            g += open_sky * (up * sky[1] + (1 - up) * ground[1])
            b += open_sky * (up * sky[2] + (1 - up) * ground[2])
            u, v = chart_point(uv, i0, i1, i2, w0, w1, w2, m == SKIN)
            out[y, x, 0] = r * sample(atlas, u, v, 0) + shine_r
            out[y, x, 1] = g * sample(atlas, u, v, 1) + shine_g
            out[y, x, 2] = b * sample(atlas, u, v, 2) + shine_b
            out[y, x, 3] = 1.0
    return out


@compiled
def surface_labels(
    owner: IntArray,
    weights: FloatArray,
    normals: FloatArray,
    triangles: IntArray,
    uv: FloatArray,
    material: UInt8Array,
    parts: UInt8Array,
    labels: UInt8Array,
) -> tuple[UInt8Array, FloatArray]:
    """Return the part, uint8 (S, S), and the unit normal, float32 (S, S, 3), at every pixel.

    The part of skin is read from a label atlas (T, T), that of everything else from the
    triangle's nearest vertex.
    """
    side = owner.shape[0]
    part = np.zeros((side, side), np.uint8)
    normal = np.zeros((side, side, 3), np.float32)
    for y in range(side):
        for x in range(side):
            f = owner[y, x]
            if f < 0:
                continue
            i0, i1, i2 = triangles[f, 0], triangles[f, 1], triangles[f, 2]
            w0, w1 = weights[y, x, 0], weights[y, x, 1]
            w2 = 1.0 - w0 - w1
            nx = w0 * normals[i0, 0] + w1 * normals[i1, 0] + w2 * normals[i2, 0]
            ny = w0 * normals[i0, 1] + w1 * normals[i1, 1] + w2 * normals[i2, 1]
            nz = w0 * normals[i0, 2] + w1 * normals[i1, 2] + w2 * normals[i2, 2]
            length = math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-12
            normal[y, x, 0], normal[y, x, 1], normal[y, x, 2] = (
                nx / length,
                ny / length,
                nz / length,
            )
            if material[f] == SKIN:
                u, v = chart_point(uv, i0, i1, i2, w0, w1, w2, True)
                row = min(int(v * labels.shape[0]), labels.shape[0] - 1)
                column = min(int(u * labels.shape[1]), labels.shape[1] - 1)
                part[y, x] = labels[row, column]
            elif w0 >= w1 and w0 >= w2:
                part[y, x] = parts[i0]
            elif w1 >= w2:
                part[y, x] = parts[i1]
            else:
                part[y, x] = parts[i2]
    return part, normal


@compiled
def average(samples: FloatArray, factor: int) -> FloatArray:
    """Average blocks of factor x factor samples (R, R, C) to pixels, float32 (S, S, C)."""
    side = samples.shape[0] // factor
    channels = samples.shape[2]
    out = np.zeros((side, side, channels), np.float32)
    for y in range(side * factor):
        for x in range(side * factor):
            for c in range(channels):
                out[y // factor, x // factor, c] += samples[y, x, c]
    return out * np.float32(1.0 / (factor * factor))
