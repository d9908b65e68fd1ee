"""Training streams: which examples make up the batch of a given step.

A batch depends on the seed and the number of the step alone, never on what was drawn before. That
is why a resumed run sees the same data, and any number of worker processes gives the same batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import ConfigError

Indices = NDArray[np.int64]


class Examples(Protocol):
    """A data set for training."""

    def __len__(self) -> int:
        """Return the number of examples."""

    def example(self, index: int, rng: np.random.Generator) -> Mapping[str, Any]:
        """Return arrays, tensors or numbers by field; all randomness comes from ``rng``."""


class Sampler(Protocol):
    """Chooses the examples of a step, for all processes together.

    A sampler that learns from the run (hard examples, small faces) also has ``feedback(value)``,
    called after each step with what the learner gave, and ``state()`` and ``restore(state)`` for
    the checkpoint, in JSON types. With worker processes feedback acts some batches late.
    """

    def batch(self, step: int) -> Indices:
        """Return int64 (B,) indices of step 0, 1, ..."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A data set and the sampler that draws from it."""

    examples: Examples
    sampler: Sampler


class Shuffled:
    """Every example once per pass, in a new order each pass; a batch may span two passes.

    Parameters
    ----------
    count
        Number of examples.
    batch
        Examples per step over all processes.
    seed
        Of the orders.
    """

    def __init__(self, count: int, batch: int, seed: int) -> None:
        if count < 1 or batch < 1:
            raise ConfigError(f"a stream needs examples and a batch size, got {count} and {batch}")
        self.count, self.size, self.seed = count, batch, seed
        self._orders: dict[int, Indices] = {}

    def batch(self, step: int) -> Indices:
        """Return int64 (batch,) indices."""
        positions = np.arange(step * self.size, (step + 1) * self.size)
        passes, places = np.divmod(positions, self.count)
        return np.array(
            [self._order(int(p))[i] for p, i in zip(passes, places, strict=True)], np.int64
        )

    def _order(self, number: int) -> Indices:
        if number not in self._orders:
            # The present pass and the next are enough for a batch on the border.
            self._orders = {k: v for k, v in self._orders.items() if k >= number - 1}
            rng = np.random.default_rng((self.seed, number))
            self._orders[number] = rng.permutation(self.count)
        return self._orders[number]


class ByClass:
    """P classes with K examples each ("PK" batches), plus random examples of other classes.

    Parameters
    ----------
    labels
        int (N,): class of every example.
    classes, examples
        P and K. A class with fewer than K examples gives all it has, and then repeats them.
    extra
        Examples of further classes, drawn without regard to class (FaceNet's random negatives).
    seed
        Of the draws.
    """

    def __init__(
        self, labels: ArrayLike, classes: int, examples: int, seed: int, extra: int = 0
    ) -> None:
        y = np.asarray(labels)
        self.labels = y
        self.members = [np.flatnonzero(y == c) for c in np.unique(y)]
        if classes > len(self.members) or classes < 1 or examples < 1:
            raise ConfigError(
                f"batches of {classes} classes x {examples} examples need that many classes; "
                f"the data has {len(self.members)}"
            )
        if extra and classes == len(self.members):
            raise ConfigError("extra examples need classes beyond those of the batch")
        self.p, self.k, self.extra, self.seed = classes, examples, extra, seed

    def batch(self, step: int) -> Indices:
        """Return int64 (P * K + extra,) indices, the examples of a class side by side."""
        rng = np.random.default_rng((self.seed, step))
        chosen = rng.choice(len(self.members), self.p, replace=False)
        rows = [_draw(self.members[c], self.k, rng) for c in chosen]
        if self.extra:
            taken = np.concatenate([self.members[c] for c in chosen])
            others = np.setdiff1d(np.arange(len(self.labels)), taken)
            rows.append(_draw(others, self.extra, rng))
        return np.concatenate(rows)


class Strata:
    """A fixed number of examples from each of several groups in every batch.

    Parameters
    ----------
    groups
        Indices of each group's examples.
    counts
        Examples of each group per batch.
    seed
        Of the orders.
    """

    def __init__(self, groups: Sequence[ArrayLike], counts: Sequence[int], seed: int) -> None:
        self.groups = [np.asarray(g, np.int64) for g in groups]
        self.parts = [
            Shuffled(len(g), n, seed + 7919 * i)
            for i, (g, n) in enumerate(zip(self.groups, counts, strict=True))
        ]

    def batch(self, step: int) -> Indices:
        """Return int64 (sum of counts,) indices, interleaved so that every process gets a share."""
        drawn = [g[part.batch(step)] for g, part in zip(self.groups, self.parts, strict=True)]
        places = [(np.arange(len(d)) + 0.5) / len(d) for d in drawn]
        return np.concatenate(drawn)[np.argsort(np.concatenate(places), kind="stable")]


def mixed(sizes: Sequence[int], shares: Sequence[float], batch: int, seed: int) -> Strata:
    """Return batches with a share of examples from each of several parts that lie side by side.

    Parameters
    ----------
    sizes, shares
        Examples of each part; its share of each batch, in any unit. Rounding goes to the first.
    batch, seed
        Examples per batch; of the orders.
    """
    counts = [round(batch * share / sum(shares)) for share in shares]
    counts[0] += batch - sum(counts)
    starts = np.cumsum([0, *sizes])
    groups = [np.arange(a, b) for a, b, n in zip(starts[:-1], starts[1:], counts, strict=True) if n]
    return Strata(groups, [n for n in counts if n], seed)


def _draw(pool: Indices, count: int, rng: np.random.Generator) -> Indices:
    """Draw without replacement for as long as the pool lasts, then start again."""
    rounds = -(-count // len(pool))
    return np.concatenate([rng.permutation(pool) for _ in range(rounds)])[:count]
