"""Hair caps, hats and glasses, built to fit any head."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vultus.errors import ConfigError
from vultus.worlds.chart import (
    BOTTOM,
    DOME_Y,
    SKIN_BOTTOM,
    TOP,
    Material,
    Part,
    patch_chart,
    skin_chart,
)
from vultus.worlds.heads import Head
from vultus.worlds.noise import value_noise
from vultus.worlds.render import Mesh

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]

COLUMNS = 72
ROWS = 20

#: Height below which hair hangs instead of following the skull.
HANG = 2.0


@dataclass(frozen=True, slots=True)
class HairStyle:
    """A cap of hair.

    Parameters
    ----------
    hairline
        Height of the hairline above the nose, centimetres of the chart; 9 is average.
    temple
        How far the hairline recedes at the temples, centimetres.
    side, nape
        Height at which hair ends in front of the ear and at the back; below the ear it hangs.
    covers_ears
        Whether the sides hang over the ears.
    top, sides
        Thickness in centimetres.
    rough
        Depth of clumps, centimetres.
    part
        Azimuth of the parting in degrees, or None.
    """

    hairline: float = 9.0
    temple: float = 1.4
    side: float = 2.0
    nape: float = -3.5
    covers_ears: bool = False
    top: float = 1.4
    sides: float = 0.7
    rough: float = 0.15
    part: float | None = None


#: ``bald`` is the absence of a style.
HAIR_STYLES = MappingProxyType(
    {
        "buzz": HairStyle(top=0.22, sides=0.16, rough=0.02),
        "short": HairStyle(top=1.5, sides=0.6, rough=0.22),
        "quiff": HairStyle(hairline=9.3, top=2.6, sides=0.5, rough=0.30),
        "parted": HairStyle(top=1.7, sides=1.0, rough=0.15, part=28.0),
        "fringe": HairStyle(
            hairline=6.9, temple=0.2, side=-1.0, nape=-4.5, covers_ears=True, top=1.5, sides=1.2
        ),
        "bob": HairStyle(side=-6.0, nape=-6.5, covers_ears=True, top=1.6, sides=1.7, part=0.0),
        "long": HairStyle(side=-13.0, nape=-14.5, covers_ears=True, top=1.5, sides=1.5, part=12.0),
        "wavy": HairStyle(
            side=-11.0, nape=-12.0, covers_ears=True, top=1.9, sides=2.2, rough=0.55, part=-20.0
        ),
        "afro": HairStyle(
            hairline=8.6, side=0.0, nape=-3.0, covers_ears=True, top=4.2, sides=3.6, rough=0.30
        ),
        "tied": HairStyle(
            hairline=9.2, temple=1.0, side=3.0, nape=-2.5, top=0.7, sides=0.5, rough=0.08
        ),
        "receding": HairStyle(hairline=11.2, temple=1.2, top=0.7, sides=0.6, rough=0.10),
        "fringe_of_age": HairStyle(hairline=15.5, temple=3.5, top=0.12, sides=0.6, rough=0.10),
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Scalp:
    """How a grid of azimuths and heights hangs on a head: four skin vertices each, with weights."""

    index: IntArray
    weight: FloatArray
    heights: FloatArray
    azimuths: FloatArray

    def place(self, vertices: FloatArray) -> FloatArray:
        """Return grid points, float32 (H, A, 3), on a deformed head's vertices (V, 3)."""
        return np.asarray((vertices[self.index] * self.weight[..., None]).sum(2), np.float32)


def scalp_of(head: Head) -> Scalp:
    """Fit the grid to a head; ears are left out, so that hair passes over them."""
    from scipy.spatial import cKDTree

    on_skin = np.zeros(len(head.neutral), bool)
    on_skin[head.triangles[head.material == Material.SKIN].ravel()] = True
    x, y, z = head.neutral.T
    beside = (np.abs(x) > 6.2) & (y < 5.2) & (y > -3.4) & (z < 2.9) & (z > -4.0)
    hollow = np.hypot(x, z - 1.0) < 3.0
    usable = np.flatnonzero(on_skin & ~beside & ~(hollow & (y < 9)))
    heights = np.linspace(TOP - 0.05, -9.0, 44).astype(np.float32)
    azimuths = (np.arange(COLUMNS) * (2 * np.pi / COLUMNS) - np.pi).astype(np.float32)
    key = _polar(head.neutral[usable])
    grid = _polar_grid(heights, azimuths)
    distance, nearest = cKDTree(key).query(grid.reshape(-1, 3), k=4)
    weight = 1 / (distance**2 + 0.05)
    weight /= weight.sum(1, keepdims=True)
    shape = (len(heights), COLUMNS, 4)
    return Scalp(
        usable[nearest].astype(np.int32).reshape(shape),
        weight.astype(np.float32).reshape(shape),
        heights,
        azimuths,
    )


def _polar(points: FloatArray) -> FloatArray:
    v = skin_chart(points)[:, 1]
    height = TOP - v / SKIN_BOTTOM * (TOP - BOTTOM)
    azimuth = np.arctan2(points[:, 0], points[:, 2] - 1.0)
    return _ring(height, azimuth)


def _ring(height: FloatArray, azimuth: FloatArray) -> FloatArray:
    """Put (height, azimuth) on a capsule, where plain distance is meaningful."""
    angle = np.clip((height - DOME_Y) / 9.0, 0, np.pi / 2)
    radius = 8.0 * np.cos(angle)
    y = np.minimum(height, DOME_Y) + 9.0 * np.sin(angle)
    return np.stack([radius * np.sin(azimuth), y, radius * np.cos(azimuth)], -1).astype(np.float32)


def _polar_grid(heights: FloatArray, azimuths: FloatArray) -> FloatArray:
    h, a = np.meshgrid(heights, azimuths, indexing="ij")
    return _ring(h, a)


def _surface(scalp: Scalp, grid: FloatArray, height: FloatArray) -> FloatArray:
    """Return points, float32 (R, A, 3), of the smoothed scalp at heights (R, A), hanging below."""
    smooth = grid.copy()
    for _ in range(3):
        smooth = (np.roll(smooth, 1, 1) + 2 * smooth + np.roll(smooth, -1, 1)) * np.float32(0.25)
    on = np.maximum(height, HANG)
    position = np.interp(on.ravel(), scalp.heights[::-1], np.arange(len(scalp.heights))[::-1])
    low = np.clip(np.floor(position).astype(int), 0, len(scalp.heights) - 2)
    share = (position - low)[:, None].astype(np.float32)
    column = np.tile(np.arange(COLUMNS), len(height))
    points = smooth[low, column] * (1 - share) + smooth[low + 1, column] * share
    points = points.reshape(*height.shape, 3)
    points[..., 1] += np.minimum(height - HANG, 0)
    return np.asarray(points, np.float32)


def _ends(style: HairStyle) -> FloatArray:
    """Return the height at which hair ends for each column, float32 (COLUMNS,)."""
    degrees = np.abs(np.arange(COLUMNS) * (360.0 / COLUMNS) - 180.0)
    front = style.hairline
    if style.covers_ears:
        knots = [0, 28, 46, 60, 70, 82, 130, 180]
        ends = [front, front - 0.1, front - 0.8, min(front - 2.5, 5.5), style.side, style.side]
        ends += [style.nape, style.nape]
    else:
        knots = [0, 26, 44, 58, 70, 78, 90, 112, 128, 180]
        ends = [front, front + 0.3 * style.temple, front - 0.6 + 0.5 * style.temple]
        ends += [min(front - 2.5, 6.3), style.side, 3.2, 4.7, 3.6, -0.5, style.nape]
    return np.asarray(np.interp(degrees, knots, ends), np.float32)


def hair_mesh(
    scalp: Scalp, vertices: FloatArray, style: HairStyle, rng: np.random.Generator
) -> Mesh:
    """Return a cap of hair on a head's vertices (V, 3) of the neutral expression."""
    ends = _ends(style) + 0.25 * rng.standard_normal(COLUMNS).astype(np.float32)
    share = np.linspace(0, 1, ROWS, dtype=np.float32)[:, None]
    height = scalp.heights[0] + (ends[None] - scalp.heights[0]) * share
    points = _surface(scalp, scalp.place(vertices), height)
    degrees = np.abs(np.arange(COLUMNS) * (360.0 / COLUMNS) - 180.0)[None]
    on_top = np.clip((height - 5.0) / 7.0, 0, 1)
    thick = style.sides + (style.top - style.sides) * on_top
    front = degrees < (62 if style.covers_ears else 180)
    # Toward a hairline the hair thins out; hanging ends stay full.
    thin = np.clip((height - ends[None]) / 1.6, 0, 1) ** 0.6
    thick = np.where(front, thick * (0.08 + 0.92 * thin), thick)
    clumps = value_noise(rng, (ROWS, COLUMNS), (7, 26), wrap=True)
    waves = value_noise(rng, (ROWS, COLUMNS), (3, 9), wrap=True)
    thick = thick + style.rough * (0.7 * clumps + 0.6 * waves) * np.clip(thick, 0, 1)
    if style.part is not None:
        signed = np.arange(COLUMNS) * (360.0 / COLUMNS) - 180.0
        parting = np.exp(-(((signed - style.part)[None] / 7.0) ** 2)) * on_top
        thick = thick * (1 - 0.75 * parting)
    centre = np.array([0.0, 4.0, 1.0], np.float32)
    outward = points - centre
    outward[..., 1] = np.where(height < HANG, 0.0, outward[..., 1])
    outward /= np.linalg.norm(outward, axis=2, keepdims=True) + 1e-6
    points = points + outward * np.maximum(thick, 0.06)[..., None]
    return _cap(points, Material.HAIR, Part.HAIR, "hair", rng)


def hat_mesh(scalp: Scalp, vertices: FloatArray, rng: np.random.Generator, over: float) -> Mesh:
    """Return a knitted hat, or one with a peak, standing off by ``over`` centimetres."""
    brim = float(rng.uniform(7.2, 8.6))
    share = np.linspace(0, 1, 12, dtype=np.float32)[:, None]
    degrees = np.abs(np.arange(COLUMNS) * (360.0 / COLUMNS) - 180.0)
    ends = np.interp(degrees, [0, 60, 100, 180], [brim, brim - 1.2, 5.2, 1.5]).astype(np.float32)
    height = scalp.heights[0] + (ends[None] - scalp.heights[0]) * share
    points = _surface(scalp, scalp.place(vertices), height)
    outward = points - np.array([0.0, 4.0, 1.0], np.float32)
    outward /= np.linalg.norm(outward, axis=2, keepdims=True) + 1e-6
    points = points + outward * np.float32(over)
    if rng.random() < 0.5:
        reach = (5.5 * np.exp(-((degrees / 42) ** 4))).astype(np.float32)
        forward = np.stack([outward[-1, :, 0], np.full(COLUMNS, -0.18), outward[-1, :, 2]], 1)
        points = np.concatenate([points, (points[-1] + forward * reach[:, None])[None]])
    return _cap(points.astype(np.float32), Material.CLOTH, Part.BACKGROUND, "cloth", rng)


def _cap(
    points: FloatArray, material: Material, part: Part, patch: str, rng: np.random.Generator
) -> Mesh:
    rows = len(points)
    index = np.arange(rows * COLUMNS).reshape(rows, COLUMNS)
    a, b = index[:-1], np.roll(index[:-1], -1, 1)
    c, d = np.roll(index[1:], -1, 1), index[1:]
    triangles = np.concatenate(
        [np.stack([a, d, c], -1).reshape(-1, 3), np.stack([a, c, b], -1).reshape(-1, 3)]
    ).astype(np.int32)
    # Strands run down the patch; it is laid to and fro around the head, so that nothing jumps.
    fold = np.abs((np.arange(COLUMNS) * 6.0 / COLUMNS) % 2 - 1)
    u = np.broadcast_to(fold[None], (rows, COLUMNS))
    v = np.broadcast_to(np.linspace(0, 1, rows)[:, None], (rows, COLUMNS))
    uv = patch_chart(patch, np.stack([0.02 + 0.96 * u, 0.02 + 0.96 * v], -1).reshape(-1, 2))
    count = rows * COLUMNS
    shade = 0.78 + 0.16 * value_noise(rng, (rows, COLUMNS), (6, 30), wrap=True)
    return Mesh(
        points.reshape(-1, 3),
        triangles,
        uv,
        np.full(len(triangles), material, np.uint8),
        np.full(count, part, np.uint8),
        np.clip(shade, 0.35, 1).astype(np.float32).ravel(),
    )


def glasses_mesh(head: Head, vertices: FloatArray, rng: np.random.Generator, *, dark: bool) -> Mesh:
    """Return spectacles on a head's vertices (V, 3): frames, temples, and lenses if dark."""
    marks = vertices[head.landmarks]
    eyes = [marks[36:42].mean(0), marks[42:48].mean(0)]
    front = float(max(marks[27, 2] + 0.35, marks[36:48, 2].max() + 0.9))
    width, height = float(rng.uniform(2.1, 2.75)), float(rng.uniform(1.45, 2.2))
    square, tube = float(rng.uniform(2.0, 4.5)), float(rng.uniform(0.07, 0.26))
    turn = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    c, s = np.cos(turn), np.sin(turn)
    size = (np.abs(c) ** square + np.abs(s) ** square) ** (1 / square)
    pieces: list[tuple[FloatArray, IntArray, Material]] = []
    for eye in eyes:
        x = eye[0] * 1.04 + width * c / size
        y = eye[1] - 0.25 + height * s / size
        z = front - 0.045 * x**2
        rim = np.stack([x, y, z], 1)
        pieces.append((*_tube(rim, tube, closed=True), Material.FRAME))
        if dark:
            disc = np.concatenate([rim, rim.mean(0, keepdims=True)])
            tip = np.full(28, 28)
            fan = np.stack([np.arange(28), np.roll(np.arange(28), -1), tip], 1)
            pieces.append((disc, fan.astype(np.int32), Material.LENS))
        sign = float(np.sign(eye[0]))
        hinge = np.array(
            [eye[0] * 1.04 + sign * width, eye[1] + 0.2, front - 0.045 * (abs(eye[0]) + width) ** 2]
        )
        ear = np.array([sign * 7.75, eye[1] + 0.5, 0.6])
        arm = np.stack([hinge, 0.5 * (hinge + ear) + np.array([sign * 0.4, 0.05, 0]), ear])
        pieces.append((*_tube(arm, tube * 1.1, closed=False), Material.FRAME))
    inner = np.array([-eyes[0][0] * 1.04 - width, 0, 0])[0]
    bridge = np.array([(-1.0, 0.25), (-0.4, 0.45), (0.4, 0.45), (1.0, 0.25)])
    gap = max(-eyes[0][0] * 1.04 - width, 0.4) if inner else 0.4
    path = np.stack(
        [bridge[:, 0] * gap, eyes[0][1] - 0.25 + bridge[:, 1], np.full(4, front + 0.05)], 1
    )
    pieces.append((*_tube(path, tube, closed=False), Material.FRAME))
    return _joined(pieces)


def _tube(path: FloatArray, radius: float, *, closed: bool) -> tuple[FloatArray, IntArray]:
    """Sweep a square along a path (K, 3): points (4 K, 3) and triangles (F, 3)."""
    after = np.roll(path, -1, 0) if closed else np.concatenate([path[1:], path[-1:]])
    before = np.roll(path, 1, 0) if closed else np.concatenate([path[:1], path[:-1]])
    along = after - before
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    # A reference that no part of a pair of spectacles runs along.
    side = np.cross(along, np.array([0.31, 0.22, 0.92]))
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-9
    up = np.cross(along, side)
    corners = [side + up, side - up, -side - up, -side + up]
    points = np.stack([path + radius * c for c in corners], 1).reshape(-1, 3)
    count = len(path)
    triangles = []
    for k in range(count if closed else count - 1):
        a, b = 4 * k, 4 * ((k + 1) % count)
        for i in range(4):
            j = (i + 1) % 4
            triangles += [(a + i, b + i, b + j), (a + i, b + j, a + j)]
    return points.astype(np.float32), np.array(triangles, np.int32)


def _joined(pieces: list[tuple[FloatArray, IntArray, Material]]) -> Mesh:
    points, triangles, uv, material = [], [], [], []
    count = 0
    for piece, faces, kind in pieces:
        points.append(piece.astype(np.float32))
        triangles.append(faces + np.int32(count))
        name = "frame" if kind == Material.FRAME else "lens"
        uv.append(patch_chart(name, np.full((len(piece), 2), 0.5, np.float32)))
        material.append(np.full(len(faces), kind, np.uint8))
        count += len(piece)
    return Mesh(
        np.concatenate(points),
        np.concatenate(triangles),
        np.concatenate(uv),
        np.concatenate(material),
        np.zeros(count, np.uint8),
        np.full(count, 0.85, np.float32),
    )


def style_named(name: str) -> HairStyle | None:
    """Return a style, None for ``bald``; raise :class:`ConfigError` naming the known ones."""
    if name == "bald":
        return None
    try:
        return HAIR_STYLES[name]
    except KeyError:
        raise ConfigError(
            f"unknown hair style {name!r}; known: bald, {', '.join(HAIR_STYLES)}"
        ) from None
