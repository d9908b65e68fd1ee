"""A card as Markdown, in the paper's order of sections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vultus.audit.model_cards.evidence import (
    NOT_EVALUATED,
    SMALL,
    Disparity,
    EvaluationFactor,
    Interval,
    ReportedFigure,
    Result,
    Threshold,
    Uncertainty,
)
from vultus.audit.model_cards.schema import SECTIONS, Dataset, ModelCard

#: Fields whose heading is not their name with a capital letter.
_HEADINGS: Mapping[str, str] = {
    "kind": "Type",
    "training": "Training algorithm and parameters",
    "fairness": "Fairness constraints",
    "features": "Input and output",
    "sha256": "SHA-256",
    "commercial": "Commercial use",
    "human_life": "Matters of human life",
}

_RULES: Mapping[str, str] = {
    "accuracy": "highest accuracy",
    "equal-error": "equal error rates of positives and negatives",
    "fpr": "highest true positive rate with a false positive rate of at most {target:g}",
}


def to_markdown(card: ModelCard) -> str:
    """Return a card as Markdown; every section and field is there, evaluated or not."""
    lines = [f"# Model card: {card.model_details.name}", ""]
    bodies = {
        "model_details": _fields(card.model_details),
        "intended_use": _fields(card.intended_use),
        "factors": _factors(card),
        "metrics": _metrics(card),
        "evaluation_data": _evaluation_data(card),
        "training_data": _training_data(card),
        "quantitative_analyses": _analyses(card),
        "ethical_considerations": _fields(card.ethical_considerations),
        "caveats_and_recommendations": _fields(card.caveats_and_recommendations),
    }
    for name, title in SECTIONS.items():
        lines += [f"## {title}", "", *bodies[name], ""]
    lines += ["---", "", f"Made by `{card.command}`. What is unknown says *{NOT_EVALUATED}*.", ""]
    return "\n".join(lines)


def cell_name(cell: Mapping[str, str]) -> str:
    """Return a cell in words, for example ``age: 40 to 59, sex: female``."""
    return ", ".join(f"{factor}: {group}" for factor, group in cell.items()) or "all"


def threshold_text(threshold: Threshold) -> str:
    """Return a threshold with its rule and where it was chosen, in words."""
    if threshold.split is None:
        return f"{threshold.value:.4g}, fixed before the evaluation"
    rule = _RULES[threshold.rule].format(target=threshold.target)
    return (
        f"{threshold.value:.4g}, the same for all groups: {rule} on the split "
        f"`{threshold.split}` ({threshold.n} items)"
    )


def estimate_text(estimate: Interval) -> str:
    """Return a value with its interval, or why there is none."""
    if estimate.value is None:
        return f"not estimable: {estimate.note}"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _fields(section: Any, skip: Sequence[str] = ()) -> Iterator[str]:
    for name in section.__dataclass_fields__:
        if name not in skip:
            yield from _field(name, getattr(section, name))


def _field(name: str, value: Any) -> Iterator[str]:
    heading = _HEADINGS.get(name) or name.replace("_", " ").capitalize()
    if isinstance(value, tuple):
        yield f"- **{heading}**:"
        yield from (f"  - {_line(item)}" for item in value)
    else:
        yield f"- **{heading}**: {_line(str(value))}"


def _line(text: str) -> str:
    return " ".join(text.split())


def _factors(card: ModelCard) -> Iterator[str]:
    yield from _fields(card.factors, skip=("evaluation",))
    if card.factors.evaluation == NOT_EVALUATED:
        yield f"- **Evaluation factors**: {NOT_EVALUATED}"
        return
    yield "- **Evaluation factors**:"
    for factor in card.factors.evaluation:
        yield f"  - {_factor(factor)}"


def _factor(factor: EvaluationFactor) -> str:
    groups = ", ".join(f"{name} ({n})" for name, n in factor.groups.items())
    origin = factor.provenance
    text = f"*{factor.name}*: {groups}"
    if factor.unlabelled:
        text += f"; {factor.unlabelled} items without a label"
    return f"{text}. Labels are {origin.kind}: {_line(origin.source)} Label error: {origin.error}"


def _metrics(card: ModelCard) -> Iterator[str]:
    metrics = card.metrics
    if metrics.measures == NOT_EVALUATED:
        yield f"- **Measures**: {NOT_EVALUATED}"
    else:
        yield "- **Measures**:"
        for m in metrics.measures:
            yield f"  - *{m.title}* (`{m.name}`): {m.definition}; {m.reason}"
    yield from _field("reason", metrics.reason)
    threshold = metrics.threshold
    text = NOT_EVALUATED if threshold == NOT_EVALUATED else threshold_text(threshold)
    yield f"- **Decision threshold**: {text}"
    yield from _field("threshold_reason", metrics.threshold_reason)
    u = metrics.uncertainty
    yield f"- **Uncertainty**: {NOT_EVALUATED if u == NOT_EVALUATED else _uncertainty(u)}"


def _uncertainty(u: Uncertainty) -> str:
    return (
        f"{u.confidence:.0%} intervals; {u.method}; {u.resamples} resamples, seed {u.seed}; "
        f"resampled: {u.unit}"
    )


def _evaluation_data(card: ModelCard) -> Iterator[str]:
    yield from _datasets(card.evaluation_data.datasets)
    table = card.evaluation_data.table
    if table == NOT_EVALUATED:
        yield f"- **Frozen prediction table**: {NOT_EVALUATED}"
        return
    people = table.people
    known = "identities not known" if people == NOT_EVALUATED else f"{people} people"
    yield (
        f"- **Frozen prediction table**: `{table.file}`, split `{table.split}`, {table.n} items, "
        f"{known}, task {table.task}, SHA-256 `{table.sha256}`"
    )


def _training_data(card: ModelCard) -> Iterator[str]:
    yield from _field("description", card.training_data.description)
    yield from _datasets(card.training_data.datasets)
    yield from _field("distribution", card.training_data.distribution)


def _datasets(datasets: Any) -> Iterator[str]:
    if datasets == NOT_EVALUATED:
        yield f"- **Datasets**: {NOT_EVALUATED}"
        return
    for dataset in datasets:
        yield f"- **{_line(dataset.name)}**"
        yield from (f"  {line}" for line in _fields(dataset, skip=("name",)))


def _analyses(card: ModelCard) -> Iterator[str]:
    found = card.quantitative_analyses
    if NOT_EVALUATED not in (found.unitary, card.evaluation_data.table):
        yield (
            "Value and interval, then the number of items that the value rests on. "
            f"† fewer than {SMALL} independent units: the interval does not hold what it promises."
        )
        yield ""
    for title, results in (("Unitary", found.unitary), ("Intersectional", found.intersectional)):
        yield from [f"### {title} results", ""]
        yield from _tables(results)
        yield ""
    yield from ["### Largest differences between groups", "", *_disparities(found.disparities), ""]
    yield from ["### Figures reported elsewhere", "", *_reported(found.reported)]
    if found.figures != NOT_EVALUATED:
        for figure in found.figures:
            yield from ["", f"![{_line(figure.caption)}]({figure.file})"]


def _tables(results: Any) -> Iterator[str]:
    """Yield one table per combination of factors, with a row per cell."""
    if results == NOT_EVALUATED:
        yield NOT_EVALUATED
        return
    families: dict[tuple[str, ...], dict[tuple[str, ...], list[Result]]] = {}
    for result in results:
        rows = families.setdefault(tuple(result.cell), {})
        rows.setdefault(tuple(result.cell.values()), []).append(result)
    for number, (factors, rows) in enumerate(families.items()):
        if number:
            yield ""
        names = list(dict.fromkeys(r.metric for row in rows.values() for r in row))
        yield from _head([*(factors or ["cell"]), "n", *names])
        for row in rows.values():
            by_name = {r.metric: r for r in row}
            values = [_result(by_name[m]) if m in by_name else "" for m in names]
            groups = list(row[0].cell.values()) or ["all"]
            yield _row([*groups, str(row[0].n), *values])


def _result(result: Result) -> str:
    if result.estimate.value is None:
        return estimate_text(result.estimate)
    return f"{estimate_text(result.estimate)} ({result.trials}){' †' if result.small else ''}"


def _disparities(disparities: tuple[Disparity, ...] | str) -> Iterator[str]:
    if isinstance(disparities, str):
        yield disparities
        return
    yield from _head(["metric", "over", "highest", "lowest", "difference", "pairs"])
    for d in disparities:
        yield _row(
            [
                d.metric,
                " x ".join(d.factors),
                cell_name(d.highest),
                cell_name(d.lowest),
                estimate_text(d.difference),
                str(d.pairs),
            ]
        )


def _reported(figures: tuple[ReportedFigure, ...] | str) -> Iterator[str]:
    if isinstance(figures, str):
        yield figures
        return
    yield from _head(["metric", "value", "n", "on", "command"])
    for f in figures:
        value = f"{f.value:.4g} [{f.low:.4g}, {f.high:.4g}]"
        yield _row([f.metric, value, str(f.n), f.on, f"`{f.command}`"])


def _head(columns: Sequence[str]) -> list[str]:
    return [_row(columns), "|" + "-|" * len(columns)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_line(cell).replace("|", r"\|") for cell in cells) + " |"


def dataset_names(datasets: tuple[Dataset, ...] | str) -> tuple[str, ...]:
    """Return the names of data sets; none where they are not known."""
    return () if isinstance(datasets, str) else tuple(d.name for d in datasets)
