"""Who visits a page, what they may do there, and that a form comes from a page of ours."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import Depends, Request, Response

from vultus.service.core import Service
from vultus.service.errors import ApiError
from vultus.service.keys import ANONYMOUS, Caller
from vultus.service.pages.console import Console
from vultus.service.uploads import Upload

SESSION, VISIT, THEME = "vultus_session", "vultus_visit", "vultus_theme"
#: Name of the field with the token that proves where a form comes from.
TOKEN = "csrf"
_FIELDS = 2000


@dataclass(frozen=True, slots=True)
class Visitor:
    """Someone at a page.

    Parameters
    ----------
    caller
        Whose key is used; None for someone who has yet to sign in.
    place
        Value of the cookie that form tokens are bound to.
    fresh
        Whether that cookie must be set with the answer.
    """

    service: Service
    console: Console
    caller: Caller | None
    place: str
    fresh: bool

    @property
    def signed_in(self) -> bool:
        """Whether there is anything to sign out of."""
        return self.service.ring is not None and self.caller is not None

    def may(self, scope: str) -> bool:
        """Return whether the visitor's key has a scope."""
        return self.caller is not None and self.caller.may(scope)

    @property
    def token(self) -> str:
        """The token of this visitor's forms."""
        return self.service.cursors.make(f"form {self.place}", [])

    def check(self, request: Request, token: str | None) -> None:
        """Raise :class:`ApiError` 403 unless a post comes from a page that this visitor was shown.

        Needs the token of the page; what the browser says of the sender must not contradict it.
        """
        sender = request.headers.get("sec-fetch-site", "same-origin")
        good = hmac.compare_digest((token or "").encode("utf-8", "replace"), self.token.encode())
        if self.fresh or sender != "same-origin" or not good:
            raise ApiError(
                403, "stale_form", "the form is from another site or has expired; load it again"
            )

    def keep(self, request: Request, response: Response) -> None:
        """Set the cookie that form tokens are bound to, where it is missing."""
        if self.fresh:
            set_cookie(request, response, VISIT, self.place)


def console_of(request: Request) -> Console:
    """Return what the pages of an application share."""
    console: Console = request.app.state.console
    return console


def visitor_of(request: Request) -> Visitor:
    """Return who visits, signed in or not."""
    service: Service = request.app.state.service
    console = console_of(request)
    session = request.cookies.get(SESSION, "")
    if service.ring is None:
        caller: Caller | None = ANONYMOUS
    else:
        key = console.sessions.key_of(session)
        caller = service.ring.standing(key) if key is not None else None
    if service.ring is not None and caller is not None:
        place, fresh = session, False
    else:
        place = request.cookies.get(VISIT, "")
        fresh = not 20 <= len(place) <= 64
        if fresh:
            place = secrets.token_urlsafe(24)
    request.scope["state"]["caller"] = caller.id if caller else None
    return Visitor(service, console, caller, place, fresh)


async def anyone(request: Request) -> Visitor:
    """Return who visits, for pages that everyone may see."""
    return visitor_of(request)


def set_cookie(
    request: Request, response: Response, name: str, value: str, *, seconds: int | None = None
) -> None:
    """Set a cookie that scripts cannot read and other sites do not send."""
    # Behind a proxy that ends TLS, what the browser says of its own page tells.
    secure = request.url.scheme == "https" or request.headers.get("origin", "").startswith("https:")
    response.set_cookie(
        name, value, max_age=seconds, path="/", secure=secure, httponly=True, samesite="strict"
    )


def _requires(scope: str) -> Any:
    async def check(request: Request) -> Visitor:
        visitor = visitor_of(request)
        if visitor.caller is None:
            raise ApiError(401, "unauthorized", "sign in with an API key")
        if not visitor.may(scope):
            raise ApiError(
                403, "forbidden", f"your key lacks the scope “{scope}”", {"scope": scope}
            )
        return visitor

    return Depends(check)


ReaderHere = Annotated[Visitor, _requires("read")]
WriterHere = Annotated[Visitor, _requires("write")]
AdminHere = Annotated[Visitor, _requires("admin")]
AnyoneHere = Annotated[Visitor, Depends(anyone)]


def caller_of(visitor: Visitor) -> Caller:
    """Return the caller of a visitor who passed a check of scopes."""
    assert visitor.caller is not None
    return visitor.caller


def checked(request: Request, visitor: Visitor, body: Upload) -> None:
    """Check the token that came with pictures."""
    visitor.check(request, body.text(TOKEN))


class Fields:
    """The texts of a posted form."""

    def __init__(self, values: dict[str, list[str]]) -> None:
        self._values = values

    def all(self, name: str) -> list[str]:
        """Return every value of a field, in order."""
        return self._values.get(name, [])

    def text(self, name: str) -> str:
        """Return the last value of a field without spaces around it; empty if it is missing."""
        return self._values.get(name, [""])[-1].strip()

    def names(self) -> list[str]:
        """Return the names of all fields."""
        return list(self._values)


async def read_fields(request: Request, visitor: Visitor) -> Fields:
    """Read a posted form without pictures, and check its token.

    Raises
    ------
    ApiError
        415 for another kind of body, 422 for one that cannot be read, 408 for one that does not
        come, 403 for a wrong token.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise ApiError(415, "unsupported_media_type", "the form cannot be read")
    seconds = visitor.service.settings.limits.body_seconds
    try:
        async with asyncio.timeout(seconds):
            text = (await request.body()).decode("ascii")
        values = parse_qs(text, keep_blank_values=True, max_num_fields=_FIELDS, errors="strict")
    except TimeoutError:
        raise ApiError(408, "timeout", f"the form did not come within {seconds:g} s") from None
    except ValueError:
        raise ApiError(422, "bad_parameter", "the form cannot be read") from None
    fields = Fields(values)
    visitor.check(request, fields.text(TOKEN))
    return fields
