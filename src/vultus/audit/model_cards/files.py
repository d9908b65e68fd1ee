"""Cards on disk: ``ID.json`` is the card, ``ID.md`` and ``ID-*.svg`` are made from it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vultus.audit.model_cards.evidence import NOT_EVALUATED, Figure, Result
from vultus.audit.model_cards.markdown import to_markdown
from vultus.audit.model_cards.measures import ERROR_RATES
from vultus.audit.model_cards.schema import SECTIONS, ModelCard
from vultus.audit.model_cards.validation import Problem, problems, read_card
from vultus.errors import ConfigError
from vultus.settings import plain


def to_json(card: ModelCard) -> str:
    """Return a card as JSON; :func:`from_json` gives it back."""
    return json.dumps(plain(card), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str, source: str = "card") -> ModelCard:
    """Return a card from its JSON.

    Raises
    ------
    ConfigError
        If the text is no JSON or does not fit the schema.
    """
    try:
        values = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{source}: not JSON: {error}") from error
    return read_card(values, source)


def load_card(path: Path | str) -> ModelCard:
    """Read a card's JSON file; raise :class:`ConfigError` naming the file and the field."""
    return from_json(_read(Path(path)), str(path))


def save_card(card: ModelCard, folder: Path | str, *, figures: bool = True) -> Path:
    """Write a card's JSON, Markdown and figures, and return the path of the JSON.

    Raises
    ------
    ConfigError
        If the card has a problem: a card that does not pass is not written.
    """
    found = problems(card)
    if found:
        raise ConfigError(f"card {card.model_details.id!r} does not pass: {found[0]}")
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    if figures:
        card = _with_figure(card, out)
    _write(out / f"{card.model_details.id}.md", to_markdown(card))
    file = out / f"{card.model_details.id}.json"
    _write(file, to_json(card))
    return file


def check_file(path: Path | str) -> list[Problem]:
    """Return the problems of a card's JSON file, and of the Markdown and figures beside it.

    Raises
    ------
    ConfigError
        If the file cannot be read or is no JSON.
    """
    file = Path(path)
    try:
        values = json.loads(_read(file))
    except ValueError as error:
        raise ConfigError(f"{file}: not JSON: {error}") from error
    if not isinstance(values, dict):
        return [Problem("card", "is not a mapping of sections")]
    found = problems(values)
    if found:
        return found
    card = read_card(values, str(file))
    page = file.with_suffix(".md")
    if not page.is_file():
        found.append(Problem(page.name, "is missing: write the card anew"))
    elif page.read_text(encoding="utf-8") != to_markdown(card):
        found.append(Problem(page.name, "is not what the JSON renders to: write the card anew"))
    figures = card.quantitative_analyses.figures
    for figure in () if figures == NOT_EVALUATED else figures:
        if not (file.parent / figure.file).is_file():
            found.append(Problem(figure.file, "is missing"))
    return found


def card_files(paths: Sequence[Path]) -> list[Path]:
    """Return the JSON files of cards under files and folders, sorted.

    A JSON file in a folder counts as a card if it holds one of the nine sections.
    """
    found = []
    for path in paths:
        inside = sorted(path.rglob("*.json")) if path.is_dir() else [path]
        found += [file for file in inside if not path.is_dir() or _is_card(file)]
    return found


def _is_card(file: Path) -> bool:
    text = _read(file)
    return any(f'"{name}":' in text for name in SECTIONS)


def _with_figure(card: ModelCard, folder: Path) -> ModelCard:
    analyses = card.quantitative_analyses
    results: list[Result] = []
    for part in (analyses.unitary, analyses.intersectional):
        results += () if part == NOT_EVALUATED else part
    names = {r.metric for r in results}
    rates: list[str] = [m for m in ERROR_RATES if m in names]
    metrics = rates or sorted(names - {"accuracy"}) or sorted(names)
    if not results:
        return card
    from vultus.audit.model_cards.plots import interval_plot, save_plot

    file = f"{card.model_details.id}-intervals.svg"
    save_plot(interval_plot(results, metrics), folder / file)
    caption = (
        f"{', '.join(metrics)} of every group and pair of groups with intervals; hollow: too few "
        "independent units; cross: not estimable"
    )
    figure = Figure(file=file, caption=caption)
    return replace(card, quantitative_analyses=replace(analyses, figures=(figure,)))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from error


def _write(file: Path, text: str) -> None:
    part = file.with_name(file.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, file)
