"""Print and replay attacks: a picture shown again on paper or on a screen, before a camera.

The sheet is a plane or a cylinder in space, cut by the ray of every sample, so that geometry,
depth, shading, halftone, pixel grid and the moire between grid and sensor are consistent.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.worlds.camera import Camera, rotation
from vultus.worlds.noise import fractal_noise, linear
from vultus.worlds.render import Lighting

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]

#: Samples per pixel side; few enough that fine grids alias, as they do on a sensor.
SAMPLES = 3


@dataclass(frozen=True, slots=True)
class Sheet:
    """Where a picture is shown.

    Parameters
    ----------
    pose
        Yaw, pitch, roll of the sheet in degrees.
    width, height
        Of the picture, centimetres.
    border
        Bezel of a screen or margin of paper, centimetres.
    bend
        Curvature about the vertical axis: depth grows by bend * x^2, per centimetre.
    screen
        Whether it emits light; paper otherwise.
    pitch
        Dots or screen pixels per centimetre.
    gamut
        0 keeps colours, 1 loses all saturation.
    contrast
        Lightest over darkest reproducible tone.
    glare
        Strength of the mirror image of the key light.
    banding
        Depth of brightness bands from refresh.
    brightness
        Of a screen, relative to the scene.
    holes
        Whether the eyes are cut out.
    """

    pose: tuple[float, float, float] = (0.0, 0.0, 0.0)
    width: float = 20.0
    height: float = 20.0
    border: float = 1.0
    bend: float = 0.0
    screen: bool = False
    pitch: float = 30.0
    gamut: float = 0.2
    contrast: float = 20.0
    glare: float = 0.1
    banding: float = 0.0
    brightness: float = 1.0
    holes: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A re-imaged picture.

    Parameters
    ----------
    radiance
        float32 (S, S, 4), linear, premultiplied with coverage, and coverage.
    depth
        float32 (S, S) centimetres, infinite off the sheet.
    place
        float32 (S, S, 2): column and row of the shown picture at each pixel, -1 off the picture.
    normals
        float32 (S, S, 3).
    cut
        bool (S, S), where the sheet has a hole.
    """

    radiance: FloatArray
    depth: FloatArray
    place: FloatArray
    normals: FloatArray
    cut: BoolArray


def sample_sheet(species: str, rng: np.random.Generator) -> Sheet:
    """Draw a sheet for ``print``, ``print_bent``, ``print_cut`` or ``replay``."""
    pose = tuple(float(v) for v in rng.normal(0, [7.0, 6.0, 4.0]))
    screen = species == "replay"
    width = float(rng.uniform(14, 24)) if not screen else float(rng.uniform(7, 26))
    height = width * float(rng.uniform(0.95, 1.05))
    bend = float(rng.uniform(0.008, 0.03) * rng.choice([-1, 1])) if species == "print_bent" else 0.0
    return Sheet(
        pose=pose,  # type: ignore[arg-type]
        width=width,
        height=height,
        border=float(rng.uniform(0.3, 2.0)),
        bend=bend if bend else float(rng.normal(0, 0.0012)) * (not screen),
        screen=screen,
        pitch=float(rng.uniform(25, 70) if screen else rng.uniform(22, 60)),
        gamut=float(rng.uniform(0.0, 0.15) if screen else rng.uniform(0.05, 0.4)),
        contrast=float(rng.uniform(60, 300) if screen else rng.uniform(8, 35)),
        glare=float(rng.uniform(0.0, 0.8) if screen else rng.uniform(0.0, 0.25)),
        banding=float(rng.choice([0.0, rng.uniform(0.02, 0.15)])) if screen else 0.0,
        brightness=float(rng.uniform(0.6, 1.6)),
        holes=species == "print_cut",
    )


def show(
    picture: UInt8Array,
    sheet: Sheet,
    *,
    fill: float,
    size: int,
    lighting: Lighting,
    rng: np.random.Generator,
    eyes: FloatArray | None = None,
) -> Shown:
    """Show a picture on a sheet and look at it with a camera.

    Parameters
    ----------
    picture
        uint8 (H, W, 3): what is printed or displayed.
    sheet
        Where and how.
    fill
        Height of the shown picture as a share of the height of the result.
    size
        Side of the result.
    lighting
        Lights of the scene.
    rng
        Source of paper texture and phases.
    eyes
        float32 (2, K, 2) outlines of the eyes in picture pixels, for cut-outs.
    """
    distance = max(sheet.height / max(fill, 0.05) * 1.15, 24.0)
    camera = Camera(distance=distance, fill=fill * 24.0 / sheet.height)
    side = size * SAMPLES
    across, down, depth, normals = _hit(sheet, camera, side)
    on = (np.abs(across) <= 0.5) & (np.abs(down) <= 0.5)
    rim_x = 0.5 + sheet.border / sheet.width
    rim_y = 0.5 + sheet.border / sheet.height
    body = (np.abs(across) <= rim_x) & (np.abs(down) <= rim_y) & np.isfinite(depth)
    shape = picture.shape
    column = (across + 0.5) * shape[1] - 0.5
    row = (down + 0.5) * shape[0] - 0.5
    tone = _fetch(picture, column, row)
    if sheet.screen:
        light = _screen(tone, on, across, down, sheet, rng, lighting)
    else:
        light = _paper(tone, on, across, down, sheet, rng, lighting, normals)
    light = light + _glare(sheet, normals, lighting, across, down)[..., None]
    cut = np.zeros(on.shape, bool)
    if sheet.holes and eyes is not None:
        mask = np.zeros(shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.round(e).astype(np.int32) for e in eyes], 255)
        inside = cv2.remap(mask, column, row, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
        cut = (inside > 0) & on
    solid = (body & ~cut).astype(np.float32)
    fine = np.concatenate([np.maximum(light, 0) * solid[..., None], solid[..., None]], 2)
    middle = SAMPLES // 2
    pick = (slice(middle, None, SAMPLES), slice(middle, None, SAMPLES))
    place = np.where((on & body)[..., None], np.stack([column, row], -1), -1.0)
    whole = body & ~cut
    return Shown(
        cv2.resize(fine.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA),  # type: ignore[arg-type]
        np.where(whole, depth, np.inf)[pick].astype(np.float32),
        place[pick].astype(np.float32),
        np.where(whole[..., None], normals, 0)[pick].astype(np.float32),
        cut[pick],
    )


def _hit(
    sheet: Sheet, camera: Camera, side: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Intersect the ray of every sample with the sheet.

    Returns
    -------
    Place across and down in [-0.5, 0.5] on the picture, depth, and normals, for (side, side).
    """
    turn = rotation(*sheet.pose)
    focal = camera.focal(side)
    pixel = np.arange(side) - (side - 1) / 2
    x, y = np.meshgrid(pixel / focal, -pixel / focal)
    ray = np.stack([x, y, -np.ones_like(x)], -1) @ turn
    origin = np.array([0.0, 0.0, camera.distance]) @ turn
    k = sheet.bend
    a = k * ray[..., 0] ** 2
    b = 2 * k * origin[0] * ray[..., 0] - ray[..., 2]
    c = k * origin[0] ** 2 - origin[2]
    root = b * b - 4 * a * c
    # The numerically stable form of the smaller positive root; a plane has a = 0.
    t = np.where(root >= 0, 2 * c / (-b - np.sign(b) * np.sqrt(np.maximum(root, 0))), np.inf)
    hit = np.isfinite(t) & (t > 0)
    t = np.where(hit, t, 0.0)
    px, py = origin[0] + t * ray[..., 0], origin[1] + t * ray[..., 1]
    # Arc length along the bend, to third order.
    arc = px * (1 + (2.0 / 3.0) * (k * px) ** 2)
    slope = -2 * k * px
    normal = np.stack([slope, np.zeros_like(slope), np.ones_like(slope)], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = normal @ turn.T
    off = np.where(hit, 0.0, 9.0)
    return (
        (arc / sheet.width + off).astype(np.float32),
        (-py / sheet.height + off).astype(np.float32),
        np.where(hit, t, np.inf).astype(np.float32),
        normal.astype(np.float32),
    )


def _fetch(picture: UInt8Array, column: FloatArray, row: FloatArray) -> FloatArray:
    found = cv2.remap(picture, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return linear(found.astype(np.float32) / 255)


def _gamut(tone: FloatArray, sheet: Sheet) -> FloatArray:
    grey = tone @ np.array([0.25, 0.6, 0.15], np.float32)
    out = grey[..., None] + (tone - grey[..., None]) * (1 - sheet.gamut)
    black = 1.0 / sheet.contrast
    return np.asarray(black + np.clip(out, 0, 1) * (1 - black), np.float32)


def _paper(
    tone: FloatArray,
    on: BoolArray,
    across: FloatArray,
    down: FloatArray,
    sheet: Sheet,
    rng: np.random.Generator,
    lighting: Lighting,
    normals: FloatArray,
) -> FloatArray:
    ink = 1 - _gamut(tone, sheet)
    x, y = across * sheet.width * sheet.pitch, down * sheet.height * sheet.pitch
    dots = np.empty_like(ink)
    for channel, angle in enumerate((15.0, 75.0, 0.0)):
        c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
        phase = 2 * np.pi * rng.random(2)
        wave = np.cos(2 * np.pi * (x * c + y * s) + phase[0]) * np.cos(
            2 * np.pi * (y * c - x * s) + phase[1]
        )
        # A dot screen: a soft threshold of the tone against the wave keeps the mean tone.
        threshold = 0.5 + 0.5 * wave
        hard = np.clip((ink[..., channel] - threshold) * 3.0 + 0.5, 0, 1)
        dots[..., channel] = 0.72 * ink[..., channel] + 0.28 * hard
    white = np.array([0.82, 0.81, 0.78]) * rng.uniform(0.92, 1.05, 3)
    base = np.where(on[..., None], (1 - dots) * white, white)
    fibre = fractal_noise(rng, base.shape[:2], base.shape[0] / 9, 2)
    base = base * (1 + 0.012 * fibre[..., None])
    return np.asarray(base * _lambert(normals, lighting), np.float32)


def _lambert(normals: FloatArray, lighting: Lighting) -> FloatArray:
    up = 0.5 + 0.5 * normals[..., 1:2]
    out = up * lighting.sky + (1 - up) * lighting.ground
    for direction, colour in zip(lighting.directions, lighting.colours, strict=True):
        out = out + np.clip(normals @ direction, 0, None)[..., None] * colour
    return np.asarray(out, np.float32)


def _screen(
    tone: FloatArray,
    on: BoolArray,
    across: FloatArray,
    down: FloatArray,
    sheet: Sheet,
    rng: np.random.Generator,
    lighting: Lighting,
) -> FloatArray:
    shown = _gamut(tone, sheet)
    x, y = across * sheet.width * sheet.pitch, down * sheet.height * sheet.pitch
    # Three stripes per pixel, dark lines between rows of pixels.
    for channel in range(3):
        stripe = 1 + 0.45 * np.cos(2 * np.pi * (x - channel / 3))
        shown[..., channel] *= stripe * (1 + 0.25 * np.cos(2 * np.pi * y))
    if sheet.banding > 0:
        bars = np.cos(2 * np.pi * (np.linspace(0, rng.uniform(1.5, 5), len(shown)) + rng.random()))
        shown *= (1 + sheet.banding * bars)[:, None, None]
    ambient = (lighting.sky + lighting.ground) * 0.5
    cold = np.array([0.96, 1.0, 1.06], np.float32) ** float(rng.uniform(-1, 2))
    emitted = shown * cold * sheet.brightness + 0.012 * ambient
    bezel = float(rng.choice([0.02, 0.03, 0.35])) * (ambient + 0.3)
    return np.asarray(np.where(on[..., None], emitted, bezel), np.float32)


def _glare(
    sheet: Sheet, normals: FloatArray, lighting: Lighting, across: FloatArray, down: FloatArray
) -> FloatArray:
    if sheet.glare <= 0 or not len(lighting.directions):
        return np.zeros(across.shape, np.float32)
    half = lighting.directions[0] + np.array([0, 0, 1], np.float32)
    half = half / np.linalg.norm(half)
    shine = np.clip(normals @ half, 0, 1) ** (60.0 if sheet.screen else 14.0)
    # The source is not a point: its image has a size, and an edge, on the sheet.
    spot = np.exp(-(((across - 1.6 * half[0]) / 0.4) ** 2) - ((down + 1.6 * half[1]) / 0.35) ** 2)
    return np.asarray(sheet.glare * (0.5 * shine + 0.8 * spot), np.float32)
