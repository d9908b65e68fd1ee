"""Near-infrared and thermal channels, consistent with what stands before the camera.

Near infrared (about 850 nm, light beside the camera): skin is bright whatever its colour, because
melanin and blood hardly absorb there and light scatters deep; prints keep only what their black
ink shows; screens are dark, since displays emit nothing there. Thermal (8 to 14 micrometres):
degrees Celsius of the surface; paper and plastic take the temperature of the room.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.errors import ConfigError
from vultus.worlds.appearance import Appearance
from vultus.worlds.chart import SKIN_BOTTOM, Part, patch_window
from vultus.worlds.noise import fractal_noise
from vultus.worlds.render import Atlas, View
from vultus.worlds.sheets import Sheet, Shown

FloatArray = NDArray[np.float32]

#: Parts that a mask covers: everything but eyes, hair, and what is not face.
MASKED = (
    Part.SKIN,
    Part.LEFT_BROW,
    Part.RIGHT_BROW,
    Part.NOSE,
    Part.UPPER_LIP,
    Part.INNER_MOUTH,
    Part.LOWER_LIP,
)

#: Surface temperature of each part at a comfortable room, degrees Celsius.
PART_TEMPERATURE = np.array(
    [32.5, 34.0, 33.6, 33.6, 34.9, 34.9, 32.2, 34.3, 35.8, 34.3, 28.5], np.float32
)


@dataclass(frozen=True, slots=True)
class Room:
    """Temperatures of a sitting, degrees Celsius: of the room, and of the device of a replay."""

    ambient: float = 22.0
    device: float = 32.0

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Room:
        """Draw a room from 17 to 28 degrees, and a device some degrees warmer."""
        ambient = float(rng.uniform(17, 28))
        return cls(ambient, ambient + float(rng.uniform(3, 14)))


def infrared_atlas(atlas: Atlas, look: Appearance) -> Atlas:
    """Return the near-infrared paint of a person, in the first channel."""
    size = len(atlas.colour)
    rows = int(SKIN_BOTTOM * size)
    red = atlas.colour[..., 0]
    out = np.zeros_like(atlas.colour)
    smooth = cv2.GaussianBlur(red[:rows], (0, 0), size / 120)
    typical = float(np.median(smooth))
    # What little melanin absorbs, and the relief of brows and beard, remain.
    level = 0.66 - 0.07 * min(look.melanin, 2.4)
    out[:rows, :, 0] = level * np.clip(0.80 + 0.20 * red[:rows] / max(typical, 1e-3), 0.55, 1.1)
    for name, value in (
        ("teeth", 0.6),
        ("mouth", 0.35),
        ("frame", 0.25),
        ("cloth", 0.5),
        ("lens", 0.12),
    ):
        area = patch_window(name, size)
        out[(*area, 0)] = value
    area = patch_window("eye", size)
    out[(*area, 0)] = 0.25 + 0.35 * red[area]
    area = patch_window("hair", size)
    out[(*area, 0)] = 0.20 + 0.6 * red[area]
    return Atlas(out, atlas.labels, atlas.gloss)


def face_temperature(view: View, room: Room, offset: float, rng: np.random.Generator) -> FloatArray:
    """Return degrees Celsius, float32 (S, S), of a living head in a room."""
    return _sensor(_surface(view, room, offset, rng), len(view.depth), rng)


def _surface(view: View, room: Room, offset: float, rng: np.random.Generator) -> FloatArray:
    """Return what is warm and how warm, before the optics blur it."""
    size = len(view.depth)
    head = np.isfinite(view.depth)
    warm = PART_TEMPERATURE[view.parts] + np.float32(offset)
    warm = warm + 0.10 * (room.ambient - 22.0)
    warm = np.where(view.occluded, room.ambient + 3.0, warm)
    warm = _canthi(warm, view, size)
    veins = fractal_noise(rng, (size, size), 7, 3)
    return np.asarray(np.where(head, warm + 0.25 * veins, room.ambient + 0.0), np.float32)


def masked_temperature(
    view: View, room: Room, kind: str, offset: float, rng: np.random.Generator
) -> FloatArray:
    """Return degrees Celsius, float32 (S, S), of a masked face or of a mannequin.

    A mask covers the face but neither eyes nor neck. A rigid or paper mask warms a little from
    within, a flexible one lies on the skin and follows it, a mannequin stays at room temperature,
    or a little above when it was warmed.
    """
    living = _surface(view, room, offset, rng)
    size = len(view.depth)
    covered = np.isin(view.parts, MASKED) & ~view.occluded
    share = {"mask_paper": 0.18, "mask_rigid": 0.30, "mask_flexible": 0.72, "mannequin": 0.0}[kind]
    if kind == "mannequin":
        covered = np.isfinite(view.depth)
        share = float(rng.choice([0.0, rng.uniform(0.1, 0.4)]))
    face = room.ambient + (living - room.ambient) * np.float32(share)
    # The material spreads warmth along itself, and none from what it does not cover.
    spread = max(size / 40, 0.5)
    inside = covered.astype(np.float32)
    total = cv2.GaussianBlur(face * inside, (0, 0), spread)
    flat = total / np.maximum(cv2.GaussianBlur(inside, (0, 0), spread), 1e-3)
    # The optics come last: blurred before, the living head would glow around its mask.
    return _sensor(np.where(covered, flat, living), size, rng)


def masked_infrared(view: View, species: str, rng: np.random.Generator) -> FloatArray:
    """Return near-infrared radiance, float32 (S, S), of a head, masked or not.

    Raises
    ------
    ConfigError
        If the view was drawn without an infrared atlas.
    """
    if view.infrared is None:
        raise ConfigError("the view has no near-infrared picture: draw it with an infrared atlas")
    radiance = view.infrared[..., 0]
    # Paper is brighter than skin, moulded plastics darker, silicone about the same.
    middle = {"mask_paper": 1.18, "mask_rigid": 0.75, "mask_flexible": 0.93, "mannequin": 0.65}
    if species not in middle:
        return radiance
    covered = np.isin(view.parts, MASKED)
    if species == "mannequin":
        covered = np.isfinite(view.depth)
    factor = np.float32(middle[species] * rng.uniform(0.9, 1.1))
    return np.where(covered, radiance * factor, radiance).astype(np.float32)


def sheet_temperature(
    shown: Shown,
    sheet: Sheet,
    room: Room,
    rng: np.random.Generator,
    behind: FloatArray | None = None,
) -> FloatArray:
    """Return degrees Celsius, float32 (S, S), of a print or screen, warmed by hand or by itself.

    ``behind`` is what shows through cut-outs and around the sheet; the room otherwise.
    """
    size = len(shown.depth)
    out = np.full((size, size), room.ambient, np.float32) if behind is None else behind.copy()
    body = np.isfinite(shown.depth)
    if sheet.screen:
        y = np.linspace(-1, 1, size)[:, None]
        x = np.linspace(-1, 1, size)[None]
        spot = np.exp(-((x - rng.uniform(-0.4, 0.4)) ** 2 + (y - rng.uniform(-0.4, 0.4)) ** 2))
        surface = room.ambient + (room.device - room.ambient) * (0.6 + 0.4 * spot)
    else:
        y = np.linspace(0, 1, size)[:, None]
        x = np.linspace(-1, 1, size)[None]
        finger = np.exp(-((y - 1.0) ** 2) / 0.02 - (x - rng.uniform(-0.6, 0.6)) ** 2 / 0.05)
        surface = room.ambient + 0.4 + 5.0 * finger
    out[body] = np.broadcast_to(surface, (size, size))[body]
    return _sensor(out, size, rng)


def sheet_infrared(shown: Shown, sheet: Sheet, luminance: FloatArray) -> FloatArray:
    """Return near-infrared radiance, float32 (S, S), of a sheet lit from beside the camera.

    Parameters
    ----------
    shown, sheet
        The sheet.
    luminance
        float32 (S, S) linear luminance of the shown picture at each pixel.
    """
    body = np.isfinite(shown.depth)
    facing = np.clip(shown.normals[..., 2], 0, 1)
    if sheet.screen:
        # Black glass with a mirror image of the illuminator.
        return np.where(body, 0.025 + 0.3 * sheet.glare * facing**200, 0).astype(np.float32)
    # Dye inks are clear in the near infrared; only the black one leaves a pale picture.
    picture = np.where(shown.place[..., 0] >= 0, luminance, 1.0)
    reflect = 0.80 - 0.25 * np.clip(0.35 - picture, 0, 1) / 0.35
    return np.where(body, reflect * facing, 0).astype(np.float32)


def _canthi(warm: FloatArray, view: View, size: int) -> FloatArray:
    """Warm the inner corners of the eyes, the hottest places of a face."""
    y, x = np.mgrid[:size, :size]
    for point in (39, 42):
        if view.visible[point]:
            px, py = view.landmarks[point]
            spread = max(0.02 * float(np.ptp(view.landmarks[:, 0])), 0.6)
            warm = warm + 0.9 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * spread**2))
    return np.asarray(warm, np.float32)


def _sensor(degrees: FloatArray, size: int, rng: np.random.Generator) -> FloatArray:
    soft = cv2.GaussianBlur(np.asarray(degrees, np.float32), (0, 0), max(size / 110, 0.4))
    return np.asarray(soft + 0.05 * rng.standard_normal(soft.shape), np.float32)
