"""What routers share: who asks, what they may, and how bodies and failures are described."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request

from vultus.analysis import Subject
from vultus.service.core import Service
from vultus.service.errors import ApiError
from vultus.service.keys import Caller
from vultus.service.schemas import Failure
from vultus.service.uploads import Upload, read_upload


async def service_of(request: Request) -> Service:
    """Return the service behind an application."""
    # Not a plain function: the framework would call that in a thread, for every request.
    service: Service = request.app.state.service
    return service


ServiceIn = Annotated[Service, Depends(service_of)]


async def authenticated(request: Request, service: ServiceIn) -> Caller:
    """Return who asks."""
    address = request.client.host if request.client else ""
    caller = await service.caller(request.headers.getlist("x-api-key"), address)
    request.scope["state"]["caller"] = caller.id
    return caller


CallerIn = Annotated[Caller, Depends(authenticated)]


def _requires(scope: str) -> Any:
    async def check(caller: CallerIn) -> Caller:
        if not caller.may(scope):
            raise ApiError(403, "forbidden", f"the key lacks the scope '{scope}'", {"scope": scope})
        return caller

    return Depends(check)


Reader = Annotated[Caller, _requires("read")]
Writer = Annotated[Caller, _requires("write")]
Admin = Annotated[Caller, _requires("admin")]
TemplateReader = Annotated[Caller, _requires("templates")]

GalleryName = Annotated[str, Path(description="Name of the gallery.")]
PersonName = Annotated[str, Path(description="Name of the person, percent-encoded.")]
FaceId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
Limit = Annotated[int, Query(ge=1, le=200, description="Items in one answer.")]
Cursor = Annotated[
    str | None, Query(max_length=8192, description="From ``next_cursor`` of the answer before.")
]
SubjectIn = Annotated[
    Subject, Query(description="Face that is meant where a picture shows several.")
]


def upload(
    request: Request,
    service: Service,
    *,
    names: Collection[str] = ("file",),
    texts: Collection[str] = (),
    most: int = 1,
) -> AbstractAsyncContextManager[Upload]:
    """Read the pictures of a request within the service's limits."""
    return read_upload(
        request, service.settings.limits, service.memory, names=names, texts=texts, most=most
    )


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the failures of a route for the OpenAPI document."""
    return {status: {"model": Failure, "description": _MEANING[status]} for status in statuses}


def picture_body(
    names: Collection[str] = ("file",),
    texts: Mapping[str, dict[str, Any]] = MappingProxyType({}),
    *,
    raw: bool = True,
    many: bool = False,
) -> dict[str, Any]:
    """Return the description of a body with pictures for the OpenAPI document.

    Parameters
    ----------
    names
        Fields that hold pictures.
    texts
        JSON schemas of the fields that hold text, by name.
    raw
        Whether the body may be a picture itself.
    many
        Whether a field may come several times.
    """
    binary = {"type": "string", "format": "binary", "minLength": 1}
    field = {"type": "array", "items": binary, "minItems": 1} if many else binary
    form = {
        "type": "object",
        "required": sorted(names),
        "additionalProperties": False,
        "properties": dict.fromkeys(names, field) | dict(texts),
    }
    content: dict[str, Any] = {"multipart/form-data": {"schema": form}}
    if raw:
        content |= {"image/*": {"schema": binary}, "application/octet-stream": {"schema": binary}}
    return {"requestBody": {"required": True, "content": content}}


_MEANING = {
    400: "The cursor was not made for this list.",
    401: "No good API key.",
    403: "The key lacks the scope.",
    404: "There is no such thing.",
    408: "The body took too long.",
    409: "It exists already, or does not fit.",
    413: "A limit on bytes or pictures is passed.",
    415: "Neither a picture nor a form.",
    422: "A parameter is wrong, a picture cannot be read, or shows no face.",
    429: "Too much at a time; see Retry-After.",
    503: "The gallery or the audit log cannot be used at the moment.",
    507: "There is no room on the disk of the gallery or the audit log.",
}
ANY = (401, 403, 422, 429)
UPLOAD = (*ANY, 408, 413, 415)
