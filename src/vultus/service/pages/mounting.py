"""Putting the pages into an application, and failures in their look."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from vultus.errors import VultusError
from vultus.service.pages import (
    cards,
    entrance,
    galleries,
    groups,
    measurements,
    persons,
    pictures,
)
from vultus.service.pages.access import visitor_of
from vultus.service.pages.console import Console
from vultus.service.pages.rendering import HEADERS, page, wants_fragment

_ROUTERS = (
    entrance.router,
    pictures.router,
    galleries.router,
    persons.router,
    groups.router,
    measurements.router,
    cards.router,
)
#: Beginnings of paths that are for programs.
_PROGRAMS = ("/v1/", "/api/", "/metrics", "/static/")
_TITLES = {
    400: "That link does not lead anywhere",
    403: "Not allowed",
    404: "Nothing here",
    408: "That took too long",
    409: "That does not go together",
    413: "Too large",
    415: "Not a picture",
    421: "Wrong address",
    422: "That did not work",
    429: "Too much at once",
    500: "Something went wrong here",
    503: "Not available at the moment",
    507: "No room on the disk",
}

#: What is said to people instead of what is said to programs.
_MESSAGES = {
    "there is no such route": "there is no page at this address",
    "the route does not take this method": "this address is for forms of other pages",
}

Handler = Callable[[Request, Exception], Coroutine[Any, Any, Response]]


def mount(app: FastAPI) -> None:
    """Add the pages to an application that holds its service."""
    app.state.console = Console()
    for router in _ROUTERS:
        app.include_router(router)


def dressed(handler: Callable[[Request, Exception], Awaitable[JSONResponse]]) -> Handler:
    """Return a handler of errors whose answers are pages where a person asks."""

    async def handle(request: Request, error: Exception) -> Response:
        return dress(request, await handler(request, error))

    return handle


def dress(request: Request, plain: JSONResponse) -> Response:
    """Return a failure as a page if a browser asked for one, and as it is otherwise."""
    path = request.url.path
    if path.startswith(_PROGRAMS) or "text/html" not in request.headers.get("accept", ""):
        return plain
    if getattr(request.app.state, "console", None) is None:
        return plain
    error = json.loads(bytes(plain.body))["error"]
    status = plain.status_code
    if status == 401 and not wants_fragment(request):
        query = f"?{request.url.query}" if request.url.query else ""
        back = path + query if request.method == "GET" else "/"
        return RedirectResponse(f"/sign-in?next={quote(back)}", 303, HEADERS)
    try:
        visitor = visitor_of(request)
    except VultusError:
        # The file of the keys cannot be read: what failed must still be told.
        return plain
    if status == 421:
        # Under a name that is not ours, nobody is shown the way in.
        visitor = replace(visitor, caller=None)
    response = page(
        request,
        visitor,
        "failure.html",
        status=status,
        title=_TITLES.get(status, "That did not work"),
        code=error["code"],
        message=sentence(_MESSAGES.get(error["message"], error["message"])),
        again=error.get("details") or {},
    )
    for name in ("retry-after", "connection", "allow"):
        if name in plain.headers:
            response.headers[name] = plain.headers[name]
    return response


def sentence(text: str) -> str:
    """Return a message as a sentence."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
