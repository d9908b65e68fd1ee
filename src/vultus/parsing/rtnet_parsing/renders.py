"""Rendered heads with exact part masks, drawn once and kept as arrays of bytes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vultus.errors import ConfigError
from vultus.settings import plain, settings
from vultus.worlds import DOMAINS, CameraSpec, PoseSpec, WearSpec, WorldSpec, split_identities
from vultus.worlds.batches import stream
from vultus.writing import replacing

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]

SPLITS = ("train", "development", "test")
#: Shares of the people of training, development and test.
_SHARES = (0.7, 0.1, 0.2)
#: People drawn together: their painted skins fit into the memory of one world.
_GROUP = 50


@settings
class Renders:
    """Which heads are rendered.

    Parameters
    ----------
    sources
        Heads, ``procedural`` or ``ict``, see :class:`vultus.worlds.WorldSpec`; in equal parts.
    size
        Side of a picture in pixels.
    train, development, test
        Number of pictures of each split.
    identities
        People per source; divided over the splits, so that nobody is in two.
    yaw, pitch, roll
        Largest angle to each side in degrees, drawn evenly.
    fill, offset
        Range of the share of the height that the head takes, and how far it may be off centre.
    occluded
        Probability of a thing before the face.
    domains
        Capture domains, names of :data:`vultus.worlds.DOMAINS`.
    population
        Seed of the people.
    folder
        Where pictures are kept, so that they are drawn once.
    """

    sources: tuple[str, ...] = ("procedural",)
    size: int = 128
    train: int = 4000
    development: int = 200
    test: int = 400
    identities: int = 400
    yaw: float = 75.0
    pitch: float = 30.0
    roll: float = 20.0
    fill: tuple[float, float] = (0.5, 0.95)
    offset: float = 0.1
    occluded: float = 0.05
    domains: tuple[str, ...] = ("studio", "phone", "webcam")
    population: int = 0
    folder: str | None = None

    def __post_init__(self) -> None:
        if min(self.train, self.development, self.test) < 1 or self.identities < 10:
            raise ValueError("need a picture in every split and 10 identities or more")
        unknown = sorted(set(self.domains) - DOMAINS.keys())
        if unknown or not self.domains:
            raise ValueError(f"unknown domains {unknown}; known: {sorted(DOMAINS)}")
        if not self.sources:
            raise ValueError("need a source of heads")


@dataclass(frozen=True, slots=True, eq=False)
class Heads:
    """Pictures of one head each.

    Parameters
    ----------
    images
        uint8 RGB (N, S, S, 3).
    parts
        uint8 (N, S, S): classes of :class:`vultus.worlds.Part`.
    boxes
        float32 (N, 4): xyxy of the face from forehead to chin, in pixels between edges.
    """

    images: UInt8Array
    parts: UInt8Array
    boxes: FloatArray

    def __len__(self) -> int:
        return len(self.images)


def heads_of(config: Renders, split: str, seed: int) -> Heads:
    """Return the heads of a split, from the folder if they were kept there.

    Raises
    ------
    ConfigError
        If the split is not known.
    """
    if split not in SPLITS:
        raise ConfigError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    plan = _groups(config, split)
    made = [_kept(config, split, seed, k, group) for k, group in enumerate(plan)]
    return Heads(*(np.concatenate(columns) for columns in zip(*made, strict=True)))


@dataclass(frozen=True, slots=True)
class _Group:
    source: str
    people: tuple[int, ...]
    count: int


def _groups(config: Renders, split: str) -> list[_Group]:
    """Divide the pictures of a split over sources and groups of people."""
    numbers = split_identities(config.identities, _SHARES, config.population)
    people = numbers[SPLITS.index(split)]
    chunks = [people[i : i + _GROUP] for i in range(0, len(people), _GROUP)]
    cells = [(source, chunk) for chunk in chunks for source in config.sources]
    total = int(getattr(config, split))
    sizes = np.diff(np.round(np.linspace(0, total, len(cells) + 1)).astype(int))
    return [
        _Group(source, chunk, int(size))
        for (source, chunk), size in zip(cells, sizes, strict=True)
        if size
    ]


def _kept(
    config: Renders, split: str, seed: int, number: int, group: _Group
) -> tuple[UInt8Array, UInt8Array, FloatArray]:
    if config.folder is None:
        return _draw(config, seed, group)
    values = {k: v for k, v in plain(config).items() if k not in ("folder", "sources", *SPLITS)}
    values |= {"source": group.source, "people": group.people, "count": group.count, "seed": seed}
    key = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
    file = Path(config.folder) / f"parts-{split}-{number:03d}-{key}.npz"
    if not file.exists():
        images, parts, boxes = _draw(config, seed, group)
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as part, part.open("wb") as stream:
            np.savez(stream, images=images, parts=parts, boxes=boxes)
    with np.load(file, allow_pickle=False) as stored:
        return stored["images"], stored["parts"], stored["boxes"]


def _draw(config: Renders, seed: int, group: _Group) -> tuple[UInt8Array, UInt8Array, FloatArray]:
    spec = WorldSpec(
        head=group.source,
        size=config.size,
        population=config.population,
        people=group.people,
        pose=PoseSpec(
            (-config.yaw, config.yaw),
            (-config.pitch, config.pitch),
            (-config.roll, config.roll),
            normal=False,
        ),
        camera=CameraSpec(fill=config.fill, offset=config.offset),
        wear=WearSpec(occluder=config.occluded),
        domains=tuple(DOMAINS[name] for name in config.domains),
    )
    samples = list(stream(spec, seed, group.count))
    return (
        np.stack([s.colour for s in samples]),
        np.stack([s.parts for s in samples]),
        # The world counts from pixel centres.
        np.stack([s.box for s in samples]) + np.float32(0.5),
    )
