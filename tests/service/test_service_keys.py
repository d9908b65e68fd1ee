"""API keys: scopes, revocation, what a wrong key is told."""

from __future__ import annotations

import itertools
import json

import pytest
from failure_shape import check_failure
from scripted_analyzer import picture

from vultus.errors import ConfigError
from vultus.service import Settings, create_app
from vultus.service.keys import add_key, read_keys, revoke_key
from vultus.service.rates import TokenBuckets
from vultus.service.settings import Rates

PEOPLE = "/v1/galleries/people"


@pytest.fixture
def keys(tmp_path):
    """A file of keys, and one key for each scope by name."""
    file = tmp_path / "keys.json"
    return file, {
        scope: add_key(file, scope, [scope])[1] for scope in ("read", "write", "admin", "templates")
    }


@pytest.fixture
def guarded(serve, keys):
    client = serve(api_keys=keys[0], rates=Rates(failures_per_minute=1000.0))
    made = client.post(
        "/v1/galleries", json={"name": "people"}, headers={"x-api-key": keys[1]["admin"]}
    )
    assert made.status_code == 201
    return client


ROUTES = [
    ("read", "GET", "/v1/models", {}),
    ("read", "GET", "/metrics", {}),
    ("read", "POST", "/v1/detect", {"files": {"file": picture(1)}}),
    ("read", "POST", "/v1/analyze", {"files": {"file": picture(1)}}),
    ("templates", "POST", "/v1/embed", {"files": {"file": picture(1)}}),
    ("read", "POST", "/v1/verify?threshold=0.5",
     {"files": {"first": picture(1), "second": picture(2)}}),
    ("read", "GET", "/v1/galleries", {}),
    ("admin", "POST", "/v1/galleries", {"json": {"name": "x"}}),
    ("read", "GET", PEOPLE, {}),
    ("read", "GET", f"{PEOPLE}/persons", {}),
    ("read", "GET", f"{PEOPLE}/faces", {}),
    ("write", "POST", f"{PEOPLE}/faces", {"files": {"file": picture(1)}, "data": {"person": "A"}}),
    ("write", "PATCH", f"{PEOPLE}/persons/A", {"json": {"person": "B"}}),
    ("write", "POST", f"{PEOPLE}/persons/merge", {"json": {"persons": ["A"], "into": "B"}}),
    ("write", "DELETE", f"{PEOPLE}/persons/A", {}),
    ("write", "DELETE", f"{PEOPLE}/faces/{'0' * 32}", {}),
    ("read", "POST", f"{PEOPLE}/identify?threshold=0.5", {"files": {"file": picture(1)}}),
    ("read", "POST", "/v1/cluster?threshold=0.5", {"files": {"file": picture(1)}}),
    ("read", "GET", "/v1/jobs/x", {}),
    ("read", "DELETE", "/v1/jobs/x", {}),
    ("admin", "DELETE", f"{PEOPLE}", {}),
]  # fmt: skip


def test_every_route_asks_for_its_scope(guarded, keys):
    """Without a key 401, with another scope 403, with the right one anything else."""
    for scope, method, path, request in ROUTES:
        check_failure(guarded.request(method, path, **request), 401, "unauthorized")
        for other in ("read", "write", "templates", "admin"):
            if other in (scope, "admin") and not (scope == "templates" and other == "admin"):
                continue
            response = guarded.request(
                method, path, headers={"x-api-key": keys[1][other]}, **request
            )
            check_failure(response, 403, "forbidden")
        response = guarded.request(method, path, headers={"x-api-key": keys[1][scope]}, **request)
        assert response.status_code not in (401, 403, 500), (path, response.text)


def test_the_list_of_scopes_holds_every_route(guarded):
    document = guarded.get("/v1/openapi.json").json()
    described = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if path not in ("/v1/health", "/v1/ready")
    }
    assert len(described) == len(ROUTES)


@pytest.mark.parametrize("path", ["/v1/health", "/v1/ready"])
def test_health_needs_no_key(guarded, path):
    assert guarded.get(path).status_code == 200


def test_wrong_keys_learn_nothing(guarded, keys):
    good = keys[1]["read"]
    wrong = ["", " ", "x", good[:-1], good + "A", good.upper(), good[:16] + "A" * 43]
    wrong += ["vk_000000000000_" + "A" * 43, "x" * 300, "Bearer " + good, f"{good},{good}"]
    bodies = set()
    for key in wrong:
        response = guarded.get("/v1/models", headers={"x-api-key": key})
        check_failure(response, 401, "unauthorized")
        bodies.add(json.dumps(response.json()["error"]))
    assert len(bodies) == 1


def test_keys_elsewhere_than_in_the_header_do_not_count(guarded, keys):
    good = keys[1]["read"]
    for request in (
        guarded.get("/v1/models", params={"x-api-key": good}),
        guarded.get("/v1/models", headers={"authorization": f"Bearer {good}"}),
        guarded.get("/v1/models", headers={"cookie": f"x-api-key={good}"}),
        guarded.get("/v1/models", headers=[("x-api-key", "x"), ("x-api-key", good)]),
    ):
        check_failure(request, 401, "unauthorized")


def test_a_revoked_key_is_refused_from_the_next_request_on(guarded, keys):
    file, by_scope = keys
    headers = {"x-api-key": by_scope["read"]}
    assert guarded.get("/v1/models", headers=headers).status_code == 200
    revoke_key(file, by_scope["read"].split("_")[1])
    check_failure(guarded.get("/v1/models", headers=headers), 401, "unauthorized")
    other = guarded.get("/v1/models", headers={"x-api-key": by_scope["admin"]})
    assert other.status_code == 200


def test_an_added_key_works_from_the_next_request_on(guarded, keys):
    _, key = add_key(keys[0], "late", ["read"])
    assert guarded.get("/v1/models", headers={"x-api-key": key}).status_code == 200


def test_many_wrong_keys_from_one_address_must_wait_good_ones_go_on(serve, keys):
    client = serve(api_keys=keys[0], rates=Rates(failures_per_minute=3.0))
    good = {"x-api-key": keys[1]["read"]}
    assert client.get("/v1/models", headers=good).status_code == 200
    statuses = [
        client.get("/v1/models", headers={"x-api-key": f"wrong{i}"}).status_code for i in range(5)
    ]
    assert statuses == [401, 401, 429, 429, 429]
    assert client.get("/v1/models", headers=good).status_code == 200


def test_the_file_holds_no_key_and_is_closed_to_others(keys):
    file, by_scope = keys
    text = file.read_text()
    assert not any(key in text or key[16:] in text for key in by_scope.values())
    assert file.stat().st_mode & 0o077 == 0
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_keys(file)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1, "keys": [{}]}', '{"format": 9}'])
def test_a_damaged_file_stops_the_service_from_starting(serve, keys, text):
    keys[0].write_text(text)
    with pytest.raises(ConfigError):
        serve(api_keys=keys[0])


def test_unknown_scopes_and_keys_are_refused(keys):
    with pytest.raises(ConfigError, match="scopes"):
        add_key(keys[0], "x", ["root"])
    with pytest.raises(ConfigError, match="scopes"):
        add_key(keys[0], "x", [])
    with pytest.raises(ConfigError, match="no key"):
        revoke_key(keys[0], "0" * 12)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_an_address_that_others_reach_needs_a_key(tmp_path, key_file, scripted, keys, host):
    values = {"galleries": tmp_path, "gallery_key": key_file, "host": host}
    with pytest.raises(ConfigError, match="API key"):
        create_app(Settings(**values), analyzer=scripted)
    create_app(Settings(**values, open=True), analyzer=scripted)
    create_app(Settings(**values, api_keys=keys[0]), analyzer=scripted)
    for record in read_keys(keys[0]):
        revoke_key(keys[0], record.id)
    with pytest.raises(ConfigError, match="API key"):
        create_app(Settings(**values, api_keys=keys[0]), analyzer=scripted)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_the_loopback_interface_needs_none(tmp_path, key_file, scripted, host):
    settings = Settings(galleries=tmp_path, gallery_key=key_file, host=host)
    create_app(settings, analyzer=scripted)


def test_a_job_belongs_to_the_key_that_asked_for_it(guarded, keys):
    headers = {"x-api-key": keys[1]["read"]}
    job = guarded.post(
        "/v1/cluster?threshold=0.5", files={"file": picture(1)}, headers=headers
    ).json()["id"]
    assert guarded.get(f"/v1/jobs/{job}", headers=headers).status_code == 200
    for method in ("GET", "DELETE"):
        other = guarded.request(method, f"/v1/jobs/{job}", headers={"x-api-key": keys[1]["admin"]})
        check_failure(other, 404, "not_found")


def test_tokens_come_back_with_time():
    now = itertools.count(0, 10).__next__
    buckets = TokenBuckets(per_minute=3.0, burst=2, clock=lambda: float(now()))
    assert [buckets.take("a") for _ in range(5)] == [0, 0, 0, 10, 0]
    assert TokenBuckets(0.0, 1).take("a", 99) == 0
