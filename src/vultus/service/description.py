"""What the OpenAPI document says of every route alike: headers, and what any request may meet."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

_SCHEMA = "#/components/schemas/Failure"
_SECONDS = {"type": "string", "pattern": "^[0-9]+$"}
_HEADERS: dict[str, dict[str, Any]] = {
    "RequestId": {
        "description": "Identifier of the request: the caller's own, or one that was drawn.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    "Challenge": {
        "description": "How to identify oneself.",
        "required": True,
        "schema": {"type": "string", "const": "ApiKey"},
    },
    "RetryAfter": {
        "description": "Seconds after which to try again.",
        "required": True,
        "schema": _SECONDS,
    },
    "RetryPerhaps": {
        "description": "Seconds after which to try again, where that is known.",
        "schema": _SECONDS,
    },
}
_OF_STATUS = {
    "401": {"WWW-Authenticate": "Challenge"},
    "429": {"Retry-After": "RetryAfter"},
    "503": {"Retry-After": "RetryPerhaps"},
}
#: What the layer before the routes may answer to any request.
_ANYWHERE = {
    "403": "Pages of other sites may not use the service.",
    "421": "The name in Host is not one of the service's.",
}


def describe(app: FastAPI) -> None:
    """Have an application's OpenAPI document tell of what its routes have in common."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        app.openapi_schema = _completed(plain())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    document["components"]["headers"] = _HEADERS
    for route in document["paths"].values():
        for operation in route.values():
            responses = operation["responses"]
            for status, meaning in _ANYWHERE.items():
                content = {"application/json": {"schema": {"$ref": _SCHEMA}}}
                responses.setdefault(status, {"description": meaning, "content": content})
            for status, response in responses.items():
                names = {"X-Request-Id": "RequestId"} | _OF_STATUS.get(status, {})
                response["headers"] = {
                    name: {"$ref": f"#/components/headers/{of}"} for name, of in names.items()
                }
    return document
