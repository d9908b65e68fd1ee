"""Paint a person's atlas: skin, brows, lips, lashes, lines, beard, make-up and clothes.

Both pigment densities vary over the face, so that every tone gets its own blotches, flushed
cheeks, freckles and lips.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.errors import ConfigError
from vultus.worlds.appearance import HAIR_COLOURS, Appearance, Makeup, skin_colour
from vultus.worlds.chart import BOTTOM, SKIN_BOTTOM, TOP
from vultus.worlds.heads import Head
from vultus.worlds.mesh import brow_outline, label_atlas, lip_outline, smooth_polygon
from vultus.worlds.noise import fractal_noise, generator, value_noise
from vultus.worlds.patches import paint_patches
from vultus.worlds.projection import Texture, covered
from vultus.worlds.render import Atlas

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class _Canvas:
    """The skin area of the atlas in progress: pigments (R, T) and the landmarks in texels."""

    size: int
    rows: int
    marks: FloatArray
    uv: FloatArray
    unit: float

    def spot(self, centre: FloatArray, sx: float, sy: float) -> FloatArray:
        """Return a Gaussian of height 1, float32 (R, T); sizes in units of half the pupil gap."""
        x = np.arange(self.size, dtype=np.float32) - centre[0]
        y = np.arange(self.rows, dtype=np.float32) - centre[1]
        gx = np.exp(-0.5 * (x / (sx * self.unit)) ** 2)
        gy = np.exp(-0.5 * (y / (sy * self.unit)) ** 2)
        return np.asarray(gy[:, None] * gx[None], np.float32)

    def polygon(self, outline: FloatArray, blur: float) -> FloatArray:
        """Return a filled outline (atlas coordinates), blurred by a number of units."""
        mask = np.zeros((self.rows, self.size), np.uint8)
        fixed = np.round((outline * self.size - 0.5) * 256).astype(np.int32)
        cv2.fillPoly(mask, [fixed], 255, lineType=cv2.LINE_AA, shift=8)
        return self._soft(mask, blur)

    def strokes(self, lines: list[tuple[FloatArray, float, float]], blur: float) -> FloatArray:
        """Return smooth strokes, float32 (R, T): texel points (K, 2), width in units, strength."""
        mask = np.zeros((self.rows, self.size), np.uint8)
        for points, width, strength in lines:
            curve = np.round(smooth_polygon(points, closed=False) * 256).astype(np.int32)
            thick = max(round(width * self.unit), 1)
            # A stroke cannot be thinner than a texel: it gets paler instead.
            value = int(255 * np.clip(strength * min(width * self.unit / thick, 1.0), 0, 1))
            cv2.polylines(mask, [curve], False, value, thick, lineType=cv2.LINE_AA, shift=8)
        return self._soft(mask, blur)

    def _soft(self, mask: NDArray[np.uint8], blur: float) -> FloatArray:
        out = mask.astype(np.float32) / 255
        sigma = blur * self.unit
        return cv2.GaussianBlur(out, (0, 0), sigma) if sigma > 0.3 else out  # type: ignore[return-value]


def paint(
    head: Head, look: Appearance, size: int = 512, *, texture: FloatArray | Texture | None = None
) -> Atlas:
    """Paint a person's atlas.

    Parameters
    ----------
    head
        Gives the places of the features.
    look
        What to paint.
    size
        Side of the atlas in texels.
    texture
        Skin to use instead of the painted one: float32 (T, T, 3), linear reflectance in [0, 1], in
        the coordinates of ``head.uv``; its strip of patches is ignored. Or one projected from a
        photograph (:mod:`vultus.worlds.projection`), which counts where it covers, under today's
        make-up, on painted skin of its tone.

    Raises
    ------
    ConfigError
        If the texture has another shape.
    """
    uv = head.uv[head.landmarks]
    marks = (uv * size - 0.5).astype(np.float32)
    pupils = marks[36:42].mean(0), marks[42:48].mean(0)
    canvas = _Canvas(
        size, int(SKIN_BOTTOM * size), marks, uv, float(pupils[1][0] - pupils[0][0]) / 2
    )
    colour = np.zeros((size, size, 3), np.float32)
    if texture is None:
        colour[: canvas.rows] = _skin(canvas, look)
    elif isinstance(texture, Texture):
        if texture.colour.shape != colour.shape:
            raise ConfigError(
                f"the texture must have shape {colour.shape}, got {texture.colour.shape}"
            )
        bare = covered(_skin(canvas, replace(look, makeup=Makeup())), texture)
        colour[: canvas.rows] = _made_up(canvas, look.makeup, bare, _lips(canvas))
    else:
        if texture.shape != colour.shape:
            raise ConfigError(f"the texture must have shape {colour.shape}, got {texture.shape}")
        colour[: canvas.rows] = texture[: canvas.rows]
    _dress(colour[: canvas.rows], look)
    paint_patches(colour, look)
    labels = label_atlas(uv, max(size, 512), SKIN_BOTTOM, look.brows)
    return Atlas(colour, labels, look.gloss)


def _skin(canvas: _Canvas, look: Appearance) -> FloatArray:
    rng = generator(look.seed, "skin")
    melanin, blood = _pigments(canvas, look, rng)
    lips = _lips(canvas)
    streaks = value_noise(rng, (canvas.rows, canvas.size), (6, canvas.size / 5))
    blood += lips * (look.lip_redness * (1 + 0.10 * streaks) + 0.25 * look.melanin)
    melanin = melanin * (1 - 0.35 * lips) + 0.08 * lips
    skin = skin_colour(melanin, blood)
    skin *= (1 - _lines(canvas, look, rng))[..., None]
    pores = rng.standard_normal((canvas.rows, canvas.size)).astype(np.float32)
    skin *= 1 + 0.018 * cv2.GaussianBlur(pores, (0, 0), 0.8)[..., None]
    skin = _beard(canvas, look, rng, skin, lips)
    skin = _made_up(canvas, look.makeup, skin, lips)
    return _brows_and_lashes(canvas, look, rng, skin)


def _lips(canvas: _Canvas) -> FloatArray:
    upper, lower = (canvas.polygon(lip_outline(canvas.uv, side), 0.03) for side in (True, False))
    return np.maximum(upper, lower)


def _pigments(
    canvas: _Canvas, look: Appearance, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    shape = (canvas.rows, canvas.size)
    tone = fractal_noise(rng, shape, 9, 4, wrap=True)
    one_sided = fractal_noise(rng, shape, 5, 2, wrap=True)
    flush = fractal_noise(rng, shape, 12, 4, wrap=True)
    melanin = look.melanin * (1 + 0.07 * look.blotches * tone + 0.10 * look.asymmetry * one_sided)
    blood = look.haemoglobin * (1 + 0.20 * look.blotches * flush)
    m = canvas.marks
    for left in (True, False):
        eye = m[36:42].mean(0) if left else m[42:48].mean(0)
        corner = m[48] if left else m[54]
        cheek = 0.45 * eye + 0.55 * corner + np.array([-0.3 if left else 0.3, -0.25]) * canvas.unit
        blood += 0.22 * canvas.spot(cheek, 0.55, 0.45)
        slack = np.clip((look.age - 25) / 50, 0, 1)
        under = eye + np.array([0, 0.42]) * canvas.unit
        melanin += (0.06 + 0.16 * slack) * (0.4 + look.melanin) * canvas.spot(under, 0.38, 0.14)
        blood += 0.16 * canvas.spot(eye, 0.55, 0.34)
        nostril = (
            0.45 * m[33] + 0.55 * (m[31] if left else m[35]) - np.array([0, 0.09]) * canvas.unit
        )
        melanin += 1.5 * canvas.spot(nostril, 0.11, 0.055)
    blood += 0.25 * canvas.spot(m[30] + np.array([0, 0.1]) * canvas.unit, 0.36, 0.3)
    blood += 0.10 * canvas.spot(m[8] - np.array([0, 0.3]) * canvas.unit, 0.5, 0.3)
    melanin += _marks(canvas, look, rng)
    return np.maximum(melanin, 0.01), np.maximum(blood, 0.02)


def _marks(canvas: _Canvas, look: Appearance, rng: np.random.Generator) -> FloatArray:
    """Return the melanin of freckles, age spots and moles."""
    shape = (canvas.rows, canvas.size)
    out = np.zeros(shape, np.float32)
    centre = canvas.marks[30]
    spots = int(500 * look.freckles) + int(np.clip(look.age - 50, 0, 40) * 1.2)
    where = rng.normal(0, 1, (spots, 2)) * np.array([1.5, 0.75]) * canvas.unit + centre
    where += np.array([0, -0.35]) * canvas.unit
    dots = np.zeros(shape, np.float32)
    for (x, y), weight in zip(where, rng.uniform(0.3, 1.0, spots), strict=True):
        if 1 <= x < canvas.size - 1 and 1 <= y < canvas.rows - 1:
            dots[int(y), int(x)] += weight
    if spots:
        sigma = max(0.022 * canvas.unit, 0.5)
        out += cv2.GaussianBlur(dots, (0, 0), sigma) * (2 * np.pi * sigma**2) * 0.28
    for _ in range(look.moles):
        place = rng.uniform([-2.2, -2.2], [2.2, 2.4]) * canvas.unit + centre
        radius = rng.uniform(0.018, 0.042)
        out += rng.uniform(0.5, 1.4) * canvas.spot(place.astype(np.float32), radius, radius)
    return out


def _lines(canvas: _Canvas, look: Appearance, rng: np.random.Generator) -> FloatArray:
    """Return how much wrinkles darken the skin, in [0, 1)."""
    depth = float(np.clip((look.age - 28) / 45, 0, 1.1))
    m, unit = canvas.marks, canvas.unit
    fine: list[tuple[FloatArray, float, float]] = []
    broad: list[tuple[FloatArray, float, float]] = []
    for side, (wing, corner, outer) in ((-1, (31, 48, 36)), (1, (35, 54, 45))):
        start = m[wing] + np.array([0.25 * side, -0.15]) * unit
        end = m[corner] + np.array([0.28 * side, -0.02]) * unit
        middle = (start + end) / 2 + np.array([0.16 * side, -0.05]) * unit
        broad.append((np.stack([start, middle, end]), 0.08, 0.06 + 0.34 * depth))
        for k in range(3):
            tail = m[outer] + np.array([(0.16 + 0.32 * rng.random()) * side, 0.13 * (k - 1)]) * unit
            begin = m[outer] + np.array([0.07 * side, 0.05 * (k - 1)]) * unit
            crow = np.stack([begin, (begin + tail) / 2 + np.array([0, 0.02]) * unit, tail])
            fine.append((crow, 0.03, 0.34 * depth))
        under = m[[41, 40] if side < 0 else [46, 47]] + np.array([0, 0.27]) * unit
        bag = np.stack([under[0] + np.array([0.12 * side, -0.04]) * unit, under[0], under[1]])
        broad.append((bag, 0.05, 0.08 + 0.28 * depth))
        frown = m[21 if side < 0 else 22] + np.array([-0.16 * side, 0.0]) * unit
        crease = np.stack([frown - np.array([0, 0.16]) * unit, frown + np.array([0, 0.14]) * unit])
        fine.append((crease, 0.035, 0.3 * depth))
    brow = m[17:27].mean(0)
    for k in range(4):
        y = brow[1] - (0.62 + 0.30 * k + rng.normal(0, 0.03)) * unit
        xs = brow[0] + np.linspace(-1.15, 1.15, 7) * unit * rng.uniform(0.75, 1.0)
        ys = y + rng.normal(0, 0.025, 7) * unit
        line = np.stack([xs, ys], 1).astype(np.float32)
        fine.append((line, 0.035, 0.36 * depth * rng.uniform(0.3, 1.0)))
    dark = canvas.strokes(fine, 0.025) + canvas.strokes(broad, 0.05)
    return np.asarray(np.clip(dark, 0, 0.6), np.float32)


def _beard(
    canvas: _Canvas,
    look: Appearance,
    rng: np.random.Generator,
    skin: FloatArray,
    lips: FloatArray,
) -> FloatArray:
    if look.beard <= 0:
        return skin
    m, unit = canvas.marks, canvas.unit
    cheek = 0.25 + 0.5 * rng.random()
    upper = [
        m[2] + np.array([0.15, 0]) * unit,
        m[3] + np.array([0.45, -0.1]) * unit,
        m[48] + np.array([-cheek, -0.15]) * unit,
        m[31] + np.array([-0.25, 0.22]) * unit,
        m[33] + np.array([0, 0.12]) * unit,
        m[35] + np.array([0.25, 0.22]) * unit,
        m[54] + np.array([cheek, -0.15]) * unit,
        m[13] + np.array([-0.45, -0.1]) * unit,
        m[14] - np.array([0.15, 0]) * unit,
    ]
    lower = [m[i] + np.array([0, 0.45]) * unit for i in (12, 10, 8, 6, 4)]
    outline = ((np.stack([*upper, *lower]) + 0.5) / canvas.size).astype(np.float32)
    area = canvas.polygon(smooth_polygon(outline), 0.12 if look.beard < 0.5 else 0.07)
    density = fractal_noise(rng, (canvas.rows, canvas.size), canvas.size / 4, 2)
    cover = area * (1 - lips) * np.clip(look.beard * (0.82 + 0.12 * density), 0, 0.92)
    hair = np.array(HAIR_COLOURS[look.hair], np.float32) * 0.9
    return np.asarray(skin + (hair - skin) * cover[..., None], np.float32)


def _made_up(canvas: _Canvas, worn: Makeup, skin: FloatArray, lips: FloatArray) -> FloatArray:
    m, unit = canvas.marks, canvas.unit
    out = skin
    if worn.blush > 0:
        for eye, corner, side in ((m[36], m[48], -1), (m[45], m[54], 1)):
            place = 0.5 * eye + 0.5 * corner + np.array([0.25 * side, -0.1]) * unit
            cover = 0.45 * worn.blush * canvas.spot(place, 0.45, 0.26)[..., None]
            out = out * (1 - cover * np.array([0.05, 0.55, 0.45], np.float32))
    if worn.lip_cover > 0:
        cover = (worn.lip_cover * lips)[..., None]
        out = out + (np.array(worn.lips, np.float32) - out) * cover
    if worn.shadow_cover > 0:
        for eye in (m[36:42], m[42:48]):
            place = eye.mean(0) - np.array([0, 0.2]) * unit
            cover = worn.shadow_cover * canvas.spot(place, 0.36, 0.17)[..., None]
            out = out + (np.array(worn.shadow, np.float32) - out) * cover
    return np.asarray(out, np.float32)


def _brows_and_lashes(
    canvas: _Canvas, look: Appearance, rng: np.random.Generator, skin: FloatArray
) -> FloatArray:
    hair = np.array(HAIR_COLOURS[look.hair], np.float32) * 0.75
    hair = np.minimum(hair, 0.75 * skin_colour(look.melanin, look.haemoglobin))
    strands = value_noise(rng, (canvas.rows, canvas.size), (canvas.rows / 7, canvas.size / 2.5))
    out = skin
    for left in (True, False):
        cover = canvas.polygon(brow_outline(canvas.uv, left, look.brows), 0.025)
        cover = cover * np.clip(0.84 + 0.11 * strands, 0.4, 0.97)
        out = out + (hair - out) * cover[..., None]
    dark = np.array([0.02, 0.014, 0.012], np.float32)
    liner = 0.55 + 0.45 * look.makeup.liner
    lashes, folds = [], []
    for eye in (canvas.marks[36:42], canvas.marks[42:48]):
        lashes.append((eye[[3, 4, 5, 0]], 0.05, 0.5 * liner))
        lashes.append((eye[:4], 0.07 + 0.05 * look.makeup.liner, liner))
        folds.append((eye[:4] - np.array([0, 0.16], np.float32) * canvas.unit, 0.04, 0.28))
    cover = np.clip(canvas.strokes(lashes, 0.016) + canvas.strokes(folds, 0.03), 0, 0.95)
    out = out + (dark - out) * cover[..., None]
    return np.asarray(out, np.float32)


def _dress(skin: FloatArray, look: Appearance) -> None:
    """Paint a shirt below a neckline that dips at the front, in place."""
    rng = generator(look.seed, "clothes")
    rows, size = skin.shape[:2]
    front = np.exp(-(((np.arange(size) / size - 0.5) / 0.13) ** 2))
    neckline = (-11.3 - float(rng.uniform(0.3, 2.6)) * front) * np.float32(1.0)
    row = (TOP - neckline) / (TOP - BOTTOM) * rows
    y = np.arange(rows, dtype=np.float32)[:, None]
    cover = np.clip(y - row[None], 0, 1)
    fabric = np.array(look.clothes) * (1 + 0.06 * rng.standard_normal((rows, size, 1)))
    hem = 1 - 0.35 * np.exp(-(((y - row[None] - 3) / 1.5) ** 2))
    skin += (fabric * hem[..., None] - skin) * cover[..., None]


def mirrored_atlas(atlas: Atlas) -> Atlas:
    """Return the atlas of the mirror image: skin reversed in u, left and right labels swapped."""
    rows = int(SKIN_BOTTOM * len(atlas.colour))
    colour = atlas.colour.copy()
    colour[:rows] = colour[:rows, ::-1]
    swap = np.array([0, 1, 3, 2, 5, 4, 6, 7, 8, 9, 10], np.uint8)
    label_rows = int(SKIN_BOTTOM * len(atlas.labels))
    labels = atlas.labels.copy()
    labels[:label_rows] = swap[labels[:label_rows, ::-1]]
    return replace(atlas, colour=colour, labels=labels)
