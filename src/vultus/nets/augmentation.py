"""Augmentation of face crops on the CPU: geometry, light, and what cameras and files do."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.settings import settings

UInt8 = NDArray[np.uint8]
Float = NDArray[np.float32]

#: Rec. 601 luma weights.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@settings
class Augmentation:
    """How much crops are changed; every range is drawn from evenly.

    Parameters
    ----------
    rotation
        Largest angle in degrees.
    scale
        Largest relative change of size, and of width against height.
    shift
        Largest translation, as a part of the side.
    flip
        Probability of mirroring.
    contrast, brightness, gamma
        Largest relative change of contrast; of level, as a part of the range; exponents lie in
        [1 / (1 + gamma), 1 + gamma].
    colour
        Largest relative change of each channel.
    grey, blur, jpeg, noise, cover
        Probabilities of removing colour; of reducing resolution; of compression at quality
        ``quality`` to 80; of Gaussian noise; of a rectangle of one colour over part of the face.
    defocus, shade
        Probabilities of Gaussian blur of up to 4 % of the side; of light that falls off across the
        face in any direction.
    quality, reduction, darkest
        Lowest quality of compression; largest factor of reducing resolution; least share of light
        that is left where it falls off.
    """

    rotation: float = 10.0
    scale: float = 0.1
    shift: float = 0.05
    flip: float = 0.5
    contrast: float = 0.3
    brightness: float = 0.15
    gamma: float = 0.3
    colour: float = 0.1
    grey: float = 0.15
    blur: float = 0.25
    jpeg: float = 0.2
    noise: float = 0.2
    cover: float = 0.1
    defocus: float = 0.0
    shade: float = 0.0
    quality: int = 15
    reduction: float = 4.0
    darkest: float = 0.1

    def crop(self, image: UInt8, size: int, rng: np.random.Generator) -> tuple[UInt8, bool]:
        """Return an augmented crop, uint8 (size, size, 3), and whether it was mirrored."""
        flipped = bool(rng.random() < self.flip)
        out = self._place(image, size, flipped, rng)
        out = self._light(out, rng)
        return self._degrade(out, rng), flipped

    def _place(self, image: UInt8, size: int, flipped: bool, rng: np.random.Generator) -> UInt8:
        side = image.shape[0]
        angle = np.deg2rad(rng.uniform(-self.rotation, self.rotation))
        sx, sy = size / side * (1 + rng.uniform(-self.scale, self.scale, 2))
        mirror = -1.0 if flipped else 1.0
        cosine, sine = np.cos(angle), np.sin(angle)
        linear = np.array([[mirror * sx * cosine, -mirror * sx * sine], [sy * sine, sy * cosine]])
        centre = (size - 1) / 2 + rng.uniform(-self.shift, self.shift, 2) * size
        offset = centre - linear @ np.full(2, (side - 1) / 2)
        matrix = np.concatenate([linear, offset[:, None]], 1)
        warped = cv2.warpAffine(image, matrix, (size, size), borderMode=cv2.BORDER_REFLECT_101)
        return np.asarray(warped, np.uint8)

    def _light(self, image: UInt8, rng: np.random.Generator) -> UInt8:
        # One curve per channel: a table of 256 values.
        level = np.linspace(0, 1, 256, dtype=np.float32)
        power = (1 + self.gamma * rng.random()) ** rng.choice([-1, 1])
        gain = 1 + rng.uniform(-self.contrast, self.contrast)
        shift = rng.uniform(-self.brightness, self.brightness)
        channels = 1 + rng.uniform(-self.colour, self.colour, 3)
        curves = ((level**power - 0.5) * gain + 0.5 + shift)[:, None] * channels
        table = (np.clip(curves, 0, 1) * 255).round().astype(np.uint8)
        out = np.stack([table[image[..., c], c] for c in range(3)], -1)
        if rng.random() < self.grey:
            luma = (out @ _LUMA).round().astype(np.uint8)
            out = np.repeat(luma[..., None], 3, -1)
        # Nothing is drawn where it is off, so that recipes without it stay as they were.
        if self.shade and rng.random() < self.shade:
            out = _shaded(out, self.darkest, rng)
        return out

    def _degrade(self, image: UInt8, rng: np.random.Generator) -> UInt8:
        size = image.shape[0]
        if rng.random() < self.cover:
            high, wide = rng.integers(size // 6, size // 2, 2)
            y, x = rng.integers(0, size - high), rng.integers(0, size - wide)
            image[y : y + high, x : x + wide] = rng.integers(0, 256, 3)
        if rng.random() < self.blur:
            small = max(int(size / rng.uniform(1, self.reduction)), 8)
            reduced = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
            image = np.asarray(cv2.resize(reduced, (size, size)), np.uint8)
        if self.defocus and rng.random() < self.defocus:
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), size * rng.uniform(0.005, 0.04)))
        if rng.random() < self.noise:
            grain = rng.normal(0, rng.uniform(2, 12), image.shape)
            image = (image + grain).clip(0, 255).astype(np.uint8)
        if rng.random() < self.jpeg:
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(self.quality, 81))]
            _, data = cv2.imencode(".jpg", image, quality)
            image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
        return image


def _shaded(image: UInt8, darkest: float, rng: np.random.Generator) -> UInt8:
    size = image.shape[0]
    angle, place = rng.uniform(0, 2 * np.pi), rng.uniform(-0.3, 0.3)
    axis = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    along = np.cos(angle) * axis[None] + np.sin(angle) * axis[:, None] - place
    dark = 10 ** -rng.uniform(0.2, -np.log10(darkest))
    share = dark + (1 - dark) / (1 + np.exp(-rng.uniform(4, 20) * along))
    light = (image.astype(np.float32) / 255) ** 2.2 * share[..., None]
    return np.asarray((light ** (1 / 2.2) * 255).round(), np.uint8)


def to_network(image: UInt8) -> Float:
    """Return float32 (3, S, S) in [-1, 1] from uint8 (S, S, 3)."""
    scaled = (image.transpose(2, 0, 1).astype(np.float32) - 127.5) / 127.5
    return np.ascontiguousarray(scaled)
