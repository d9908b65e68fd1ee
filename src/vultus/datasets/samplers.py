"""Orders in which training sees items: balanced over classes, or P people with K pictures each.

A sampler is an iterable of index arrays, one a batch. One pass is one epoch; the next pass is
another order. Everything follows from the seed, the epoch and the position, so a run that was
interrupted goes on exactly where it stood.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import ConfigError

Indices = NDArray[np.intp]


class Sampler(ABC):
    """Batches of indices, by epoch and position.

    Parameters
    ----------
    rng
        Seed, or a generator that one is drawn from.

    Attributes
    ----------
    epoch
        Number of the current epoch, from 0.
    position
        Number of batches of it that were given out.
    """

    def __init__(self, rng: int | np.random.Generator) -> None:
        drawn = rng.integers(2**63) if isinstance(rng, np.random.Generator) else rng
        self.seed = int(drawn)
        self.epoch = 0
        self.position = 0

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of batches of an epoch."""

    @abstractmethod
    def _batches(self, rng: np.random.Generator) -> Iterator[Indices]:
        """Yield the batches of one epoch."""

    def __iter__(self) -> Iterator[Indices]:
        """Yield what is left of the current epoch, then move to the next one."""
        rng = np.random.default_rng((self.seed, self.epoch))
        for i, batch in enumerate(self._batches(rng)):
            if i >= self.position:
                # Counted before it is handed out: a state saved while it is used goes on after it.
                self.position = i + 1
                yield batch
        self.epoch += 1
        self.position = 0

    def state_dict(self) -> dict[str, int]:
        """Return where the sampler stands."""
        return {"seed": self.seed, "epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another sampler of the same items stood.

        Raises
        ------
        ConfigError
            If the state is not of a sampler, or of a longer epoch.
        """
        try:
            seed, epoch, position = (int(state[key]) for key in ("seed", "epoch", "position"))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"not the state of a sampler: {error}") from error
        if not (0 <= position <= len(self) and epoch >= 0):
            raise ConfigError(
                f"a state at batch {position} of epoch {epoch} does not fit an epoch of "
                f"{len(self)} batches: were other items or sizes sampled?"
            )
        self.seed, self.epoch, self.position = seed, epoch, position


class BalancedSampler(Sampler):
    """Batches in which every class is equally likely, whatever its size.

    Each batch holds classes in turn from a shuffled order. The items of a class come in shuffled
    rounds: all are seen before one is seen again.

    Parameters
    ----------
    labels
        (N,) class of each item.
    batch_size
        Items per batch.
    rng
        Seed or generator.
    batches
        Batches per epoch; N // batch_size, at least 1, if not given.
    """

    def __init__(
        self,
        labels: ArrayLike,
        batch_size: int,
        *,
        rng: int | np.random.Generator = 0,
        batches: int | None = None,
    ) -> None:
        super().__init__(rng)
        self._members = _members(labels)
        self._batch_size = _positive(batch_size, "batch_size")
        items = sum(map(len, self._members))
        default = max(items // batch_size, 1)
        self._length = default if batches is None else _positive(batches, "batches")

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return self._length

    def _batches(self, rng: np.random.Generator) -> Iterator[Indices]:
        classes = _Rounds(np.arange(len(self._members)), rng)
        items = [_Rounds(members, rng) for members in self._members]
        for _ in range(self._length):
            drawn = classes.take(self._batch_size)
            batch = np.empty(self._batch_size, np.intp)
            for label, count in zip(*np.unique(drawn, return_counts=True), strict=True):
                batch[drawn == label] = items[label].take(count)
            yield batch


class PKSampler(Sampler):
    """Batches of P people with K pictures each, for losses that compare within the batch.

    Schroff et al. (2015) and Hermans et al. (2017). Every person comes once an epoch, in shuffled
    order; people left over when fewer than P remain wait for the next epoch. The K pictures are
    drawn without replacement; of a person with fewer than K, every picture comes about equally
    often.

    Parameters
    ----------
    identities
        (N,) who each item shows.
    people, pictures
        P and K. A batch is intp (P * K,), the pictures of one person together.
    rng
        Seed or generator.
    least
        People with fewer pictures are left out.

    Raises
    ------
    ConfigError
        If fewer than P people have enough pictures.
    """

    def __init__(
        self,
        identities: ArrayLike,
        people: int,
        pictures: int,
        *,
        rng: int | np.random.Generator = 0,
        least: int = 2,
    ) -> None:
        super().__init__(rng)
        self._people = _positive(people, "people")
        self._pictures = _positive(pictures, "pictures")
        self._members = [m for m in _members(identities) if len(m) >= least]
        if len(self._members) < people:
            raise ConfigError(
                f"batches of {people} people need as many with {least} pictures or more, "
                f"there are {len(self._members)}"
            )

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return len(self._members) // self._people

    def _batches(self, rng: np.random.Generator) -> Iterator[Indices]:
        order = rng.permutation(len(self._members))
        for start in range(0, len(self) * self._people, self._people):
            chosen = (self._members[i] for i in order[start : start + self._people])
            yield np.concatenate([_Rounds(m, rng).take(self._pictures) for m in chosen])


class _Rounds:
    """Items in shuffled rounds without end."""

    def __init__(self, items: Indices, rng: np.random.Generator) -> None:
        self._items, self._rng = items, rng
        self._left = items[:0]

    def take(self, count: int) -> Indices:
        while len(self._left) < count:
            self._left = np.concatenate([self._left, self._rng.permutation(self._items)])
        taken, self._left = self._left[:count], self._left[count:]
        return taken


def _members(labels: ArrayLike) -> list[Indices]:
    array = np.asarray(labels)
    if array.ndim != 1 or array.dtype == object or not len(array):
        raise ConfigError(f"labels must be (N,) names or numbers, got {array.dtype} {array.shape}")
    _, codes, counts = np.unique(array, return_inverse=True, return_counts=True)
    order = np.argsort(codes, kind="stable").astype(np.intp)
    return np.split(order, counts.cumsum()[:-1])


def _positive(value: int, name: str) -> int:
    if value < 1:
        raise ConfigError(f"{name} must be 1 or more, got {value}")
    return value
