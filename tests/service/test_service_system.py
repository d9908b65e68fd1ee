"""Health, headers, failures of every kind, the OpenAPI document, counters and logs."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest
from failure_shape import check_failure
from scripted_analyzer import SPACE, ScriptedAnalyzer, picture

from vultus.service import Settings, create_app, read_service_settings
from vultus.service.logs import LOGGER, JsonFormatter

SNAPSHOT = Path(__file__).with_name("openapi.json")


def document(folder: Path, key_file: Path) -> dict:
    settings = Settings(galleries=folder, gallery_key=key_file, compreface_gallery="people")
    return create_app(settings, analyzer=ScriptedAnalyzer()).openapi()


def test_the_openapi_document_is_the_stored_one(tmp_path, key_file):
    """A change of the interface is seen; tests/service/renew_openapi.py stores the new one."""
    assert document(tmp_path, key_file) == json.loads(SNAPSHOT.read_text())


def test_every_route_describes_its_failures(tmp_path, key_file):
    for path, methods in document(tmp_path, key_file)["paths"].items():
        for method, route in methods.items():
            if path in ("/v1/health", "/v1/ready"):
                continue
            described = route["responses"]
            assert {"401", "403", "422", "429"} <= described.keys(), (method, path)
            content = described["422"]["content"]["application/json"]
            assert content["schema"]["$ref"].endswith("/Failure")


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/galleries", "GET, POST"),
        ("/v1/galleries/people", "DELETE, GET"),
        ("/v1/galleries/people/persons/Ada", "DELETE, PATCH"),
        ("/v1/detect", "POST"),
    ],
)
def test_a_wrong_method_is_told_all_the_right_ones(lasting, path, methods):
    response = lasting.put(path)
    check_failure(response, 405, "method_not_allowed")
    assert response.headers["allow"] == methods


def test_every_answer_describes_its_headers(tmp_path, key_file):
    paths = document(tmp_path, key_file)["paths"]
    for route in (route for methods in paths.values() for route in methods.values()):
        assert {"403", "421"} <= route["responses"].keys()
        for status, response in route["responses"].items():
            assert "X-Request-Id" in response["headers"], status
            assert ("Retry-After" in response["headers"]) == (status in ("429", "503"))


def test_health_readiness_and_models(lasting):
    assert lasting.get("/v1/health").json() == {"status": "ok"}
    assert lasting.get("/v1/ready").json()["ready"] is True
    assert lasting.get("/v1/models").json()["space"] == SPACE


def test_a_folder_that_is_gone_makes_the_service_unready(serve, tmp_path):
    client = serve()
    (tmp_path / "galleries").rmdir()
    response = client.get("/v1/ready")
    assert (response.status_code, response.json()["galleries"]) == (503, False)
    assert client.get("/v1/health").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1", 404, "not_found"),
        ("GET", "/docs", 404, "not_found"),
        ("GET", "/v1/../../etc/passwd", 404, "not_found"),
        ("GET", "/v1/jobs/nothing", 404, "not_found"),
        ("GET", "/v1/jobs/a%2f..", 404, "not_found"),
        ("GET", "/v1/detect", 405, "method_not_allowed"),
        ("PUT", "/v1/galleries", 405, "method_not_allowed"),
        ("TRACE", "/v1/health", 405, "method_not_allowed"),
        ("OPTIONS", "/v1/detect", 405, "method_not_allowed"),
        ("GET", "/v1/galleries?limit=0", 422, "bad_parameter"),
        ("GET", "/v1/galleries?limit=201", 422, "bad_parameter"),
        ("GET", "/api/v1/recognition/subjects", 404, "not_found"),
    ],
)
def test_failures_of_the_framework_have_the_one_shape(lasting, method, path, status, code):
    check_failure(lasting.request(method, path), status, code)


@pytest.mark.parametrize("given", ["abc-1.2_3", "A" * 64])
def test_a_request_keeps_its_identifier(lasting, given):
    response = lasting.get("/nothing", headers={"x-request-id": given})
    assert response.headers["x-request-id"] == response.json()["request_id"] == given


@pytest.mark.parametrize("given", ["", "a b", "A" * 65, "a\tb", '"', "<script>"])
def test_an_identifier_that_could_do_harm_is_replaced(lasting, given):
    identifier = lasting.get("/v1/health", headers={"x-request-id": given}).headers["x-request-id"]
    assert identifier != given
    assert len(identifier) == 16


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"host": "evil.example"}, 421, "wrong_host"),
        ({"host": "127.0.0.1.evil.example"}, 421, "wrong_host"),
        ({"host": ""}, 421, "wrong_host"),
        ({"origin": "https://evil.example"}, 403, "cross_origin"),
        ({"origin": "null"}, 403, "cross_origin"),
        ({"origin": "http://127.0.0.1:9"}, 403, "cross_origin"),
    ],
)
def test_pages_of_other_sites_cannot_use_the_local_service(lasting, headers, status, code):
    check_failure(lasting.get("/v1/galleries", headers=headers), status, code)


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:1", "[::1]:8080", "LOCALHOST"])
def test_names_of_this_machine_are_its_own(lasting, host):
    assert lasting.get("/v1/galleries", headers={"host": host}).status_code == 200


def test_answers_are_not_stored_or_sniffed(lasting):
    headers = lasting.get("/v1/health").headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"


def test_forged_headers_of_proxies_change_nothing(lasting):
    forged = {
        "x-forwarded-for": "1.2.3.4",
        "x-forwarded-host": "evil.example",
        "x-original-url": "/v1/galleries",
        "x-http-method-override": "DELETE",
    }
    assert lasting.get("/v1/health", headers=forged).json() == {"status": "ok"}


def test_counters_name_routes_not_paths(client):
    client.get("/v1/galleries/people/persons")
    client.delete("/v1/galleries/people/persons/Ada")
    client.get("/somewhere/else")
    client.post("/v1/detect", files={"file": picture(1, 2)})
    text = client.get("/metrics").text
    persons = '{method="GET",route="/v1/galleries/{name}/persons",status="200"}'
    assert f"vultus_requests_total{persons} 1.0" in text
    assert 'route="unmatched",status="404"' in text
    assert "vultus_faces_total 2.0" in text
    assert "vultus_batch_pictures_count 1.0" in text
    assert "Ada" not in text
    assert "somewhere" not in text


def test_logs_are_lines_of_json_without_names_or_pictures(client):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger(LOGGER)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        client.delete(
            "/v1/galleries/people/persons/Ada", headers={"x-request-id": "r1", "x-api-key": "vk_s"}
        )
        client.post("/v1/detect", content=b"break", headers={"content-type": "image/png"})
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first["event"] == "request"
    assert first["request_id"] == "r1"
    assert (first["status"], first["key"]) == (404, "anonymous")
    assert first["route"] == "/v1/galleries/{name}/persons/{person:path}"
    assert (second["event"], second["status"]) == ("failure", 500)
    assert "RuntimeError" in second["trace"]
    assert not any(word in stream.getvalue() for word in ("Ada", "vk_s"))


def test_settings_come_from_toml_and_unknown_ones_are_refused(tmp_path):
    from vultus.errors import ConfigError

    file = tmp_path / "service.toml"
    file.write_text('galleries = "/srv/g"\nport = 9000\n[limits]\npixels = 1000\n')
    settings = read_service_settings(file, port=9001)
    assert (settings.port, settings.limits.pixels) == (9001, 1000)
    assert settings.galleries == Path("/srv/g")
    for text in ("port = 1\n", 'galleries = "g"\nprot = 1\n', 'galleries = "g"\nport = "x"\n', "="):
        file.write_text(text)
        with pytest.raises(ConfigError, match=r"service\.toml"):
            read_service_settings(file)
