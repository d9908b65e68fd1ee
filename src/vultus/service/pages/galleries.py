"""Pages on galleries: list, make and delete them, see who is in them, enrol, search."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from vultus.people import DEFAULT_FPIR
from vultus.service import enrolment
from vultus.service.errors import ApiError
from vultus.service.pages import describing, undoing
from vultus.service.pages.access import (
    TOKEN,
    AdminHere,
    ReaderHere,
    Visitor,
    WriterHere,
    caller_of,
    checked,
    read_fields,
)
from vultus.service.pages.pictures import PREVIEW, previews, subject_of
from vultus.service.pages.rendering import page, seen_other
from vultus.service.routes import galleries as rest
from vultus.service.routes.common import upload
from vultus.service.schemas import GalleryIn

router = APIRouter(include_in_schema=False)

_PAGE = 24
Cursor = Annotated[str | None, Query(max_length=8192)]


@router.get("/galleries")
async def list_galleries(request: Request, visitor: ReaderHere, cursor: Cursor = None) -> Response:
    """List the galleries with their sizes."""
    service, caller = visitor.service, caller_of(visitor)
    found = await rest.list_galleries(service, caller, _PAGE, cursor or None)
    infos: list[Any] = []
    for name in found.items:
        try:
            infos.append(await rest.gallery_info(service, caller, name))
        except ApiError as error:
            # One that another network made, or that is damaged, must not hide the others.
            infos.append({"name": name, "problem": str(error.detail)})
    return page(
        request,
        visitor,
        "galleries.html",
        here="galleries",
        galleries=infos,
        following=found.next_cursor,
        cursor=cursor,
    )


@router.post("/galleries")
async def create_gallery(request: Request, visitor: AdminHere) -> Response:
    """Make a gallery."""
    fields = await read_fields(request, visitor)
    name = fields.text("name")
    try:
        wanted = GalleryIn(name=name)
    except ValueError:
        raise ApiError(
            422,
            "bad_parameter",
            "a gallery's name is 1 to 64 lower-case letters, digits, “-” and “_”, "
            "and begins with a letter or digit",
        ) from None
    await rest.create_gallery(visitor.service, caller_of(visitor), wanted)
    return seen_other(f"/galleries/{name}")


@router.get("/galleries/{name}")
async def show_gallery(
    request: Request, visitor: ReaderHere, name: str, cursor: Cursor = None
) -> Response:
    """Show the people of a gallery."""
    return page(
        request,
        visitor,
        "gallery.html",
        here="galleries",
        **await _people(visitor, name, cursor),
        enrolled=None,
        found=None,
    )


@router.post("/galleries/{name}/delete")
async def delete_gallery(request: Request, visitor: AdminHere, name: str) -> Response:
    """Erase a gallery, if its name was written to confirm that."""
    fields = await read_fields(request, visitor)
    if fields.text("confirm") != name:
        raise ApiError(422, "bad_parameter", "to delete the gallery, write its name to confirm")
    await rest.delete_gallery(visitor.service, caller_of(visitor), name)
    return seen_other("/galleries")


@router.post("/galleries/{name}/faces")
async def enrol(request: Request, visitor: WriterHere, name: str) -> Response:
    """Enrol pictures of one person."""
    service = visitor.service
    most = service.settings.limits.pictures
    texts = (TOKEN, PREVIEW, "person", "subject")
    async with upload(request, service, texts=texts, most=most) as body:
        checked(request, visitor, body)
        person = (body.text("person") or "").strip()
        if not person:
            raise ApiError(422, "bad_parameter", "say whose face it is")
        pictures = [data for _, data in body.pictures]
        done = await enrolment.enroll(
            service, caller_of(visitor), name, person, pictures, subject_of(body)
        )
    return page(
        request,
        visitor,
        "gallery.html",
        here="galleries",
        **await _people(visitor, name, None),
        enrolled={"person": person, "done": done, "token": token_of(visitor, name, person)},
        found=None,
    )


@router.post("/galleries/{name}/identify")
async def identify(request: Request, visitor: ReaderHere, name: str) -> Response:
    """Say who is in a picture."""
    service, caller = visitor.service, caller_of(visitor)
    service.spend(caller)
    texts = (TOKEN, PREVIEW, "threshold")
    async with upload(request, service, texts=texts) as body:
        checked(request, visitor, body)
        text = (body.text("threshold") or "").strip()
        try:
            threshold = float(text) if text else None
        except ValueError:
            raise ApiError(422, "bad_parameter", "the threshold is not a number") from None
        if threshold is not None and not -1 <= threshold <= 1:
            raise ApiError(422, "bad_parameter", "the threshold is a cosine between -1 and 1")
        found, limit, answers = await enrolment.identify(
            service,
            caller,
            name,
            body.pictures[0][1],
            fpir=DEFAULT_FPIR,
            threshold=threshold,
            candidates=3,
        )
        shown = await previews(request, service, body)
    labels = [answer.person or answer.decision for answer in answers]
    faces = describing.picture(found, labels)
    tokens = {
        match.person: token_of(visitor, name, match.person)
        for answer in answers
        for match in answer.candidates
    }
    return page(
        request,
        visitor,
        "gallery.html",
        here="galleries",
        **await _people(visitor, name, None),
        enrolled=None,
        found={
            "picture": faces,
            "answers": list(zip(faces.faces, answers, strict=True)),
            "limit": limit,
            "tokens": tokens,
        },
        previews=shown,
    )


@router.post("/galleries/{name}/merge")
async def merge(request: Request, visitor: WriterHere, name: str) -> Response:
    """Make several people one."""
    fields = await read_fields(request, visitor)
    chosen = [person_of(visitor, name, token) for token in fields.all("person")]
    if len(chosen) < 2:
        raise ApiError(422, "bad_parameter", "choose two people or more to merge")
    into = fields.text("into") or chosen[0]
    slip = await undoing.merge(
        visitor.service, visitor.console.shelf, caller_of(visitor), name, chosen, into
    )
    return seen_other(f"/galleries/{name}", did=slip.id)


def token_of(visitor: Visitor, gallery: str, person: str) -> str:
    """Return what stands for a person in addresses: names may hold anything."""
    return visitor.service.cursors.make(f"person {gallery}", [person])


def person_of(visitor: Visitor, gallery: str, token: str) -> str:
    """Return the person that a token stands for; raise :class:`ApiError` 404 for any other."""
    try:
        (person,) = visitor.service.cursors.read(f"person {gallery}", token)
    except ApiError:
        raise ApiError(404, "not_found", "there is no such person in the gallery") from None
    return str(person)


async def _people(visitor: Visitor, name: str, cursor: str | None) -> dict[str, Any]:
    service, caller = visitor.service, caller_of(visitor)
    info = await rest.gallery_info(service, caller, name)
    found = await rest.list_persons(service, caller, name, _PAGE, cursor or None)
    return {
        "gallery": info,
        "people": [(item, token_of(visitor, name, item.person)) for item in found.items],
        "following": found.next_cursor,
        "cursor": cursor,
        "calibrated": service.calibration is not None,
    }
