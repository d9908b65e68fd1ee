"""Every failure as one shape: ``{error: {code, message, details}, request_id}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import Match

from vultus.errors import (
    ConfigError,
    GalleryError,
    GalleryFullError,
    ImageError,
    NoFaceError,
    SpaceMismatchError,
    VultusError,
)

_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "timeout",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    422: "bad_parameter",
    429: "overloaded",
    503: "unavailable",
}


class ApiError(HTTPException):
    """A failure that the caller is told of.

    Parameters
    ----------
    status
        HTTP status.
    code
        Stable name for programs.
    message
        One sentence for people; neither paths of the server nor what the caller sent.
    details
        Plain values that a program may need.
    headers
        Further headers, such as ``Retry-After``.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, dict(headers or {}))
        self.code = code
        self.details = dict(details or {})


def overloaded(message: str, seconds: int = 1, code: str = "overloaded") -> ApiError:
    """Return the answer 429 with the time after which to try again."""
    return ApiError(429, code, message, {"retry_after": seconds}, {"Retry-After": str(seconds)})


def full(what: str) -> ApiError:
    """Return the answer 507: there is no room on the disk, and nothing was done."""
    return ApiError(
        507, "insufficient_storage", f"there is no room on the disk of {what}; nothing was done"
    )


def bad_image(reason: str, **details: Any) -> ApiError:
    """Return the answer to a picture that cannot be read."""
    # The library's advice on raising its limits is not for callers of the service.
    return ApiError(422, "bad_image", reason.partition("; raise it with")[0], details)


def body_of(code: str, message: str, details: Any, request_id: str) -> dict[str, Any]:
    """Return the one shape of failures."""
    error = {"code": code, "message": message, "details": details}
    return {"error": error, "request_id": request_id}


def response_of(error: ApiError, request_id: str) -> JSONResponse:
    """Return an error as a response."""
    body = body_of(error.code, str(error.detail), error.details, request_id)
    return JSONResponse(body, error.status_code, error.headers)


def from_vultus(error: VultusError) -> ApiError | None:
    """Return what the caller is told of an error of the library; None if nothing but 500."""
    if isinstance(error, ImageError):
        return bad_image(error.reason)
    if isinstance(error, NoFaceError):
        return ApiError(422, "no_face", str(error))
    if isinstance(error, SpaceMismatchError):
        return ApiError(
            409, "space_mismatch", "the gallery was made with another network or alignment"
        )
    if isinstance(error, ConfigError):
        return ApiError(422, "bad_parameter", str(error))
    if isinstance(error, GalleryFullError):
        return full("the gallery")
    if isinstance(error, GalleryError):
        return ApiError(503, "gallery_unavailable", "the gallery cannot be used at the moment")
    return None


async def on_http_error(request: Request, error: Exception) -> JSONResponse:
    """Answer an error of the framework or one of ours."""
    assert isinstance(error, StarletteHTTPException)
    if not isinstance(error, ApiError):
        code = _CODES.get(error.status_code, "error")
        message = {404: "there is no such route", 405: "the route does not take this method"}
        text = message.get(error.status_code, "the request cannot be understood")
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_allowed(request))
        error = ApiError(error.status_code, code, text, None, headers)
    return response_of(error, request_id_of(request))


def _allowed(request: Request) -> list[str]:
    """Return the methods of a path; a path may have one route for each of them."""
    return [
        method
        for method in ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
        if any(
            route.matches(dict(request.scope) | {"method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]


async def on_validation_error(request: Request, error: Exception) -> JSONResponse:
    """Answer wrong parameters without repeating their values."""
    assert isinstance(error, RequestValidationError)
    problems = [
        {"where": ".".join(str(part) for part in found["loc"]), "message": found["msg"]}
        for found in error.errors()[:20]
    ]
    answer = ApiError(422, "bad_parameter", "a parameter is wrong", {"problems": problems})
    return response_of(answer, request_id_of(request))


async def on_vultus_error(request: Request, error: Exception) -> JSONResponse:
    """Answer an error of the library, or pass it on to the answer 500."""
    assert isinstance(error, VultusError)
    answer = from_vultus(error)
    if answer is None:
        raise error
    request.scope.setdefault("state", {})["failure"] = type(error).__name__
    return response_of(answer, request_id_of(request))


def request_id_of(request: Request) -> str:
    """Return the identifier that the middleware gave to a request."""
    return str(request.scope.get("state", {}).get("request_id", ""))
