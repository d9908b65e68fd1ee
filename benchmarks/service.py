"""The service beside the same calls in process: identify on galleries of synthetic templates.

The server runs in a process of its own and is called on 127.0.0.1 alone. The probe is the portrait
of Grace Hopper that matplotlib ships (public domain); it is enrolled among random unit templates.
Per gallery: pictures per second in process, in batches of the service's size; the same over HTTP
with 16 clients, each waiting for its answer before it asks again; p50 and p99 of these answers.
In-process and HTTP turns alternate, and the ratio is the median over turns, so that other load on
the machine strikes both.

Then, on the largest gallery: resident memory of the server before, in the middle of and after
``--requests`` requests; and answers to four times as many clients as the queue and one batch can
hold, of which each must be 200 or 429.

    python benchmarks/service.py [--sizes 10000 100000] [--turns 3] [--requests 1000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from machine import describe_machine
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
FORM = {"content-type": "image/jpeg"}


def probe() -> bytes:
    """Return the encoded picture."""
    portrait = resources.files("matplotlib") / "mpl-data" / "sample_data" / "grace_hopper.jpg"
    return portrait.read_bytes()


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


class Server:
    """The service in another process."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.process, self.address = process, address

    def resident(self) -> float:
        """Return the resident memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1000

    def ask(
        self, gallery: str, count: int, clients: int
    ) -> tuple[float, list[float], Counter[int]]:
        """Ask ``count`` times from some clients; return seconds, latencies in ms, statuses."""
        data, times, statuses = probe(), [], Counter[int]()
        shares = np.bincount(np.arange(count) % clients, minlength=clients)
        together = threading.Barrier(clients + 1)

        def client(share: int) -> None:
            with httpx.Client(base_url=self.address, timeout=120, trust_env=False) as http:
                http.get("/v1/health")
                together.wait()
                for _ in range(share):
                    begun = time.perf_counter()
                    answer = http.post(
                        f"/v1/galleries/{gallery}/identify",
                        params={"threshold": THRESHOLD},
                        content=data,
                        headers=FORM,
                    )
                    times.append(1e3 * (time.perf_counter() - begun))
                    statuses[answer.status_code] += 1
                    if answer.status_code == 200:
                        assert answer.json()["faces"][0]["person"] == "hopper"

        with ThreadPoolExecutor(clients) as pool:
            done = [pool.submit(client, int(share)) for share in shares]
            together.wait()
            begun = time.perf_counter()
            for each in done:
                each.result()
            return time.perf_counter() - begun, times, statuses


@contextmanager
def serving(folder: Path, threads: int, workers: int, wait: float) -> Iterator[Server]:
    """Run the service without a limit on comparisons, and stop it in the end."""
    config = folder / "service.toml"
    config.write_text(
        f'galleries = "{folder / "galleries"}"\ngallery_key = "{folder / "key"}"\nport = 0\n'
        f"[batching]\nmax_batch = {BATCH}\nqueue = {QUEUE}\n"
        f"threads = {threads}\nworkers = {workers}\nmax_wait_ms = {wait}\n"
        "[rates]\nper_minute = 0\n[limits]\nconcurrent = 512\n"
    )
    log = (folder / "log").open("w+")
    process = subprocess.Popen(
        [sys.executable, "-m", "vultus", "serve", "--config", str(config)], stderr=log, text=True
    )
    try:
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", (folder / "log").read_text())):
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        yield Server(process, found[0])
    finally:
        process.terminate()
        process.wait(60)
        log.close()


def compare(
    server: Server, folder: Path, size: int, analyzer: Analyzer, turns: int, pictures: int
) -> dict[str, Any]:
    """Measure one gallery in process and over HTTP."""
    gallery = Gallery.open(folder / "galleries" / f"g{size}", Key.load(folder / "key"))
    limit = search_threshold(None, len(gallery), threshold=THRESHOLD)
    data = probe()

    def in_process() -> float:
        begun = time.perf_counter()
        for _ in identify(gallery, [data] * pictures, limit, analyzer=analyzer):
            pass
        return pictures / (time.perf_counter() - begun)

    in_process()
    server.ask(f"g{size}", BATCH, CLIENTS)
    direct, served, latencies = [], [], []
    for _ in range(turns):
        direct.append(in_process())
        seconds, times, statuses = server.ask(f"g{size}", pictures, CLIENTS)
        assert set(statuses) == {200}, statuses
        served.append(pictures / seconds)
        latencies += times
    return {
        "templates": size,
        "in_process_per_s": float(np.median(direct)),
        "http_per_s": float(np.median(served)),
        "http_share": float(np.median(np.array(served) / np.array(direct))),
        "p50_ms": float(np.median(latencies)),
        "p99_ms": float(np.quantile(latencies, 0.99)),
        "answers": len(latencies),
    }


def overload(server: Server, gallery: str) -> dict[str, Any]:
    """Ask from four times as many clients as the service can hold."""
    clients = 4 * (QUEUE + BATCH)
    before = server.resident()
    _, times, statuses = server.ask(gallery, 4 * clients, clients)
    return {
        "clients": clients,
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "p99_ms": float(np.quantile(times, 0.99)),
        "resident_mb": [before, server.resident()],
    }


def memory(server: Server, gallery: str, requests: int) -> list[float]:
    """Return the resident memory in MB at five moments of many requests."""
    found = [server.resident()]
    for _ in range(4):
        server.ask(gallery, requests // 4, CLIENTS)
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
    options = parser.parse_args()
    threads = os.cpu_count() or 1
    analyzer = Analyzer(threads=threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Key.generate().save(folder / "key")
        space, dim = analyzer.embedder.space, analyzer.embedder.dim
        for size in options.sizes:
            path = folder / "galleries" / f"g{size}"
            key = Key.load(folder / "key")
            fill(Gallery.create(path, space=space, dim=dim, key=key), size, analyzer)
        with serving(folder, threads, options.workers, options.wait) as server:
            found: dict[str, Any] = {"clients": CLIENTS, "batch": BATCH, "threads": threads}
            found |= {"workers": options.workers, "max_wait_ms": options.wait}
            found["galleries"] = []
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
    if options.json:
        options.json.write_text(json.dumps({"machine": describe_machine()} | found, indent=1))


if __name__ == "__main__":
    main()
