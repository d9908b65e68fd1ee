"""Splits and folds in which no person appears twice."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import ConfigError

Indices = NDArray[np.intp]


def split_by_identity(
    identities: ArrayLike, shares: Mapping[str, float], *, seed: int = 0
) -> dict[str, Indices]:
    """Divide items into parts that share no person.

    People are ordered by a hash of the seed and their name, and dealt out in that order: the
    result depends on neither the order of the items nor the version of a random generator.

    Parameters
    ----------
    identities
        (N,) who each item shows.
    shares
        Share of the *people* that each part gets, such as ``{"train": 0.8, "dev": 0.1, "test":
        0.1}``; they sum to 1.
    seed
        Another seed gives another split.

    Returns
    -------
    dict of intp arrays
        Ascending item indices of each part; every part has a person at least.

    Raises
    ------
    ConfigError
        If shares do not sum to 1, or there are fewer people than parts.
    """
    names, codes = _people(identities)
    values = np.array(list(shares.values()), np.float64)
    if not len(values) or (values <= 0).any() or abs(values.sum() - 1) > 1e-9:
        raise ConfigError(f"shares must be positive and sum to 1, got {dict(shares)}")
    if len(names) < len(values):
        raise ConfigError(f"{len(names)} people cannot be divided into {len(values)} parts")
    ends = np.rint(values.cumsum() * len(names)).astype(int)
    # Every part keeps a person, however small its share.
    ends = np.maximum(ends, np.arange(1, len(ends) + 1))
    ends = np.minimum(ends, len(names) - np.arange(len(ends))[::-1])
    part_of = np.empty(len(names), np.intp)
    part_of[_shuffled(names, seed)] = np.searchsorted(ends, np.arange(len(names)), side="right")
    return {name: np.flatnonzero(part_of[codes] == i) for i, name in enumerate(shares)}


def folds_by_identity(identities: ArrayLike, k: int, *, seed: int = 0) -> Indices:
    """Assign items to k folds of about equal size that share no person.

    People with most items are placed first, each into the smallest fold; equals in the order of a
    hash of the seed and their name.

    Parameters
    ----------
    identities
        (N,) who each item shows.
    k
        Number of folds, from 2 to the number of people.
    seed
        Another seed gives other folds.

    Returns
    -------
    intp (N,)
        Fold of each item, 0 to k - 1.
    """
    names, codes = _people(identities)
    if not 2 <= k <= len(names):
        raise ConfigError(f"k lies between 2 and the {len(names)} people, got {k}")
    counts = np.bincount(codes)
    order = _shuffled(names, seed)
    order = order[np.argsort(-counts[order], kind="stable")]
    sizes, fold_of = np.zeros(k, np.intp), np.empty(len(names), np.intp)
    for person in order:
        fold_of[person] = sizes.argmin()
        sizes[fold_of[person]] += counts[person]
    return np.asarray(fold_of[codes], np.intp)


def _people(identities: ArrayLike) -> tuple[list[str], Indices]:
    array = np.asarray(identities)
    if array.ndim != 1 or array.dtype == object or not len(array):
        raise ConfigError(f"identities must be (N,) names or numbers, got {array.dtype}")
    known, codes = np.unique(array, return_inverse=True)
    return [str(name) for name in known], codes.astype(np.intp)


def _shuffled(names: list[str], seed: int) -> Indices:
    keys = [hashlib.sha256(f"{seed}\n{name}".encode()).digest() for name in names]
    return np.array(sorted(range(len(names)), key=keys.__getitem__), np.intp)


def name_places(identities: ArrayLike) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each item (N,), the same for all items of a person.

    It comes from a hash of the name alone, so that whoever is below a limit stays there when people
    are added, left out or named in another place.
    """
    names, codes = _people(identities)
    digests = (hashlib.sha256(f"place\n{name}".encode()).digest()[:4] for name in names)
    places = np.array([int.from_bytes(digest, "big") for digest in digests], np.float64) / 2**32
    return np.asarray(places[codes], np.float64)
