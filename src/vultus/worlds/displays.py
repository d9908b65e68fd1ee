"""Replays on a bright screen that fills the view of a second camera: no bezel, no room around.

Where :mod:`vultus.worlds.sheets` renders a sheet in a scene, here the screen is all there is. The
grid of its pixels is a sum of harmonics, each damped by lens and aperture of the sensor's pixels
and then sampled at the sensor's places, so that moire comes out right at any pitch without
oversampling.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.errors import ConfigError
from vultus.worlds.camera import rotation
from vultus.worlds.capture import CameraState, CaptureDomain, capture, compressed
from vultus.worlds.noise import fractal_noise

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]

#: Harmonics of the grid that are kept; higher ones never pass a lens.
HARMONICS = 3

#: How much of its place a stripe of one colour fills.
STRIPE = 0.29

#: How much of its height a row of pixels fills.
ROW = 0.85

#: Cameras that look at their owner, beside :data:`~vultus.worlds.capture.DOMAINS`: near and bright,
#: with windows and lamps behind, pictures of a phone's front camera and of a laptop.
FRONT_DOMAINS: dict[str, CaptureDomain] = {
    d.name: d
    for d in (
        CaptureDomain(
            "selfie",
            light=(0.5, 1.6),
            exposure=(0.16, 0.42),
            warmth=(-0.15, 0.25),
            tint=(-0.05, 0.05),
            saturation=(0.9, 1.3),
            contrast=(0.9, 1.2),
            blur=(1.0, 4.0),
            motion=(0.0, 4.0),
            read_noise=(0.001, 0.004),
            shot_noise=(0.006, 0.018),
            sharpen=(0.2, 1.0),
            jpeg=(60, 95),
        ),
        CaptureDomain(
            "laptop",
            light=(0.3, 1.2),
            exposure=(0.13, 0.48),
            warmth=(-0.25, 0.25),
            tint=(-0.06, 0.06),
            saturation=(0.7, 1.15),
            contrast=(0.85, 1.2),
            blur=(1.5, 5.0),
            motion=(0.0, 4.0),
            read_noise=(0.001, 0.005),
            shot_noise=(0.008, 0.025),
            vignette=(0.0, 0.3),
            sharpen=(0.0, 1.0),
            scale=(1.0, 1.5),
            jpeg=(45, 92),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Display:
    """A screen that shows a picture, and what lies between it and the sensor.

    Parameters
    ----------
    detail
        Side in pixels of the picture as it is played, before it is enlarged to the screen.
    quality
        JPEG quality of what is played.
    pitch
        Screen pixels per pixel of the camera.
    pose
        Yaw, pitch, roll of the screen in degrees.
    fill
        Side of the shown picture over the side of the camera's picture, above 1.
    gamma
        Exponent of the screen's tone curve.
    saturation
        Factor on colourfulness: below 1 a small gamut, above 1 a vivid one.
    crosstalk
        Share of each primary that the camera takes for its neighbours.
    white
        Gains of red, green and blue of the screen's white, as the camera is balanced.
    black
        Light of a black pixel and of the room on the glass, as a share of the white.
    veil
        Share of the picture's light that the lens scatters over all of it.
    falloff
        Loss of light across the screen, seen from the side.
    banding, bands
        Depth and number of brightness bands from refresh and rolling shutter.
    reflection
        Brightest part of a mirrored room, as a share of the white.
    blur
        Deviation of the lens's and the focus's blur, camera pixels.
    aperture
        Side of the sensor's light-sensitive area over the distance of its pixels; small where a
        camera skips lines.
    exposure
        Factor on the grey level that the camera aims at: bright screens come out bright.
    """

    detail: int = 240
    quality: int = 80
    pitch: float = 1.5
    pose: tuple[float, float, float] = (0.0, 0.0, 0.0)
    fill: float = 1.2
    gamma: float = 2.2
    saturation: float = 1.0
    crosstalk: float = 0.05
    white: tuple[float, float, float] = (1.0, 1.0, 1.0)
    black: float = 0.01
    veil: float = 0.03
    falloff: float = 0.1
    banding: float = 0.0
    bands: float = 2.0
    reflection: float = 0.0
    blur: float = 0.6
    aperture: float = 0.8
    exposure: float = 1.0

    def __post_init__(self) -> None:
        if self.detail < 8 or self.pitch <= 0 or self.fill <= 0 or self.gamma <= 0:
            raise ConfigError(
                f"a display needs detail from 8 on, and pitch, fill, gamma above 0; got {self}"
            )


def sample_display(rng: np.random.Generator) -> Display:
    """Draw a screen: phones and tablets close up, laptops and monitors, old and new."""

    def uniform(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def log_uniform(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    cold = uniform(-0.12, 0.35)
    tint = uniform(-0.06, 0.06)
    return Display(
        detail=round(log_uniform(90, 420)),
        quality=round(uniform(35, 92)),
        pitch=log_uniform(0.35, 3.2),
        pose=(float(rng.normal(0, 7)), float(rng.normal(0, 6)), float(rng.normal(0, 3))),
        fill=uniform(1.12, 1.5),
        gamma=uniform(1.9, 2.7),
        saturation=uniform(0.7, 1.35),
        crosstalk=uniform(0.0, 0.12),
        white=(float(np.exp(-cold / 2)), float(np.exp(tint)), float(np.exp(cold / 2))),
        black=log_uniform(0.002, 0.12),
        veil=uniform(0.0, 0.1),
        falloff=uniform(0.0, 0.4),
        banding=uniform(0.02, 0.2) if rng.random() < 0.3 else 0.0,
        bands=uniform(0.5, 4),
        reflection=uniform(0.02, 0.4) if rng.random() < 0.4 else 0.0,
        blur=log_uniform(0.25, 2.2),
        aperture=uniform(0.3, 1.0),
        exposure=log_uniform(0.8, 2.6),
    )


def replay_full(
    picture: UInt8Array, shown: Display, state: CameraState, size: int, rng: np.random.Generator
) -> tuple[UInt8Array, NDArray[np.float64]]:
    """Take a picture of a screen that shows a picture and fills the view.

    Parameters
    ----------
    picture
        uint8 (H, H, 3), square.
    shown
        The screen.
    state
        The camera that looks at it; its own blur is replaced by the display's.
    size
        Side of the result.
    rng
        Source of phases, reflections and noise.

    Returns
    -------
    uint8 (size, size, 3), and the homography float64 (3, 3) from pixels of ``picture`` to pixels of
    the result.

    Raises
    ------
    ConfigError
        If the picture is not square.
    """
    if picture.ndim != 3 or picture.shape[0] != picture.shape[1]:
        raise ConfigError(f"a display shows a square picture, got {picture.shape}")
    matrix = _view(shown, len(picture), size)
    light = _emitted(_played(picture, shown), shown)
    seen = np.asarray(
        cv2.warpPerspective(
            light, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        ),
        np.float32,
    )
    sigma = max(shown.blur, 0.15)
    seen = np.asarray(cv2.GaussianBlur(seen, (0, 0), sigma), np.float32)
    seen = seen * _grid(shown, size, rng)
    seen = seen * _shade(shown, size, rng)[..., None] + _reflected(shown, size, rng)
    seen = seen + shown.veil * seen.mean((0, 1), keepdims=True)
    camera = replace(state, blur=0.0, exposure=min(state.exposure * shown.exposure, 0.6))
    return capture(np.maximum(seen, 0), camera, rng, mosaic=True), matrix


def _view(shown: Display, side: int, size: int) -> NDArray[np.float64]:
    """Return the homography from the shown picture to the camera's, for a screen in space."""
    turn = rotation(*shown.pose)
    corners = np.array([(-1.0, 1, 0), (1, 1, 0), (1, -1, 0), (-1, -1, 0)]) @ turn.T
    # A camera at four times half the screen's side: the perspective of an arm's length.
    depth = 4.0 - corners[:, 2]
    place = corners[:, :2] * 4.0 / depth[:, None] * shown.fill
    there = np.stack([(place[:, 0] + 1) / 2 * size, (1 - place[:, 1]) / 2 * size], 1) - 0.5
    here = np.array([(0.0, 0), (side, 0), (side, side), (0, side)]) - 0.5
    return np.asarray(
        cv2.getPerspectiveTransform(here.astype(np.float32), there.astype(np.float32)), np.float64
    )


def _played(picture: UInt8Array, shown: Display) -> UInt8Array:
    """Return the picture after the loss of detail of what is played."""
    side = len(picture)
    if shown.detail >= side:
        return compressed(picture, shown.quality)
    size = (shown.detail, shown.detail)
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    small = compressed(np.asarray(small, np.uint8), shown.quality)
    return np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


def _emitted(picture: UInt8Array, shown: Display) -> FloatArray:
    """Return the light of the screen, linear, 1 for its white."""
    tone = (picture.astype(np.float32) / 255) ** np.float32(shown.gamma)
    grey = tone @ np.array([0.25, 0.6, 0.15], np.float32)
    tone = np.clip(grey[..., None] + (tone - grey[..., None]) * shown.saturation, 0, 1)
    mix = np.full((3, 3), shown.crosstalk / 2) + np.eye(3) * (1 - 1.5 * shown.crosstalk)
    light = (tone @ mix.T.astype(np.float32)) * np.array(shown.white, np.float32)
    return np.asarray(shown.black + (1 - shown.black) * light, np.float32)


def _grid(shown: Display, size: int, rng: np.random.Generator) -> FloatArray:
    """Return the factor of the screen's pixels at the sensor's, float32 (size, size, 3)."""
    roll = np.deg2rad(shown.pose[2])
    y, x = np.mgrid[:size, :size].astype(np.float32)
    # The pitch grows across a screen that is turned away.
    tilt = 1 + np.deg2rad(shown.pose[0]) * (x / size - 0.5) * 0.5
    along = (x * np.cos(roll) + y * np.sin(roll)) * tilt * shown.pitch + float(rng.random())
    down = (y * np.cos(roll) - x * np.sin(roll)) * tilt * shown.pitch + float(rng.random())
    factor = np.ones((size, size, 3), np.float32)
    rows = np.ones((size, size), np.float32)
    for k in range(1, HARMONICS + 1):
        passed = _passed(shown, k * shown.pitch)
        if passed < 1e-3:
            continue
        rows = rows + 2 * passed * np.sinc(k * ROW) * np.cos(2 * np.pi * k * down)
        wave = 2 * passed * np.sinc(k * STRIPE)
        for channel in range(3):
            factor[..., channel] += wave * np.cos(2 * np.pi * k * (along - channel / 3))
    return np.asarray(np.maximum(factor * rows[..., None], 0), np.float32)


def _passed(shown: Display, frequency: float) -> float:
    """Return what lens and aperture leave of a wave, cycles per camera pixel."""
    lens = np.exp(-2 * (np.pi * shown.blur * frequency) ** 2)
    return float(lens * abs(np.sinc(shown.aperture * frequency)))


def _shade(shown: Display, size: int, rng: np.random.Generator) -> FloatArray:
    """Return brightness over the screen: seen from the side, and bands of refresh."""
    turn = float(rng.uniform(0, 2 * np.pi))
    y, x = np.mgrid[:size, :size].astype(np.float32) / size - 0.5
    shade = 1 - shown.falloff * np.clip(0.5 + x * np.cos(turn) + y * np.sin(turn), 0, 1)
    if shown.banding > 0:
        wave = np.cos(2 * np.pi * (y * shown.bands + float(rng.random())))
        shade = shade * (1 + shown.banding * wave)
    return np.asarray(shade, np.float32)


def _reflected(shown: Display, size: int, rng: np.random.Generator) -> FloatArray:
    """Return a blurred room with a bright window, mirrored by the glass, (size, size, 3)."""
    if shown.reflection <= 0:
        return np.zeros((1, 1, 3), np.float32)
    room = np.clip(fractal_noise(rng, (size, size), float(rng.uniform(1, 4)), 2), 0, 2) / 2
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    middle, half = rng.uniform(0, 1, 2), rng.uniform(0.05, 0.3, 2)
    edge = float(rng.uniform(6, 30))
    inside = np.minimum(half[0] - np.abs(x - middle[0]), half[1] - np.abs(y - middle[1]))
    pane = 1 / (1 + np.exp(-np.clip(inside * edge * 8, -30, 30)))
    colour = rng.uniform(0.7, 1.1, 3)
    level = shown.reflection * (0.25 * room + pane)
    return np.asarray(level[..., None] * colour, np.float32)
