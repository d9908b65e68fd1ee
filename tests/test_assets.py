"""Data fetched on demand: verified file by file, resumed at the byte, from a server here."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import ClassVar

import pytest
from typer.testing import CliRunner

from vultus import assets
from vultus.assets import ICT_FACEKIT, Asset, File, asset, fetch_asset, is_whole
from vultus.cli.data import app
from vultus.errors import ConfigError, DatasetError

FILES = {
    "LICENSE": b"You may.\n",
    "models/a.obj": bytes(range(256)) * 3000,
    "models/b.obj": b"second " * 40_000,
}
PACKED = b"a.obj+b.obj"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves FILES, or what ``served`` puts in their place; cuts an answer once if told so."""

    served: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[tuple[str, str | None]]] = []
    cut: ClassVar[dict[str, int]] = {}

    def do_GET(self) -> None:
        name = self.path.removeprefix("/v1/")
        wanted = self.headers.get("Range")
        self.asked.append((name, wanted))
        if name not in self.served:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        body = self.served[name][start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.cut.get(name, len(body))])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "*")
    Handler.served, Handler.cut = dict(FILES), {}
    Handler.asked.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as instance:
        thread = threading.Thread(target=instance.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{instance.server_port}/v1/"
        instance.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VULTUS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("VULTUS_OFFLINE", raising=False)
    return tmp_path / "home"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Small(Asset):
    """An asset of three small files."""

    __slots__ = ()

    def files(self) -> tuple[File, ...]:
        return tuple(File(path, len(data), sha(data)) for path, data in FILES.items())


def _pack(folder: Path, target: Path) -> None:
    target.write_bytes("+".join(sorted(p.name for p in folder.glob("*.obj"))).encode())


def small(source: str = "https://example.invalid/") -> Small:
    return Small(
        key="small",
        title="Small thing",
        licence="MIT",
        homepage="https://example.invalid",
        source=source,
        listed=("", ""),
        target=PurePosixPath("small/small.bin"),
        pack=_pack,
        content=lambda path: sha(path.read_bytes()),
        sha256=sha(PACKED),
    )


def test_files_come_are_packed_and_leave_nothing_else(server: str, home: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = fetch_asset(small(server), progress=lambda done, total: seen.append((done, total)))
    assert path == home / "small" / "small.bin"
    assert path.read_bytes() == PACKED
    assert (path.parent / "LICENSE").read_bytes() == FILES["LICENSE"]
    assert list((home / "partial").iterdir()) == []
    assert sorted(p.name for p in path.parent.iterdir()) == ["LICENSE", "small.bin"]
    size = sum(map(len, FILES.values()))
    assert seen[-1] == (size, size)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_what_is_here_is_not_fetched_again(server: str, home: Path) -> None:
    wanted = small(server)
    fetch_asset(wanted)
    count = len(Handler.asked)
    fetch_asset(wanted)
    assert len(Handler.asked) == count
    (home / wanted.target).write_bytes(b"damaged")
    assert not is_whole(wanted, home / wanted.target)
    assert fetch_asset(wanted).read_bytes() == PACKED


def test_a_cut_download_goes_on_at_its_byte(server: str, home: Path) -> None:
    Handler.cut = {"models/b.obj": 1000}
    # The answers to all attempts are cut, each a thousand bytes further.
    with pytest.raises(DatasetError, match="run the command again"):
        fetch_asset(small(server))
    held = home / "partial" / "small" / "b.obj.part"
    assert held.stat().st_size == 4000
    assert not (home / "small" / "small.bin").exists()
    Handler.cut = {}
    Handler.asked.clear()
    assert fetch_asset(small(server)).read_bytes() == PACKED
    assert Handler.asked == [("models/b.obj", "bytes=4000-")]


def test_another_file_is_refused_and_not_kept(server: str, home: Path) -> None:
    Handler.served["models/b.obj"] = FILES["models/b.obj"][:-1] + b"!"
    with pytest.raises(DatasetError, match=r"b\.obj.*SHA-256"):
        fetch_asset(small(server))
    assert not (home / "partial" / "small" / "b.obj.part").exists()
    assert not (home / "small" / "small.bin").exists()
    # A mended source is enough: what was right is not fetched again.
    Handler.served["models/b.obj"] = FILES["models/b.obj"]
    Handler.asked.clear()
    fetch_asset(small(server))
    assert Handler.asked == [("models/b.obj", None)]


def test_a_missing_file_says_which(server: str) -> None:
    del Handler.served["models/a.obj"]
    with pytest.raises(DatasetError, match=r"models/a\.obj.*404"):
        fetch_asset(small(server))


def test_packed_content_is_verified(server: str, home: Path) -> None:
    wanted = replace(small(server), sha256="0" * 64)
    with pytest.raises(DatasetError, match="packed form"):
        fetch_asset(wanted)
    assert not (home / "small" / "small.bin").exists()


def test_without_a_network_the_error_names_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    # Nothing listens on the port of discard here.
    with pytest.raises(DatasetError, match=r"127\.0\.0\.1:9/.*refused"):
        fetch_asset(small("http://127.0.0.1:9/"))


def test_offline_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VULTUS_OFFLINE", "1")
    with pytest.raises(DatasetError, match="vultus data get small"):
        fetch_asset(small())


@pytest.mark.parametrize("source", ["http://example.org/", "ftp://example.org/", "file:///etc/"])
def test_unsafe_mirrors_are_refused(source: str) -> None:
    with pytest.raises(DatasetError, match="https"):
        fetch_asset(small(), source=source)


def test_unknown_keys_name_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="ict-facekit"):
        asset("head")


def test_the_head_is_pinned_to_a_commit_and_lists_its_files() -> None:
    files = ICT_FACEKIT.files()
    commit = ICT_FACEKIT.source.rstrip("/").rpartition("/")[2]
    assert len(commit) == 40
    assert set(commit) <= set("0123456789abcdef")
    names = [PurePosixPath(f.path).name for f in files]
    assert len(set(names)) == len(names) == 160
    assert sum(name.startswith("identity") for name in names) == 100
    assert {"LICENSE", "generic_neutral_mesh.obj", "vertex_indices.json"} <= set(names)
    assert all(len(f.sha256) == 64 and f.bytes > 0 for f in files)
    assert ICT_FACEKIT.bytes == 404_773_008


def test_the_head_in_use_has_the_content_that_is_promised(data_root: Path) -> None:
    assert is_whole(ICT_FACEKIT, data_root / ICT_FACEKIT.target)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 and then nothing", None])
def test_a_damaged_head_is_not_whole(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "head.npz"
    if damage is not None:
        path.write_bytes(damage)
    assert not is_whole(ICT_FACEKIT, path)


def test_command(server: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "ASSETS", (small(),))
    shell = CliRunner()
    assert "small" in shell.invoke(app, ["get"]).stdout
    done = shell.invoke(app, ["get", "small", "--source", server, "--json"])
    assert done.exit_code == 0, done.stderr
    assert "MIT" in done.stderr
    assert "MB" in done.stderr
    summary = json.loads(done.stdout)
    assert summary["path"] == str(home / "small" / "small.bin")
    assert summary["licence"] == "MIT"
    assert summary["content_sha256"] == sha(PACKED)
    assert [row["here"] for row in json.loads(shell.invoke(app, ["get", "--json"]).stdout)] == [
        True
    ]
