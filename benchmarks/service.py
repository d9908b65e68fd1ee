"""The service beside the same calls in process: identify on galleries of synthetic templates.

The server runs in a process of its own and is called on 127.0.0.1 alone, from the same cores. The
probe is the portrait of Grace Hopper that matplotlib ships (public domain); it is enrolled among
random unit templates. Per gallery: pictures per second in process, in batches of the service's
size; the same over HTTP with 16 clients, each waiting for its answer before it asks again; p50 and
p99 of these answers; processor time per picture of either process. In-process and HTTP turns
alternate, and the ratio is the median over turns, so that other load on the machine strikes both.

Then, on the largest gallery: answers to four times as many clients as the queue and one batch can
hold, of which each must be 200 or 429; and resident memory of the server at five moments of
``--requests`` requests.

    python benchmarks/service.py [--sizes 10000 100000] [--turns 3] [--requests 1000] [--json FILE]

With ``--soak N`` instead: N mixed requests on a small gallery, and whether memory stays flat
(``service_soak.py``).

    python benchmarks/service.py --soak 10000 [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import service_soak
from machine import describe_machine
from service_client import JPEG, Client, Server, probe, request, serving
from vultus.analysis import Analyzer
from vultus.faces import Embedding
from vultus.gallery import Enrolment, Gallery, Key
from vultus.people import identify, search_threshold
from vultus.service.settings import Batching

CLIENTS = 16
BATCH = 16
QUEUE = 64
#: The packaged calibration supports no default rate on galleries as large as the larger one.
THRESHOLD = 0.95


def fill(gallery: Gallery, size: int, analyzer: Analyzer) -> None:
    """Enrol the probe's person and random people up to ``size`` templates."""
    rng = np.random.default_rng(size)
    face = analyzer.embed_subject(probe())

    def enrolments() -> Iterator[Enrolment]:
        yield Enrolment("hopper", face.embedding, "probe", "probe")
        for number in range(size - 1):
            vector = rng.standard_normal(gallery.dim, np.float32)
            yield Enrolment(f"p{number}", Embedding(vector, gallery.space), "random", f"{number}")

    gallery.enroll(enrolments())


def settings(threads: int, workers: int, wait: float) -> str:
    """Return the settings of the service: no limit on comparisons."""
    return (
        f"[batching]\nmax_batch = {BATCH}\nqueue = {QUEUE}\nthreads = {threads}\n"
        f"workers = {workers}\nmax_wait_ms = {wait}\n"
        "[rates]\nper_minute = 0\n[limits]\nconcurrent = 512\n"
    )


def ask(
    server: Server, gallery: str, count: int, clients: int
) -> tuple[float, list[float], Counter[int]]:
    """Ask ``count`` times from some clients; return seconds, latencies in ms, statuses."""
    path = f"/v1/galleries/{gallery}/identify?threshold={THRESHOLD}"
    data = request("POST", path, probe(), JPEG)
    times: list[float] = []
    statuses = Counter[int]()

    async def work(client: Client, share: int) -> None:
        for _ in range(share):
            begun = time.perf_counter()
            answer = await client.ask(data)
            times.append(1e3 * (time.perf_counter() - begun))
            statuses[answer.status] += 1
            if answer.status == 200:
                assert answer.json()["faces"][0]["person"] == "hopper"

    async def all_together() -> float:
        shares = np.bincount(np.arange(count) % clients, minlength=clients).tolist()
        made = [Client(server.port) for _ in shares]
        await asyncio.gather(*(client.ask(request("GET", "/v1/health")) for client in made))
        begun = time.perf_counter()
        await asyncio.gather(*map(work, made, shares))
        seconds = time.perf_counter() - begun
        for client in made:
            await client.close()
        return seconds

    return asyncio.run(all_together()), times, statuses


def compare(
    server: Server, folder: Path, size: int, analyzer: Analyzer, turns: int, pictures: int
) -> dict[str, Any]:
    """Measure one gallery in process and over HTTP."""
    gallery = Gallery.open(folder / "galleries" / f"g{size}", Key.load(folder / "key"))
    limit = search_threshold(None, len(gallery), threshold=THRESHOLD)
    data = probe()

    def in_process() -> tuple[float, float]:
        """Return pictures per second, and processor time of a picture in ms."""
        begun, spent = time.perf_counter(), time.process_time()
        for _ in identify(gallery, [data] * pictures, limit, analyzer=analyzer):
            pass
        seconds = time.perf_counter() - begun
        return pictures / seconds, 1e3 * (time.process_time() - spent) / pictures

    in_process()
    ask(server, f"g{size}", BATCH, CLIENTS)
    direct, served, latencies, spent, spent_there = [], [], [], [], []
    for _ in range(turns):
        speed, processor = in_process()
        direct.append(speed)
        spent.append(processor)
        before = server.seconds()
        seconds, times, statuses = ask(server, f"g{size}", pictures, CLIENTS)
        assert set(statuses) == {200}, statuses
        served.append(pictures / seconds)
        spent_there.append(1e3 * (server.seconds() - before) / pictures)
        latencies += times
    return {
        "templates": size,
        "in_process_per_s": float(np.median(direct)),
        "http_per_s": float(np.median(served)),
        "http_share": float(np.median(np.array(served) / np.array(direct))),
        "in_process_cpu_ms": float(np.median(spent)),
        "server_cpu_ms": float(np.median(spent_there)),
        "p50_ms": float(np.median(latencies)),
        "p99_ms": float(np.quantile(latencies, 0.99)),
        "answers": len(latencies),
    }


def overload(server: Server, gallery: str) -> dict[str, Any]:
    """Ask from four times as many clients as the service can hold."""
    clients = 4 * (QUEUE + BATCH)
    before = server.resident()
    _, times, statuses = ask(server, gallery, 4 * clients, clients)
    return {
        "clients": clients,
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "p99_ms": float(np.quantile(times, 0.99)),
        "resident_mb": [before, server.resident()],
        "peak_mb": server.peak(),
    }


def memory(server: Server, gallery: str, requests: int) -> list[float]:
    """Return the resident memory in MB at five moments of many requests."""
    found = [server.resident()]
    for _ in range(4):
        ask(server, gallery, requests // 4, CLIENTS)
        found.append(server.resident())
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=96, help="in one turn")
    parser.add_argument("--requests", type=int, default=1000, help="of the memory measurement")
    parser.add_argument("--workers", type=int, default=Batching().workers)
    parser.add_argument("--wait", type=float, default=Batching().max_wait_ms, help="ms")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--soak", type=int, help="requests; measures nothing else")
    parser.add_argument("--ceiling", type=float, default=1500, help="MB that the server may take")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Key.generate().save(folder / "key")
        found = soaked(folder, options) if options.soak else loaded(folder, options)
    if options.json:
        options.json.write_text(json.dumps({"machine": describe_machine()} | found, indent=1))
    if failed := [name for name, holds in found["goals"].items() if not holds]:
        raise SystemExit(f"not reached: {', '.join(failed)}")


def soaked(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure the memory of many mixed requests."""
    threads = os.cpu_count() or 1
    with serving(folder, settings(threads, options.workers, options.wait)) as server:
        found = service_soak.soak(server, options.soak)
    print(json.dumps(found))
    goals = {name: found[name] for name in ("flat", "no_failures")}
    return found | {"goals": goals | {"ceiling": found["peak_mb"] <= options.ceiling}}


def loaded(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure throughput, overload and memory under it."""
    threads = os.cpu_count() or 1
    analyzer = Analyzer(threads=threads)
    space, dim, key = analyzer.embedder.space, analyzer.embedder.dim, Key.load(folder / "key")
    for size in options.sizes:
        path = folder / "galleries" / f"g{size}"
        fill(Gallery.create(path, space=space, dim=dim, key=key), size, analyzer)
    found: dict[str, Any] = {"clients": CLIENTS, "batch": BATCH, "threads": threads}
    found |= {"workers": options.workers, "max_wait_ms": options.wait, "galleries": []}
    with serving(folder, settings(threads, options.workers, options.wait)) as server:
        for size in options.sizes:
            found["galleries"].append(
                compare(server, folder, size, analyzer, options.turns, options.pictures)
            )
            print(json.dumps(found["galleries"][-1]))
        largest = f"g{max(options.sizes)}"
        found["overload"] = overload(server, largest)
        print(json.dumps(found["overload"]))
        found["memory_requests"] = options.requests
        found["resident_mb"] = memory(server, largest, options.requests)
        print(json.dumps(found["resident_mb"]))
        found["peak_mb"], found["ceiling_mb"] = server.peak(), options.ceiling
    last = found["galleries"][-1]
    found["goals"] = {
        "http_share >= 0.8": last["http_share"] >= 0.8,
        "p99 < 5 p50": last["p99_ms"] < 5 * last["p50_ms"],
        "only 200 and 429 at four times the capacity": set(found["overload"]["statuses"])
        <= {"200", "429"},
        "peak below the ceiling": found["peak_mb"] <= options.ceiling,
    }
    print(json.dumps(found["goals"]))
    return found


if __name__ == "__main__":
    main()
