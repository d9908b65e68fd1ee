"""What stands behind a head: seeded textures, or photographs from a folder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.errors import DatasetError
from vultus.worlds.noise import fractal_noise, linear

FloatArray = NDArray[np.float32]


def procedural_background(rng: np.random.Generator, size: int) -> FloatArray:
    """Return a linear background, float32 (size, size, 3): wall, blinds, shelves, leaves, lamps."""
    kind = int(rng.integers(5))
    base, other = (_tint(rng) for _ in range(2))
    out = _gradient(rng, size, base, other)
    if kind == 1:
        grain = fractal_noise(rng, (size, size), float(rng.uniform(2, 12)), 4)[..., None]
        out = out + (other - base) * 0.5 * np.tanh(grain)
    elif kind == 2:
        out = _stripes(rng, size, out, other)
    elif kind == 3:
        out = _boxes(rng, size, out)
    elif kind == 4:
        out = _lamps(rng, size, out * 0.4)
    sigma = float(rng.uniform(0, 0.02)) * size
    if sigma > 0.3:
        out = cv2.GaussianBlur(out.astype(np.float32), (0, 0), sigma)  # type: ignore[assignment]
    return np.clip(out, 0.003, 2.0).astype(np.float32)


def photo_backgrounds(folder: Path) -> list[Path]:
    """Return the pictures of a folder, sorted; raise :class:`DatasetError` if there are none."""
    from vultus.images import find_images

    found = find_images([folder]) if folder.is_dir() else []
    if not found:
        raise DatasetError(f"no background pictures in {folder}")
    return found


def photo_background(path: Path, rng: np.random.Generator, size: int) -> FloatArray:
    """Return a random square of a photograph, linear float32 (size, size, 3)."""
    from vultus.images import open_image

    picture = open_image(path)
    height, width = picture.shape[:2]
    side = int(min(height, width) * rng.uniform(0.5, 1.0))
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    crop = picture[top : top + side, left : left + side]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    small = cv2.resize(np.ascontiguousarray(crop), (size, size), interpolation=cv2.INTER_AREA)
    return linear(small.astype(np.float32) / 255)


def _tint(rng: np.random.Generator) -> FloatArray:
    level = np.exp(rng.uniform(np.log(0.02), np.log(0.7)))
    return np.asarray((level * rng.uniform(0.6, 1.4, 3)).clip(0.005, 0.9), np.float32)


def _gradient(
    rng: np.random.Generator, size: int, base: FloatArray, other: FloatArray
) -> FloatArray:
    turn = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:size, :size].astype(np.float32) / size - 0.5
    t = np.clip(0.5 + 0.7 * (x * np.cos(turn) + y * np.sin(turn)), 0, 1)[..., None]
    return np.asarray(base + (base * 0.4 + other * 0.6 - base) * t, np.float32)


def _stripes(rng: np.random.Generator, size: int, out: FloatArray, other: FloatArray) -> FloatArray:
    turn = float(rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)]))
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    wave = np.sin(2 * np.pi * rng.uniform(2, 14) * (x * np.cos(turn) + y * np.sin(turn)))
    edge = np.clip(wave * rng.uniform(1, 6), -1, 1)[..., None] * 0.5 + 0.5
    return np.asarray(out + (other - out) * edge * rng.uniform(0.3, 1), np.float32)


def _boxes(rng: np.random.Generator, size: int, out: FloatArray) -> FloatArray:
    picture = np.ascontiguousarray(out)
    for _ in range(int(rng.integers(4, 16))):
        x, y = (int(v) for v in rng.uniform(-0.1, 1, 2) * size)
        w, h = (int(v) for v in rng.uniform(0.05, 0.5, 2) * size)
        colour = [float(c) for c in _tint(rng)]
        cv2.rectangle(picture, (x, y), (x + w, y + h), colour, -1)
    return picture


def _lamps(rng: np.random.Generator, size: int, out: FloatArray) -> FloatArray:
    picture = np.ascontiguousarray(out)
    for _ in range(int(rng.integers(5, 20))):
        x, y = (int(v) for v in rng.uniform(0, 1, 2) * size)
        colour = [float(c) for c in _tint(rng) * 1.5]
        cv2.circle(
            picture, (x, y), max(int(rng.uniform(0.02, 0.09) * size), 1), colour, -1, cv2.LINE_AA
        )
    return picture
