"""Cells: all items, each group of each factor, and combinations of groups."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Final

import numpy as np

from vultus.audit.model_cards.table import PredictionTable
from vultus.errors import MeasureError
from vultus.measure.arrays import Bool, Int

#: More cells than this say nothing to a reader.
MOST_CELLS: Final = 500


@dataclass(frozen=True, eq=False)
class Family:
    """The cells of one combination of factors, which no item shares.

    Parameters
    ----------
    factors
        Their names; none for all items.
    cells
        Groups of each cell, in the order of the factors.
    index
        intp (N,) cell of each item, -1 where it lacks a label.
    """

    factors: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    index: Int

    def __len__(self) -> int:
        return len(self.cells)

    def name(self, cell: int) -> Mapping[str, str]:
        """Return a cell as factor to group."""
        return dict(zip(self.factors, self.cells[cell], strict=True))

    def member(self, cell: int) -> Bool:
        """Return which items are in a cell, bool (N,)."""
        return np.asarray(self.index == cell)


def families(
    table: PredictionTable, factors: Sequence[str] | None = None, most: int | None = None
) -> Iterator[Family]:
    """Yield all items, then the single factors, then their combinations.

    Parameters
    ----------
    table
        Rows to be evaluated.
    factors
        Which factors; all of the table if not given.
    most
        Most factors in a combination; all if not given.

    Raises
    ------
    MeasureError
        If a factor is unknown or named twice, or there would be more than :data:`MOST_CELLS`.
    """
    names = table.factors if factors is None else tuple(factors)
    if len(set(names)) != len(names):
        raise MeasureError(f"a factor is named twice: {list(names)}")
    columns = {name: _codes(table, name) for name in names}
    depth = len(names) if most is None else min(most, len(names))
    chosen = [c for k in range(1, depth + 1) for c in combinations(names, k)]
    count = sum(math.prod(len(columns[name][0]) for name in c) for c in chosen)
    if count > MOST_CELLS:
        raise MeasureError(
            f"{list(names)} make {count} cells, more than {MOST_CELLS}: report fewer factors, "
            "or combinations of fewer at a time"
        )
    yield Family((), ((),), np.zeros(len(table), np.intp))
    for combination in chosen:
        groups = [columns[name][0] for name in combination]
        index = np.zeros(len(table), np.intp)
        missing = np.zeros(len(table), bool)
        for name in combination:
            known, codes = columns[name]
            missing |= codes < 0
            index = index * len(known) + codes
        index[missing] = -1
        yield Family(combination, tuple(product(*groups)), index)


def _codes(table: PredictionTable, factor: str) -> tuple[tuple[str, ...], Int]:
    values = table.group(factor).values
    known = np.unique(values[values != ""])
    if not known.size:
        raise MeasureError(f"factor {factor!r} has no label in the evaluated rows")
    codes = np.searchsorted(known, values)
    return tuple(known.tolist()), np.where(values == "", -1, codes)
