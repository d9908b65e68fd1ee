"""Identities: shape, looks and hair of a numbered person of a population."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vultus.errors import ConfigError
from vultus.worlds.appearance import Appearance, sample_appearance
from vultus.worlds.hair import HAIR_STYLES
from vultus.worlds.heads import FloatArray, Head
from vultus.worlds.noise import generator

#: Deviation of the symmetric identity coefficients; 1 would reach caricatures too often.
SPREAD = 0.85


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """One identity.

    Parameters
    ----------
    number
        Identity label.
    coefficients
        float32 (I,) identity coefficients of the head.
    look
        Skin, eyes, marks.
    hair
        Key of :data:`~vultus.worlds.hair.HAIR_STYLES`, or ``bald``.
    offset
        How far the skin's temperature lies from the average, degrees Celsius.
    """

    number: int
    coefficients: FloatArray
    look: Appearance
    hair: str
    offset: float


def person(head: Head, population: int, number: int, *, asymmetry: float = 0.35) -> Person:
    """Draw a person; equal arguments give the same one, whoever else is drawn.

    Parameters
    ----------
    head
        Source of geometry.
    population
        Seed of the population.
    number
        Which person, from 0.
    asymmetry
        Deviation of the antisymmetric coefficients, 0 for a mirror-symmetric shape.
    """
    if number < 0:
        raise ConfigError(f"person numbers start at 0, got {number}")
    rng = generator(population, "person", number)
    coefficients = rng.standard_normal(head.identities).astype(np.float32)
    coefficients[: head.symmetric] *= SPREAD
    coefficients[head.symmetric :] *= asymmetry
    coefficients = np.clip(coefficients, -2.2, 2.2)
    look = sample_appearance(rng, int(rng.integers(2**31)))
    styles = list(HAIR_STYLES)
    if look.age < 38:
        styles = [s for s in styles if s not in ("receding", "fringe_of_age")]
    hair = "bald" if rng.random() < 0.05 else str(rng.choice(styles))
    if look.beard > 0 and hair in ("bob", "tied"):
        hair = "short"
    return Person(number, coefficients, look, hair, float(rng.normal(0, 0.35)))


def split_identities(
    count: int, shares: Sequence[float], seed: int = 0
) -> tuple[tuple[int, ...], ...]:
    """Divide identities 0 to count - 1 into disjoint sets.

    Parameters
    ----------
    count
        Number of identities.
    shares
        Positive shares of the sets, for example (0.7, 0.1, 0.2); they are normalised.
    seed
        Which division.

    Returns
    -------
    One ascending tuple of identity numbers per share; together they are all identities.
    """
    weights = np.asarray(shares, np.float64)
    if count < len(weights) or not len(weights) or (weights <= 0).any():
        raise ConfigError(f"cannot split {count} identities into shares {list(shares)}")
    order = generator(seed, "split", count).permutation(count)
    ends = np.round(np.cumsum(weights) / weights.sum() * count).astype(int)
    return tuple(tuple(sorted(int(i) for i in part)) for part in np.split(order, ends[:-1]))
