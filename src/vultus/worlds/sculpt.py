"""The mean shape of the procedural head, as functions of the parameter plane.

A skull of superelliptic cross-sections carries a jaw line, sockets, brow ridge, nose, lips, chin
and cheeks, each a smooth bump or groove. Proportions are those of an average adult head in
centimetres: pupils 6.3 apart, outer eye corners 8.9, mouth 5.2 wide, chin to crown 22.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]

#: Centre of the eyeball on the image's right, and its radius.
EYE = (3.15, 3.5, 8.05)
EYE_RADIUS = 1.32

MOUTH_Y = -3.45
DOME = 5.0
DOME_HEIGHT = 9.5

# Rows of the skull: height q, half width, depth of the front without features, depth of the back,
# and the exponent of the cross-section.
_ROWS = np.array(
    [
        (5.0, 7.75, 10.45, 8.6, 2.45),
        (4.0, 7.70, 10.35, 8.55, 2.45),
        (3.0, 7.58, 10.12, 8.35, 2.45),
        (2.0, 7.44, 9.98, 8.0, 2.45),
        (1.0, 7.32, 10.00, 7.7, 2.42),
        (0.0, 7.20, 10.25, 7.2, 2.33),
        (-1.0, 7.05, 10.65, 6.7, 2.22),
        (-2.0, 6.85, 10.95, 6.2, 2.15),
        (-3.0, 6.62, 11.10, 5.9, 2.10),
        (-4.0, 6.36, 11.00, 5.7, 2.06),
        (-5.0, 6.08, 10.85, 5.7, 2.02),
        (-6.0, 5.80, 10.75, 5.7, 1.98),
        (-7.0, 5.55, 10.55, 5.8, 1.95),
        (-8.0, 5.40, 10.20, 5.9, 1.92),
        (-17.0, 5.40, 10.20, 8.6, 1.92),
    ]
)[::-1]

# Rows of the neck: height, half width, front, back.
_NECK = np.array(
    [
        (-3.0, 5.6, 6.2, 5.9),
        (-7.0, 5.6, 6.0, 5.8),
        (-9.0, 5.7, 5.6, 6.2),
        (-10.5, 6.1, 5.0, 6.9),
        (-11.5, 7.3, 4.6, 7.5),
        (-12.5, 9.2, 4.3, 8.1),
        (-13.5, 11.3, 4.1, 8.6),
        (-15.0, 13.0, 4.1, 9.0),
        (-18.0, 13.6, 4.8, 9.0),
    ]
)[::-1]


def _row(table: Float64Array, q: Float64Array, column: int) -> Float64Array:
    """Interpolate a column of a table with a monotone-ish cubic that ends level at the top."""
    x, y = table[:, 0], table[:, column]
    slope = np.gradient(y, x)
    slope[-1] = 0.0
    i = np.clip(np.searchsorted(x, q) - 1, 0, len(x) - 2)
    h = x[i + 1] - x[i]
    t = np.clip((q - x[i]) / h, 0, 1)
    return np.asarray(
        (2 * t**3 - 3 * t**2 + 1) * y[i]
        + (t**3 - 2 * t**2 + t) * h * slope[i]
        + (3 * t**2 - 2 * t**3) * y[i + 1]
        + (t**3 - t**2) * h * slope[i + 1]
    )


def _dome(q: Float64Array) -> Float64Array:
    elevation = np.clip((q - DOME) / 9.0, 0, np.pi / 2)
    return np.asarray(np.clip(np.cos(elevation), 0, None) ** 0.76)


def half_width(q: Float64Array) -> Float64Array:
    """Return the half width of the skull, float64 (N,), at heights q of the plane."""
    return np.asarray(_row(_ROWS, np.minimum(q, DOME), 1) * _dome(q))


def azimuth_at(x: Float64Array, q: Float64Array) -> Float64Array:
    """Return the azimuth, float64 (N,), at which the front of the skull has a given x."""
    n = _row(_ROWS, np.minimum(q, DOME), 4)
    share = np.clip(np.abs(x) / half_width(q), 0, 0.999) ** n
    return np.asarray(np.arctan((share / (1 - share)) ** (1 / n)))


def smoothstep(x: Float64Array, low: float, high: float) -> Float64Array:
    """Return 0 below low, 1 above high, and a smooth cubic between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def bump(
    x: Float64Array, y: Float64Array, cx: float, cy: float, sx: float, sy: float
) -> Float64Array:
    """Return a Gaussian of height 1 centred at (cx, cy)."""
    return np.asarray(np.exp(-0.5 * (((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2)))


def rim_of_eye(count: int) -> Float64Array:
    """Return the rim of the open eye, float64 (count, 2), from the outer corner over the top."""
    turn = np.arange(count) * (2 * np.pi / count)
    outer, inner = np.array([4.42, 3.36]), np.array([1.86, 3.18])
    share = 0.5 - 0.5 * np.cos(turn)
    line: Float64Array = outer + (inner - outer) * share[:, None]
    rise = np.where(turn <= np.pi, 0.65 - 0.08 * np.cos(turn), 0.37 + 0.07 * np.cos(turn))
    line[:, 1] += rise * np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** 1.15
    return line


def lip_top(x: Float64Array) -> Float64Array:
    """Return the height of the upper lip's border (the bow) at x."""
    open_ = np.clip(1 - (x / 2.62) ** 2, 0, 1)
    bow = 0.84 - 0.12 * np.exp(-((x / 0.32) ** 2)) + 0.05 * np.exp(-(((x - 0.62) / 0.3) ** 2))
    return np.asarray(MOUTH_Y + bow * open_**0.85)


def lip_bottom(x: Float64Array) -> Float64Array:
    """Return the height of the lower lip's border at x."""
    return np.asarray(MOUTH_Y - 0.96 * np.clip(1 - (x / 2.62) ** 2, 0, 1) ** 0.8)


def _section(azimuth: Float64Array, n: Float64Array | float) -> tuple[Float64Array, Float64Array]:
    s, c = np.sin(azimuth), np.cos(azimuth)
    size = (np.abs(s) ** n + np.abs(c) ** n) ** (1 / np.asarray(n))
    return s / size, c / size


def jaw_line(x: Float64Array) -> Float64Array:
    """Return the height of the lower edge of the jaw at x."""
    return np.asarray(-7.75 + 0.062 * x**2 + 0.0011 * x**4)


def base_surface(p: Float64Array, q: Float64Array) -> Float64Array:
    """Return the skull, jaw and neck without features, float64 (N, 3)."""
    azimuth = p / 9.0
    row = np.minimum(q, DOME)
    n = _row(_ROWS, row, 4)
    s, c = _section(azimuth, n)
    scale = _dome(q)
    x = _row(_ROWS, row, 1) * s * scale
    z = np.where(c > 0, _row(_ROWS, row, 2), _row(_ROWS, row, 3)) * c * scale
    elevation = np.clip((q - DOME) / 9.0, 0, np.pi / 2)
    y = row + DOME_HEIGHT * np.sin(elevation)
    edge = jaw_line(np.abs(x))
    below = edge - q
    # Under the jaw the surface first runs back as a shelf, then down as the neck.
    shelf = 2.6
    on_shelf = smoothstep(below, -0.35, shelf)
    fade = smoothstep(q, -17.0, -9.5)
    level = np.where(
        below > 0, edge - 0.22 * np.minimum(below, shelf) - np.maximum(below - shelf, 0), q
    )
    y = np.where((below > 0) & (c > -0.2), level * fade + q * (1 - fade), y)
    sn, cn = _section(azimuth, 2.0)
    neck_x = _row(_NECK, np.minimum(y, -3.0), 1) * sn
    neck_z = (
        np.where(cn > 0, _row(_NECK, np.minimum(y, -3.0), 2), _row(_NECK, np.minimum(y, -3.0), 3))
        * cn
    )
    front = smoothstep(c, -0.5, 0.15)
    hind = smoothstep(-q, 1.0, 8.0)
    mix = np.where(q < 0, on_shelf * front + hind * (1 - front), 0.0)
    return np.stack([x + (neck_x - x) * mix, y, z + (neck_z - z) * mix], 1)


def _nose(x: Float64Array, y: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return how far the nose stands out, and how far it droops, at (x, y)."""
    heights = np.array(
        [
            (-2.4, 0.0, 1.5),
            (-1.75, 0.05, 1.55),
            (-1.25, 0.50, 1.45),
            (-0.95, 1.15, 1.40),
            (-0.6, 1.95, 1.32),
            (-0.2, 2.55, 1.24),
            (0.3, 2.82, 1.18),
            (0.8, 2.70, 1.12),
            (1.6, 2.20, 1.05),
            (2.6, 1.48, 0.95),
            (3.5, 0.80, 0.90),
            (4.3, 0.48, 1.05),
            (5.2, 0.20, 1.40),
            (6.4, 0.0, 1.60),
        ]
    )
    stand = np.where((y > -2.4) & (y < 6.4), _row(heights, np.clip(y, -2.4, 6.4), 1), 0.0)
    width = _row(heights, np.clip(y, -2.4, 6.4), 2)
    ridge = stand / (1 + (np.abs(x) / width) ** 2.5)
    tip = 0.26 * bump(x, y, 0, 0.35, 0.6, 0.55)
    wing = 0.95 * bump(np.abs(x), y, 1.52, -0.28, 0.40, 0.50)
    crease = -0.22 * bump(np.abs(x), y, 2.25, -0.05, 0.26, 0.55)
    groove = -0.12 * bump(np.abs(x), y, 1.0, 0.12, 0.24, 0.35)
    droop = -0.34 * bump(x, y, 0, -0.35, 0.9, 0.5) - 0.25 * bump(np.abs(x), y, 1.5, -0.75, 0.5, 0.3)
    return np.asarray(ridge + tip + wing + crease + groove), np.asarray(droop)


def _lips(x: Float64Array, y: Float64Array) -> Float64Array:
    along = np.clip(1 - (x / 2.7) ** 2, 0, 1)
    top, bottom = lip_top(x), lip_bottom(x)
    upper = 0.50 * along**0.8 * np.exp(-0.5 * ((y - (0.45 * top + 0.55 * MOUTH_Y)) / 0.34) ** 2)
    lower = 0.60 * along**0.8 * np.exp(-0.5 * ((y - (0.5 * bottom + 0.5 * MOUTH_Y)) / 0.36) ** 2)
    seam = -0.42 * along**0.3 * np.exp(-0.5 * ((y - MOUTH_Y) / 0.13) ** 2)
    corner = -0.35 * bump(np.abs(x), y, 2.72, MOUTH_Y, 0.34, 0.3)
    edge = 0.05 * along * np.exp(-0.5 * ((y - top) / 0.08) ** 2)
    return np.asarray(upper + lower + seam + corner + edge)


def _features(x: Float64Array, y: Float64Array) -> Float64Array:
    """Return the depth that brow, sockets, cheeks, mouth and chin add at (x, y), x >= 0."""
    out = 0.42 * bump(x, y, 2.6, 5.55, 1.7, 0.62) + 0.30 * bump(x, y, 5.0, 5.0, 0.9, 0.7)
    out += 0.10 * bump(x, y, 0, 5.6, 0.9, 0.6)
    out -= 0.62 * bump(x, y, 2.0, 3.75, 0.72, 0.75) + 0.52 * bump(x, y, 3.5, 3.6, 1.2, 0.95)
    out -= 0.10 * bump(x, y, 2.7, 2.2, 0.9, 0.3)
    out += 0.30 * bump(x, y, 4.9, 1.1, 1.3, 1.0) + 0.26 * bump(x, y, 3.5, -0.3, 1.1, 1.2)
    out -= 0.22 * bump(x, y, 4.4, -2.6, 1.2, 1.2)
    fold = 2.35 + 0.33 * (-0.2 - y)
    out -= (
        0.10
        * np.exp(-0.5 * ((x - fold) / 0.34) ** 2)
        * smoothstep(-y, -0.4, 0.6)
        * smoothstep(y, -3.6, -2.4)
    )
    out += 0.12 * bump(x, y, 0.52, -1.95, 0.20, 0.45) - 0.12 * bump(x, y, 0, -1.95, 0.24, 0.5)
    out -= 0.42 * bump(x, y, 0, -5.05, 1.5, 0.42)
    out += 0.42 * bump(x, y, 0, -6.55, 1.15, 0.85) + 0.12 * bump(x, y, 1.3, -6.6, 0.7, 0.7)
    return np.asarray(out)


def sculpt(p: Float64Array, q: Float64Array, lid: NDArray[np.int32]) -> Float64Array:
    """Return the mean skin, float64 (N, 3), of the half with x >= 0.

    Parameters
    ----------
    p, q
        Plane coordinates (N,).
    lid
        Ring around the eye, 0 at the rim, -1 elsewhere, see :class:`~vultus.worlds.layout.Layout`.
    """
    points = base_surface(p, q)
    x, y = points[:, 0].copy(), np.where(q < DOME, q, points[:, 1])
    front = smoothstep(np.cos(p / 9.0), 0.1, 0.35) * smoothstep(q, -8.6, -7.4)
    nose, droop = _nose(x, y)
    points[:, 2] += front * (_features(x, y) + nose + _lips(x, y))
    points[:, 1] += front * droop
    pit = bump(x, y, 0.68, -0.86, 0.27, 0.17) * front
    points[:, 2] -= 0.75 * pit
    points[:, 1] += 0.42 * pit
    # Temples are a little hollow, cheekbones a little wide.
    points[:, 0] += front * (
        0.16 * bump(x, y, 6.9, 1.3, 1.2, 1.0) - 0.22 * bump(x, y, 7.2, 5.6, 1.2, 1.3)
    )
    return _lids(points, x, y, lid)


def _lids(
    points: Float64Array, x: Float64Array, y: Float64Array, lid: NDArray[np.int32]
) -> Float64Array:
    """Lay the skin around the eye over the eyeball."""
    out = points.copy()
    cx, cy, cz = EYE
    away = np.hypot(x - cx, y - cy)
    radius = EYE_RADIUS + 0.13
    ball = cz + np.sqrt(np.clip(radius**2 - away**2, 0.0, None))
    near = (away < radius * 0.999) & (points[:, 2] > 5)
    softness = 0.10
    over = np.logaddexp(points[:, 2] / softness, ball / softness) * softness
    out[near, 2] = over[near]
    rim = lid == 0
    radius = EYE_RADIUS + 0.07
    out[rim, 2] = cz + np.sqrt(np.clip(radius**2 - away[rim] ** 2, 0.02, None))
    crease = (lid >= 0) & (y > cy)
    above = 0.10 * np.exp(-0.5 * ((away - 1.02) / 0.12) ** 2)
    out[crease, 2] -= above[crease]
    return out
