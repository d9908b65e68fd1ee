"""One bootstrap for all cells and measures of a table at once.

Whole people are drawn (items where identities are not known, both people of a comparison), all
cells see the same draws, and so differences between cells have replicates too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vultus.audit.model_cards.cells import Family
from vultus.audit.model_cards.measures import Terms
from vultus.audit.model_cards.table import Column
from vultus.measure.arrays import Bool, Float, Int, codes_of
from vultus.measure.bootstrap import Resampling, weight_blocks


@dataclass(frozen=True, eq=False)
class Units:
    """What a bootstrap draws.

    Parameters
    ----------
    n
        Number of items.
    people
        str (N,), (N, 2) for comparisons, or None where identities are not known.
    """

    n: int
    people: Column | None

    @cached_property
    def codes(self) -> Int:
        """Unit of each item, intp (N,); every comparison is its own, weighted by its people."""
        if self.people is None or self.people.ndim == 2:
            return np.arange(self.n)
        return codes_of(self.people, "people", self.n)[0]

    @cached_property
    def count(self) -> int:
        """Number of units."""
        return int(self.codes.max()) + 1

    @cached_property
    def _persons(self) -> Int:
        if self.people is None:
            return np.arange(self.n)[:, None]
        _, codes = np.unique(self.people, return_inverse=True)
        return np.asarray(codes.reshape(self.n, -1), np.intp)

    def independent(self, items: Bool) -> int:
        """Return the number of different people behind some items, bool (N,)."""
        return len(np.unique(self._persons[items]))

    def blocks(self, resampling: Resampling) -> Iterator[Float]:
        """Yield how often each unit was drawn, float64 (B, count)."""
        if self.people is not None and self.people.ndim == 2:
            yield from weight_blocks(self.n, self.people, resampling)
        else:
            yield from weight_blocks(self.count, None, resampling)

    def sums(self, family: Family, values: Float) -> Float:
        """Return the sum of item values per unit and cell, float64 (count, C)."""
        size, keep = len(family), family.index >= 0
        place = self.codes[keep] * size + family.index[keep]
        total = np.bincount(place, values[keep], self.count * size)
        return np.asarray(total, np.float64).reshape(self.count, size)


def ratio_replicates(
    units: Units,
    cells: Sequence[Family],
    measures: Mapping[str, Terms],
    resampling: Resampling,
) -> dict[str, Float]:
    """Return every measure in every cell of every resample.

    Returns
    -------
    Per measure float64 (B, C), the cells of all families side by side; NaN where undefined.
    """
    both = {
        name: [
            np.concatenate([units.sums(family, values) for family in cells], axis=1)
            for values in (t.top, t.bottom)
        ]
        for name, t in measures.items()
    }
    found: dict[str, list[Float]] = {name: [] for name in measures}
    with np.errstate(divide="ignore", invalid="ignore"):
        for weights in units.blocks(resampling):
            for name, (top, bottom) in both.items():
                below = weights @ bottom
                found[name].append(np.where(below > 0, (weights @ top) / below, np.nan))
    return {name: np.concatenate(parts) for name, parts in found.items()}
