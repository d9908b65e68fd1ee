"""The real server in another process, with the default networks: main flows, kills, signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from failure_shape import check_failure

PEOPLE = "/v1/galleries/people"


def enrol(client, person, data):
    return client.post(f"{PEOPLE}/faces", files={"file": data}, data={"person": person})


def test_the_main_flow(start_server, tmp_path, photos):
    server = start_server(tmp_path / "galleries", "--audit-log", str(tmp_path / "audit.jsonl"))
    with server.client() as client:
        assert client.get("/v1/ready").json()["ready"] is True
        (face,) = client.post(
            "/v1/detect", content=photos("hopper"), headers={"content-type": "image/jpeg"}
        ).json()["faces"]
        assert face["score"] > 0.5
        files = {"first": photos("hopper"), "second": photos("hopper", 9)}
        same = client.post("/v1/verify", files=files).json()
        assert same["same"] is True
        assert same["threshold"]["fmr"] <= 1e-3
        files["second"] = photos("collins")
        assert client.post("/v1/verify", files=files).json()["same"] is False
        assert client.post("/v1/galleries", json={"name": "people"}).status_code == 201
        assert enrol(client, "Grace Hopper", photos("hopper")).status_code == 201
        who = client.post(f"{PEOPLE}/identify", files={"file": photos("hopper", 5)}).json()
        assert [f["person"] for f in who["faces"]] == ["Grace Hopper"]
        who = client.post(f"{PEOPLE}/identify", files={"file": photos("collins")}).json()
        assert [f["decision"] for f in who["faces"]] == ["unknown"]
        check_failure(client.get("/nothing"), 404, "not_found")
        refused_while_sending(client)
        unreadable_requests(server)
    # The server finishes its work and then dies of the signal, as is the custom of Unix.
    assert server.stop() == -signal.SIGTERM
    assert any("Application shutdown complete" in line for line in server.log)
    requests = [event for event in server.events() if event["event"] == "request"]
    assert requests[0]["route"] == "/v1/ready"
    assert not any("Grace" in line or str(tmp_path) in line for line in server.log)


def refused_while_sending(client):
    """A body beyond the limit is refused although the client is still sending it."""
    with client.stream(
        "POST",
        "/v1/detect",
        content=(bytes(2**16) for _ in range(2000)),
        headers={"content-type": "image/jpeg"},
    ) as response:
        assert response.status_code == 413
    assert client.get("/v1/health").status_code == 200


def unreadable_requests(server):
    """What is no HTTP at all is refused by the server itself, which lives on."""
    address = httpx.URL(server.address)
    contradiction = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    for data in (
        b"\0\xff\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/detect HTTP/1.1\r\nHost: 127.0.0.1\r\n" + contradiction,
    ):
        with socket.create_connection((address.host, address.port), timeout=20) as connection:
            connection.sendall(data)
            answer = connection.recv(4096)
            assert b" 4" in answer.splitlines()[0]
            assert b"Traceback" not in answer
    with server.client() as client:
        assert client.get("/v1/health").status_code == 200


def test_killed_while_it_enrols_nothing_is_lost_or_doubled(start_server, tmp_path, photos):
    pictures = [photos("hopper", number) for number in range(14)]
    first = start_server(tmp_path / "galleries")
    with first.client() as client:
        client.post("/v1/galleries", json={"name": "people"})
    answered: list[str] = []
    enough = threading.Event()

    def send(data):
        try:
            with first.client() as client:
                response = enrol(client, "Grace Hopper", data)
        except httpx.TransportError:
            return
        assert response.status_code == 201
        answered.append(response.json()["faces"][0]["face_id"])
        if len(answered) >= 3:
            enough.set()

    with ThreadPoolExecutor(4) as pool:
        for data in pictures:
            pool.submit(send, data)
        assert enough.wait(60)
        first.kill()
    assert 3 <= len(answered) < len(pictures)
    second = start_server(tmp_path / "galleries")
    with second.client() as client:
        stored = [f["face_id"] for f in client.get(f"{PEOPLE}/faces").json()["items"]]
        assert set(answered) <= set(stored)
        assert len(stored) == len(set(stored))
        added = sum(enrol(client, "Grace Hopper", data).json()["added"] for data in pictures)
        assert added == len(pictures) - len(stored)
        assert client.get(PEOPLE).json()["faces"] == len(pictures)


def test_two_processes_on_one_gallery(start_server, tmp_path, photos):
    servers = [start_server(tmp_path / "galleries") for _ in range(2)]
    pictures = [photos("collins", number) for number in range(8)]
    with servers[0].client() as one, servers[1].client() as two:
        one.post("/v1/galleries", json={"name": "people"})
        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(
                lambda turn: enrol((one, two)[turn % 2], "Collins", pictures[turn // 2]),
                range(16),
            ))  # fmt: skip
        assert {response.status_code for response in done} <= {200, 201}
        assert sum(response.json()["added"] for response in done) == len(pictures)
        for client in (one, two):
            assert client.get(PEOPLE).json()["faces"] == len(pictures)
            who = client.post(f"{PEOPLE}/identify", files={"file": photos("collins", 20)}).json()
            assert who["faces"][0]["person"] == "Collins"
        cursor = one.get(f"{PEOPLE}/faces?limit=3").json()["next_cursor"]
        rest = two.get(f"{PEOPLE}/faces?limit=50", params={"cursor": cursor}).json()
        assert len(rest["items"]) == 5
        assert two.delete(f"{PEOPLE}/persons/Collins").json() == {"faces": 8}
        assert one.get(f"{PEOPLE}/persons").json()["items"] == []
        assert one.delete(PEOPLE).status_code == 200
        check_failure(two.get(PEOPLE), 404, "not_found")


def test_a_signal_lets_requests_at_work_finish(start_server, tmp_path, photos):
    server = start_server(tmp_path / "galleries")
    begun = threading.Semaphore(0)

    def slowly():
        yield photos("hopper")[:100]
        begun.release()
        assert stopping.wait(60)
        yield photos("hopper")[100:]

    stopping = threading.Event()
    with ThreadPoolExecutor(2) as pool, server.client() as client:
        answer = pool.submit(
            client.post, "/v1/detect", content=slowly(), headers={"content-type": "image/jpeg"}
        )
        assert begun.acquire(timeout=60)
        wait_until_accepted(server)
        server.process.terminate()
        server.wait_for("Shutting down")
        stopping.set()
        assert answer.result().status_code == 200
    assert server.process.wait(60) == -signal.SIGTERM


def wait_until_accepted(server):
    """Return once the server has taken the connection that was opened before this one."""
    with server.client() as other:
        assert "vultus_active_requests 2.0" in other.get("/metrics").text


def test_an_open_address_without_keys_is_refused(key_file, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "vultus", "serve", "--galleries", str(tmp_path / "g"), "--key",
         str(key_file), "--host", "0.0.0.0"],
        capture_output=True, text=True, env=os.environ | {"VULTUS_OFFLINE": "1"}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert "API key" in done.stderr
    assert "Traceback" not in done.stderr


def test_keys_are_managed_on_the_command_line(tmp_path):
    from typer.testing import CliRunner

    from vultus.cli.app import app

    def run(*words):
        result = CliRunner().invoke(app, ["serve", "keys", *words])
        assert result.exit_code == 0, result.output
        return result.stdout

    file = str(tmp_path / "keys.json")
    secret = run("add", "--file", file, "--label", "door", "--scope", "read").strip()
    identifier = secret.split("_")[1]
    assert identifier in run("list", "--file", file)
    assert secret not in run("list", "--file", file, "--json")
    assert "revoked" in run("revoke", identifier, "--file", file)
    assert '"revoked": null' not in run("list", "--file", file, "--json")


@pytest.mark.parametrize("words", [["revoke", "0" * 12], ["list"]])
def test_a_file_of_keys_that_is_missing_is_named(tmp_path, words):
    from typer.testing import CliRunner

    from vultus.cli.app import app
    from vultus.errors import ConfigError

    file = tmp_path / "keys.json"
    result = CliRunner().invoke(app, ["serve", "keys", *words, "--file", str(file)])
    assert isinstance(result.exception, ConfigError)
    assert str(file) in str(result.exception)
