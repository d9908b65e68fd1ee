"""Templates to answers, with the headers that every page carries."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from vultus.service.errors import request_id_of
from vultus.service.pages.access import THEME, Visitor

#: No inline script or style, nothing from elsewhere; pictures may also be the browser's own.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    # With "no-referrer", browsers would send forms with an Origin of "null".
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Vary": "Accept, Cookie, X-Fragment",
}


def wants_fragment(request: Request) -> bool:
    """Return whether a script of ours asks for a part of a page."""
    return request.headers.get("x-fragment") == "1"


def page(
    request: Request,
    visitor: Visitor,
    template: str,
    *,
    here: str = "",
    status: int = 200,
    **values: Any,
) -> Response:
    """Return a page, or its part ``_TEMPLATE`` where a script asked for that.

    Parameters
    ----------
    here
        Which entry of the navigation the page belongs to.
    values
        For the template.
    """
    theme = request.cookies.get(THEME, "")
    known = {
        "visitor": visitor,
        "csrf": visitor.token,
        "here": here,
        "theme": theme if theme in ("light", "dark") else "",
        "fragment": wants_fragment(request),
        "limits": visitor.service.settings.limits,
        "request_id": request_id_of(request),
        "notice": _notice(request, visitor),
        "address": request.url.path,
    }
    text = visitor.console.render(template, known | values)
    response = HTMLResponse(text, status, HEADERS)
    visitor.keep(request, response)
    return response


def seen_other(path: str, **query: str) -> Response:
    """Return the answer to a form that sends the browser on to a page."""
    marks = "&".join(f"{name}={quote(value)}" for name, value in query.items())
    return RedirectResponse(f"{path}?{marks}" if marks else path, 303, HEADERS)


def _notice(request: Request, visitor: Visitor) -> Any:
    """Return the change that the page before made, to be told and perhaps undone."""
    identifier = request.query_params.get("did", "")
    if not identifier or visitor.caller is None:
        return None
    return visitor.console.shelf.get(identifier, visitor.caller)
