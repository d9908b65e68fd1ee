"""Pages on one person: faces, new name, split, deletion; and taking changes back."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from vultus.service.errors import ApiError
from vultus.service.pages import undoing
from vultus.service.pages.access import (
    Fields,
    ReaderHere,
    Visitor,
    WriterHere,
    caller_of,
    read_fields,
)
from vultus.service.pages.galleries import person_of, token_of
from vultus.service.pages.rendering import page, seen_other
from vultus.service.routes import faces as rest

router = APIRouter(include_in_schema=False)

_PAGE = 24
_FACE = re.compile("[0-9a-f]{32}")


@router.get("/galleries/{name}/people/{token}")
async def show(
    request: Request,
    visitor: ReaderHere,
    name: str,
    token: str,
    cursor: Annotated[str | None, Query(max_length=8192)] = None,
) -> Response:
    """Show a person's faces."""
    person = person_of(visitor, name, token)
    found = await rest.list_faces(
        visitor.service, caller_of(visitor), name, person, _PAGE, cursor or None
    )
    if not found.items and not cursor:
        raise ApiError(404, "not_found", "there is no such person in the gallery")
    return page(
        request,
        visitor,
        "person.html",
        here="galleries",
        gallery=name,
        person=person,
        token=token,
        faces=found.items,
        following=found.next_cursor,
        cursor=cursor,
    )


@router.post("/galleries/{name}/people/{token}/rename")
async def rename(request: Request, visitor: WriterHere, name: str, token: str) -> Response:
    """Give a person another name."""
    fields, person = await read_fields(request, visitor), person_of(visitor, name, token)
    new = fields.text("name")
    slip = await undoing.rename(
        visitor.service, visitor.console.shelf, caller_of(visitor), name, person, new
    )
    return seen_other(f"/galleries/{name}/people/{token_of(visitor, name, new)}", did=slip.id)


@router.post("/galleries/{name}/people/{token}/delete")
async def delete(request: Request, visitor: WriterHere, name: str, token: str) -> Response:
    """Erase a person."""
    await read_fields(request, visitor)
    slip = await undoing.delete_person(
        visitor.service,
        visitor.console.shelf,
        caller_of(visitor),
        name,
        person_of(visitor, name, token),
    )
    return seen_other(f"/galleries/{name}", did=slip.id)


@router.post("/galleries/{name}/people/{token}/faces")
async def change_faces(request: Request, visitor: WriterHere, name: str, token: str) -> Response:
    """Move the chosen faces to someone else, or erase them."""
    fields, person = await read_fields(request, visitor), person_of(visitor, name, token)
    chosen = _faces(fields)
    arguments = visitor.service, visitor.console.shelf, caller_of(visitor), name, chosen
    if fields.text("do") == "delete":
        slip = await undoing.delete_faces(*arguments)
    else:
        into = fields.text("into")
        if not into:
            raise ApiError(422, "bad_parameter", "say whose faces these are")
        slip = await undoing.move(*arguments, into)
    return await _back_to(visitor, name, person, slip.id)


@router.post("/undo")
async def undo(request: Request, visitor: WriterHere) -> Response:
    """Take the last change back."""
    fields = await read_fields(request, visitor)
    slip = await undoing.undo(
        visitor.service, visitor.console.shelf, caller_of(visitor), fields.text("slip")
    )
    return seen_other(f"/galleries/{slip.gallery}", undone="1")


async def _back_to(visitor: Visitor, gallery: str, person: str, slip: str) -> Response:
    """Return to the person's page, or to the gallery's once no face of theirs is left."""
    counts = await visitor.service.read(gallery, lambda store: store.persons())
    path = f"/galleries/{gallery}"
    if person in counts:
        path += f"/people/{token_of(visitor, gallery, person)}"
    return seen_other(path, did=slip)


def _faces(fields: Fields) -> list[str]:
    chosen = fields.all("face")
    if not chosen or not all(_FACE.fullmatch(face) for face in chosen):
        raise ApiError(422, "bad_parameter", "choose at least one face")
    return chosen
