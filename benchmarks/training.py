"""Training: pictures a second of IResNet-18 under ArcFace, and what bounds them.

The real trainer runs the recipe that SymFace's baseline is (ArcFace alone), 112 pixels, on aligned
crops of LFW below ``VULTUS_DATA`` (rendered faces where it is not there) with the mirroring of
training. Runs take turns: a large matrix product; then each memory layout, with batches from the
data loader and with the same batches kept in memory. The first step of a run warms up and the last
stores a checkpoint; neither counts. Figures are medians over steps.

* share of the ceiling: floating-point operations of forward and backward pass, counted on the
  network by PyTorch, a second, over those of the matrix product (float32; bfloat16 on a GPU);
* share waiting: time between asking for a batch and having it, of the step's time;
* loading keeps: throughput with loading over throughput from memory, of neighbouring runs.

By the clock and by processor time. On a busy machine the clock of long steps says little, and
waiting threads burn processor time: there, believe one thread by processor time.

    python benchmarks/training.py [--device cuda] [--threads 1 2] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from machine import describe_machine
from vultus.detection import Detector
from vultus.errors import ConfigError, DatasetError
from vultus.evaluation.crops import labelled_crops, scaled_template
from vultus.geometry import template
from vultus.nets.learning import Progress
from vultus.nets.streams import Stream
from vultus.recognition.crops import Crops, rendered, save_crops
from vultus.recognition.symface import SymFace
from vultus.training import read_recipe, run, train
from vultus.training.batches import Batches
from vultus.training.recipes import LoadedRecipe

SIZE = 112
LAYOUTS = {"plain": False, "channels last": True}
#: Steps of a run that count; one before and one after do not.
STEPS = 3


@dataclass(slots=True)
class Step:
    """Seconds of one training step: by the clock, of the processor, waiting for the batch."""

    wall: float
    processor: float
    waited: float


class Timed(Batches):
    """The trainer's batches, with the times at which they are asked for and had."""

    def __init__(self, streams: Mapping[str, Stream], numbers: range, **options: Any) -> None:
        super().__init__(streams, numbers, **options)
        self.steps: list[Step] = []

    def _source(self) -> Iterator[dict[str, Any]]:
        return super().__iter__()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        source = self._source()
        begun: tuple[float, float] | None = None
        waited = 0.0
        while True:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            now = time.perf_counter(), time.process_time()
            if begun is not None:
                self.steps.append(Step(now[0] - begun[0], now[1] - begun[1], waited))
            batch = next(source, None)
            if batch is None:
                return
            begun, waited = now, time.perf_counter() - now[0]
            yield batch


class Kept(Timed):
    """The same batches, drawn before the run begins."""

    def __init__(self, streams: Mapping[str, Stream], numbers: range, **options: Any) -> None:
        super().__init__(streams, numbers, **options)
        self.kept = list(super()._source())

    def _source(self) -> Iterator[dict[str, Any]]:
        return iter(self.kept)


def real_crops(count: int) -> tuple[Crops, str]:
    """Return aligned crops of LFW, or of renders where LFW is not there, and which it was."""
    from vultus.datasets.catalogue import read

    try:
        data = read("lfw", os.environ.get("VULTUS_DATA", "../shared/data"))
    except (ConfigError, DatasetError):
        return rendered(max(count // 8, 8), 8, SIZE, 0), "renders"
    names = np.array([record.identity for record in data])
    _, person, often = np.unique(names, return_inverse=True, return_counts=True)
    chosen = data.take(np.flatnonzero(often[person] > 3)[:count])
    found, _ = labelled_crops(
        [chosen], Detector(threads=1), scaled_template(template("arcface112"), SIZE)
    )
    people = np.unique(found.label("identity"), return_inverse=True)[1]
    return Crops(found.images, people.astype(np.int64), found.points), "LFW View 1"


def recipe_for(file: Path, people: int, options: argparse.Namespace, last: bool) -> LoadedRecipe:
    """Return the recipe of a run of a few steps, with two people left out for development."""
    values = {
        "system": "symface",
        "steps": STEPS + 2,
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4},
        "clip": 5.0,
        "precision": "bf16-mixed" if options.device == "cuda" else "32-true",
        "log_every": 10,
        "workers": options.workers,
        "channels_last": last,
        "config": {
            "data": {"file": str(file), "size": SIZE, "train": 1 - 2 / people},
            "backbone": {"name": "iresnet18", "size": SIZE, "dim": 512},
            "margin": {"name": "arcface"},
            "identities": people,
            "batch": options.batch,
            "variant": "base",
        },
    }
    return read_recipe(values, "benchmark")


def train_once(recipe: LoadedRecipe, device: str, kind: type[Timed]) -> list[Step]:
    """Train some steps and return the times of those that count."""
    made: list[Timed] = []

    def batches(*arguments: Any, **options: Any) -> Timed:
        made.append(kind(*arguments, **options))
        return made[-1]

    with tempfile.TemporaryDirectory() as out, mock.patch.object(run, "Batches", batches):
        accelerator = "gpu" if device == "cuda" else "cpu"
        train(recipe, out=out, accelerator=accelerator, progress=False, tensorboard=False)
    return made[0].steps[1:-1]


def operations(recipe: LoadedRecipe) -> float:
    """Return floating-point operations per picture of a forward and backward pass."""
    learner = SymFace.build(recipe.config)
    faces = {"image": torch.zeros(2, 3, SIZE, SIZE), "label": torch.tensor([0, 1])}
    faces["symmetric"] = torch.ones(2, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        terms = learner.losses({"faces": faces}, Progress(0, 1)).terms
        torch.stack(list(terms.values())).sum().backward()
    return counter.get_total_flops() / 2


class MatrixProduct:
    """A product of square matrices, large enough to reach the machine's ceiling."""

    def __init__(self, device: str) -> None:
        self.side, kind = (8192, torch.bfloat16) if device == "cuda" else (2048, torch.float32)
        generator = torch.Generator().manual_seed(0)
        self.a, self.b = (
            torch.randn(self.side, self.side, generator=generator).to(device, kind)
            for _ in range(2)
        )
        self.repeat = 20 if device == "cuda" else 1
        self.rates: list[tuple[float, float]] = []
        self._time()

    def _time(self) -> tuple[float, float]:
        start, spent = time.perf_counter(), time.process_time()
        for _ in range(self.repeat):
            self.a @ self.b
        if self.a.is_cuda:
            torch.cuda.synchronize()
        work = 2 * self.side**3 * self.repeat / 1e9
        return work / (time.perf_counter() - start), work / (time.process_time() - spent)

    def measure(self, times: int = 3) -> None:
        """Add GFLOP/s by the clock and by processor time."""
        self.rates += [self._time() for _ in range(times)]

    def median(self) -> tuple[float, float]:
        """Return medians of both."""
        wall, processor = zip(*self.rates, strict=True)
        return statistics.median(wall), statistics.median(processor)


def measure(file: Path, people: int, threads: int, options: argparse.Namespace) -> dict[str, Any]:
    """Take turns and return the figures of a number of threads."""
    torch.set_num_threads(threads)
    recipes = {name: recipe_for(file, people, options, last) for name, last in LAYOUTS.items()}
    work = operations(recipes["plain"]) / 1e9
    product = MatrixProduct(options.device)
    kinds = {"loaded": Timed, "memory": Kept}
    times: dict[tuple[str, str], list[list[Step]]] = {
        (layout, kind): [] for layout in LAYOUTS for kind in kinds
    }
    for turn in range(options.turns):
        for layout, recipe in recipes.items():
            product.measure()
            # Which of the two goes first changes from turn to turn.
            for kind in sorted(kinds, reverse=bool(turn % 2)):
                times[layout, kind].append(train_once(recipe, options.device, kinds[kind]))
    wall, processor = product.median()
    result: dict[str, Any] = {
        "threads": threads,
        "batch": options.batch,
        "gflop_per_picture": round(work, 3),
        "matrix_gflops": round(wall, 1),
        "matrix_gflops_processor": round(processor, 1),
    }
    for layout in LAYOUTS:
        loaded, memory = times[layout, "loaded"], times[layout, "memory"]
        result[layout] = figures(loaded, memory, options.batch, work, (wall, processor))
    result["times_as_fast_as_plain"] = {
        unit: round(result["channels last"][unit] / result["plain"][unit], 3)
        for unit in ("pictures_per_second", "pictures_per_processor_second")
    }
    return result


def figures(
    loaded: list[list[Step]],
    memory: list[list[Step]],
    batch: int,
    work: float,
    ceiling: tuple[float, float],
) -> dict[str, float]:
    """Return what the module's docstring defines, of the runs of one layout."""
    steps = [step for run_ in loaded for step in run_]
    per_second = batch / statistics.median(s.wall for s in steps)
    per_processor_second = batch / statistics.median(s.processor for s in steps)
    kept = [step for run_ in memory for step in run_]
    rounds = list(zip(loaded, memory, strict=True))

    def keeps(field: str) -> float:
        return statistics.median(
            sum(getattr(s, field) for s in b) / sum(getattr(s, field) for s in a) for a, b in rounds
        )

    values = {
        "pictures_per_second": per_second,
        "pictures_per_processor_second": per_processor_second,
        "pictures_per_second_memory": batch / statistics.median(s.wall for s in kept),
        "gflops": per_second * work,
        "share_of_ceiling": per_second * work / ceiling[0],
        "share_of_ceiling_processor": per_processor_second * work / ceiling[1],
        "share_waiting": sum(s.waited for s in steps) / sum(s.wall for s in steps),
        "loading_ms_per_picture": 1e3 * statistics.median(s.waited for s in steps) / batch,
        "loading_keeps": keeps("wall"),
        "loading_keeps_processor": keeps("processor"),
    }
    return {name: round(value, 4) for name, value in values.items()}


def _without_json(arguments: list[str]) -> list[str]:
    """Return the arguments that decide what is measured."""
    if "--json" not in arguments:
        return arguments
    place = arguments.index("--json")
    return arguments[:place] + arguments[place + 2 :]


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, os.cpu_count() or 1}))
    parser.add_argument("--batch", type=int)
    parser.add_argument("--workers", type=int, help="processes that load; 0 on the CPU, else 8")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    on_gpu = options.device == "cuda"
    options.batch = options.batch or (512 if on_gpu else 16)
    options.workers = (8 if on_gpu else 0) if options.workers is None else options.workers
    crops, source = real_crops(240)
    result: dict[str, Any] = {
        "command": shlex.join(["python", "benchmarks/training.py", *_without_json(sys.argv[1:])]),
        "turns": options.turns,
        "machine": describe_machine(),
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "network": "IResNet-18, 112 pixels, ArcFace",
        "crops": source,
        "workers": options.workers,
        "rows": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "crops.safetensors"
        save_crops(file, crops)
        for threads in options.threads:
            row = measure(file, int(crops.people.max()) + 1, threads, options)
            result["rows"].append(row)
            print(json.dumps(row, indent=1), flush=True)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
