"""Many mixed requests, and whether the service's memory stays flat.

Eight clients detect, verify, identify, enrol, delete and list, on pictures of several sizes; each
enrolment is of a picture never seen before, and half of the people are deleted one face at a time,
half as a person. Resident memory is read after the warm-up and at every twentieth of the requests.
Flat means: never more than a tenth above what it was after the warm-up.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections import Counter, deque
from itertools import count
from typing import Any

import numpy as np
from PIL import Image

from service_client import JPEG, Client, Server, form, probe, request

CLIENTS = 8
MOMENTS = 20
TOLERANCE = 1.1
#: People of the gallery beside those that come and go.
_STAYING = 20
#: People that may be there before the oldest go.
_MOST = 40
#: Requests in a hundred.
_MIX = {"identify": 30, "verify": 20, "detect": 20, "enrol": 12, "delete": 12, "list": 6}
_GALLERY = "/v1/galleries/soak"


class Soak:
    """The requests of one run."""

    def __init__(self, server: Server, seed: int = 0) -> None:
        self._server = server
        self._rng = np.random.default_rng(seed)
        self._pictures = _pictures()
        self._numbers = count()
        self._there: deque[tuple[str, str]] = deque()
        self.statuses: Counter[str] = Counter()

    async def prepare(self) -> None:
        """Make the gallery and the people who stay."""
        client = Client(self._server.port)
        await client.ask(request("POST", "/v1/galleries", b'{"name": "soak"}', "application/json"))
        for number in range(_STAYING):
            await client.ask(
                form("POST", f"{_GALLERY}/faces", file=self._new_picture(), person=f"s{number}")
            )
        await client.close()

    async def ask(self, number: int) -> None:
        """Ask so many times."""
        rest = iter(range(number))
        clients = [Client(self._server.port) for _ in range(CLIENTS)]
        await asyncio.gather(*(self._work(client, rest) for client in clients))
        for client in clients:
            await client.close()

    async def _work(self, client: Client, rest: Any) -> None:
        names, weights = list(_MIX), np.array(list(_MIX.values())) / 100
        for _ in rest:
            name = names[int(self._rng.choice(len(names), p=weights))]
            if name == "delete" and len(self._there) < _MOST:
                name = "enrol"
            elif name == "enrol" and len(self._there) >= 2 * _MOST:
                name = "delete"
            status = await getattr(self, f"_{name}")(client)
            self.statuses[f"{name} {status}"] += 1

    async def _identify(self, client: Client) -> int:
        data = request("POST", f"{_GALLERY}/identify?threshold=0.9", self._picture(), JPEG)
        return (await client.ask(data)).status

    async def _verify(self, client: Client) -> int:
        data = form("POST", "/v1/verify", first=self._picture(), second=self._picture())
        return (await client.ask(data)).status

    async def _detect(self, client: Client) -> int:
        return (await client.ask(request("POST", "/v1/detect", self._picture(), JPEG))).status

    async def _list(self, client: Client) -> int:
        return (await client.ask(request("GET", f"{_GALLERY}/faces?limit=20"))).status

    async def _enrol(self, client: Client) -> int:
        person = f"p{next(self._numbers)}"
        data = form("POST", f"{_GALLERY}/faces", file=self._new_picture(), person=person)
        answer = await client.ask(data)
        if answer.status == 201:
            self._there.append((person, answer.json()["faces"][0]["face_id"]))
        return answer.status

    async def _delete(self, client: Client) -> int:
        person, face = self._there.popleft()
        half = int(self._rng.integers(2))
        path = f"{_GALLERY}/faces/{face}" if half else f"{_GALLERY}/persons/{person}"
        return (await client.ask(request("DELETE", path))).status

    def _picture(self) -> bytes:
        return self._pictures[int(self._rng.integers(len(self._pictures)))]

    def _new_picture(self) -> bytes:
        """Return a picture that nobody has sent before: a comment follows the first marker."""
        data, text = self._picture(), b"%d" % next(self._numbers)
        return data[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + data[2:]


def soak(server: Server, requests: int) -> dict[str, Any]:
    """Ask so many times and return what memory did; before it, a tenth as many, 1000 at least."""
    run = Soak(server)
    asyncio.run(run.prepare())
    warm_up = max(requests // 10, 1000)
    asyncio.run(run.ask(warm_up))
    run.statuses.clear()
    found = [server.resident()]
    for moment in range(MOMENTS):
        asyncio.run(run.ask(requests * (moment + 1) // MOMENTS - requests * moment // MOMENTS))
        found.append(server.resident())
        print(f"{sum(run.statuses.values())} requests: {found[-1]:.0f} MB", file=sys.stderr)
    return {
        "requests": requests,
        "warm_up": warm_up,
        "clients": CLIENTS,
        "answers": dict(sorted(run.statuses.items())),
        "resident_mb": [round(value, 1) for value in found],
        "start_mb": found[0],
        "end_mb": found[-1],
        "growth": found[-1] / found[0] - 1,
        "peak_mb": server.peak(),
        "flat": max(found) <= TOLERANCE * found[0],
        "no_failures": all(entry.split()[1] in ("200", "201") for entry in run.statuses),
    }


def _pictures() -> list[bytes]:
    """Return the portrait in several sizes, as JPEG files."""
    portrait = Image.open(io.BytesIO(probe())).convert("RGB")
    out = []
    for width in (128, 256, 384, 512, 1024):
        stream = io.BytesIO()
        size = (width, width * portrait.height // portrait.width)
        portrait.resize(size).save(stream, "JPEG", quality=90)
        out.append(stream.getvalue())
    return out
