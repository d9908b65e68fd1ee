"""A card for every system of the catalogue: what of its paper was reproduced, at which scale."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from vultus.audit.model_cards.evidence import NOT_EVALUATED, ReportedFigure
from vultus.audit.model_cards.making import make_card
from vultus.audit.model_cards.schema import Description, ModelCard, QuantitativeAnalyses
from vultus.audit.model_cards.texts import task_texts
from vultus.errors import ConfigError
from vultus.registry import Entry, catalogue
from vultus.settings import read_settings

COMMAND: Final = "vultus cards make --systems"


def system_card(entry: Entry, result: Mapping[str, Any] | None = None) -> ModelCard:
    """Return the card of a system.

    Parameters
    ----------
    entry
        Its place in the catalogue.
    result
        What ``vultus reproduce`` stored, or None where nothing was measured.

    Raises
    ------
    ConfigError
        If the result lacks what a reproduction stores.
    """
    values = task_texts(entry.task)
    values["model_details"] = {
        "name": entry.slug,
        "id": f"system-{entry.slug}",
        "developers": "The Vultus developers, after the paper",
        "kind": entry.summary.strip() or NOT_EVALUATED,
        "paper": f"Number {entry.paper} of the project's list; see docs/systems/{entry.slug}.md",
        "licence": "Apache-2.0",
        "commercial": "yes",
    }
    values["evaluation_data"] = {}
    values["training_data"] = {}
    reported: tuple[ReportedFigure, ...] = ()
    if result is not None:
        try:
            reported = tuple(_differences(entry.slug, result))
            texts = [_scale(result), *(_verdict(claim) for claim in result["claims"])]
        except (KeyError, TypeError, IndexError) as error:
            raise ConfigError(f"result of {entry.slug}: lacks or misplaces {error}") from error
        values["caveats_and_recommendations"]["reproduced"] = " ".join(texts)
    description = read_settings(Description, values, f"card of {entry.slug}")
    card = make_card(description, None, command=COMMAND)
    analyses = QuantitativeAnalyses(reported=reported or NOT_EVALUATED)
    return replace(card, quantitative_analyses=analyses)


def system_cards(results: Path) -> list[ModelCard]:
    """Return the card of every system, with what lies in a folder of results (``SLUG.json``)."""
    return [
        system_card(entry, _read(results / f"{slug}.json")) for slug, entry in catalogue().items()
    ]


def _read(file: Path) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    try:
        values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{file}: not JSON: {error}") from error
    return values


def _differences(slug: str, result: Mapping[str, Any]) -> Iterator[ReportedFigure]:
    for claim in result["claims"]:
        interval = claim["verdict"]["interval"]
        if interval["low"] is None or interval["high"] is None:
            continue
        counts = [run["measurements"][claim["id"]]["n"] for run in result["runs"]]
        yield ReportedFigure(
            metric=f"{claim['metric']}: method minus baseline",
            value=interval["mean"],
            low=interval["low"],
            high=interval["high"],
            n=sum(counts),
            on=f"{interval['seeds']} seeds, budget {result['budget']['name']}",
            command=f"vultus reproduce {slug}",
        )


def _scale(result: Mapping[str, Any]) -> str:
    runs = result["runs"]
    seconds = sum(run["seconds"] for run in runs) / len(runs)
    return (
        f"At a small scale ({len(runs)} seeds, {seconds:.0f} s each on {runs[0]['device']}); the "
        "paper's own figures were not reproduced unless a claim says so."
    )


def _verdict(claim: Mapping[str, Any]) -> str:
    return f"{claim['sentence']}: {claim['verdict']['outcome']}."
