"""Stream the pictures of a world in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vultus.errors import ConfigError
from vultus.worlds.samples import Sample
from vultus.worlds.spec import WorldSpec
from vultus.worlds.world import World

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Samples side by side; see :class:`~vultus.worlds.samples.Sample` for the fields.

    Parameters
    ----------
    index, identity
        int64 (B,).
    colour
        uint8 (B, S, S, 3).
    depth
        float32 (B, S, S) centimetres, infinite on the background.
    normals
        float32 (B, S, S, 3).
    parts
        uint8 (B, S, S).
    occluded
        bool (B, S, S).
    landmarks, landmarks3d
        float32 (B, 68, 2) pixels and (B, 68, 3) centimetres.
    visible
        bool (B, 68).
    box
        float32 (B, 4).
    keypoints
        float32 (B, 5, 2).
    pose
        float32 (B, 3) degrees.
    expression
        float32 (B, E).
    infrared, thermal
        float32 (B, S, S), or None.
    emotion, domain, species
        B labels.
    """

    index: NDArray[np.int64]
    identity: NDArray[np.int64]
    colour: UInt8Array
    depth: FloatArray
    normals: FloatArray
    parts: UInt8Array
    occluded: BoolArray
    landmarks: FloatArray
    landmarks3d: FloatArray
    visible: BoolArray
    box: FloatArray
    keypoints: FloatArray
    pose: FloatArray
    expression: FloatArray
    infrared: FloatArray | None
    thermal: FloatArray | None
    emotion: tuple[str, ...]
    domain: tuple[str, ...]
    species: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.index)

    @property
    def live(self) -> BoolArray:
        """Bool (B,), True for bona fide."""
        return np.array([s == "bona_fide" for s in self.species], np.bool_)


def collate(samples: Sequence[Sample]) -> Batch:
    """Put samples side by side; raise :class:`ConfigError` if there are none."""
    if not samples:
        raise ConfigError("a batch needs at least one sample")
    stacked = (
        "colour",
        "depth",
        "normals",
        "parts",
        "occluded",
        "landmarks",
        "landmarks3d",
        "visible",
        "box",
        "keypoints",
        "pose",
        "expression",
    )
    arrays: dict[str, Any] = {
        name: np.stack([getattr(s, name) for s in samples]) for name in stacked
    }
    for name in ("infrared", "thermal"):
        some = [getattr(s, name) for s in samples]
        arrays[name] = None if any(a is None for a in some) else np.stack(some)
    for name in ("index", "identity"):
        arrays[name] = np.array([getattr(s, name) for s in samples], np.int64)
    return Batch(
        **arrays,
        emotion=tuple(s.emotion for s in samples),
        domain=tuple(s.domain for s in samples),
        species=tuple(s.species for s in samples),
    )


def stream(
    spec: WorldSpec | World, seed: int, count: int, *, start: int = 0, workers: int = 1
) -> Iterator[Sample]:
    """Yield samples ``start`` to ``count - 1`` in order.

    Parameters
    ----------
    spec
        The world, or its settings.
    seed
        Which draw from the world.
    count
        Number of samples from 0.
    start
        First sample to yield, to go on where an earlier stream ended.
    workers
        Threads that draw; the samples do not depend on it.

    Raises
    ------
    ConfigError
        If a number is out of range.
    """
    if count < 0 or not start >= 0 or workers < 1:
        raise ConfigError(f"cannot stream samples {start} to {count} with {workers} workers")
    world = spec if isinstance(spec, World) else World(spec)
    if workers == 1:
        for index in range(start, count):
            yield world.sample(seed, index)
        return
    with ThreadPoolExecutor(workers) as pool:
        # A few in flight per thread: the caller sets the pace, memory stays bounded.
        window = 4 * workers
        waiting = [
            pool.submit(world.sample, seed, i) for i in range(start, min(start + window, count))
        ]
        following = start + len(waiting)
        while waiting:
            yield waiting.pop(0).result()
            if following < count:
                waiting.append(pool.submit(world.sample, seed, following))
                following += 1


def generate(
    spec: WorldSpec | World,
    seed: int,
    count: int,
    *,
    start: int = 0,
    batch: int = 32,
    workers: int = 1,
) -> Iterator[Batch]:
    """Yield batches of samples ``start`` to ``count - 1``; the last may be smaller.

    Equal spec and seed give equal bytes, whatever the batch size and the number of workers.
    Parameters and errors as in :func:`stream`.
    """
    if batch < 1:
        raise ConfigError(f"batch must be at least 1, got {batch}")
    held: list[Sample] = []
    for sample in stream(spec, seed, count, start=start, workers=workers):
        held.append(sample)
        if len(held) == batch:
            yield collate(held)
            held = []
    if held:
        yield collate(held)
