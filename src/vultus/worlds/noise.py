"""Seeded noise fields, and random generators that do not depend on the order of drawing."""

from __future__ import annotations

import zlib

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def generator(*keys: int | str) -> np.random.Generator:
    """Return the generator that belongs to a path of keys, for example (seed, "hair", 17).

    Equal keys give equal streams on every machine, whatever was drawn before.
    """
    words = [zlib.crc32(k.encode()) if isinstance(k, str) else int(k) for k in keys]
    return np.random.default_rng(np.random.SeedSequence([w & 0xFFFFFFFF for w in words]))


def value_noise(
    rng: np.random.Generator,
    size: tuple[int, int],
    cells: tuple[float, float],
    *,
    wrap: bool = False,
) -> FloatArray:
    """Return smooth noise, float32 size, of mean about 0 and deviation about 1.

    Parameters
    ----------
    rng
        Source of randomness.
    size
        Rows and columns.
    cells
        Blobs along rows and columns.
    wrap
        Whether the left and right edges meet.
    """
    rows, columns = (max(int(np.ceil(c)), 1) + 3 for c in cells)
    grid = rng.standard_normal((rows, columns)).astype(np.float32)
    if wrap:
        columns = columns - 3
        grid = np.concatenate([grid[:, :columns], grid[:, :3]], 1)
    y = (np.arange(size[0], dtype=np.float32) + 0.5) / size[0] * (rows - 3) + 1
    x = (np.arange(size[1], dtype=np.float32) + 0.5) / size[1] * (grid.shape[1] - 3) + (
        0 if wrap else 1
    )
    out = cv2.remap(
        grid,
        np.broadcast_to(x, size).copy(),
        np.broadcast_to(y[:, None], size).copy(),
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.asarray(out * 1.5, np.float32)


def fractal_noise(
    rng: np.random.Generator,
    size: tuple[int, int],
    cells: float,
    octaves: int = 4,
    gain: float = 0.55,
    *,
    wrap: bool = False,
) -> FloatArray:
    """Return a sum of octaves of :func:`value_noise`, float32 size, deviation about 1."""
    aspect = size[0] / size[1]
    total = np.zeros(size, np.float32)
    power = 0.0
    for octave in range(octaves):
        amplitude = gain**octave
        count = cells * 2**octave
        total += amplitude * value_noise(rng, size, (count * aspect, count), wrap=wrap)
        power += amplitude**2
    return total / np.float32(np.sqrt(power))


def srgb(linear: NDArray[np.floating]) -> FloatArray:
    """Encode linear values in [0, 1] for display (IEC 61966-2-1); values outside are clipped."""
    v = np.clip(linear, 0, 1)
    out = np.where(v <= 0.0031308, 12.92 * v, 1.055 * v ** (1 / 2.4) - 0.055)
    return np.asarray(out, np.float32)


def linear(encoded: NDArray[np.floating]) -> FloatArray:
    """Decode display values in [0, 1] to linear ones (IEC 61966-2-1)."""
    v = np.clip(encoded, 0, 1)
    return np.asarray(np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4), np.float32)
