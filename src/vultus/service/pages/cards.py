"""Pages on networks: what is loaded, its licences, and the model card of each weight file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from fastapi import APIRouter, Request, Response

from vultus import runtime
from vultus.audit.model_cards.evidence import NOT_EVALUATED
from vultus.audit.model_cards.schema import SECTIONS
from vultus.audit.model_cards.weights import weight_cards
from vultus.predictors import PREDICTORS
from vultus.service.errors import ApiError
from vultus.service.pages import wording
from vultus.service.pages.access import ReaderHere, caller_of
from vultus.service.pages.rendering import page
from vultus.service.routes import system as rest

router = APIRouter(include_in_schema=False)

#: What the manifest's word on commercial use means.
USES = {
    "yes": "may be used commercially",
    "no": "research only",
    "unclear": "terms unclear: ask before commercial use",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One field of a card: a text, or several."""

    name: str
    texts: tuple[str, ...]


@router.get("/models")
async def models(request: Request, visitor: ReaderHere) -> Response:
    """Show which networks run here, and which others there are."""
    used = await rest.models(visitor.service, caller_of(visitor))
    loaded = {weight.id for weight in used.weights}
    known = runtime.manifest()
    # These are loaded when their field is first asked for.
    asked = {name: field for field, entry in PREDICTORS.items() for name in entry.weights}
    waiting = [known[name] for name in known if name in asked and name not in loaded]
    shown = loaded | {weight.id for weight in waiting}
    return page(
        request,
        visitor,
        "models.html",
        here="models",
        used=used,
        loaded=[known[name] for name in known if name in loaded],
        waiting=waiting,
        asked=asked,
        others=[known[name] for name in known if name not in shown],
        uses=USES,
    )


@router.get("/models/{name}")
async def card(request: Request, visitor: ReaderHere, name: str) -> Response:
    """Show the model card of a weight file."""
    weight = runtime.manifest().get(name)
    if weight is None:
        raise ApiError(404, "not_found", "there is no weight file of this name")
    cards = await visitor.service.in_thread(weight_cards)
    found = next(card for card in cards if card.model_details.id == name)
    sections = [
        (title, list(entries(getattr(found, section)))) for section, title in SECTIONS.items()
    ]
    used = await rest.models(visitor.service, caller_of(visitor))
    return page(
        request,
        visitor,
        "card.html",
        here="models",
        weight=weight,
        sections=[(title, rows) for title, rows in sections if rows],
        empty=[title for title, rows in sections if not rows],
        loaded=name in {w.id for w in used.weights},
        uses=USES,
        command=found.command,
    )


def entries(section: Any) -> Iterator[Entry]:
    """Yield what a section of a card knows; fields that were not evaluated are left out."""
    for field in fields(section):
        value = getattr(section, field.name)
        if value != NOT_EVALUATED:
            texts = tuple(_texts(value))
            if texts:
                yield Entry(wording.name(field.name), texts)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, tuple):
        for item in value:
            yield from _texts(item)
    elif is_dataclass(value):
        known = [(f.name, getattr(value, f.name)) for f in fields(value)]
        yield "; ".join(
            f"{wording.name(name).lower()}: {item}" for name, item in known if item != NOT_EVALUATED
        )
    else:
        yield str(value)
