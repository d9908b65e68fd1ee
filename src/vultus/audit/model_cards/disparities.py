"""The largest difference between groups, with an interval that allows for having looked for it.

A table of many cells always has a highest and a lowest one. The interval of their difference is
therefore simultaneous over all pairs of cells: the bootstrap distribution of the largest
studentised deviation of any pair takes the place of that of a single pair (the single-step
max-t method of Westfall and Young, 1993).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vultus.measure.arrays import Float


@dataclass(frozen=True, slots=True)
class LargestDifference:
    """The two cells that differ most.

    Parameters
    ----------
    highest, lowest
        Positions of the cells.
    value, low, high
        Difference and simultaneous interval.
    pairs
        Pairs of cells that were compared.
    """

    highest: int
    lowest: int
    value: float
    low: float
    high: float
    pairs: int


def largest_difference(
    values: Float, replicates: Float, floor: Float, confidence: float = 0.95
) -> LargestDifference | None:
    """Return the largest difference of a measure between cells, or None below two cells.

    Parameters
    ----------
    values
        (C,) the measure in each cell; cells where it is NaN are left out.
    replicates
        (B, C) the measure in each resample; NaN where undefined there.
    floor
        (C,) least standard error of each cell. A cell without an event never varies in a
        bootstrap, though its rate is not known exactly.
    confidence
        Probability that the intervals of all pairs hold together.
    """
    known = np.flatnonzero(~np.isnan(values))
    if len(known) < 2:
        return None
    v, drawn = values[known], replicates[:, known]
    first, second = np.triu_indices(len(known), 1)
    largest = np.zeros(len(drawn))
    errors = np.empty(len(first))
    extra = np.maximum(floor[known] ** 2 - np.nanvar(drawn, axis=0), 0)
    for k, (i, j) in enumerate(zip(first, second, strict=True)):
        moved = drawn[:, i] - drawn[:, j]
        variance = float(np.nanvar(moved, ddof=1))
        errors[k] = math.sqrt(variance + extra[i] + extra[j])
        if variance > 0:
            largest = np.fmax(largest, np.abs(moved - (v[i] - v[j])) / math.sqrt(variance))
    quantile = float(np.quantile(largest, confidence))
    high, low = int(np.argmax(v)), int(np.argmin(v))
    if high == low:
        high, low = 0, 1
    pair = int(np.flatnonzero((first == min(high, low)) & (second == max(high, low)))[0])
    value, half = float(v[high] - v[low]), quantile * errors[pair]
    return LargestDifference(
        int(known[high]),
        int(known[low]),
        value,
        float(value - half),
        float(value + half),
        len(first),
    )
