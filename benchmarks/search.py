"""Search: a gallery beside flat scans and an approximate index, on synthetic templates.

The templates are of people with ten pictures each: a random direction, plus noise 0.6 times as
long, at 512 dimensions. Probes are further pictures of 200 of the people; the exact answer is
computed in float32. Every case runs in a process of its own, whose peak memory is that of the
kernel's account. Enrolment and search of a gallery are two processes, since a service that
searches has not enrolled; the peak printed is the higher one. The time to make templates is not
counted.

Columns: recall@10; p50 and p95 milliseconds of one probe at a time; probes per second in batches of
32; templates stored per second; seconds until the first answer (building an index, or opening a
gallery and reading it); peak memory and size on disk in GB.

    python benchmarks/search.py [--sizes 10000 100000 1000000] [--engines NAME ...] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from machine import describe_machine

DIM = 512
FACES = 10
NOISE = 0.6
PROBES = 200
K = 10
CHUNK = 10_000
SPACE = "synthetic@000000000000/none"
#: Approximate search is left out beyond this size, where it takes ten minutes to build.
LARGEST_HNSW = 100_000

Matrix = NDArray[np.float32]
Answer = Callable[[Matrix], list[list[int]]]


def unit(values: Matrix) -> Matrix:
    """Return the rows at unit length."""
    scaled: Matrix = values / np.linalg.norm(values, axis=1, keepdims=True)
    return scaled


def people(chunk: int) -> tuple[Matrix, np.random.Generator]:
    """Return the directions of one chunk's people, and the generator of their pictures."""
    rng = np.random.default_rng([20260101, chunk])
    return unit(rng.standard_normal((CHUNK // FACES, DIM), np.float32)), rng


def pictures(centres: Matrix, rng: np.random.Generator) -> Matrix:
    """Return one picture of each row."""
    noise = rng.standard_normal(centres.shape, np.float32) / np.float32(np.sqrt(DIM))
    return unit(centres + np.float32(NOISE) * noise)


def templates(size: int) -> Iterator[Matrix]:
    """Yield the templates in chunks; row r shows person r // FACES."""
    for chunk in range(size // CHUNK):
        centres, rng = people(chunk)
        yield pictures(np.repeat(centres, FACES, 0), rng)


def probes(size: int) -> Matrix:
    """Return the probes, float32 (PROBES, DIM)."""
    rng = np.random.default_rng([7, size])
    wanted = rng.choice(size // FACES, PROBES, replace=False)
    centres = np.empty((PROBES, DIM), np.float32)
    per_chunk = CHUNK // FACES
    for chunk in np.unique(wanted // per_chunk):
        here = wanted // per_chunk == chunk
        centres[here] = people(int(chunk))[0][wanted[here] % per_chunk]
    return pictures(centres, rng)


def exact(size: int) -> NDArray[np.int64]:
    """Return the rows of the K nearest templates of each probe."""
    wanted = probes(size)
    rows = np.empty((PROBES, 0), np.int64)
    cosines = np.empty((PROBES, 0), np.float32)
    for chunk, part in enumerate(templates(size)):
        here = wanted @ part.T
        best = np.argpartition(-here, K, 1)[:, :K]
        rows = np.concatenate([rows, best + chunk * CHUNK], 1)
        cosines = np.concatenate([cosines, np.take_along_axis(here, best, 1)], 1)
    return np.take_along_axis(rows, np.argsort(-cosines, 1)[:, :K], 1)


def measure(answer: Answer, size: int, truth: NDArray[np.int64]) -> dict[str, float]:
    """Return recall, latency and throughput of a way to search."""
    wanted = probes(size)
    answer(wanted[:32])
    found, times = [], []
    for i in range(PROBES):
        start = time.perf_counter()
        found += answer(wanted[i : i + 1])
        times.append(1e3 * (time.perf_counter() - start))
    hits = [len(set(a) & set(b)) for a, b in zip(found, truth.tolist(), strict=True)]
    rates = []
    for start_row in range(0, PROBES - 31, 32):
        start = time.perf_counter()
        answer(wanted[start_row : start_row + 32])
        rates.append(32 / (time.perf_counter() - start))
    return {
        "recall_at_10": float(np.mean(hits)) / K,
        "p50_ms": float(np.median(times)),
        "p95_ms": float(np.quantile(times, 0.95)),
        "probes_per_s_in_32": float(np.median(rates)),
    }


def enrol_gallery(folder: Path, size: int, _: NDArray[np.int64]) -> dict[str, float]:
    """Make a gallery and fill it; the time to make templates is taken off."""
    from vultus.faces import Embedding
    from vultus.gallery import Enrolment, Gallery, Key

    making = 0.0

    def faces() -> Iterator[Enrolment]:
        nonlocal making
        row, start = 0, time.perf_counter()
        for part in templates(size):
            making += time.perf_counter() - start
            for vector in part:
                name = str(row)
                yield Enrolment(str(row // FACES), Embedding(vector, SPACE), name, name)
                row += 1
            start = time.perf_counter()

    key = Key(bytes(32))
    gallery = Gallery.create(folder / "gallery", space=SPACE, dim=DIM, key=key)
    start = time.perf_counter()
    gallery.enroll(faces())
    spent = time.perf_counter() - start - making
    return {"rows_per_s": size / spent, "disk_gb": gallery.stats().bytes / 1e9}


def search_gallery(folder: Path, size: int, truth: NDArray[np.int64]) -> dict[str, float]:
    """Open the gallery and search it."""
    from vultus.gallery import Gallery, Key

    start = time.perf_counter()
    gallery = Gallery.open(folder / "gallery", Key(bytes(32)))

    def answer(queries: Matrix) -> list[list[int]]:
        return [[int(match.source) for match in row] for row in gallery.search(queries, K)]

    answer(probes(size)[:1])
    ready = time.perf_counter() - start
    return {"ready_s": ready} | measure(answer, size, truth)


def gathered(size: int) -> tuple[Matrix, float]:
    """Return all templates, and the seconds to copy them into one array."""
    whole, spent = np.empty((size, DIM), np.float32), 0.0
    for chunk, part in enumerate(templates(size)):
        start = time.perf_counter()
        whole[chunk * CHUNK : (chunk + 1) * CHUNK] = part
        spent += time.perf_counter() - start
    return whole, spent


def numpy_flat(_: Path, size: int, truth: NDArray[np.int64]) -> dict[str, float]:
    """Multiply with every template in float32."""
    vectors, spent = gathered(size)

    def answer(queries: Matrix) -> list[list[int]]:
        cosines = queries @ vectors.T if len(queries) > 1 else (vectors @ queries[0])[None]
        best = np.argpartition(-cosines, K, 1)[:, :K]
        order = np.argsort(-np.take_along_axis(cosines, best, 1), 1)
        rows: list[list[int]] = np.take_along_axis(best, order, 1).tolist()
        return rows

    return {"rows_per_s": size / spent, "ready_s": 0.0} | measure(answer, size, truth)


def faiss_flat(_: Path, size: int, truth: NDArray[np.int64]) -> dict[str, float]:
    """Scan with faiss, in float32."""
    import faiss

    index = faiss.IndexFlatIP(DIM)
    spent = 0.0
    for part in templates(size):
        start = time.perf_counter()
        index.add(part)
        spent += time.perf_counter() - start

    def answer(queries: Matrix) -> list[list[int]]:
        rows: list[list[int]] = index.search(queries, K)[1].tolist()
        return rows

    return {"rows_per_s": size / spent, "ready_s": 0.0} | measure(answer, size, truth)


def lancedb_hnsw(folder: Path, size: int, truth: NDArray[np.int64]) -> dict[str, float]:
    """Search LanceDB's own IVF_HNSW_SQ index, with one partition and a refine factor of 2."""
    import lancedb
    import pyarrow as pa
    from lancedb.index import HnswSq

    table, spent, row = None, 0.0, 0
    for part in templates(size):
        column = pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), DIM)
        rows = pa.table({"id": pa.array(range(row, row + len(part))), "vector": column})
        row += len(part)
        start = time.perf_counter()
        if table is None:
            table = lancedb.connect(folder).create_table("t", rows)
        else:
            table.add(rows)
        spent += time.perf_counter() - start
    assert table is not None
    start = time.perf_counter()
    table.create_index("vector", config=HnswSq(distance_type="cosine", num_partitions=1))
    table.wait_for_index(["vector_idx"])
    ready = time.perf_counter() - start

    def answer(queries: Matrix) -> list[list[int]]:
        answers = []
        for query in queries:
            search = table.search(query).distance_type("cosine").refine_factor(2).limit(K)
            answers.append(search.select(["id", "_distance"]).to_arrow()["id"].to_pylist())
        return answers

    disk = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e9
    figures = {"rows_per_s": size / spent, "ready_s": ready, "disk_gb": disk}
    return figures | measure(answer, size, truth)


Stage = Callable[[Path, int, NDArray[np.int64]], dict[str, float]]
ENGINES: dict[str, tuple[Stage, ...]] = {
    "vultus": (enrol_gallery, search_gallery),
    "numpy flat": (numpy_flat,),
    "faiss flat": (faiss_flat,),
    "lancedb hnsw": (lancedb_hnsw,),
}
COLUMNS = {
    "recall_at_10": "recall@10",
    "p50_ms": "p50 ms",
    "p95_ms": "p95 ms",
    "probes_per_s_in_32": "probes/s",
    "rows_per_s": "stored/s",
    "ready_s": "ready s",
    "peak_gb": "peak GB",
    "disk_gb": "disk GB",
}


def run_stage(engine: str, number: int, folder: Path, size: int) -> None:
    """Run one stage of one case, in this process, and print its figures."""
    figures = ENGINES[engine][number](folder, size, np.load(folder / "truth.npy"))
    # The kernel counts in kilobytes on Linux, in bytes on macOS.
    scale = 1e-9 if sys.platform == "darwin" else 1024e-9
    figures["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    print(json.dumps(figures))


def run_case(engine: str, size: int, truth: NDArray[np.int64]) -> dict[str, Any]:
    """Return the figures of one engine at one size."""
    row: dict[str, Any] = {"name": engine, "size": size}
    with tempfile.TemporaryDirectory() as name:
        np.save(Path(name) / "truth.npy", truth)
        for number in range(len(ENGINES[engine])):
            stage = [sys.executable, __file__, "--stage", engine, str(number), name, str(size)]
            done = subprocess.run(stage, check=True, stdout=subprocess.PIPE)
            figures = json.loads(done.stdout)
            figures["peak_gb"] = max(figures["peak_gb"], row.get("peak_gb", 0.0))
            row |= figures
    return row


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table."""
    print("  ".join(["engine      ", "     size", *(f"{title:>9}" for title in COLUMNS.values())]))
    for row in rows:
        cells = [f"{row[name]:9.4g}" if name in row else " " * 8 + "-" for name in COLUMNS]
        print("  ".join([f"{row['name']:<12}", f"{row['size']:>9}", *cells]))


def main() -> None:
    """Measure all cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--stage", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        engine, number, folder, size = arguments.stage
        run_stage(engine, int(number), Path(folder), int(size))
        return
    if any(size % CHUNK or size < CHUNK for size in arguments.sizes):
        parser.error(f"sizes must be multiples of {CHUNK}")
    rows = []
    for size in arguments.sizes:
        truth = exact(size)
        for engine in arguments.engines:
            if engine != "lancedb hnsw" or size <= LARGEST_HNSW:
                rows.append(run_case(engine, size, truth))
                print(f"{engine}, {size}: done", file=sys.stderr)
    show(rows)
    if arguments.json:
        command = "python benchmarks/search.py"
        report = {"command": command, "machine": describe_machine(), "rows": rows}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
