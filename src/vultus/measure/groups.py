"""Any metric per group and per intersection of groups, with n and an interval in every cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import MeasureError
from vultus.measure.arrays import Int, codes_of, finite, labels_of, sums
from vultus.measure.bootstrap import Resampling, method_name, percentile, weight_blocks
from vultus.measure.intervals import Estimate, not_estimable

#: Cells with fewer items, or fewer people, are flagged.
MIN_CELL = 30

#: A metric of some of the items: takes their indices, intp (M,), and gives an estimate.
Metric = Callable[[Int], Estimate]


@dataclass(frozen=True, slots=True)
class Cell:
    """A metric in one group.

    Parameters
    ----------
    group
        Attribute values that define the group, by attribute; empty for everybody.
    estimate
        The metric there.
    n
        Number of items.
    n_people
        Number of people, or None where they are not known.
    flagged
        Whether there are fewer than ``MIN_CELL`` items or people: too few to rely on.
    """

    group: Mapping[str, str]
    estimate: Estimate
    n: int
    n_people: int | None
    flagged: bool

    @property
    def name(self) -> str:
        """The group as text, such as ``sex=f, age=60+``, or ``all``."""
        return ", ".join(f"{key}={value}" for key, value in self.group.items()) or "all"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "group": dict(self.group),
            "estimate": self.estimate.to_dict(),
            "n": self.n,
            "n_people": self.n_people,
            "flagged": self.flagged,
        }


def by_group(
    metric: Metric,
    attributes: Mapping[str, ArrayLike],
    people: ArrayLike | None = None,
    *,
    depth: int = 2,
    min_cell: int = MIN_CELL,
) -> list[Cell]:
    """Measure everybody, every group, and every intersection.

    Parameters
    ----------
    metric
        Called with the item indices of each cell. Use the same threshold in all groups: one
        chosen per group hides the harm that a deployed threshold does.
    attributes
        For each attribute (N,) the value of each item; for comparisons, of both people alike.
    people
        (N,) person of each item, to count them. Intervals over people are the metric's business.
    depth
        How many attributes are combined at most; 1 for single groups only.
    min_cell
        Cells with fewer items or people are flagged.

    Returns
    -------
    list of Cell
        Everybody first, then single groups, then intersections; empty intersections are left out.

    Examples
    --------
    >>> wrong = np.array([0, 1, 0, 0, 1, 1])
    >>> cells = by_group(lambda i: rate(wrong[i]), {"sex": list("ffmmmf")})
    >>> [(cell.name, cell.estimate.value) for cell in cells]
    [('all', 0.5), ('sex=f', 0.6666666666666666), ('sex=m', 0.3333333333333333)]
    """
    if not attributes or depth < 1:
        raise MeasureError("by_group needs one attribute or more, and depth >= 1")
    values = {name: labels_of(column, name) for name, column in attributes.items()}
    sizes = {len(column) for column in values.values()}
    if len(sizes) != 1 or 0 in sizes:
        raise MeasureError(f"attributes must have one length, not 0, got {sorted(sizes)}")
    n = sizes.pop()
    who = None if people is None else codes_of(people, "people", n)[0]
    cells = [_cell(metric, {}, np.arange(n), who, min_cell)]
    for order in range(1, min(depth, len(values)) + 1):
        for names in combinations(values, order):
            for group in product(*(np.unique(values[name]) for name in names)):
                inside = np.logical_and.reduce(
                    [values[name] == value for name, value in zip(names, group, strict=True)]
                )
                if inside.any():
                    label = {k: str(v) for k, v in zip(names, group, strict=True)}
                    cells.append(_cell(metric, label, np.flatnonzero(inside), who, min_cell))
    return cells


@dataclass(frozen=True, slots=True)
class Gaps:
    """Differences of a rate or mean between groups.

    Parameters
    ----------
    reference
        Group that the others are compared with.
    differences
        For each other group, its value minus the reference's.
    widest
        Highest minus lowest value over the groups. It cannot be negative, and is above 0 by
        chance alone: read the differences for a test.
    """

    reference: str
    differences: dict[str, Estimate]
    widest: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "reference": self.reference,
            "differences": {name: e.to_dict() for name, e in self.differences.items()},
            "widest": self.widest.to_dict(),
        }


def gaps(
    values: ArrayLike,
    groups: ArrayLike,
    people: ArrayLike | None = None,
    *,
    weights: ArrayLike | None = None,
    reference: str | None = None,
    resampling: Resampling = Resampling(),
) -> Gaps:
    """Compare the mean of a value between groups, all resampled together.

    Parameters
    ----------
    values
        (N,) such as 0/1 for an error, or an absolute error.
    groups
        (N,) group of each item.
    people
        (N,) person of each item. A person may appear in several groups, as in a matched design;
        resampling them together makes use of it.
    weights
        (N,) what each value counts, 1 if not given; 0 leaves an item out (such as impostor
        comparisons, for an FNMR).
    reference
        Group to compare with; the one with most items if not given.
    resampling
        How the bootstrap is run.

    Raises
    ------
    MeasureError
        If there are fewer than two groups, or the reference is not one of them.
    """
    items = finite(values, "values").ravel()
    share = np.ones_like(items) if weights is None else finite(weights, "weights").ravel()
    labels = labels_of(groups, "groups", len(items)).astype(np.str_)
    codes, k = codes_of(labels, "groups", len(items))
    names = [str(name) for name in np.unique(labels)]
    if k < 2 or share.shape != items.shape or (share < 0).any():
        raise MeasureError(f"gaps need two groups or more and weights like values, got {names}")
    largest = names[int(np.argmax(np.bincount(codes)))]
    base = largest if reference is None else reference
    if base not in names:
        raise MeasureError(f"reference {reference!r} is not a group; groups: {names}")
    value, replicates = _means(items * share, share, codes, k, people, resampling)
    n, over, zero = len(items), method_name(people), names.index(base)

    def estimate(centre: float, drawn: NDArray[np.float64], size: int) -> Estimate:
        if np.isnan(centre):
            return not_estimable(size, "a group is empty", confidence=resampling.confidence)
        return percentile(centre, drawn, size, over, resampling)

    differences = {
        name: estimate(
            float(value[i] - value[zero]),
            replicates[:, i] - replicates[:, zero],
            int((codes == i).sum() + (codes == zero).sum()),
        )
        for i, name in enumerate(names)
        if i != zero
    }
    widest = estimate(float(np.ptp(value)), np.ptp(replicates, axis=1), n)
    return Gaps(base, differences, widest)


def _means(
    top: NDArray[np.float64],
    bottom: NDArray[np.float64],
    codes: Int,
    k: int,
    people: ArrayLike | None,
    resampling: Resampling,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean of each group (K,), and of each group in each resample (B, K)."""
    n = len(top)
    unit, units = (np.arange(n), n) if people is None else codes_of(people, "people", n)
    cell = unit * k + codes
    tops, bottoms = (sums(cell, part, units * k).reshape(units, k) for part in (top, bottom))
    with np.errstate(invalid="ignore", divide="ignore"):
        value = tops.sum(0) / bottoms.sum(0)
        blocks = weight_blocks(units, None, resampling)
        replicates = [(weights @ tops) / (weights @ bottoms) for weights in blocks]
    return value, np.concatenate(replicates)


def _cell(
    metric: Metric, group: dict[str, str], inside: Int, who: Int | None, min_cell: int
) -> Cell:
    n_people = None if who is None else len(np.unique(who[inside]))
    few = len(inside) < min_cell or (n_people is not None and n_people < min_cell)
    return Cell(group, metric(inside), len(inside), n_people, few)
