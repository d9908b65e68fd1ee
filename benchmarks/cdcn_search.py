"""Architecture search for CDCN++: what a small search finds, trained beside the published cells.

The search is the recipe `recipes/cdcn/search-cpu.yaml` on people of its own. Then three
architectures are trained from the start on equal presentations, steps, batches and seeds: the cells
found, those that the authors published, and cells drawn at random from the same space (a chain or
earlier edges, an operation other than none, an output node), the usual control of a search.
Training people are under the camera `phone`, the tested ones under `studio`, at the threshold of
the equal error rate of development people under `phone`. Every seed draws its own people.

With `--json`, seeds that the file already holds under the same setting and cells are kept.

    python benchmarks/cdcn_search.py [--search RUN] [--seeds 0 1 2] [--steps 400] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from machine import describe_machine
from vultus.liveness.cdcn import CDCN_PLUS_PLUS, Genotype, build_from_genotype
from vultus.liveness.cdcn.cells import OPERATIONS, CellGenotype, Edge
from vultus.liveness.cdcn.learners import predict_maps, presentations_of
from vultus.liveness.cdcn.presentations import PadCrops, save_presentations
from vultus.liveness.cdcn.simulation import Simulation, simulate
from vultus.measure.bootstrap import Resampling
from vultus.measure.pad import Presentations, pad_eer, pad_rates, threshold_at_eer
from vultus.reproduction.verdicts import seed_interval
from vultus.settings import plain
from vultus.training import load_checkpoint, read_recipe, train
from vultus.training.logs import read_log
from vultus.training.run import read_result

RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "cdcn" / "search-cpu.yaml"
SIZE = 48
WIDTH = 0.125
BATCH = 16
PEOPLE = (40, 20, 40)


def searched(run: Path) -> dict[str, Any]:
    """Return what a finished search found, and how decided it is."""
    result = read_result(run)
    _, learner, _ = load_checkpoint(result.checkpoint)
    network = learner.network
    shares = [torch.softmax(cell.alpha, 1).detach() for cell in network.cells]
    log = read_log(run / "metrics.csv")
    return {
        "genotype": plain(network.genotype()),
        "steps": result.step,
        "seconds": round(result.seconds),
        "development": {k: round(float(v), 4) for k, v in result.metrics.items()},
        "operation_weight_at_start": 1 / len(OPERATIONS),
        "operation_weights": {
            name: [round(float(s.mean(0)[i]), 4) for s in shares]
            for i, name in enumerate(OPERATIONS)
        },
        "largest_operation_weight": round(max(float(s.max()) for s in shares), 4),
        "node_weights": [
            [round(float(w), 3) for w in torch.softmax(cell.beta.detach(), 0)]
            for cell in network.cells
        ],
        "entropy": [round(v, 4) for _, name, v in log if name == "architecture/entropy"][-1:],
    }


def random_genotype(rng: np.random.Generator, nodes: int = 4) -> Genotype:
    """Draw cells with one edge into every node, as the search derives them."""
    usable = [name for name in OPERATIONS if name != "none"]

    def cell() -> CellGenotype:
        edges = [
            Edge(
                source=int(rng.integers(target)),
                target=target,
                operation=usable[int(rng.integers(len(usable)))],
            )
            for target in range(1, nodes + 1)
        ]
        return CellGenotype(edges=tuple(edges), output=int(rng.integers(1, nodes + 1)))

    return Genotype(low=cell(), mid=cell(), high=cell())


def cost(genotype: Genotype) -> dict[str, float]:
    """Return weights, and operations of a forward pass of one crop, in millions."""
    network = build_from_genotype(genotype, 0.7, WIDTH).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, SIZE, SIZE))
    return {
        "weights": sum(p.numel() for p in network.parameters()),
        "mflop": round(counter.get_total_flops() / 1e6, 1),
    }


def trained(file: Path, genotype: Genotype, seed: int, steps: int) -> tuple[Any, float]:
    """Train an architecture; return the learner and the seconds it took."""
    recipe = {
        "system": "cdcn",
        "seed": seed,
        "steps": steps,
        "optimizer": {"name": "adam", "lr": 3e-3, "weight_decay": 5e-5},
        "schedule": {"name": "cosine", "warmup": 10},
        "config": {
            "data": {"file": str(file), "size": SIZE},
            "network": "cdcn++",
            "genotype": plain(genotype),
            "width": WIDTH,
            "batch": BATCH,
        },
    }
    with tempfile.TemporaryDirectory() as out:
        result = train(read_recipe(recipe, "benchmark"), out=out, tensorboard=False, progress=False)
        _, learner, _ = load_checkpoint(result.checkpoint)
    return learner, result.seconds


def scores(learner: Any, data: PadCrops) -> Presentations:
    """Return the scores of clips."""
    crops, _, masks = data.crops()
    return presentations_of(predict_maps(learner.network, crops), masks, data)


def compared(found: Genotype, seed: int, steps: int, folder: Path) -> dict[str, Any]:
    """Train and test the three architectures with one seed."""
    people = dict(zip(("train", "development", "test"), PEOPLE, strict=True))
    plan = Simulation(**people, seen=("phone",), unseen=("studio",), population=seed)
    data = simulate(plan, SIZE, seed)
    file = folder / f"{seed}.safetensors"
    save_presentations(file, data)
    development, test = data.split("development"), data.split("test")
    random = random_genotype(np.random.default_rng((seed, 128)))
    out: dict[str, Any] = {"seed": seed, "random_genotype": plain(random)}
    for name, genotype in {
        "found": found,
        "published": CDCN_PLUS_PLUS,
        "random": random,
    }.items():
        start = time.process_time()
        learner, seconds = trained(file, genotype, seed, steps)
        known, new = scores(learner, development), scores(learner, test)
        rates = pad_rates(new, threshold_at_eer(known))
        out[name] = cost(genotype) | {
            "hter": round(rates.hter.value, 4),
            "unseen_eer": round(pad_eer(new, Resampling(1)).estimate.value, 4),
            "seen_eer": round(pad_eer(known, Resampling(1)).estimate.value, 4),
            "seconds": round(seconds, 1),
            "processor_seconds": round(time.process_time() - start, 1),
        }
        print(seed, name, json.dumps(out[name]), flush=True)
    return out


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return means, and Student's intervals of the differences to the published cells."""
    out: dict[str, Any] = {}
    for name in ("found", "published", "random"):
        values = {key: [row[name][key] for row in rows] for key in rows[0][name]}
        out[name] = {key: round(statistics.fmean(v), 4) for key, v in values.items()}
    for name in ("found", "random"):
        for metric in ("hter", "seen_eer"):
            gaps = [row[name][metric] - row["published"][metric] for row in rows]
            interval = seed_interval(gaps)
            ends = [round(e, 4) if np.isfinite(e) else None for e in (interval.low, interval.high)]
            out[f"{name} - published, {metric}"] = {"mean": round(interval.mean, 4), "ci95": ends}
    return out


def main() -> None:
    """Search, train, print, and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--search", type=Path, help="folder of a finished search; runs one if not")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        run = options.search
        if run is None:
            run = folder / "search"
            train(RECIPE, out=run, tensorboard=False)
        search = searched(run)
        print(json.dumps(search), flush=True)
        _, learner, _ = load_checkpoint(read_result(run).checkpoint)
        found = learner.network.genotype()
        rows = held(options.json, options.steps, search)
        for seed in sorted(set(options.seeds) - {row["seed"] for row in rows}):
            rows.append(compared(found, seed, options.steps, folder))
            if options.json:
                # After every seed, since a run takes long.
                write(options.json, options.steps, search, rows)
    print(json.dumps(summary(rows), indent=1))


def setting(steps: int) -> dict[str, Any]:
    """Return what must be equal for seeds to be put together."""
    return {
        "steps": steps,
        "width": WIDTH,
        "size": SIZE,
        "batch": BATCH,
        "people": list(PEOPLE),
    }


def held(path: Path | None, steps: int, search: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the seeds that a file holds under the same setting and cells."""
    if path is None or not path.exists():
        return []
    before = json.loads(path.read_text())
    same = before["setting"] == setting(steps)
    cells = json.loads(json.dumps(search["genotype"]))
    return before["seeds"] if same and before["search"]["genotype"] == cells else []


def write(path: Path, steps: int, search: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Write what there is so far."""
    rows = sorted(rows, key=lambda row: row["seed"])
    seeds = " ".join(str(row["seed"]) for row in rows)
    result = {
        "command": f"python benchmarks/cdcn_search.py --seeds {seeds} --steps {steps}",
        "machine": describe_machine(),
        "setting": setting(steps),
        "search": search,
        "seeds": rows,
        "summary": summary(rows),
    }
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
