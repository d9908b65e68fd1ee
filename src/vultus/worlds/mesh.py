"""What is computed once per head from its geometry: labels, interior charts, sky occlusion."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.worlds.chart import SKIN_BOTTOM, Material, Part, patch_chart

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]
UInt8Array = NDArray[np.uint8]

#: Side of the atlas on which labels per vertex are looked up.
LABEL_SIZE = 1024

# Sky directions on a spherical spiral, enough for a smooth occlusion.
SKY = 96

BROWS = (tuple(range(17, 22)), tuple(range(22, 27)))
UPPER_LIP = (48, 49, 50, 51, 52, 53, 54, 64, 63, 62, 61, 60)
LOWER_LIP = (48, 60, 67, 66, 65, 64, 54, 55, 56, 57, 58, 59)


def smooth_polygon(points: FloatArray, closed: bool = True, steps: int = 8) -> FloatArray:
    """Return a Catmull-Rom curve, float32 (M, 2), through points (K, 2)."""
    p = np.asarray(points, np.float64)
    if closed:
        ring = np.concatenate([p[-1:], p, p[:2]])
    else:
        ring = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    out = []
    for a, b, c, d in zip(ring[:-3], ring[1:-2], ring[2:-1], ring[3:], strict=True):
        out.append(
            0.5
            * (
                2 * b
                + (c - a) * t
                + (2 * a - 5 * b + 4 * c - d) * t**2
                + (3 * b - a - 3 * c + d) * t**3
            )
        )
    curve = np.concatenate(out if closed else [*out, p[-1:]])
    return curve.astype(np.float32)


def lip_outline(marks: FloatArray, upper: bool) -> FloatArray:
    """Return the outline, float32 (M, 2), of a lip from the 68 points (68, 2)."""
    order = UPPER_LIP if upper else LOWER_LIP
    if upper:
        outer, inner = marks[list(order[:7])], marks[[54, *order[7:], 48]]
    else:
        outer, inner = marks[[54, 55, 56, 57, 58, 59, 48]], marks[[48, *order[1:6], 54]]
    return np.concatenate(
        [smooth_polygon(outer, closed=False), smooth_polygon(inner, closed=False)]
    )


def nose_outline(marks: FloatArray) -> FloatArray:
    """Return the outline, float32 (M, 2), of the nose from the 68 points (68, 2)."""
    root, tip = marks[27], marks[30]
    left, right = marks[31], marks[35]
    base = marks[33]
    half = (right[0] - left[0]) / 2
    middle = (left + right) / 2
    height = base[1] - root[1]
    wing = 1.62 * half
    points = np.array(
        [
            [root[0] - 0.45 * half, root[1] + 0.02 * height],
            [root[0] - 0.62 * half, root[1] + 0.45 * height],
            [tip[0] - 1.1 * half, root[1] + 0.68 * height],
            [middle[0] - wing, root[1] + 0.82 * height],
            [middle[0] - 0.97 * wing, root[1] + 0.94 * height],
            [left[0] - 0.25 * half, left[1] + 0.015 * height],
            [base[0], base[1] + 0.025 * height],
            [right[0] + 0.25 * half, right[1] + 0.015 * height],
            [middle[0] + 0.97 * wing, root[1] + 0.94 * height],
            [middle[0] + wing, root[1] + 0.82 * height],
            [tip[0] + 1.1 * half, root[1] + 0.68 * height],
            [root[0] + 0.62 * half, root[1] + 0.45 * height],
            [root[0] + 0.45 * half, root[1] + 0.02 * height],
        ]
    )
    return smooth_polygon(points.astype(np.float32))


def brow_outline(marks: FloatArray, left: bool, thickness: float = 1.0) -> FloatArray:
    """Return the outline, float32 (M, 2), of a brow from the 68 points (68, 2).

    The points run along the brow; its height is a share of its length, thinner at the tail.
    """
    line = smooth_polygon(marks[list(BROWS[0] if left else BROWS[1])], closed=False)
    length = float(np.linalg.norm(line[-1] - line[0]))
    along = np.linspace(0, 1, len(line))
    inner = 1 - along if not left else along
    shape = np.sqrt(np.clip(inner, 0.02, 1)) * np.clip((1.02 - inner) * 9, 0.35, 1)
    half = 0.105 * thickness * length * shape
    up = line - np.stack([np.zeros_like(half), half], 1)
    down = line + np.stack([np.zeros_like(half), 0.8 * half], 1)
    return np.concatenate([up, down[::-1]]).astype(np.float32)


def fill(mask: UInt8Array, outline: FloatArray, value: int) -> None:
    """Fill a polygon given in atlas coordinates (M, 2) on a square label atlas, in place."""
    # Eight fractional bits; texel (i, j) is centred at ((i + 0.5) / size, (j + 0.5) / size).
    fixed = np.round((outline * len(mask) - 0.5) * 256).astype(np.int32)
    cv2.fillPoly(mask, [fixed], int(value), lineType=cv2.LINE_8, shift=8)


def label_atlas(marks: FloatArray, size: int, chin: float, brows: float = 1.0) -> UInt8Array:
    """Return the part at every texel of the skin, uint8 (size, size).

    Parameters
    ----------
    marks
        float32 (68, 2) atlas coordinates of the landmarks.
    size
        Side of the atlas.
    chin
        Atlas row, in [0, 1], below which skin is neck all around.
    brows
        Thickness of the brows; 1 is average.
    """
    mask = np.full((size, size), Part.SKIN, np.uint8)
    mask[int(SKIN_BOTTOM * size) :] = Part.BACKGROUND
    fill(mask, neck_outline(marks, chin), Part.BACKGROUND)
    fill(mask, nose_outline(marks), Part.NOSE)
    fill(mask, brow_outline(marks, True, brows), Part.LEFT_BROW)
    fill(mask, brow_outline(marks, False, brows), Part.RIGHT_BROW)
    fill(mask, lip_outline(marks, True), Part.UPPER_LIP)
    fill(mask, lip_outline(marks, False), Part.LOWER_LIP)
    return mask


def neck_outline(marks: FloatArray, chin: float) -> FloatArray:
    """Return the region below the jaw line and behind the ears, float32 (M, 2)."""
    jaw = marks[3:14].copy()
    jaw[:, 1] += 0.012 * np.clip(1 - np.abs(np.linspace(-1, 1, len(jaw))), 0, 1)
    level = jaw[0, 1]
    left = np.array([[0.0, SKIN_BOTTOM], [0.0, level]])
    right = np.array([[1.0, level], [1.0, SKIN_BOTTOM]])
    bottom = np.array([[0.5, max(chin, SKIN_BOTTOM)]])
    return np.concatenate([left, jaw, right, bottom]).astype(np.float32)


def label_vertices(
    points: FloatArray,
    triangles: IntArray,
    material: UInt8Array,
    uv: FloatArray,
    landmarks: IntArray,
) -> UInt8Array:
    """Return the :class:`~vultus.worlds.chart.Part` of every vertex, uint8 (V,)."""
    atlas = label_atlas(uv[landmarks], LABEL_SIZE, SKIN_BOTTOM)
    texel = np.clip((uv * LABEL_SIZE).astype(int), 0, LABEL_SIZE - 1)
    parts: UInt8Array = atlas[texel[:, 1], texel[:, 0]]
    for which in (Material.MOUTH, Material.TEETH, Material.EYE):
        inside = np.zeros(len(points), bool)
        inside[triangles[material == which].ravel()] = True
        if which != Material.EYE:
            skin = np.zeros(len(points), bool)
            skin[triangles[material == Material.SKIN].ravel()] = True
            parts[inside & ~skin] = Part.INNER_MOUTH
        else:
            parts[inside] = np.where(points[inside, 0] < 0, Part.LEFT_EYE, Part.RIGHT_EYE)
    return parts


def interior_chart(points: FloatArray, teeth: NDArray[np.bool_]) -> FloatArray:
    """Chart the inside of the mouth: teeth by bearing and height, the rest by depth and height."""
    x, y, z = points.T
    bearing = np.clip(np.arctan2(x, z - 6.0) / np.pi + 0.5, 0, 1)
    height = np.clip((-y - 0.5) / 6.0, 0, 1)
    depth = np.clip((11.0 - z) / 10.0, 0, 1)
    tooth = patch_chart("teeth", np.stack([bearing, height], -1))
    other = patch_chart("mouth", np.stack([depth, height], -1))
    return np.where(teeth[:, None], tooth, other).astype(np.float32)


def sky_occlusion(points: FloatArray, triangles: IntArray, material: UInt8Array) -> FloatArray:
    """Return the cosine-weighted share of unblocked directions at each vertex, float32 (V,)."""
    from vultus.worlds.raster import depth_map, vertex_normals

    normals = vertex_normals(points, triangles)
    centred = points - points.mean(0)
    reach = float(np.abs(centred).max()) * 1.2
    size = 192
    seen, total = np.zeros(len(points)), np.zeros(len(points))
    for i in range(SKY):
        height = 1 - 2 * (i + 0.5) / SKY
        turn = i * np.pi * (3 - np.sqrt(5))
        ring = np.sqrt(1 - height**2)
        towards = np.array([ring * np.cos(turn), height, ring * np.sin(turn)])
        side = np.cross([0.3, 0.9, 0.1], towards)
        side /= np.linalg.norm(side)
        frame = np.stack([side, np.cross(towards, side), -towards]).astype(np.float32)
        local = centred @ frame.T
        local[:, :2] = (local[:, :2] / reach + 1) * (0.5 * size)
        nearest = depth_map(local, triangles, size)
        texel = np.clip(np.round(local[:, :2]).astype(int), 0, size - 1)
        weight = np.clip(normals @ towards, 0, None)
        seen += weight * (nearest[texel[:, 1], texel[:, 0]] >= local[:, 2] - 0.35)
        total += weight
    share = np.divide(seen, total, out=np.ones_like(seen), where=total > 0)
    inside = np.zeros(len(points), bool)
    inside[triangles[np.isin(material, (Material.MOUTH, Material.TEETH))].ravel()] = True
    # The closed mouth is dark, but light enters once it opens.
    share[inside] = np.maximum(share[inside], 0.35)
    eye = np.zeros(len(points), bool)
    eye[triangles[material == Material.EYE].ravel()] = True
    share[eye] = 0.55 + 0.45 * share[eye]
    return np.clip(share, 0.05, 1).astype(np.float32)


def neighbour_mean(points: FloatArray, triangles: IntArray, rounds: int) -> FloatArray:
    """Return vertices (V, 3) replaced by the mean of their neighbours, some rounds over."""
    out = points.astype(np.float64)
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    count = np.bincount(pairs.ravel(), minlength=len(points)).astype(np.float64)[:, None]
    for _ in range(rounds):
        total = np.stack(
            [
                np.bincount(pairs[:, 0], out[pairs[:, 1], i], len(points))
                + np.bincount(pairs[:, 1], out[pairs[:, 0], i], len(points))
                for i in range(3)
            ],
            1,
        )
        out = np.where(count > 0, total / np.maximum(count, 1), out)
    return out.astype(np.float32)
