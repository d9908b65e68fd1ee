"""Damaged and hostile requests: no 5xx, no trace, no path, the service lives, nothing is stored.

``VULTUS_FUZZ`` sets the number of requests, ``VULTUS_FUZZ_SEED`` where to begin.
"""

from __future__ import annotations

import re
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from damage import COUNT, LEAKS, SEED, STATUSES, damaged, pictures, request_of
from failure_shape import check_failure

from vultus.service.settings import Rates, UploadLimits

PEOPLE = "/v1/galleries/people"


@pytest.mark.timeout(3600)
def test_damaged_requests_do_no_harm(serve, analyzer, photos):
    """The application itself: what the server would refuse as no HTTP reaches it here."""
    client = serve(
        analyzer=analyzer,
        rates=Rates(per_minute=0.0),
        limits=UploadLimits(body_seconds=5.0),
        compreface_gallery="people",
    )
    somebody, nobody = pictures(photos("hopper"))
    client.post("/v1/galleries", json={"name": "people"})
    enrolled = {"file": photos("hopper")}
    assert client.post(f"{PEOPLE}/faces", files=enrolled, data={"person": "Grace"}).is_success
    before = client.get(f"{PEOPLE}/faces").json()
    held = client.app.state.service.memory._left
    statuses: Counter[int] = Counter()
    for number in range(SEED, SEED + COUNT):
        method, target, headers, body = request_of(number, somebody, nobody)
        response = client.request(
            method,
            # As it is: the client's own quoting would repair it.
            client.base_url.copy_with(raw_path=target.encode("latin-1")),
            content=body,
            headers={name: value.encode("latin-1") for name, value in headers.items()},
        )
        statuses[response.status_code] += 1
        assert response.status_code in STATUSES, (number, response.status_code, response.text)
        assert not LEAKS.search(response.text), (number, response.text)
        if response.status_code >= 400 and method != "HEAD" and not _is_page(response):
            check_failure(response, response.status_code, response.json()["error"]["code"])
        if number % 50 == 0:
            assert client.get("/v1/galleries").json()["items"] == ["people"], number
    print(f"statuses: {dict(sorted(statuses.items()))}")
    assert {200, 404, 415, 422} <= statuses.keys()
    assert client.get(f"{PEOPLE}/faces").json() == before
    assert client.get("/v1/ready").json()["ready"] is True
    # Jobs still hold their pictures.
    assert client.app.state.service.memory._left >= held - UploadLimits().held_bytes // 10


def _is_page(response: httpx.Response) -> bool:
    """Return whether people are answered, who may have come to a place that is no route."""
    return response.headers.get("content-type", "").startswith("text/html")


@pytest.mark.timeout(3600)
def test_damaged_bytes_on_the_wire_do_no_harm(start_server, tmp_path, photos):
    """The whole server: request line, headers and body may all be damaged."""
    server = start_server(tmp_path / "galleries", "--compreface-gallery", "people")
    somebody, nobody = pictures(photos("hopper"))
    with server.client() as client:
        client.post("/v1/galleries", json={"name": "people"})
        enrolled = {"file": photos("hopper")}
        assert client.post(f"{PEOPLE}/faces", files=enrolled, data={"person": "Grace"}).is_success
        before = client.get(f"{PEOPLE}/faces").json()
    address = httpx.URL(server.address)

    def send(number: int) -> int:
        rng = np.random.default_rng(number)
        method, target, headers, body = request_of(number, somebody, nobody)
        lines = [f"{method} {target} HTTP/1.1"]
        given = {"host": "127.0.0.1", "content-length": str(len(body))} | headers
        lines += [f"{name}: {value}" for name, value in given.items()]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        data = (damaged(rng, head) if number % 2 else head) + body
        answer = _exchange((address.host, address.port), data)
        assert not LEAKS.search(answer.decode("latin-1")), (number, answer)
        found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
        assert found or not answer, (number, answer)
        status = int(found[1]) if found else 0
        assert status in {0, *STATUSES}, (number, answer)
        return status

    count = max(COUNT // 4, 50)
    with ThreadPoolExecutor(4) as pool:
        statuses = Counter(pool.map(send, range(SEED, SEED + count)))
    print(f"statuses: {dict(sorted(statuses.items()))}")
    assert {400, 404, 422} <= statuses.keys()
    with server.client() as client:
        assert client.get("/v1/ready").json()["ready"] is True
        assert client.get(f"{PEOPLE}/faces").json() == before
        assert client.get("/v1/galleries").json()["items"] == ["people"]
    server.stop()
    own = [event for event in server.events() if event.get("logger") == "vultus.service"]
    assert not [event for event in own if event["level"] == "error"]
    assert not any("Traceback" in line for line in server.log)


def _exchange(address: tuple[str, int], data: bytes) -> bytes:
    """Send bytes, end the sending side, and return all that comes back."""
    answer = b""
    with socket.create_connection(address, timeout=60) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                answer += piece
        except (BrokenPipeError, ConnectionResetError):
            # The server refused what was still being sent.
            pass
    return answer
