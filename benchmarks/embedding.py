"""Embedding: our face network beside dlib's own run of the same network, and beside others.

Everything runs in one process, in turns, so that whatever else the machine does meets all alike.
Printed are medians of milliseconds per face, by the clock and of processor time, and how many times
less than dlib's at the same batch. On a busy machine the clock favours short runs, which are
interrupted less often: there, compare single threads by processor time.
The difference is the largest between raw embeddings and dlib's, on crops of a public-domain
portrait. A network of the InsightFace project joins in where ``VULTUS_PEERS`` is a folder that
holds it.

    OMP_NUM_THREADS=1 python benchmarks/embedding.py [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage import data, transform

from machine import describe_machine
from vultus.errors import ProviderError
from vultus.recognition import Embedder, EmbedderSpec
from vultus.runtime import Preprocessing, Store
from vultus.runtime.manifest import DistributionMember
from vultus.runtime.sources import installed_path

WEIGHT = "dlib-resnet29"
NATIVE = "dlib"
BATCHES = (1, 8)

#: Network, provider, arithmetic, threads.
OURS = (
    ("cpu", "f32", 1),
    ("cpu", "f32", 2),
    ("openvino", "f32", 1),
    ("openvino", "bf16", 1),
    ("openvino", "bf16", 2),
)
PEER = (("cpu", "f32", 1), ("openvino", "f32", 1), ("openvino", "bf16", 1))
PEER_FILE = "w600k_mbf_dequant_fp32.onnx"

GOAL = 8.0

#: Seconds between two runs, in which the threads of the first go to sleep.
PAUSE = 0.005

Crops = NDArray[np.uint8]

#: Milliseconds per face by the clock and of the processor, per name and batch.
Times = dict[tuple[str, int], list[tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class Row:
    """Median time of one way to embed, and its distance from dlib on the same crops."""

    name: str
    batch: int
    ms_per_face: float
    quartiles: tuple[float, float]
    times_less_than_dlib: float | None
    cpu_ms_per_face: float
    cpu_times_less_than_dlib: float | None
    max_difference: float | None
    min_cosine: float | None


def portrait_crops(side: int, count: int) -> Crops:
    """Return differing crops around the face of the portrait that scikit-image ships."""
    picture = data.astronaut()
    crops = []
    for i in range(count):
        part = picture[20 + 6 * i : 190 + 4 * i, 140 + 2 * i : 310]
        crops.append(transform.resize(part, (side, side), preserve_range=True, anti_aliasing=True))
    return np.round(crops).astype(np.uint8)


def native() -> Callable[[Crops], NDArray[np.float64]] | None:
    """Return dlib's own embedding function, or None where dlib or its file is not installed."""
    source = Store(offline=True).weight(WEIGHT).source
    assert isinstance(source, DistributionMember)
    path = installed_path(source)
    try:
        import dlib
    except ImportError:
        return None
    if path is None:
        return None
    network = dlib.face_recognition_model_v1(str(path))

    def embed(crops: Crops) -> NDArray[np.float64]:
        if len(crops) == 1:
            return np.array([network.compute_face_descriptor(crops[0])])
        return np.array(network.compute_face_descriptor(list(crops)))

    return embed


def embedders() -> dict[str, Embedder]:
    """Return every embedder that this machine can run, by name."""
    found = {}
    candidates: list[tuple[str, str | EmbedderSpec, tuple[tuple[str, str, int], ...]]] = [
        ("vultus", WEIGHT, OURS)
    ]
    peers = Path(__file__).resolve().parent.parent.parent / "shared" / "weights" / "peers"
    peer = Path(os.environ.get("VULTUS_PEERS", peers)) / PEER_FILE
    if peer.is_file():
        wants = Preprocessing(mean=(127.5,), std=(127.5,))
        candidates.append(("w600k_mbf", EmbedderSpec("w600k_mbf", peer, "arcface112", wants), PEER))
    for label, network, variants in candidates:
        for provider, precision, threads in variants:
            name = f"{label} {provider} {precision} {threads} thread{'s' * (threads > 1)}"
            try:
                found[name] = Embedder(network, provider, threads, precision=precision)  # type: ignore[arg-type]
            except ProviderError as error:
                print(f"left out: {name}: {error}")
    return found


def measure(repeat: int) -> list[Row]:
    """Time everything in turns."""
    runs: dict[tuple[str, int], Callable[[], object]] = {}
    outputs: dict[str, NDArray[np.floating]] = {}
    embed = native()
    chips = portrait_crops(150, max(BATCHES))
    if embed is not None:
        outputs[NATIVE] = embed(chips)
        for batch in BATCHES:
            runs[NATIVE, batch] = lambda crops=chips[:batch]: embed(crops)
    for name, embedder in embedders().items():
        crops = portrait_crops(embedder.template.size, max(BATCHES))
        if embedder.name == WEIGHT:
            outputs[name] = embedder.predict_raw(crops)
        for batch in BATCHES:
            part = crops[:batch].copy()
            runs[name, batch] = lambda e=embedder, part=part: e.predict(part)
    times: Times = {key: [] for key in runs}
    for turn in range(repeat + 1):
        for key, run in runs.items():
            time.sleep(PAUSE)
            start, cpu = time.perf_counter(), time.process_time()
            run()
            spent = (time.perf_counter() - start, time.process_time() - cpu)
            if turn:  # the first one warms up
                times[key].append((spent[0] / key[1] * 1e3, spent[1] / key[1] * 1e3))
    return [make_row(key, times, outputs) for key in runs]


def make_row(
    key: tuple[str, int],
    times: Times,
    outputs: dict[str, NDArray[np.floating]],
) -> Row:
    """Sum up the times of one way to embed."""
    name, batch = key
    clock, cpu = medians(times[key])
    low, _, high = statistics.quantiles([wall for wall, _ in times[key]], n=4)
    ratio = cpu_ratio = None
    if (NATIVE, batch) in times:
        clock_of_dlib, cpu_of_dlib = medians(times[NATIVE, batch])
        ratio, cpu_ratio = clock_of_dlib / clock, cpu_of_dlib / cpu
    difference = cosine = None
    if name in outputs and NATIVE in outputs:
        ours, theirs = outputs[name], outputs[NATIVE]
        difference = float(np.abs(ours - theirs).max())
        norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
        cosine = float(((ours * theirs).sum(1) / norms).min())
    return Row(name, batch, clock, (low, high), ratio, cpu, cpu_ratio, difference, cosine)


def medians(times: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the median time by the clock and of the processor."""
    clock, cpu = zip(*times, strict=True)
    return statistics.median(clock), statistics.median(cpu)


def print_table(rows: list[Row]) -> None:
    """Print one line per way to embed."""
    head = ("", "batch", "ms/face", "x dlib", "cpu ms", "x dlib", "difference", "cosine")
    print("{:32} {:>5} {:>8} {:>7} {:>8} {:>7} {:>10} {:>9}".format(*head))
    for row in rows:
        ratio = _cell(row.times_less_than_dlib, ".1f")
        cpu_ratio = _cell(row.cpu_times_less_than_dlib, ".1f")
        difference, cosine = _cell(row.max_difference, ".1e"), _cell(row.min_cosine, ".6f")
        print(
            f"{row.name:32} {row.batch:5} {row.ms_per_face:8.2f} {ratio:>7} "
            f"{row.cpu_ms_per_face:8.2f} {cpu_ratio:>7} {difference:>10} {cosine:>9}"
        )


def _cell(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=40)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    rows = measure(arguments.repeat)
    print_table(rows)
    ours = next(row for row in rows if row.name.startswith("vultus cpu f32 1") and row.batch == 1)
    if ours.cpu_times_less_than_dlib is not None:
        print(
            f"\nbatch 1, one thread: {ours.cpu_times_less_than_dlib:.1f} times less processor time "
            f"than dlib (goal: {GOAL:.0f})"
        )
    if arguments.json:
        report = {
            "command": "OMP_NUM_THREADS=1 python benchmarks/embedding.py",
            "machine": describe_machine(),
            "load_average_before": load,
            "repeat": arguments.repeat,
            "rows": [asdict(row) for row in rows],
        }
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
