"""The one shape of failures."""

from __future__ import annotations

from typing import Any


def check_failure(response: Any, status: int, code: str) -> dict[str, Any]:
    """Assert the one shape of failures and return the error in it."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error", "request_id"}
    assert set(body["error"]) == {"code", "message", "details"}
    assert body["error"]["code"] == code
    assert body["request_id"] == response.headers["x-request-id"]
    return body["error"]
