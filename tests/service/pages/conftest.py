"""Visitors of the pages, with and without a browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from visiting import Visitor

from vultus.service.keys import add_key


@pytest.fixture
def visitor(client: TestClient) -> Visitor:
    """Someone at a service without keys that has a gallery ``people``."""
    return Visitor(client)


@pytest.fixture(scope="module")
def settled(lasting: TestClient) -> Visitor:
    """Someone at a service with a gallery ``people``, for tests that change nothing."""
    assert lasting.post("/v1/galleries", json={"name": "people"}).status_code == 201
    return Visitor(lasting)


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    """Keys by scope, in the file ``keys.json``."""
    file = tmp_path / "keys.json"
    return {scope: add_key(file, scope, [scope])[1] for scope in ("read", "write", "admin")}


@pytest.fixture
def guarded(serve: Callable[..., TestClient], tmp_path: Path, keys: dict[str, str]) -> TestClient:
    """A client of a service that asks for keys and has a gallery ``people``."""
    client = serve(api_keys=tmp_path / "keys.json", audit_log=tmp_path / "audit.jsonl")
    made = client.post(
        "/v1/galleries", json={"name": "people"}, headers={"x-api-key": keys["admin"]}
    )
    assert made.status_code == 201
    return client
