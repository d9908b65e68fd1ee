"""Cameras as domains: how light becomes the bytes of a picture.

A :class:`CaptureDomain` holds ranges; every picture draws its own camera state from them. Two
domains with different ranges make a cross-domain protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.errors import ConfigError
from vultus.worlds.noise import linear, srgb

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]
Range = tuple[float, float]

#: Levels of a sensor's converter, of which a quarter lies below the white of the picture.
MOSAIC_LEVELS = 65535.0


@dataclass(frozen=True, slots=True)
class CaptureDomain:
    """Ranges of a camera and of the light it meets.

    Parameters
    ----------
    name
        Label of the domain.
    light
        Factor on all scene light before exposure; little light means much noise.
    exposure
        Grey level, linear, that automatic exposure aims at.
    warmth
        White-balance error: log ratio of red to blue gain.
    tint
        White-balance error: log gain of green.
    saturation, contrast
        Factors of the camera's rendering, 1 for none.
    blur
        Lens blur, Gaussian deviation in thousandths of the picture's side.
    motion
        Length of motion blur in thousandths of the side.
    read_noise, shot_noise
        Deviation of noise at black, and factor on the root of the signal, for full light.
    vignette
        Loss of light in the corners.
    sharpen
        Amount of unsharp masking.
    scale
        The picture is reduced by this factor and enlarged again, 1 for none.
    jpeg
        JPEG quality; 0 for none.
    """

    name: str = "studio"
    light: Range = (0.7, 1.3)
    exposure: Range = (0.16, 0.24)
    warmth: Range = (-0.05, 0.05)
    tint: Range = (-0.02, 0.02)
    saturation: Range = (0.95, 1.1)
    contrast: Range = (0.95, 1.1)
    blur: Range = (0.5, 2.5)
    motion: Range = (0.0, 1.0)
    read_noise: Range = (0.0005, 0.002)
    shot_noise: Range = (0.004, 0.010)
    vignette: Range = (0.0, 0.15)
    sharpen: Range = (0.0, 0.4)
    scale: Range = (1.0, 1.0)
    jpeg: Range = (85, 97)

    def __post_init__(self) -> None:
        for f in fields(self):
            if f.name == "name":
                continue
            low, high = getattr(self, f.name)
            if not (np.isfinite([low, high]).all() and low <= high):
                raise ConfigError(
                    f"domain {self.name!r}: {f.name} must be low <= high, got {(low, high)}"
                )
        if not 0 <= self.jpeg[0] <= self.jpeg[1] <= 100:
            raise ConfigError(f"domain {self.name!r}: JPEG quality must lie in [0, 100]")
        if self.scale[0] < 1 or self.light[0] <= 0:
            raise ConfigError(f"domain {self.name!r}: scale must be at least 1, light positive")

    def sample(self, rng: np.random.Generator) -> CameraState:
        """Draw the state of the camera for one picture or clip."""
        values = {f.name: float(rng.uniform(*getattr(self, f.name))) for f in fields(self)[1:]}
        return CameraState(turn=float(rng.uniform(0, np.pi)), **values)


@dataclass(frozen=True, slots=True)
class CameraState:
    """One draw from a :class:`CaptureDomain`; ``turn`` is the direction of motion blur, radians."""

    turn: float
    light: float
    exposure: float
    warmth: float
    tint: float
    saturation: float
    contrast: float
    blur: float
    motion: float
    read_noise: float
    shot_noise: float
    vignette: float
    sharpen: float
    scale: float
    jpeg: float


#: Domains that differ in every respect that moves presentation-attack detectors.
DOMAINS: dict[str, CaptureDomain] = {
    d.name: d
    for d in (
        CaptureDomain(),
        CaptureDomain(
            "phone",
            light=(0.4, 1.4),
            warmth=(-0.15, 0.2),
            tint=(-0.05, 0.05),
            saturation=(1.05, 1.35),
            contrast=(1.0, 1.25),
            blur=(1.0, 4.0),
            motion=(0.0, 5.0),
            read_noise=(0.001, 0.004),
            shot_noise=(0.008, 0.02),
            sharpen=(0.3, 1.2),
            jpeg=(60, 92),
        ),
        CaptureDomain(
            "webcam",
            light=(0.2, 0.9),
            exposure=(0.12, 0.26),
            warmth=(-0.3, 0.25),
            tint=(-0.08, 0.08),
            saturation=(0.65, 1.0),
            contrast=(0.8, 1.05),
            blur=(3.0, 8.0),
            motion=(0.0, 8.0),
            read_noise=(0.002, 0.008),
            shot_noise=(0.015, 0.04),
            vignette=(0.0, 0.35),
            scale=(1.0, 1.6),
            jpeg=(35, 75),
        ),
        CaptureDomain(
            "surveillance",
            light=(0.1, 0.8),
            exposure=(0.10, 0.30),
            warmth=(-0.25, 0.35),
            saturation=(0.5, 0.9),
            contrast=(0.75, 1.1),
            blur=(4.0, 12.0),
            motion=(0.0, 12.0),
            read_noise=(0.004, 0.012),
            shot_noise=(0.02, 0.06),
            scale=(1.3, 3.0),
            jpeg=(20, 55),
        ),
    )
}


def capture(
    radiance: FloatArray, state: CameraState, rng: np.random.Generator, *, mosaic: bool = False
) -> UInt8Array:
    """Take a picture of linear light.

    Parameters
    ----------
    radiance
        float32 (H, W, 3), linear, non-negative, any scale.
    state
        The camera, from :meth:`CaptureDomain.sample`.
    rng
        Source of noise.
    mosaic
        Whether the sensor sees one colour per pixel, in the pattern of Bayer, and the others are
        interpolated: noise gets grain, and fine grids get false colours.

    Returns
    -------
    uint8 (H, W, 3), sRGB.
    """
    side = max(radiance.shape[:2])
    light = np.ascontiguousarray(radiance, np.float32)
    light = _vignette(light, state.vignette)
    light = _blurred(light, state.blur * side / 1000)
    light = _moved(light, state.motion * side / 1000, state.turn)
    mean = float(np.mean(light @ np.array([0.25, 0.6, 0.15], np.float32)))
    # Exposure makes up for most, not all, of the scene's brightness.
    gain = state.exposure / max(mean, 1e-4)
    gain = gain**0.75 * (state.exposure / 0.2) ** 0.25
    signal = light * np.float32(gain)
    noise = state.read_noise**2 + state.shot_noise**2 * np.clip(signal, 0, 4)
    noise = noise / state.light
    signal = signal + np.sqrt(noise) * rng.standard_normal(signal.shape).astype(np.float32)
    if mosaic:
        signal = _demosaicked(signal)
    signal *= np.exp(np.array([state.warmth / 2, state.tint, -state.warmth / 2], np.float32))
    encoded = srgb(_shoulder(signal))
    encoded = _rendered(encoded, state)
    out = np.round(np.clip(encoded, 0, 1) * 255).astype(np.uint8)
    return compressed(_rescaled(out, state.scale), round(state.jpeg))


def recapture(
    picture: UInt8Array, state: CameraState, rng: np.random.Generator, *, mosaic: bool = False
) -> UInt8Array:
    """Take a picture, uint8 (H, W, 3), again as if its pixels were the scene."""
    return capture(linear(picture.astype(np.float32) / 255), state, rng, mosaic=mosaic)


def _demosaicked(signal: FloatArray) -> FloatArray:
    """Keep one colour per pixel and interpolate the two others, as a sensor with filters does."""
    levels = np.clip(signal * (MOSAIC_LEVELS / 4), 0, MOSAIC_LEVELS).astype(np.uint16)
    raw = np.empty(levels.shape[:2], np.uint16)
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        raw[row::2, column::2] = levels[row::2, column::2, channel]
    # OpenCV names the pattern by its second row: red at the top left is its "BG".
    colour = cv2.cvtColor(raw, cv2.COLOR_BayerBG2RGB)
    return np.asarray(colour.astype(np.float32) * (4 / MOSAIC_LEVELS), np.float32)


def _shoulder(signal: FloatArray) -> FloatArray:
    """Compress highlights above 0.7 smoothly into [0.7, 1)."""
    high = np.maximum(signal - 0.7, 0)
    return np.asarray(np.minimum(signal, 0.7) + 0.3 * (1 - np.exp(-high / 0.3)), np.float32)


def _vignette(light: FloatArray, amount: float) -> FloatArray:
    if amount <= 0:
        return light
    height, width = light.shape[:2]
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    return light * (1 - amount * 0.5 * (x * x + y * y)).astype(np.float32)[..., None]


def _blurred(light: FloatArray, sigma: float) -> FloatArray:
    return light if sigma < 0.15 else np.asarray(cv2.GaussianBlur(light, (0, 0), sigma), np.float32)


def _moved(light: FloatArray, length: float, turn: float) -> FloatArray:
    if length < 0.75:
        return light
    side = 2 * int(np.ceil(length / 2)) + 1
    kernel = np.zeros((side, side), np.float32)
    centre = np.array([side // 2, side // 2])
    for t in np.linspace(-0.5, 0.5, 4 * side):
        x, y = np.round(centre + t * length * np.array([np.cos(turn), np.sin(turn)])).astype(int)
        kernel[y, x] += 1
    return np.asarray(cv2.filter2D(light, -1, kernel / kernel.sum()), np.float32)


def _rendered(encoded: FloatArray, state: CameraState) -> FloatArray:
    grey = encoded @ np.array([0.299, 0.587, 0.114], np.float32)
    out = grey[..., None] + (encoded - grey[..., None]) * state.saturation
    out = 0.45 + (out - 0.45) * state.contrast
    if state.sharpen > 0:
        sigma = max(0.004 * max(encoded.shape[:2]), 0.6)
        out = out + state.sharpen * (out - cv2.GaussianBlur(out, (0, 0), sigma))
    return np.asarray(out, np.float32)


def _rescaled(picture: UInt8Array, factor: float) -> UInt8Array:
    if factor <= 1.01:
        return picture
    height, width = picture.shape[:2]
    new = max(int(width / factor), 4), max(int(height / factor), 4)
    small = cv2.resize(picture, new, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def compressed(picture: UInt8Array, quality: int) -> UInt8Array:
    """Return a picture, uint8 (H, W, 3), after JPEG; quality 0 or above 99 leaves it alone.

    Raises
    ------
    ConfigError
        If the picture cannot be encoded.
    """
    if quality <= 0 or quality > 99:
        return picture
    ok, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR) if ok and data is not None else None
    if decoded is None:
        raise ConfigError(f"cannot compress a picture of shape {picture.shape}")
    return np.ascontiguousarray(decoded[..., ::-1], np.uint8)
