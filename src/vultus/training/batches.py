"""From streams to the batches of each step, per process."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from vultus.errors import ConfigError
from vultus.nets.streams import Indices, Sampler, Stream

#: Number of a batch and (position in the whole batch, index of the example) for one process.
Request = tuple[int, list[tuple[int, int]]]


class _Examples(Dataset[Any]):
    """Whole batches by request, so that worker processes need no state."""

    def __init__(self, stream: Stream, seed: int) -> None:
        self.examples, self.seed = stream.examples, seed

    def __getitem__(self, request: Request) -> Any:
        number, places = request
        return default_collate(
            [
                self.examples.example(index, np.random.default_rng((self.seed, number, position)))
                for position, index in places
            ]
        )


class _Requests:
    """The requests of one process for the batches in [first, last)."""

    def __init__(self, sampler: Sampler, numbers: range, rank: int, world: int, name: str) -> None:
        self.sampler, self.numbers, self.rank, self.world = sampler, numbers, rank, world
        self.name = name

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[Request]:
        for number in self.numbers:
            indices: Indices = self.sampler.batch(number)
            if len(indices) % self.world:
                raise ConfigError(
                    f"stream {self.name!r}: a batch of {len(indices)} cannot be shared out "
                    f"equally to {self.world} processes"
                )
            size = len(indices) // self.world
            first = self.rank * size
            yield number, [(i, int(indices[i])) for i in range(first, first + size)]


class Batches:
    """One batch of every stream per item, with the time spent waiting for them.

    Parameters
    ----------
    streams
        By name.
    numbers
        Batches to give; batch number ``n`` does not depend on those before it.
    seed
        Of the augmentation.
    rank, world
        Which share of each batch this process takes.
    workers
        Worker processes per stream.
    """

    def __init__(
        self,
        streams: Mapping[str, Stream],
        numbers: range,
        *,
        seed: int,
        rank: int = 0,
        world: int = 1,
        workers: int = 0,
    ) -> None:
        if not streams:
            raise ConfigError("the system gives no training stream")
        self.waited = 0.0
        self.examples = 0
        self._count = len(numbers)
        self._loaders: dict[str, Iterable[Any]] = {
            name: DataLoader(
                _Examples(stream, seed + place),
                sampler=_Requests(stream.sampler, numbers, rank, world, name),
                batch_size=None,
                num_workers=workers,
                # Its own generator: a loader draws a seed when it starts, and a resumed run
                # starts it once more.
                generator=torch.Generator().manual_seed(seed),
            )
            for place, (name, stream) in enumerate(streams.items())
        }
        self._world = world

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        sources = {name: iter(loader) for name, loader in self._loaders.items()}
        for _ in range(self._count):
            start = time.perf_counter()
            batch = {name: next(source) for name, source in sources.items()}
            self.waited += time.perf_counter() - start
            self.examples += self._world * sum(_size(part) for part in batch.values())
            yield batch


def _size(part: Mapping[str, Any]) -> int:
    return len(next(iter(part.values())))
