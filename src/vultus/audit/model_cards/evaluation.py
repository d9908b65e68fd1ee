"""Disaggregated evaluation of a frozen prediction table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vultus.audit.model_cards.cells import Family, families
from vultus.audit.model_cards.disparities import largest_difference
from vultus.audit.model_cards.evidence import (
    SMALL,
    Disparity,
    EvaluationFactor,
    Interval,
    Measure,
    Result,
    Threshold,
    Uncertainty,
)
from vultus.audit.model_cards.measures import (
    BY_PREDICTION,
    MEASURES,
    RANKINGS,
    THRESHOLDED,
    Terms,
    terms,
)
from vultus.audit.model_cards.rankings import ranking_replicates
from vultus.audit.model_cards.resampling import Units, ratio_replicates
from vultus.audit.model_cards.table import PredictionTable
from vultus.errors import MeasureError
from vultus.measure.arrays import Bool, Float
from vultus.measure.bootstrap import Resampling, percentile
from vultus.measure.intervals import Estimate, not_estimable, rate, rule_of_three

#: Fewest resamples that a card may rest on.
MIN_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a frozen table says of a model, overall and per group.

    Parameters
    ----------
    unitary, intersectional
        Results of all items and of single groups; of combinations of groups.
    disparities
        Largest difference between groups, per measure and combination of factors.
    factors
        Groups that occur, with their number of items and the provenance of their labels.
    measures
        Definitions of what was measured.
    threshold
        That decisions were made with, if there were any.
    uncertainty
        How the intervals were found.
    n, people
        Items; different people among them, or None where identities are not known.
    """

    unitary: tuple[Result, ...]
    intersectional: tuple[Result, ...]
    disparities: tuple[Disparity, ...]
    factors: tuple[EvaluationFactor, ...]
    measures: tuple[Measure, ...]
    threshold: Threshold | None
    uncertainty: Uncertainty
    n: int
    people: int | None

    def result(self, metric: str, **cell: str) -> Result:
        """Return one result, for example ``result("fnr", age="40 to 59")``."""
        for found in (*self.unitary, *self.intersectional):
            if found.metric == metric and dict(found.cell) == cell:
                return found
        raise MeasureError(f"no result {metric!r} in cell {cell}")


def evaluate(
    table: PredictionTable,
    *,
    split: str = "test",
    threshold: Threshold | None = None,
    factors: Sequence[str] | None = None,
    most: int | None = None,
    rankings: bool = True,
    resamples: int = MIN_RESAMPLES,
    seed: int = 0,
    confidence: float = 0.95,
) -> Evaluation:
    """Evaluate a split of a table overall, per group, and per combination of groups.

    Intervals are percentile intervals of a bootstrap over people (over items where identities are
    not known). At zero events, or nothing but events, where a bootstrap has no width, the rule of
    three is used. What has no denominator is not estimable.

    Parameters
    ----------
    table
        Frozen predictions.
    split
        The split to evaluate.
    threshold
        Of a binary or verification table, the same for all groups; see
        :func:`~vultus.audit.model_cards.thresholds.choose_threshold`.
    factors
        Factors to report over; all of the table if not given.
    most
        Most factors in a combination; all if not given.
    rankings
        Whether to add the areas under curves, for single groups of a binary table.
    resamples, seed, confidence
        Of the bootstrap.

    Raises
    ------
    MeasureError
        If there is no such split or factor, no threshold where one is needed, a threshold chosen
        on the evaluated split, or fewer than 1,000 resamples.
    """
    if resamples < MIN_RESAMPLES:
        raise MeasureError(f"a card needs {MIN_RESAMPLES} resamples or more, got {resamples}")
    if threshold is not None and threshold.split == split:
        raise MeasureError(f"the threshold was chosen on {split!r}, the split to be evaluated")
    if threshold is not None and table.task not in THRESHOLDED:
        raise MeasureError(f"a {table.task} table takes no threshold")
    part = table.part(split)
    cells = list(families(part, factors, most))
    work = _Work(part, cells, threshold, Resampling(resamples, confidence, seed))
    results = list(work.ratios())
    disparities = list(work.ratio_disparities())
    if rankings and part.task == "binary":
        results += work.ranking_results()
    order = {(f.factors, cell): k for k, (f, cell) in enumerate(work.places)}
    results.sort(key=lambda r: order[tuple(r.cell), tuple(r.cell.values())])
    names = {r.metric: None for r in results}
    return Evaluation(
        unitary=tuple(r for r in results if len(r.cell) < 2),
        intersectional=tuple(r for r in results if len(r.cell) > 1),
        disparities=tuple(disparities),
        factors=tuple(_factor(part, f) for f in cells if len(f.factors) == 1),
        measures=tuple(m for name, m in MEASURES.items() if name in names),
        threshold=threshold,
        uncertainty=_uncertainty(part, resamples, seed, confidence),
        n=len(part),
        people=None if part.people is None else len(np.unique(part.people)),
    )


@dataclass(frozen=True, eq=False)
class _Work:
    """A table on its way through the bootstrap."""

    table: PredictionTable
    cells: Sequence[Family]
    threshold: Threshold | None
    resampling: Resampling

    @cached_property
    def units(self) -> Units:
        return Units(len(self.table), self.table.people)

    @cached_property
    def places(self) -> list[tuple[Family, tuple[str, ...]]]:
        return [(family, cell) for family in self.cells for cell in family.cells]

    @cached_property
    def measures(self) -> dict[str, Terms]:
        return terms(self.table, self.threshold)

    @cached_property
    def replicates(self) -> dict[str, Float]:
        return ratio_replicates(self.units, self.cells, self.measures, self.resampling)

    @cached_property
    def _ratios(self) -> dict[str, list[Result]]:
        return {
            name: [
                self._ratio(name, family, i, self.replicates[name][:, column])
                for column, (family, i) in enumerate(_members(self.cells))
            ]
            for name in self.measures
        }

    def ratios(self) -> Iterator[Result]:
        for results in self._ratios.values():
            yield from results

    def _ratio(self, name: str, family: Family, cell: int, replicates: Float) -> Result:
        measure, members = self.measures[name], family.member(cell)
        behind = members & (measure.bottom > 0)
        top = measure.top[behind]
        estimate = self._undefined(name, members, behind)
        if estimate is None:
            value = float(top.sum() / measure.bottom[behind].sum())
            if measure.rate and value in (0.0, 1.0):
                people = None if self.table.people is None else self.table.people[behind]
                estimate = rate(top, people, confidence=self.resampling.confidence)
            else:
                method = _method(self.table)
                estimate = percentile(value, replicates, len(top), method, self.resampling)
        people_behind = self.units.independent(behind)
        return Result(
            metric=name,
            cell=family.name(cell),
            n=int(members.sum()),
            people=people_behind,
            trials=int(behind.sum()),
            events=int(top.sum()) if measure.rate else None,
            small=people_behind < SMALL,
            estimate=_interval(estimate),
        )

    def _undefined(self, name: str, members: Bool, behind: Bool) -> Estimate | None:
        n, confidence = int(members.sum()), self.resampling.confidence
        if not n:
            return not_estimable(0, "no items", confidence=confidence)
        if name in BY_PREDICTION and len(np.unique(self.table.values["label"][members])) < 2:
            return not_estimable(n, f"all {n} items are of one class", confidence=confidence)
        if not behind.any():
            return not_estimable(n, f"no case among {n} items", confidence=confidence)
        return None

    def ranking_results(self) -> list[Result]:
        """Return areas under curves for all items and single groups."""
        cells = [family for family in self.cells if len(family.factors) < 2]
        values, drawn = ranking_replicates(self.table, self.units, cells, self.resampling)
        return [
            self._ranking(name, family, i, float(values[name][k]), drawn[name][:, k])
            for k, (family, i) in enumerate(_members(cells))
            for name in RANKINGS
            # For all items the four are the same, or have nothing to be compared with.
            if family.factors or name == "subgroup_auc"
        ]

    def _ranking(
        self, name: str, family: Family, cell: int, value: float, replicates: Float
    ) -> Result:
        members, truth = family.member(cell), self.table.values["label"] == 1
        sides = {
            "subgroup_auc": (members & ~truth, members & truth),
            "pinned_auc": (members & ~truth, members & truth),
            "bpsn_auc": (members & ~truth, ~members & truth),
            "bnsp_auc": (~members & ~truth, members & truth),
        }[name]
        n, confidence = int(members.sum()), self.resampling.confidence
        people = min(self.units.independent(side) for side in sides)
        if not people or not n:
            why = "a class has no items"
            estimate = not_estimable(n, why, confidence=confidence)
        elif min(value, 1 - value) < 1e-9:
            # Perfect ranking has no spread in a bootstrap.
            value, bound = round(value), rule_of_three(people, confidence=confidence)
            ends = (0.0, bound) if value == 0 else (1 - bound, 1.0)
            method = f"rule of three on {people} of the rarer class"
            estimate = Estimate(float(value), *ends, n, confidence, method)
        else:
            estimate = percentile(value, replicates, n, _method(self.table), self.resampling)
        return Result(
            metric=name,
            cell=family.name(cell),
            n=n,
            people=people,
            trials=min(int(side.sum()) for side in sides),
            events=None,
            small=people < SMALL,
            estimate=_interval(estimate),
        )

    def ratio_disparities(self) -> Iterator[Disparity]:
        """Yield the largest difference of each measure over each combination of factors."""
        for name, results in self._ratios.items():
            start = 0
            for family in self.cells:
                stop = start + len(family)
                found = _disparity(
                    family,
                    results[start:stop],
                    self.replicates[name][:, start:stop],
                    self.resampling.confidence,
                )
                start = stop
                if found is not None:
                    yield found


def _disparity(
    family: Family, results: Sequence[Result], replicates: Float, confidence: float
) -> Disparity | None:
    usable = [math.nan if r.small else _number(r.estimate.value) for r in results]
    floor = np.array([_least_error(r) for r in results])
    found = largest_difference(np.array(usable), replicates, floor, confidence)
    if found is None:
        return None
    # Two rates differ by one at most.
    widest = math.inf if results[0].events is None else 1.0
    return Disparity(
        metric=results[0].metric,
        factors=family.factors,
        highest=family.name(found.highest),
        lowest=family.name(found.lowest),
        difference=Interval(
            value=found.value,
            low=max(found.low, -widest),
            high=min(found.high, widest),
            method=f"bootstrap, simultaneous over {found.pairs} pairs of cells",
        ),
        pairs=found.pairs,
    )


def _least_error(result: Result) -> float:
    """Return the standard error of a rate of 0 or 1 after adding two events of each kind.

    Agresti and Coull (1998).
    """
    if result.events is None or result.estimate.value not in (0.0, 1.0):
        return 0.0
    n = result.people
    return math.sqrt(2 * (n + 2)) / math.pow(n + 4, 1.5)


def _members(cells: Sequence[Family]) -> Iterator[tuple[Family, int]]:
    for family in cells:
        for i in range(len(family)):
            yield family, i


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _interval(estimate: Estimate) -> Interval:
    if math.isnan(estimate.value) or math.isnan(estimate.low):
        # A card shows no number without its uncertainty.
        return Interval(value=None, low=None, high=None, method=estimate.method, note=estimate.note)
    return Interval(
        value=float(estimate.value),
        low=float(estimate.low),
        high=float(estimate.high),
        method=estimate.method,
        note=estimate.note,
    )


def _method(table: PredictionTable) -> str:
    return "bootstrap over items" if table.people is None else "bootstrap over people"


def _factor(table: PredictionTable, family: Family) -> EvaluationFactor:
    counts = np.bincount(family.index[family.index >= 0], minlength=len(family))
    return EvaluationFactor(
        name=family.factors[0],
        groups={cell[0]: int(k) for cell, k in zip(family.cells, counts, strict=True)},
        unlabelled=int((family.index < 0).sum()),
        provenance=table.group(family.factors[0]).provenance,
    )


def _uncertainty(
    table: PredictionTable, resamples: int, seed: int, confidence: float
) -> Uncertainty:
    unit = "items; identities are not known, so that pictures of one person count as independent"
    if table.people is not None:
        unit = "people" if table.people.ndim == 1 else "both people of a comparison"
    return Uncertainty(
        method=(
            "percentile bootstrap, the same resamples for all groups; rule of three at zero "
            "events; largest differences simultaneous over all pairs of cells"
        ),
        confidence=confidence,
        resamples=resamples,
        seed=seed,
        unit=unit,
    )
