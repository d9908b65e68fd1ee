"""A card in the format of the Hugging Face hub: YAML front matter, then the Markdown.

The hub's own template folds ethics and caveats into one section; here the body keeps the nine
sections of the paper, and the front matter holds what the hub reads: licence, library, tags, data
sets, metrics, and one result per cell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from vultus.audit.model_cards.evidence import NOT_EVALUATED, Result, Task
from vultus.audit.model_cards.markdown import cell_name, dataset_names, to_markdown
from vultus.audit.model_cards.schema import ModelCard

#: SPDX identifiers, in lower case, that the hub knows by the same name.
_LICENCES: Final = (
    "apache-2.0",
    "mit",
    "bsd-2-clause",
    "bsd-3-clause",
    "cc0-1.0",
    "cc-by-4.0",
    "cc-by-sa-4.0",
    "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0",
    "cc-by-nc-nd-4.0",
    "unlicense",
    "mpl-2.0",
    "bsl-1.0",
)

#: The hub's task of each kind of prediction, for the results, and for the model if it has one.
_TASKS: Final[Mapping[Task, str]] = {
    "binary": "image-classification",
    "multiclass": "image-classification",
    "regression": "image-feature-extraction",
    "landmarks": "keypoint-detection",
    "verification": "image-feature-extraction",
}


def front_matter(card: ModelCard) -> dict[str, Any]:
    """Return the card's metadata as the hub names it."""
    details = card.model_details
    evaluated = dataset_names(card.evaluation_data.datasets)
    trained = dataset_names(card.training_data.datasets)
    found: dict[str, Any] = _licence(details.licence, details.homepage)
    found |= {
        "library_name": "vultus",
        "tags": ["face-analysis", "model-card", "vultus"],
        "model_name": details.name,
    }
    table = card.evaluation_data.table
    if table != NOT_EVALUATED:
        found["pipeline_tag"] = _TASKS[table.task]
    if trained or evaluated:
        found["datasets"] = sorted({_slug(name) for name in (*trained, *evaluated)})
    results = [*_results(card, evaluated), *_reported(card)]
    if results:
        names = {metric["type"] for result in results for metric in result["metrics"]}
        found["metrics"] = sorted(names)
        found["model-index"] = [{"name": details.name, "results": results}]
    return found


def to_hub(card: ModelCard) -> str:
    """Return the text of a ``README.md`` for the hub."""
    import yaml

    text = yaml.safe_dump(front_matter(card), sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{text}---\n\n{to_markdown(card)}"


def _licence(licence: str, homepage: str) -> dict[str, Any]:
    known = licence.lower()
    if known in _LICENCES:
        return {"license": known}
    if licence == NOT_EVALUATED:
        return {"license": "unknown"}
    found = {"license": "other", "license_name": _slug(licence)}
    if homepage != NOT_EVALUATED:
        found["license_link"] = homepage
    return found


def _results(card: ModelCard, datasets: tuple[str, ...]) -> Iterable[dict[str, Any]]:
    """Yield one result per cell; a cell is the configuration of the data set."""
    analyses, table = card.quantitative_analyses, card.evaluation_data.table
    if table == NOT_EVALUATED:
        return
    name = " + ".join(datasets) or table.file
    cells: dict[str, list[Result]] = {}
    for section in (analyses.unitary, analyses.intersectional):
        for result in () if section == NOT_EVALUATED else section:
            if result.estimate.value is not None:
                cells.setdefault(cell_name(result.cell), []).append(result)
    for cell, results in cells.items():
        yield {
            "task": {"type": _TASKS[table.task]},
            "dataset": {
                "type": _slug(name),
                "name": name if cell == "all" else f"{name} ({cell})",
                "config": cell,
                "split": table.split,
            },
            "metrics": [_metric(r, card) for r in results],
        }


def _metric(result: Result, card: ModelCard) -> dict[str, Any]:
    measures = card.metrics.measures
    titles = {} if measures == NOT_EVALUATED else {m.name: m.title for m in measures}
    low, high = result.estimate.low, result.estimate.high
    flag = ", fewer than 30 independent units" if result.small else ""
    title = titles.get(result.metric, result.metric)
    return {
        "type": result.metric,
        "value": result.estimate.value,
        "name": f"{title} [{low:.3f}, {high:.3f}], n={result.trials}{flag}",
    }


def _reported(card: ModelCard) -> Iterable[dict[str, Any]]:
    figures = card.quantitative_analyses.reported
    for figure in () if figures == NOT_EVALUATED else figures:
        yield {
            "task": {"type": "image-feature-extraction"},
            "dataset": {"type": _slug(figure.on), "name": figure.on},
            "metrics": [
                {
                    "type": _slug(figure.metric),
                    "value": figure.value,
                    "name": f"{figure.metric} [{figure.low:.4g}, {figure.high:.4g}], n={figure.n}",
                }
            ],
        }


def _slug(name: str) -> str:
    """Return a name as the hub's identifiers have it: letters, digits, dots and dashes."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")[:96].strip("-.") or "unnamed"
