"""The service in a process of its own, and a client that costs little beside it.

Client and server share the processor's cores, so whatever the client spends is taken from the
server: this one sends bytes that were made beforehand and reads nothing of an answer but its
status, its length and its body.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
JPEG = "image/jpeg"


def probe() -> bytes:
    """Return a JPEG file: the portrait of Grace Hopper that matplotlib ships (public domain)."""
    portrait = resources.files("matplotlib") / "mpl-data" / "sample_data" / "grace_hopper.jpg"
    return portrait.read_bytes()


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body of a response."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Return the body's document."""
        return json.loads(self.body)


def request(method: str, path: str, body: bytes = b"", kind: str = "") -> bytes:
    """Return the bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1"]
    if kind:
        lines += [f"content-type: {kind}", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def form(method: str, path: str, **parts: bytes | str) -> bytes:
    """Return the bytes of a request with a form; bytes are pictures, everything else is text."""
    boundary = secrets.token_hex(8)
    pieces = []
    for name, value in parts.items():
        file = '; filename="a.jpg"' if isinstance(value, bytes) else ""
        data = value if isinstance(value, bytes) else value.encode()
        head = f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"{file}\r\n\r\n'
        pieces += [head.encode(), data, b"\r\n"]
    body = b"".join([*pieces, f"--{boundary}--\r\n".encode()])
    return request(method, path, body, f"multipart/form-data; boundary={boundary}")


class Client:
    """One connection, kept open, one request at a time; opened anew where the server closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, data: bytes) -> Answer:
        """Send the bytes of a request and return the answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length[1])) if length else b""
        if _CLOSE.search(head):
            await self.close()
        return Answer(int(head[9:12]), body)

    async def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Server:
    """``vultus serve`` in another process."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port

    def resident(self) -> float:
        """Return the resident memory in MB."""
        return self._status("VmRSS")

    def peak(self) -> float:
        """Return the largest resident memory so far in MB."""
        return self._status("VmHWM")

    def seconds(self) -> float:
        """Return the processor time so far, of all threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _status(self, name: str) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"{name}:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1000


@contextmanager
def serving(folder: Path, settings: str) -> Iterator[Server]:
    """Run the service, and stop it in the end.

    Parameters
    ----------
    folder
        Holds the galleries, their key and the log.
    settings
        TOML that follows the places of galleries and key.
    """
    config, log = folder / "service.toml", folder / "log"
    places = f'galleries = "{folder / "galleries"}"\ngallery_key = "{folder / "key"}"\nport = 0\n'
    config.write_text(places + settings)
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "vultus", "serve", "--config", str(config)],
            stderr=stream,
            text=True,
        )
        try:
            while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())):
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            yield Server(process, int(found[1]))
        finally:
            process.terminate()
            process.wait(60)
