"""What every request passes: identifier, guard, limits, log, counters, and the answer 500."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable, Collection
from typing import Any

import h11
from fastapi import Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vultus.service.errors import ApiError, body_of, overloaded, response_of
from vultus.service.logs import LOGGER
from vultus.service.metrics import Metrics
from vultus.service.settings import Settings

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
#: Answered even when the service has its hands full.
_ALWAYS = frozenset({"/v1/health", "/v1/ready", "/metrics"})
_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
#: Status in the log where the caller went away before there was an answer.
_GONE = 499
#: How the server says that a connection takes no answer any more.
_GIVEN_UP = "can't handle event type"
#: Digits of a body's length in bytes; no body is as long as a number with more.
_DIGITS = 18
_BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


class Envelope:
    """The outermost layer of the application.

    Parameters
    ----------
    dress
        Returns what is sent instead of a failure in JSON, such as a page for people.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        metrics: Metrics,
        dress: Callable[[Request, JSONResponse], Response] = lambda request, plain: plain,
    ) -> None:
        self._app = app
        self._dress = dress
        self._settings = settings
        self._metrics = metrics
        self._log = logging.getLogger(LOGGER)
        self._active = 0
        self._hosts: Collection[str] = settings.allowed_hosts or (
            _LOOPBACK_NAMES if settings.is_loopback else ()
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        begun, status, started = time.perf_counter(), 500, False

        async def answer(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                given = list(message.get("headers", ()))
                names = {name for name, _ in given}
                own = [header for header in _HEADERS if header[0] not in names]
                message["headers"] = [*given, *own, (b"x-request-id", request_id.encode())]
            try:
                await send(message)
            except h11.LocalProtocolError as error:
                if not str(error).startswith(_GIVEN_UP):
                    raise
                # What came behind the request was no HTTP, and the server has told so already.
                raise ClientDisconnect from error

        self._active += 1
        self._metrics.active.set(self._active)
        failure: BaseException | None = None
        try:
            refusal = self._refuse(Request(scope))
            if refusal is None:
                await self._app(scope, self._limited(scope, receive), answer)
            else:
                await self._dress(Request(scope), response_of(refusal, request_id))(
                    scope, receive, answer
                )
        except ClientDisconnect:
            status = _GONE
        except Exception as error:
            failure = error
            if not started:
                body = body_of("internal", "something went wrong here", None, request_id)
                await self._dress(Request(scope), JSONResponse(body, 500))(scope, receive, answer)
        finally:
            self._active -= 1
            self._metrics.active.set(self._active)
            self._tell(scope, status, time.perf_counter() - begun, failure)

    def _refuse(self, request: Request) -> ApiError | None:
        """Return why a request is not let in: another site's page, another host, or overload."""
        host = request.headers.get("host", "")
        name = re.sub(r":\d+$", "", host).lower()
        if self._hosts and name not in self._hosts:
            return ApiError(421, "wrong_host", "this name is not one of the service's hosts")
        origin = request.headers.get("origin")
        if origin is not None and re.sub(r"^https?://", "", origin) != host:
            return ApiError(403, "cross_origin", "pages of other sites may not use this service")
        if self._active > self._settings.limits.concurrent and request.url.path not in _ALWAYS:
            return overloaded("too many requests are at work at the moment")
        if request.method in _BODILESS:
            return None
        length = request.headers.get("content-length")
        if length is not None and length.isdecimal():
            most = self._most(request)
            if len(length) > _DIGITS or int(length) > most:
                return _too_large(most)
        return None

    def _most(self, request: Request) -> int:
        limits = self._settings.limits
        kind = request.headers.get("content-type", "").lower()
        pictures = kind.startswith(("multipart/form-data", "image/", "application/octet-stream"))
        return limits.request_bytes if pictures else limits.json_bytes

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """Return a receiver that counts, so that no body of unstated length goes beyond."""
        most, total = self._most(Request(scope)), 0

        async def counted() -> Message:
            nonlocal total
            message = await receive()
            total += len(message.get("body", b""))
            if total > most:
                raise _too_large(most)
            return message

        return counted

    def _tell(self, scope: Scope, status: int, seconds: float, failure: Any) -> None:
        # The path may hold names of people; the route does not.
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(route, method, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        state = scope["state"]
        facts = {
            "request_id": state["request_id"],
            "method": method,
            "route": route,
            "status": status,
            "ms": round(1000 * seconds, 1),
            "key": state.get("caller"),
        }
        if failure is None:
            self._log.info("request", extra=facts)
        else:
            self._log.error("failure", extra=facts, exc_info=failure)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value.decode("ascii"))
    return secrets.token_hex(8)


def _too_large(limit: int) -> ApiError:
    return ApiError(
        413,
        "too_large",
        f"the body may have at most {limit:,} bytes",
        {"bytes": limit},
        {"Connection": "close"},
    )
