"""Paint what is not skin: eyes, teeth, mouth, strands of hair, frames and cloth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vultus.worlds.appearance import HAIR_COLOURS, IRIS_COLOURS, Appearance
from vultus.worlds.chart import PATCHES, patch_window
from vultus.worlds.eyes import CAP, IRIS
from vultus.worlds.noise import generator, value_noise

FloatArray = NDArray[np.float32]


def paint_patches(colour: FloatArray, look: Appearance) -> None:
    """Fill the strip below the skin: eye, teeth, mouth, hair, frames, cloth."""
    rng = generator(look.seed, "patches")
    size = len(colour)
    for name in PATCHES:
        rows, columns = patch_window(name, size)
        view = colour[rows, columns]
        painter = {"eye": _eye, "teeth": _teeth, "mouth": _mouth, "hair": _strands}.get(name)
        if painter:
            view[:] = painter(rng, view.shape[:2], look)
    for name, shade in (("frame", look.frames), ("cloth", look.clothes), ("lens", (0.006,) * 3)):
        rows, columns = patch_window(name, size)
        colour[rows, columns] = shade


def _eye(rng: np.random.Generator, shape: tuple[int, int], look: Appearance) -> FloatArray:
    rows, columns = shape
    x = (np.arange(columns) - (columns - 1) / 2) / ((columns - 3) / 2)
    y = (np.arange(rows) - (rows - 1) / 2) / ((rows - 3) / 2)
    r, turn = np.hypot(x[None], y[:, None]), np.arctan2(y[:, None], x[None])
    edge = IRIS / CAP
    white = np.array([0.72, 0.68, 0.65]) - 0.05 * np.clip(look.age - 40, 0, 40)[None] / 40
    out = white[None, None] * (
        1 - np.array([0.15, 0.45, 0.45]) * np.clip(r - 0.35, 0, 1)[..., None]
    )
    fibres = 1 + 0.22 * np.sin(np.round(rng.uniform(17, 29)) * turn + rng.uniform(0, 6)) * np.clip(
        r / edge, 0, 1
    )
    iris = np.array(IRIS_COLOURS[look.iris]) * fibres[..., None]
    iris = iris * (1.35 - 0.75 * np.clip(r / edge, 0, 1) ** 3)[..., None]
    soft = 1.4 / max(columns, 1)
    inside = np.clip((edge - r) / soft + 0.5, 0, 1)[..., None]
    pupil = np.clip((edge * rng.uniform(0.32, 0.5) - r) / soft + 0.5, 0, 1)[..., None]
    out = out + (iris - out) * inside
    return np.asarray(out + (0.004 - out) * pupil, np.float32)


def _teeth(rng: np.random.Generator, shape: tuple[int, int], look: Appearance) -> FloatArray:
    rows, columns = shape
    height = 0.5 + 6.0 * (np.arange(rows) + 0.5) / rows
    x = np.linspace(0, 1, columns)
    gap = 1 - 0.45 * np.clip(np.cos(2 * np.pi * x * 16) - 0.8, 0, 1) * 5
    yellow = rng.uniform(0.0, 0.25) + np.clip(look.age - 30, 0, 50) / 250
    tooth = np.array([0.72, 0.68, 0.60]) * np.array([1, 1 - 0.2 * yellow, 1 - 0.8 * yellow])
    out = np.broadcast_to(tooth, (rows, columns, 3)) * gap[None, :, None]
    gum = np.clip((np.abs(height - 3.4) - 0.85) / 0.25, 0, 1)[:, None, None]
    return np.asarray(out + (np.array([0.34, 0.10, 0.10]) - out) * gum, np.float32)


def _mouth(rng: np.random.Generator, shape: tuple[int, int], look: Appearance) -> FloatArray:
    depth = np.linspace(0, 1, shape[1])
    near, far = np.array([0.30, 0.085, 0.08]), np.array([0.02, 0.006, 0.006])
    fade = np.clip((depth - 0.12) / 0.45, 0, 1)[None, :, None]
    tone = 1 + 0.12 * value_noise(rng, shape, (5, 5))[..., None]
    return np.asarray((near + (far - near) * fade) * tone, np.float32)


def _strands(rng: np.random.Generator, shape: tuple[int, int], look: Appearance) -> FloatArray:
    rows, columns = shape
    fine = value_noise(rng, shape, (3, columns / 2))
    broad = value_noise(rng, shape, (2, columns / 10))
    lighter = np.linspace(0.85, 1.2, rows)[:, None]
    tone = lighter * np.exp(0.15 * fine + 0.16 * broad)
    return np.asarray(np.array(HAIR_COLOURS[look.hair]) * tone[..., None], np.float32)
