"""Offline check of a card: what is missing, blank, contradictory, or claimed without evidence."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from vultus.audit.model_cards.evaluation import MIN_RESAMPLES
from vultus.audit.model_cards.evidence import NOT_EVALUATED, SMALL, Disparity, Interval, Result
from vultus.audit.model_cards.making import DECIMALS, plan_of
from vultus.audit.model_cards.measures import ERROR_RATES
from vultus.audit.model_cards.schema import SECTIONS, ModelCard
from vultus.audit.model_cards.table import read_table
from vultus.errors import ConfigError, MeasureError
from vultus.settings import plain, read_settings

_SHA256 = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault of a card: where, as a dotted path, and what is wrong."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def read_card(values: Mapping[str, Any], source: str = "card") -> ModelCard:
    """Return a card from plain values; raise :class:`ConfigError` if it does not fit the schema."""
    return read_settings(ModelCard, values, source)


def problems(card: ModelCard | Mapping[str, Any]) -> list[Problem]:
    """Return every fault of a card; an empty list means that it passes.

    Parameters
    ----------
    card
        A card, or the plain values of its JSON.
    """
    values = plain(card) if isinstance(card, ModelCard) else card
    missing = [
        Problem(name, f"section '{title}' is missing")
        for name, title in SECTIONS.items()
        if name not in values
    ]
    if missing:
        return missing
    blanks = list(_blanks(values, ""))
    try:
        read = read_card(values)
    except ConfigError as error:
        return [*blanks, Problem("card", str(error))]
    return [*blanks, *_details(read), *_results(read), *_factors(read), *_evidence(read)]


def table_problems(card: ModelCard, path: Path | str) -> list[Problem]:
    """Return where a card's numbers are not those that its frozen table gives.

    The threshold is chosen and everything computed anew, with the card's own seed.

    Raises
    ------
    MeasureError
        If the file is no prediction table.
    """
    table, plan = card.evaluation_data.table, plan_of(card)
    if table == NOT_EVALUATED or plan is None:
        return [Problem("evaluation_data.table", "the card was not computed from a table")]
    rows, sha256 = read_table(path)
    if sha256 != table.sha256:
        what = f"the card records SHA-256 {table.sha256}, {path} has {sha256}"
        return [Problem("evaluation_data.table", what)]
    try:
        found = plan.evaluate(rows)
    except MeasureError as error:
        return [Problem("quantitative_analyses", f"cannot be computed from the table: {error}")]
    stated = [*_each(card.quantitative_analyses.unitary)]
    stated += _each(card.quantitative_analyses.intersectional)
    wrong = list(_compare(stated, [*found.unitary, *found.intersectional]))
    wrong += _compare_disparities(_each(card.quantitative_analyses.disparities), found.disparities)
    threshold = card.metrics.threshold
    if found.threshold is not None and (
        threshold == NOT_EVALUATED or not _near(threshold.value, found.threshold.value)
    ):
        wrong.append(Problem("metrics.threshold", f"the table gives {found.threshold.value:g}"))
    return wrong


def _blanks(value: Any, where: str) -> Iterator[Problem]:
    # A note is empty where there is nothing to say, and the cell of all items has no group.
    if where.endswith((".note", ".cell", ".factors")) or value is None:
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _blanks(item, f"{where}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _blanks(item, f"{where}.{i}")
    if isinstance(value, str | Mapping | list | tuple) and not (
        value.strip() if isinstance(value, str) else value
    ):
        yield Problem(where, "is blank; write 'not evaluated' where nothing is known")


def _details(card: ModelCard) -> Iterator[Problem]:
    details = card.model_details
    if not _ID.fullmatch(details.id):
        yield Problem("model_details.id", "has letters, digits, dots and dashes only")
    if details.sha256 != NOT_EVALUATED and not _SHA256.fullmatch(details.sha256):
        yield Problem("model_details.sha256", "must be 64 hex digits in lower case")


def _results(card: ModelCard) -> Iterator[Problem]:
    analyses = card.quantitative_analyses
    for section in ("unitary", "intersectional"):
        for i, result in enumerate(_each(getattr(analyses, section))):
            where = f"quantitative_analyses.{section}.{i}"
            yield from _interval(result.estimate, f"{where}.estimate")
            if (len(result.cell) > 1) != (section == "intersectional"):
                yield Problem(f"{where}.cell", f"does not belong into the {section} results")
            if result.people < SMALL and not result.small:
                what = f"rests on {result.people} independent units, fewer than {SMALL}: flag it"
                yield Problem(f"{where}.small", what)
            if not 0 <= result.people <= 2 * result.trials <= 2 * result.n:
                yield Problem(where, "has counts that cannot be")
    for i, disparity in enumerate(_each(analyses.disparities)):
        yield from _interval(disparity.difference, f"quantitative_analyses.disparities.{i}")
    for i, figure in enumerate(_each(analyses.reported)):
        where = f"quantitative_analyses.reported.{i}"
        ends = Interval(value=figure.value, low=figure.low, high=figure.high, method="reported")
        yield from _interval(ends, where)
        if figure.n < 1:
            yield Problem(f"{where}.n", "must be the number of items, 1 or more")


def _interval(estimate: Interval, where: str) -> Iterator[Problem]:
    numbers = (estimate.value, estimate.low, estimate.high)
    if estimate.value is None:
        if not estimate.note.strip():
            yield Problem(where, "has no value and does not say why")
        return
    if estimate.low is None or estimate.high is None:
        yield Problem(where, "has no confidence interval")
    elif not all(math.isfinite(x) for x in numbers if x is not None):
        yield Problem(where, "is not finite")
    elif estimate.low > estimate.high:
        yield Problem(
            where, f"has its interval the wrong way round: {estimate.low} to {estimate.high}"
        )


def _factors(card: ModelCard) -> Iterator[Problem]:
    known = {f.name: f for f in _each(card.factors.evaluation)}
    for name, factor in known.items():
        where = f"factors.evaluation.{name}.provenance"
        if factor.provenance.kind == "model-predicted" and (
            factor.provenance.error == NOT_EVALUATED
        ):
            yield Problem(where, "labels come from a model: state its error on these groups")
    analyses = card.quantitative_analyses
    crossed: set[frozenset[str]] = set()
    alone = {name for r in _each(analyses.unitary) for name in r.cell}
    for result in (*_each(analyses.unitary), *_each(analyses.intersectional)):
        crossed.add(frozenset(result.cell))
        for factor_name, group in result.cell.items():
            if factor_name not in known or group not in known[factor_name].groups:
                what = f"a result names {factor_name}={group}, which the factors do not list"
                yield Problem("quantitative_analyses", what)
    for name in sorted(known.keys() - alone):
        yield Problem("quantitative_analyses.unitary", f"has no result for factor {name!r}")
    for pair in combinations(sorted(known), 2):
        if not any(set(pair) <= cell for cell in crossed):
            what = f"has no result for {pair[0]} x {pair[1]}; averages hide intersections"
            yield Problem("quantitative_analyses.intersectional", what)


def _evidence(card: ModelCard) -> Iterator[Problem]:
    analyses, metrics = card.quantitative_analyses, card.metrics
    results = (*_each(analyses.unitary), *_each(analyses.intersectional))
    table = card.evaluation_data.table
    if not results:
        if table != NOT_EVALUATED:
            yield Problem("quantitative_analyses.unitary", "a table is given and no results")
        return
    if not any(not r.cell for r in results):
        yield Problem("quantitative_analyses.unitary", "has no overall result")
    if table == NOT_EVALUATED or not _SHA256.fullmatch(table.sha256):
        yield Problem("evaluation_data.table", "results need a frozen table and its SHA-256")
    if metrics.uncertainty == NOT_EVALUATED or metrics.uncertainty.resamples < MIN_RESAMPLES:
        what = f"results need the approach to uncertainty, {MIN_RESAMPLES} resamples or more"
        yield Problem("metrics.uncertainty", what)
    defined = {m.name for m in _each(metrics.measures)}
    reported = {r.metric for r in results}
    for name in sorted(reported - defined):
        yield Problem("metrics.measures", f"does not define {name!r}")
    lacking = sorted(set(ERROR_RATES) - reported)
    if lacking and len(lacking) < len(ERROR_RATES):
        yield Problem("metrics.measures", f"reports some error rates and not {lacking}")
    if table == NOT_EVALUATED or table.task not in ("binary", "verification"):
        return
    if metrics.threshold == NOT_EVALUATED:
        yield Problem("metrics.threshold", "decisions were evaluated: state the threshold")
    elif metrics.threshold.split == table.split:
        yield Problem("metrics.threshold", f"was chosen on {table.split!r}, the evaluated split")
    if metrics.threshold_reason == NOT_EVALUATED:
        yield Problem("metrics.threshold_reason", "say why the threshold is chosen so")


def _compare(stated: Sequence[Result], found: Sequence[Result]) -> Iterator[Problem]:
    by_cell = {(r.metric, frozenset(r.cell.items())): r for r in found}
    for result in stated:
        cell = ", ".join(f"{k}={v}" for k, v in result.cell.items()) or "all items"
        where = f"quantitative_analyses ({result.metric}, {cell})"
        fresh = by_cell.pop((result.metric, frozenset(result.cell.items())), None)
        if fresh is None:
            yield Problem(where, "the table gives no such result")
        elif (result.n, result.trials, result.events, result.people, result.small) != (
            fresh.n,
            fresh.trials,
            fresh.events,
            fresh.people,
            fresh.small,
        ):
            yield Problem(where, "counts differ from those of the table")
        elif not _same(result.estimate, fresh.estimate):
            yield Problem(
                where, f"states {_show(result.estimate)}, the table gives {_show(fresh.estimate)}"
            )
    if by_cell:
        yield Problem("quantitative_analyses", f"lacks {len(by_cell)} results of the table")


def _compare_disparities(
    stated: Sequence[Disparity], found: Sequence[Disparity]
) -> Iterator[Problem]:
    by_factors = {(d.metric, d.factors): d for d in found}
    for disparity in stated:
        fresh = by_factors.pop((disparity.metric, disparity.factors), None)
        if fresh is None or not _same(disparity.difference, fresh.difference):
            where = f"disparities ({disparity.metric}, {' x '.join(disparity.factors)})"
            yield Problem(where, "differs from the table")
    if by_factors:
        yield Problem("quantitative_analyses", f"lacks {len(by_factors)} differences of the table")


def _same(first: Interval, second: Interval) -> bool:
    return all(
        _near(getattr(first, name), getattr(second, name)) for name in ("value", "low", "high")
    )


def _near(first: float | None, second: float | None) -> bool:
    if first is None or second is None:
        return first is second
    return math.isclose(first, second, rel_tol=1e-6, abs_tol=2 * 10.0**-DECIMALS)


def _show(estimate: Interval) -> str:
    return f"{estimate.value} [{estimate.low}, {estimate.high}]"


def _each(values: Any) -> Sequence[Any]:
    return () if values == NOT_EVALUATED else values
