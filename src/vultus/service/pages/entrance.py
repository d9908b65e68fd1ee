"""Signing in and out, the look of pages, and the files that pages load."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response

from vultus.service.errors import ApiError
from vultus.service.pages.access import (
    SESSION,
    THEME,
    AnyoneHere,
    console_of,
    read_fields,
    set_cookie,
)
from vultus.service.pages.rendering import HEADERS, page, seen_other
from vultus.service.pages.sessions import LONGEST

router = APIRouter(include_in_schema=False)

_YEAR = 365 * 24 * 3600


@router.get("/sign-in")
async def ask(request: Request, visitor: AnyoneHere, next: str = "/") -> Response:
    """Ask for a key."""
    if visitor.caller is not None:
        return seen_other(local(next))
    return page(request, visitor, "sign_in.html", here="sign-in", next=local(next), problem="")


@router.post("/sign-in")
async def sign_in(request: Request, visitor: AnyoneHere) -> Response:
    """Check a key and begin a session."""
    fields = await read_fields(request, visitor)
    service, address = visitor.service, request.client.host if request.client else ""
    following = local(fields.text("next"))
    if service.ring is None:
        return seen_other(following)
    try:
        caller = await service.caller([fields.text("key")], address)
    except ApiError as error:
        problem = {
            401: "This key is not known here, or it was revoked.",
            429: f"Too many wrong keys. Try again in {error.details.get('retry_after', 60)} s.",
        }.get(error.status_code, str(error.detail))
        return page(
            request,
            visitor,
            "sign_in.html",
            here="sign-in",
            status=error.status_code,
            next=following,
            problem=problem,
        )
    response = seen_other(following)
    # A new identifier with every sign-in: one that was planted before is worth nothing.
    visitor.console.sessions.end(request.cookies.get(SESSION, ""))
    session = visitor.console.sessions.begin(caller.id)
    set_cookie(request, response, SESSION, session, seconds=LONGEST)
    return response


@router.post("/sign-out")
async def sign_out(request: Request, visitor: AnyoneHere) -> Response:
    """End the session."""
    await read_fields(request, visitor)
    visitor.console.sessions.end(request.cookies.get(SESSION, ""))
    response = seen_other("/sign-in")
    response.delete_cookie(SESSION, path="/", httponly=True, samesite="strict")
    return response


@router.post("/theme")
async def theme(request: Request, visitor: AnyoneHere) -> Response:
    """Keep the chosen look: light, dark, or the system's."""
    fields = await read_fields(request, visitor)
    chosen = fields.text("theme")
    response = seen_other(local(fields.text("next")))
    if chosen in ("light", "dark"):
        set_cookie(request, response, THEME, chosen, seconds=_YEAR)
    else:
        response.delete_cookie(THEME, path="/", httponly=True, samesite="strict")
    return response


@router.get("/static/{version}/{name}")
async def static(request: Request, version: str, name: str) -> Response:
    """Return a file of the package; its address changes with its content."""
    console = console_of(request)
    file = console.files.get(name)
    if file is None or version != console.edition:
        raise ApiError(404, "not_found", "there is no such file")
    caching = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(file.data, media_type=file.kind, headers=HEADERS | caching)


def local(path: str) -> str:
    """Return an address within this site, or that of its start for any other."""
    parts = urlsplit(path)
    inside = path.startswith("/") and not path.startswith("//") and "\\" not in path
    plain = path.isprintable() and not parts.scheme and not parts.netloc
    return path if inside and plain and len(path) < 2048 else "/"
