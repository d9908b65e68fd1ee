"""Rendered heads without background, ready to be pasted, with their labels."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.detection.mos.anchors import Faces
from vultus.errors import ConfigError
from vultus.geometry import FloatArray
from vultus.settings import plain, settings
from vultus.worlds import CameraSpec, PoseSpec, World, WorldSpec, split_identities

#: Shares of the people of training, development and test.
SHARES = (0.7, 0.1, 0.2)
SPLITS = ("train", "development", "test")

_LABELS = ("boxes", "points", "poses", "posed", "ignored")


@settings
class Heads:
    """Which heads are rendered.

    Parameters
    ----------
    source
        ``procedural`` or ``ict``, see :class:`vultus.worlds.WorldSpec`.
    size
        Side of a rendering in pixels; the face takes about 0.6 of it.
    train, development, test
        Number of renderings of each split.
    identities
        People; divided over the splits, so that nobody is in two.
    yaw, pitch, roll
        Largest angle to each side in degrees; drawn evenly.
    population
        Seed of the people.
    folder
        Where renderings are kept, so that they are made once.
    """

    source: str = "procedural"
    size: int = 128
    train: int = 1000
    development: int = 100
    test: int = 200
    identities: int = 400
    yaw: float = 85.0
    pitch: float = 35.0
    roll: float = 30.0
    population: int = 0
    folder: str | None = None

    def __post_init__(self) -> None:
        if min(self.train, self.development, self.test) < 1 or self.identities < 10:
            raise ValueError("need a rendering in every split and 10 identities or more")
        if not all(0 <= angle < 99 for angle in (self.yaw, self.pitch, self.roll)):
            raise ValueError("angles lie in [0, 99) degrees, the range of the bins")


@dataclass(frozen=True, slots=True, eq=False)
class Sprites:
    """Heads on nothing.

    Parameters
    ----------
    radiance
        float16 (N, S, S, 4): linear RGB premultiplied with coverage, and coverage.
    faces
        One face per head, in pixels of the rendering, between pixel edges.
    """

    radiance: NDArray[np.float16]
    faces: Faces

    def __len__(self) -> int:
        return len(self.radiance)


def heads_of(config: Heads, split: str, seed: int) -> Sprites:
    """Return the heads of a split, from the folder if they were kept there; see :func:`render`."""
    if config.folder is None:
        return render(config, split, seed)
    values = {k: v for k, v in plain(config).items() if k not in ("folder", *SPLITS)}
    values |= {"split": split, "seed": seed, "count": getattr(config, split, 0)}
    key = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
    file = Path(config.folder) / f"heads-{split}-{key}.npz"
    if not file.exists():
        made = render(config, split, seed)
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.{os.getpid()}.part")
        with part.open("wb") as stream:
            faces = {name: getattr(made.faces, name) for name in _LABELS}
            np.savez(stream, radiance=made.radiance, **faces)
        os.replace(part, file)
    with np.load(file, allow_pickle=False) as stored:
        return Sprites(stored["radiance"], Faces(*(stored[name] for name in _LABELS)))


def render(config: Heads, split: str, seed: int) -> Sprites:
    """Render the heads of a split.

    Raises
    ------
    ConfigError
        If the split is not known.
    """
    if split not in SPLITS:
        raise ConfigError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    people = split_identities(config.identities, SHARES, config.population)[SPLITS.index(split)]
    world = World(
        WorldSpec(
            head=config.source,
            size=config.size,
            population=config.population,
            people=people,
            pose=PoseSpec(
                (-config.yaw, config.yaw),
                (-config.pitch, config.pitch),
                (-config.roll, config.roll),
                normal=False,
            ),
            camera=CameraSpec(fill=(0.7, 0.85), offset=0.0),
        )
    )
    shots = [world.shot(seed, i) for i in range(getattr(config, split))]
    views = [world.view(shot) for shot in shots]
    count = len(views)
    faces = Faces(
        # The world counts from pixel centres.
        np.stack([view.box for view in views]) + np.float32(0.5),
        np.stack([view.keypoints for view in views]) + np.float32(0.5),
        np.array([shot.pose for shot in shots], np.float32),
        np.ones(count, np.bool_),
        np.zeros(count, np.bool_),
    )
    return Sprites(np.stack([view.radiance for view in views]).astype(np.float16), faces)


def paste(light: FloatArray, sprite: NDArray[np.float16], scale: float, x: int, y: int) -> float:
    """Lay a head over a picture, in place.

    Parameters
    ----------
    light
        Linear float32 (H, W, 3).
    sprite
        float16 (S, S, 4) as in :class:`Sprites`.
    scale
        Wanted size of the head relative to its rendering.
    x, y
        Where the top-left pixel goes; parts outside are cut off.

    Returns
    -------
    The scale that whole pixels allow, which labels must use.
    """
    size = max(round(len(sprite) * scale), 1)
    method = cv2.INTER_AREA if size < len(sprite) else cv2.INTER_LINEAR
    head = np.asarray(cv2.resize(sprite.astype(np.float32), (size, size), interpolation=method))
    height, width = light.shape[:2]
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + size, width), min(y + size, height)
    if left < right and top < bottom:
        part = head[top - y : bottom - y, left - x : right - x]
        under = light[top:bottom, left:right]
        under[:] = part[..., :3] + (1 - part[..., 3:]) * under
    return size / len(sprite)
