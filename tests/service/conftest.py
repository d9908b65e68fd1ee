"""Applications of the service, in this process and in others."""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from scripted_analyzer import ScriptedAnalyzer
from starlette.testclient import TestClient

from vultus.gallery import Key
from vultus.service import Settings, create_app

BASE = "http://127.0.0.1"


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("key") / "gallery.key"
    Key(bytes(range(32))).save(file)
    return file


@pytest.fixture
def scripted() -> ScriptedAnalyzer:
    return ScriptedAnalyzer()


@pytest.fixture
def serve(
    tmp_path: Path, key_file: Path, scripted: ScriptedAnalyzer
) -> Iterator[Callable[..., TestClient]]:
    """Return a maker of clients; each has an application of its own on one folder."""
    with ExitStack() as stack:

        def make(*, analyzer: Any = scripted, **changes: Any) -> TestClient:
            values = {"galleries": tmp_path / "galleries", "gallery_key": key_file} | changes
            app = create_app(Settings(**values), analyzer=analyzer)
            client = TestClient(
                app, base_url=BASE, raise_server_exceptions=False, client=("127.0.0.1", 9)
            )
            return stack.enter_context(client)

        yield make


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory, key_file: Path) -> Iterator[TestClient]:
    """A client of a service without galleries, for tests that change nothing."""
    settings = Settings(galleries=tmp_path_factory.mktemp("none"), gallery_key=key_file)
    app = create_app(settings, analyzer=ScriptedAnalyzer())
    with TestClient(app, base_url=BASE, raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def client(serve: Callable[..., TestClient]) -> TestClient:
    """A client of a service with a gallery ``people``."""
    made = serve()
    assert made.post("/v1/galleries", json={"name": "people"}).status_code == 201
    return made


@pytest.fixture(scope="session")
def photos(astronaut: np.ndarray, grace_hopper: np.ndarray) -> Callable[[str, int], bytes]:
    """Return a maker of JPEG files of ``collins`` or ``hopper``; each number gives other bytes."""
    import cv2

    def make(who: str, number: int = 0) -> bytes:
        image = {"collins": astronaut, "hopper": grace_hopper}[who]
        small = cv2.resize(image, (300, 300 * image.shape[0] // image.shape[1]))
        quality = [cv2.IMWRITE_JPEG_QUALITY, 90 - number]
        return cv2.imencode(".jpg", small[..., ::-1], quality)[1].tobytes()

    return make


class ServerProcess:
    """``vultus serve`` in another process, on a free port of the loopback interface.

    ``wrapper`` is a command that runs another one, whose words follow its own.
    """

    def __init__(self, *options: str, wrapper: Sequence[str] = ()) -> None:
        self.process = subprocess.Popen(
            [*wrapper, sys.executable, "-m", "vultus", "serve", "--port", "0", *options],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"VULTUS_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
        self.log: list[str] = []
        self._fresh: queue.SimpleQueue[str] = queue.SimpleQueue()
        # Read all the time: a server whose log nobody reads stands still when the pipe is full.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.address = self.wait_for(r"running on (http://127\.0\.0\.1:\d+)")[1]

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            self._fresh.put(line)
        self._fresh.put("")

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Return the match of the next line of the log that has one."""
        while line := self._fresh.get(timeout=120):
            if found := re.search(pattern, line):
                return found
        raise AssertionError("".join(self.log))

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.address, headers=headers, timeout=60, trust_env=False)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Send the signal to stop and return the exit code."""
        self.process.terminate()
        code = self.process.wait(60)
        self._reader.join()
        return code

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log if line.startswith("{")]


@pytest.fixture
def start_server(analyzer: object, key_file: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Return a maker of server processes with the default networks."""
    started: list[ServerProcess] = []

    def start(galleries: Path, *options: str, wrapper: Sequence[str] = ()) -> ServerProcess:
        places = ("--galleries", str(galleries), "--key", str(key_file))
        started.append(ServerProcess(*places, *options, wrapper=wrapper))
        return started[-1]

    yield start
    for server in started:
        server.kill()
