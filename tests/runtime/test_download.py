"""Downloads that go on where they broke off, from a server on this machine."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from vultus.errors import WeightsError
from vultus.runtime import Store
from vultus.runtime.download import download
from vultus.runtime.manifest import Download, Weight

PAYLOAD = bytes(range(251)) * 4000


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves PAYLOAD, badly in several ways."""

    ranges: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "http://example.org/file")
            self.end_headers()
            return
        if self.path == "/norange":
            start = 0
        body = PAYLOAD[start:] + (b"more" if self.path == "/long" else b"")
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.path == "/breaking":
            body = body[: len(PAYLOAD) // 3 + 1]
        if self.path == "/stuck":
            body = body[:1000] if start == 0 else b""
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "*")
    Handler.ranges.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as instance:
        thread = threading.Thread(target=instance.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{instance.server_port}"
        instance.shutdown()
        thread.join()


def test_whole_file(server: str, tmp_path: Path) -> None:
    seen: list[int] = []
    download(f"{server}/file", tmp_path / "f", len(PAYLOAD), lambda done, total: seen.append(done))
    assert (tmp_path / "f").read_bytes() == PAYLOAD
    assert seen[-1] == len(PAYLOAD)


def test_broken_connection_goes_on_where_it_ended(server: str, tmp_path: Path) -> None:
    download(f"{server}/breaking", tmp_path / "f", len(PAYLOAD))
    assert (tmp_path / "f").read_bytes() == PAYLOAD
    third = len(PAYLOAD) // 3 + 1
    assert Handler.ranges == [None, f"bytes={third}-", f"bytes={2 * third}-"]


def test_next_call_goes_on_too(server: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="run the command again"):
        download(f"{server}/stuck", tmp_path / "f", len(PAYLOAD))
    assert (tmp_path / "f").stat().st_size == 1000
    Handler.ranges.clear()
    download(f"{server}/file", tmp_path / "f", len(PAYLOAD))
    assert Handler.ranges == ["bytes=1000-"]
    assert (tmp_path / "f").read_bytes() == PAYLOAD


def test_server_that_ignores_ranges(server: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(PAYLOAD[:1000])
    download(f"{server}/norange", tmp_path / "f", len(PAYLOAD))
    assert (tmp_path / "f").read_bytes() == PAYLOAD


def test_longer_file_is_refused(server: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="more than the"):
        download(f"{server}/long", tmp_path / "f", len(PAYLOAD))
    assert (tmp_path / "f").stat().st_size == 0


def test_refusal_by_the_server_is_not_repeated(server: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="404"):
        download(f"{server}/missing", tmp_path / "f", len(PAYLOAD))
    assert len(Handler.ranges) == 1


def test_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="download failed"):
        download("http://127.0.0.1:9/file", tmp_path / "f", 10)


@pytest.mark.parametrize(
    "url", ["http://example.org/a", "ftp://example.org/a", "file:///etc/passwd"]
)
def test_unsafe_addresses_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="only https"):
        download(url, tmp_path / "f", 10)


def test_redirect_to_an_unsafe_address_is_refused(server: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="only https"):
        download(f"{server}/elsewhere", tmp_path / "f", 10)


def make_store(home: Path, url: str, sha256: str) -> Store:
    weight = Weight(
        id="net",
        task="recognition",
        source=Download(url),
        sha256=sha256,
        bytes=len(PAYLOAD),
        licence="MIT",
        commercial="yes",
        homepage="https://example.org",
        data="nothing",
    )
    return Store(home, weights={"net": weight}, offline=False)


def test_store_keeps_only_the_verified_file(server: str, tmp_path: Path) -> None:
    store = make_store(tmp_path, f"{server}/net.onnx", hashlib.sha256(PAYLOAD).hexdigest())
    path = store.resolve("net")
    assert path.suffix == ".onnx"
    assert path.read_bytes() == PAYLOAD
    assert list((tmp_path / "partial").iterdir()) == []


def test_store_refuses_and_removes_other_bytes(server: str, tmp_path: Path) -> None:
    store = make_store(tmp_path, f"{server}/net.onnx", "0" * 64)
    with pytest.raises(WeightsError, match="the manifest states"):
        store.resolve("net")
    left = [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".lock"]
    assert left == []
