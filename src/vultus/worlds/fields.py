"""How the procedural head varies: displacement fields for identity and expression.

Each field is a smooth window around a feature times a direction, in centimetres, made symmetric
by construction. The fields of identity are worth one standard deviation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vultus.worlds.sculpt import EYE, EYE_RADIUS, MOUTH_Y, bump, rim_of_eye, smoothstep

Float64Array = NDArray[np.float64]
IntArray = NDArray[np.int32]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """The mean head with what the fields need to know about each vertex.

    Parameters
    ----------
    points
        float64 (V, 3).
    lid
        int32 (V,) ring around the eye, 0 at the rim, -1 elsewhere.
    eye
        bool (V,) vertices of the eyeballs.
    ear
        bool (V,) vertices of the ears.
    jaw
        float64 (V,) share of the jaw's motion that each vertex follows.
    """

    points: Float64Array
    lid: IntArray
    eye: BoolArray
    ear: BoolArray
    jaw: Float64Array


# name: windows, each (cx, cy, sx, sy, dx, dy, dz); dx > 0 is away from the midline.
_Window = tuple[float, float, float, float, float, float, float]
IDENTITY: dict[str, tuple[_Window, ...]] = {
    "jaw_width": ((6.2, -4.2, 2.2, 2.2, 0.42, 0.0, 0.05),),
    "jaw_angle": ((6.2, -3.2, 1.6, 1.6, 0.12, -0.45, -0.1),),
    "chin_width": ((2.2, -6.8, 1.3, 1.2, 0.34, 0.0, 0.12),),
    "chin_height": ((0.0, -7.4, 3.6, 2.0, 0.0, -0.48, 0.0),),
    "chin_out": ((0.0, -6.9, 1.9, 1.5, 0.0, 0.0, 0.42),),
    "chin_cleft": ((0.0, -6.5, 0.30, 0.6, 0.0, 0.0, -0.14),),
    "cheekbone_out": ((5.6, 1.2, 1.5, 1.1, 0.22, 0.0, 0.24),),
    "cheekbone_height": ((5.3, 1.2, 1.6, 1.5, 0.0, 0.36, 0.06),),
    "cheek_full": ((4.9, -2.0, 1.7, 1.8, 0.30, 0.0, 0.34),),
    "cheek_front": ((3.4, -0.3, 1.1, 1.2, 0.0, 0.0, 0.24),),
    "nasolabial": ((2.95, -1.6, 0.42, 1.3, 0.0, 0.0, -0.16), (3.8, -1.4, 0.6, 1.2, 0, -0.05, 0.14)),
    "jowls": ((4.9, -5.2, 1.3, 0.9, 0.16, -0.28, 0.16),),
    "temple": ((7.2, 5.4, 1.5, 1.8, 0.26, 0.0, 0.08),),
    "brow_ridge": ((2.6, 5.4, 2.0, 0.7, 0.0, 0.0, 0.26), (4.9, 4.9, 0.9, 0.6, 0, 0, 0.16)),
    "brow_height": ((3.3, 5.8, 2.6, 0.9, 0.0, 0.26, 0.0),),
    "brow_slant": ((5.2, 5.5, 1.2, 0.8, 0.0, 0.24, 0.0), (1.4, 5.6, 0.9, 0.7, 0.0, -0.14, 0.0)),
    "forehead_slope": ((0.0, 9.5, 6.0, 3.0, 0.0, 0.0, 0.42),),
    "forehead_boss": ((2.2, 8.3, 2.0, 1.6, 0.0, 0.0, 0.20),),
    "eye_spacing": ((3.15, 3.5, 1.7, 1.5, 0.17, 0.0, 0.0),),
    "eye_height": ((3.15, 3.6, 2.4, 1.5, 0.0, 0.20, 0.0),),
    "eye_depth": ((3.15, 3.5, 1.6, 1.3, 0.0, 0.0, 0.20),),
    "socket_depth": ((2.0, 4.3, 0.9, 0.6, 0.0, 0.0, -0.20), (4.2, 4.6, 0.8, 0.5, 0, 0, -0.12)),
    "eye_bags": ((3.2, 2.15, 1.0, 0.40, 0.0, 0.0, 0.13), (3.2, 1.5, 1.1, 0.3, 0, 0, -0.08)),
    "nose_length": ((0.0, -0.3, 1.9, 1.3, 0.0, -0.30, 0.04),),
    "nose_out": ((0.0, 0.4, 1.2, 1.3, 0.0, 0.0, 0.34),),
    "nose_width": ((1.6, -0.3, 0.75, 0.95, 0.22, 0.0, -0.04),),
    "nose_wings": ((1.75, -0.35, 0.45, 0.5, 0.14, 0.05, 0.12),),
    "nose_tip_up": ((0.0, 0.1, 1.0, 0.8, 0.0, 0.24, 0.06),),
    "nose_tip_round": ((0.75, 0.3, 0.5, 0.5, 0.14, 0.0, 0.12),),
    "bridge_width": ((0.9, 2.4, 0.55, 1.5, 0.16, 0.0, 0.10),),
    "bridge_height": ((0.0, 3.1, 0.8, 1.3, 0.0, 0.0, 0.32),),
    "bridge_hump": ((0.0, 1.9, 0.6, 0.55, 0.0, 0.0, 0.22),),
    "root_height": ((0.0, 4.1, 0.9, 0.7, 0.0, 0.0, 0.26),),
    "mouth_width": ((2.5, -3.45, 1.3, 1.0, 0.24, 0.0, -0.06),),
    "mouth_height": ((0.0, -3.5, 3.4, 1.3, 0.0, 0.28, 0.0),),
    "mouth_out": ((0.0, -3.3, 2.0, 1.3, 0.0, 0.0, 0.30),),
    "mouth_corners": ((2.55, -3.45, 0.7, 0.6, 0.0, 0.15, 0.0),),
    "upper_lip_full": ((0.0, -2.75, 1.8, 0.30, 0.0, 0.16, 0.13),),
    "lower_lip_full": ((0.0, -4.25, 1.7, 0.34, 0.0, -0.18, 0.15),),
    "lip_bow": ((0.0, -2.6, 0.28, 0.22, 0.0, -0.12, 0.0), (0.65, -2.55, 0.25, 0.2, 0, 0.08, 0.04)),
    "overbite": ((0.0, -2.4, 2.0, 0.8, 0.0, 0.0, 0.18), (0.0, -4.8, 2.0, 0.9, 0.0, 0.0, -0.22)),
    "philtrum": ((0.0, -1.95, 0.26, 0.5, 0.0, 0.0, -0.10), (0.5, -1.95, 0.2, 0.5, 0, 0, 0.06)),
    "chin_fold": ((0.0, -5.05, 1.6, 0.45, 0.0, 0.0, -0.20),),
}


def window(
    a: Anatomy, cx: float, cy: float, sx: float, sy: float, from_z: float = 2.0
) -> Float64Array:
    """Return a Gaussian window on the front of the face, symmetric in x, float64 (V,)."""
    x, y, z = np.abs(a.points[:, 0]), a.points[:, 1], a.points[:, 2]
    return bump(x, y, cx, cy, sx, sy) * smoothstep(z, from_z, from_z + 3.5)


def identity_fields(a: Anatomy) -> tuple[tuple[str, ...], Float64Array]:
    """Return names and fields, float64 (I, V, 3), of the symmetric identity directions."""
    fields: dict[str, Float64Array] = {}
    x, y, z = a.points.T
    side = np.tanh(x / 0.25)
    zero = np.zeros_like(x)
    fields["head_width"] = np.stack([0.040 * x, zero, zero], 1)
    fields["head_depth"] = np.stack([zero, zero, 0.035 * (z - 3.0)], 1)
    lower = smoothstep(-y, -3.5, 6.0)
    fields["face_length"] = np.stack([zero, -0.75 * lower, zero], 1)
    crown = smoothstep(y, 5.0, 12.0)
    fields["crown_height"] = np.stack([zero, 0.50 * crown, -0.25 * crown], 1)
    back = smoothstep(-z, -1.0, 6.0)
    fields["back_of_head"] = np.stack([zero, zero, -0.5 * back], 1)
    taper = np.clip((y + 1.0) / 8.0, -1, 1.2) * smoothstep(y, -11.0, -7.0)
    fields["face_taper"] = np.stack([0.055 * x * taper, zero, zero], 1)
    neck = smoothstep(-y, 7.5, 10.0) * (np.abs(x) < 12)
    fields["neck_width"] = np.stack([0.07 * x * neck, zero, 0.05 * (z + 1.0) * neck], 1)
    for name, windows in IDENTITY.items():
        total = np.zeros_like(a.points)
        for cx, cy, sx, sy, dx, dy, dz in windows:
            w = window(a, cx, cy, sx, sy)
            total += w[:, None] * np.stack([dx * side, np.full_like(x, dy), np.full_like(x, dz)], 1)
        fields[name] = _rigid_eyes(a, total)
    fields.update(_eye_fields(a))
    fields.update(_ear_fields(a))
    return tuple(fields), np.stack(list(fields.values()))


def _eye_fields(a: Anatomy) -> dict[str, Float64Array]:
    """Fields that turn or open the eye about its centre, on lids only."""
    x, y = a.points[:, 0], a.points[:, 1]
    side = np.sign(x)
    from_x, from_y = np.abs(x) - EYE[0], y - EYE[1]
    near = window(a, EYE[0], EYE[1], 1.5, 1.0, 5.0) * ~a.eye
    upper = near * (from_y > 0) * (a.lid >= 0)
    zero = np.zeros_like(x)
    return {
        "eye_slant": np.stack([zero, 0.13 * from_x * near, zero], 1),
        "eye_size": np.stack([0.055 * from_x * near * side, 0.085 * from_y * near, 0.03 * near], 1),
        "eye_opening": np.stack([zero, 0.16 * from_y * near, zero], 1),
        "eye_width": np.stack([0.06 * from_x * near * side, zero, zero], 1),
        "lid_hood": np.stack(
            [zero, -0.10 * upper, 0.14 * upper * smoothstep(from_y, 0.55, 1.0)], 1
        ),
        "inner_fold": window(a, 1.8, 3.45, 0.35, 0.45)[:, None]
        * np.stack([0.06 * side, np.full_like(x, -0.12), np.full_like(x, 0.14)], 1)
        * ~a.eye[:, None],
    }


def _ear_fields(a: Anatomy) -> dict[str, Float64Array]:
    x, y, z = a.points.T
    side, ear = np.sign(x), a.ear.astype(float)
    back = np.clip(1.4 - z, 0, 3.5) * ear
    lobe = ear * smoothstep(-y, -0.4, 1.6)
    zero = np.zeros_like(x)
    return {
        "ear_size": np.stack([zero, 0.07 * (y - 1.2) * ear, -0.06 * back], 1),
        "ear_out": np.stack([0.16 * back * side, zero, 0.04 * back], 1),
        "ear_lobe": np.stack([zero, -0.22 * lobe, zero], 1),
    }


def _rigid_eyes(a: Anatomy, field: Float64Array) -> Float64Array:
    """Let each eyeball move as a whole, by the mean of the field at its front."""
    out = field.copy()
    for sign in (-1, 1):
        own = a.eye & (np.sign(a.points[:, 0]) == sign)
        front = own & (a.points[:, 2] > EYE[2] + 0.5)
        out[own] = field[front].mean(0)
    return out


def expression_fields(a: Anatomy) -> tuple[tuple[str, ...], Float64Array]:
    """Return names (ARKit style) and fields, float64 (E, V, 3), of the expressions."""
    paired = _upper_face(a) | _mouth_sides(a)
    x = a.points[:, 0]
    # "_L" is the person's left, the image's right.
    to_left = 1 / (1 + np.exp(-np.clip(x / 0.22, -50, 50)))
    fields: dict[str, Float64Array] = {}
    for name, field in paired.items():
        fields[f"{name}_L"] = field * to_left[:, None]
        fields[f"{name}_R"] = field * (1 - to_left)[:, None]
    fields |= _mouth_whole(a)
    return tuple(fields), np.stack(list(fields.values()))


def _field(a: Anatomy, *windows: _Window, keep_eyes: bool = True) -> Float64Array:
    side = np.tanh(a.points[:, 0] / 0.25)
    out = np.zeros_like(a.points)
    for cx, cy, sx, sy, dx, dy, dz in windows:
        w = window(a, cx, cy, sx, sy)
        out += w[:, None] * np.stack([dx * side, np.full(len(w), dy), np.full(len(w), dz)], 1)
    if keep_eyes:
        out[a.eye] = 0
    return out


def _upper_face(a: Anatomy) -> dict[str, Float64Array]:
    return {
        "browDown": _field(
            a, (1.7, 5.5, 1.3, 0.75, -0.30, -0.80, 0.16), (4.0, 5.8, 1.5, 0.7, 0, -0.42, 0.0)
        ),
        "browInnerUp": _field(
            a, (1.3, 5.8, 1.2, 1.0, 0.0, 1.05, 0.0), (1.6, 7.6, 1.4, 0.8, 0, 0.2, 0.06)
        ),
        "browOuterUp": _field(a, (4.9, 5.8, 1.4, 0.9, 0.0, 0.75, 0.0)),
        "cheekSquint": _field(
            a, (3.9, 1.1, 1.3, 0.8, 0.05, 0.42, 0.22), (3.3, 2.6, 1.1, 0.4, 0, 0.22, 0.05)
        ),
        "cheekPuff": _field(a, (4.3, -2.9, 1.4, 1.5, 0.62, 0.0, 0.85)),
        "noseSneer": _field(
            a,
            (1.55, -0.2, 0.7, 0.8, 0.12, 0.50, 0.06),
            (0.9, 3.4, 0.6, 0.8, -0.05, 0.1, 0.12),
            (2.2, -1.6, 0.7, 0.7, 0, 0.25, 0.06),
        ),
        "eyeBlink": _lid_motion(a, 1.0, 0.12),
        "eyeSquint": _lid_motion(a, 0.28, 0.42),
        "eyeWide": _lid_motion(a, -0.32, -0.10),
        "eyeLookUp": _lid_motion(a, -0.16, 0.10),
        "eyeLookDown": _lid_motion(a, 0.42, -0.12),
        "eyeLookIn": np.zeros_like(a.points),
        "eyeLookOut": np.zeros_like(a.points),
    }


def _lid_motion(a: Anatomy, upper: float, lower: float) -> Float64Array:
    """Move the lids over the eyeball by shares of the opening; 1 closes the eye from above."""
    rim = rim_of_eye(400)
    top, bottom = rim[:201][::-1], np.concatenate([rim[200:], rim[:1]])
    x, y, z = a.points.T
    across = np.abs(x)
    y_top = np.interp(across, top[:, 0], top[:, 1])
    y_bottom = np.interp(across, bottom[:, 0], bottom[:, 1])
    opening = np.clip(y_top - y_bottom, 0, None)
    falloff = np.array([1.0, 0.86, 0.58, 0.24, 0.04])
    ring = np.where(a.lid >= 0, falloff[np.clip(a.lid, 0, len(falloff) - 1)], 0.0)
    line = (y_top + y_bottom) / 2
    shift = np.where(y > line, -upper * opening, lower * opening) * ring
    out = np.zeros_like(a.points)
    out[:, 1] = shift
    # Stay on the ball: what the lid covers bulges, what it leaves falls back.
    radius = EYE_RADIUS + 0.10
    after = np.hypot(across - EYE[0], y + shift - EYE[1])
    ball = EYE[2] + np.sqrt(np.clip(radius**2 - after**2, 0.0, None))
    on_ball = (a.lid >= 0) & (a.lid <= 2) & (after < 0.98 * radius)
    out[:, 2] = np.where(on_ball, np.maximum(ball - z, -0.25) * (np.abs(shift) > 1e-6), 0.0)
    return out


def _mouth_sides(a: Anatomy) -> dict[str, Float64Array]:
    upper = (1 - a.jaw)[:, None]
    lower = a.jaw[:, None]
    return {
        "mouthSmile": _field(
            a,
            (2.6, -3.4, 0.95, 0.85, 0.80, 0.90, -0.50),
            (4.2, -0.6, 1.2, 1.1, 0.16, 0.40, 0.46),
            (1.4, -3.4, 0.8, 0.9, 0.16, 0.12, -0.12),
            (3.4, -2.2, 0.35, 0.9, 0.05, 0, -0.12),
        ),
        "mouthFrown": _field(
            a,
            (2.55, -3.6, 0.8, 0.8, 0.12, -0.85, -0.08),
            (2.9, -4.9, 0.8, 0.9, 0.05, -0.16, 0.10),
        ),
        "mouthStretch": _field(
            a, (2.7, -3.6, 1.0, 0.9, 0.55, -0.24, -0.22), (3.3, -5.5, 1.1, 1.2, 0.18, -0.2, 0)
        ),
        "mouthDimple": _field(a, (2.8, -3.4, 0.55, 0.6, 0.24, 0.06, -0.34)),
        "mouthPress": _field(
            a, (1.4, -2.9, 1.2, 0.35, 0.0, -0.16, -0.18), (1.4, -4.1, 1.2, 0.4, 0, 0.18, -0.18)
        ),
        "mouthUpperUp": _field(
            a, (1.3, -2.9, 0.95, 0.95, 0.06, 0.75, 0.02), (2.4, -1.5, 0.7, 0.8, 0.05, 0.22, 0.1)
        )
        * upper,
        "mouthLowerDown": _field(a, (1.3, -4.1, 1.0, 0.95, 0.05, -0.62, -0.02)) * lower,
    }


def _mouth_whole(a: Anatomy) -> dict[str, Float64Array]:
    x, y, z = a.points.T
    zero = np.zeros_like(x)
    near = window(a, 0.0, MOUTH_Y, 2.6, 1.3) * ~a.eye
    lips = window(a, 0.0, MOUTH_Y, 2.2, 0.9)
    away = y - MOUTH_Y
    turn = np.deg2rad(19.0)
    hinge_y, hinge_z = 0.6, 1.5
    dy, dz = y - hinge_y, z - hinge_z
    opened = np.stack(
        [
            -0.03 * x,
            dy * (np.cos(turn) - 1) - dz * np.sin(turn),
            dy * np.sin(turn) + dz * (np.cos(turn) - 1) + 1.1,
        ],
        1,
    )
    corner = _field(a, (2.5, MOUTH_Y, 0.8, 1.2, -0.28, 0.0, 0.0))
    shift = a.jaw + 0.5 * lips * (1 - a.jaw)
    along = np.stack([shift, zero, zero], 1)
    pucker = np.stack([-0.42 * x * near, -0.10 * away * near, (0.75 - 0.05 * x**2) * lips], 1)
    funnel = np.stack([-0.30 * x * near, 0.42 * np.tanh(away / 0.3) * lips, 0.70 * lips], 1)
    sideways = np.stack([0.75 * near, 0.04 * x * near, -0.05 * np.abs(x) * near], 1)
    return {
        "jawOpen": opened * a.jaw[:, None] + corner,
        "jawForward": np.stack([zero, zero, 0.7 * a.jaw], 1),
        "jawLeft": 0.8 * along,
        "jawRight": -0.8 * along,
        "mouthPucker": pucker,
        "mouthFunnel": funnel,
        "mouthLeft": sideways,
        "mouthRight": sideways * np.array([-1, -1, 1]),
    }
