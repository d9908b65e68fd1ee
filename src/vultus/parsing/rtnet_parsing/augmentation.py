"""How training pictures are changed: boxes, mirror, neighbours, light and cameras."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.parsing.classes import BACKGROUND, MIRROR
from vultus.settings import settings

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]


@settings
class Augmentation:
    """Ranges and probabilities.

    Parameters
    ----------
    scale, shift
        Largest relative change of the sides of a box, and of its centre in sides.
    angle
        Largest angular offset in degrees.
    flip, neighbour
        Probability of a mirror image, and of somebody else beside the face.
    colour
        Strength of changes of colour, contrast and light, 0 for none.
    camera
        Probability of each of blur, low resolution, noise and compression.
    """

    scale: float = 0.15
    shift: float = 0.08
    angle: float = 15.0
    flip: float = 0.5
    neighbour: float = 0.2
    colour: float = 1.0
    camera: float = 0.25

    def __post_init__(self) -> None:
        chances = (self.flip, self.neighbour, self.camera)
        if not all(0 <= p <= 1 for p in chances) or not 0 <= self.scale < 1:
            raise ValueError("probabilities lie in [0, 1], scale in [0, 1)")
        if min(self.shift, self.angle, self.colour) < 0:
            raise ValueError("shift, angle and colour must not be negative")


def jittered(boxes: FloatArray, rng: np.random.Generator, scale: float, shift: float) -> FloatArray:
    """Return boxes (N, 4) with sides changed by up to ``scale`` and centres by ``shift`` sides."""
    centre, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    factors = np.exp(rng.uniform(-1, 1, (len(boxes), 1)) * np.log1p(scale))
    moved = centre + rng.uniform(-shift, shift, centre.shape) * sides
    half = sides * factors / 2
    return np.concatenate([moved - half, moved + half], 1).astype(np.float32)


def mirrored(
    image: UInt8Array, parts: UInt8Array, box: FloatArray
) -> tuple[UInt8Array, UInt8Array, FloatArray]:
    """Return picture (H, W, 3), mask (H, W) and box (4,) mirrored; left and right change places."""
    width = image.shape[1]
    flipped = np.array([width - box[2], box[1], width - box[0], box[3]], np.float32)
    return image[:, ::-1], MIRROR[parts[:, ::-1]], flipped


def with_neighbour(
    image: UInt8Array,
    parts: UInt8Array,
    other: UInt8Array,
    other_parts: UInt8Array,
    rng: np.random.Generator,
    least: int = 12,
) -> tuple[UInt8Array, UInt8Array]:
    """Put somebody else beside a head, where there is room; to this face it is background.

    Parameters
    ----------
    image, parts, other, other_parts
        uint8 (H, W, 3) and class of each pixel (H, W), of both.
    least
        Columns that must be free.
    """
    columns = np.flatnonzero((parts != BACKGROUND).any(0))
    others = np.flatnonzero((other_parts != BACKGROUND).any(0))
    if not len(columns) or not len(others):
        return image, parts
    width = image.shape[1]
    left, right = int(columns[0]), int(width - 1 - columns[-1])
    on_left = rng.random() * (left + right + 1) < left
    room = left if on_left else right
    if room < least:
        return image, parts
    image, parts = image.copy(), parts.copy()
    if on_left:
        end = int(others[-1]) + 1
        strip = other[:, max(end - room, 0) : end]
        image[:, : strip.shape[1]] = strip
        parts[:, : strip.shape[1]] = BACKGROUND
    else:
        strip = other[:, int(others[0]) : int(others[0]) + room]
        image[:, width - strip.shape[1] :] = strip
        parts[:, width - strip.shape[1] :] = BACKGROUND
    return image, parts


def photographed(
    image: UInt8Array, rng: np.random.Generator, colour: float, camera: float
) -> UInt8Array:
    """Return a picture, uint8 (H, W, 3), under another light and from another camera.

    Parameters
    ----------
    colour
        Strength of the light's change, 0 for none.
    camera
        Probability of each of blur, low resolution, noise and JPEG.
    """
    out: FloatArray = image.astype(np.float32) / np.float32(255)
    if colour > 0:
        out = _recoloured(out, rng, colour)
    chance = rng.random(4) < camera
    if chance[0]:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), rng.uniform(0.4, 1.6)), np.float32)
    if chance[1]:
        out = _coarse(out, float(rng.uniform(1.3, 3.0)))
    if chance[2]:
        noise = rng.standard_normal(out.shape, np.float32)
        out = out + np.float32(rng.uniform(0.01, 0.06)) * noise
    done = (np.clip(out, 0, 1) * 255 + 0.5).astype(np.uint8)
    if chance[3]:
        _, data = cv2.imencode(".jpg", done, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
        done = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(done)


def _recoloured(out: FloatArray, rng: np.random.Generator, colour: float) -> FloatArray:
    height, width = out.shape[:2]
    out = np.power(out, np.float32(np.exp(rng.normal(0, 0.25 * colour))))
    grey = out.mean(2, keepdims=True)
    if rng.random() < 0.1 * colour:
        out = np.repeat(grey, 3, 2)
    else:
        out = grey + (out - grey) * np.float32(np.exp(rng.normal(0, 0.3 * colour)))
        out = out * np.exp(rng.normal(0, 0.1 * colour, 3)).astype(np.float32)
    contrast = np.exp(rng.normal(0, 0.2 * colour))
    out = (out - 0.5) * np.float32(contrast) + np.float32(0.5 + rng.normal(0, 0.08 * colour))
    if rng.random() < 0.3:
        # A second light from one side.
        turn = rng.uniform(0, 2 * np.pi)
        x = np.linspace(-1, 1, width, dtype=np.float32)[None] * np.float32(np.cos(turn))
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * np.float32(np.sin(turn))
        out = out * (1 + np.float32(0.35 * colour) * (x + y))[..., None]
    return np.asarray(np.clip(out, 0, 1), np.float32)


def _coarse(out: FloatArray, factor: float) -> FloatArray:
    height, width = out.shape[:2]
    small = (max(int(width / factor), 8), max(int(height / factor), 8))
    reduced = cv2.resize(out, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(reduced, (width, height), interpolation=cv2.INTER_LINEAR))
