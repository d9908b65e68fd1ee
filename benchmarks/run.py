"""Every figure of the foundation beside its goal, from one command.

Runs the protocols on the data sets below ``VULTUS_DATA`` (default ``../shared/data``) and the
benchmarks, keeps what each wrote in ``benchmarks/results``, and prints one table. Where data or
peers are not here, the row says so.

    python benchmarks/run.py [--only NAME ...] [--no-run]
"""

from __future__ import annotations

import argparse
import json
import operator
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
DATA = Path(os.environ.get("VULTUS_DATA", HERE.parent.parent / "shared" / "data"))


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure in a result file, and its goal."""

    result: str
    name: str
    value: Callable[[Any], float]
    relation: str
    goal: float

    def reached(self, value: float) -> bool:
        """Whether the goal is reached."""
        return {"<=": operator.le, ">=": operator.ge}[self.relation](value, self.goal)


def _figure(name: str) -> Callable[[Any], float]:
    return lambda report: report["figures"][name]["value"]


def _embedding(name: str, batch: int, field: str) -> Callable[[Any], float]:
    return lambda report: next(
        row[field] for row in report["rows"] if (row["name"], row["batch"]) == (name, batch)
    )


def _search(size: int, field: str) -> Callable[[Any], float]:
    return lambda report: next(
        row[field] for row in report["rows"] if (row["name"], row["size"]) == ("vultus", size)
    )


def _training(field: str) -> Callable[[Any], float]:
    return lambda report: next(
        row["channels last"][field] for row in report["rows"] if row["threads"] == 1
    )


def _speedup(report: Any) -> float:
    rows = report["rows"]
    ours = rows["vultus"]["ms_per_picture"]
    return min(row["ms_per_picture"] for name, row in rows.items() if name != "vultus") / ours


ONE = "vultus cpu f32 1 thread"
FIGURES = (
    Figure("lfw", "LFW View 1: accuracy", _figure("accuracy"), ">=", 0.983),
    Figure("lfw", "LFW View 1: TAR@FAR=0.01", _figure("TAR@FAR=0.01"), ">=", 0.97),
    Figure("lfw", "LFW View 1: failure to acquire", _figure("failure to acquire"), "<=", 0.005),
    Figure("orl", "ORL: rank-1 with one enrolled picture", _figure("rank-1"), ">=", 0.95),
    Figure(
        "embedding",
        "Embedding: times native dlib, batch 1, 1 thread",
        _embedding(ONE, 1, "times_less_than_dlib"),
        ">=",
        8,
    ),
    Figure(
        "embedding",
        "Embedding: batch 8 over batch 1, ms a face",
        lambda r: _embedding(ONE, 8, "ms_per_face")(r) / _embedding(ONE, 1, "ms_per_face")(r),
        "<=",
        1,
    ),
    Figure(
        "embedding",
        "Embedding: largest difference to dlib",
        _embedding(ONE, 1, "max_difference"),
        "<=",
        1e-5,
    ),
    Figure("pipeline", "Whole pictures: times as fast as SCRFD-500M + w600k", _speedup, ">=", 1.3),
    Figure("search", "Search among 100 k: p50 ms", _search(100_000, "p50_ms"), "<=", 8),
    Figure("search", "Search among 100 k: recall@10", _search(100_000, "recall_at_10"), ">=", 0.99),
    Figure("search", "Search among 1 M: peak memory, GB", _search(1_000_000, "peak_gb"), "<=", 3),
    Figure(
        "analyze",
        "Whole pictures, every predictor on, 640 px, 2 threads: faces a second",
        lambda r: r["everything"]["faces per second"],
        ">=",
        12,
    ),
    Figure(
        "training",
        "Training IResNet-18, 1 thread: share of the matrix-product ceiling, processor time",
        _training("share_of_ceiling_processor"),
        ">=",
        0.6,
    ),
    Figure(
        "training",
        "Training IResNet-18: share of a step spent waiting for data",
        _training("share_waiting"),
        "<=",
        0.05,
    ),
    Figure(
        "worlds",
        "Worlds, every label at 112 pixels: pictures a second by the clock, two threads",
        lambda r: r["heads"]["procedural"]["generation"]["labels per second, two threads, best"],
        ">=",
        60,
    ),
    Figure(
        "worlds",
        "Worlds, every label at 112 pixels: pictures per processor second",
        lambda r: r["heads"]["procedural"]["generation"]["labels per processor second"],
        ">=",
        30,
    ),
    Figure("startup", "import vultus, s", lambda r: r["seconds"]["import vultus"], "<=", 0.3),
    Figure("startup", "vultus verify, s", lambda r: r["seconds"]["vultus verify"], "<=", 1.5),
)


def commands() -> dict[str, list[str]]:
    """Return the command behind each result file."""
    evaluate = [sys.executable, "-m", "vultus", "evaluate"]
    found = {
        name: [sys.executable, str(HERE / f"{name}.py")]
        for name in (
            "startup",
            "embedding",
            "pipeline",
            "analyze",
            "detection",
            "search",
            "training",
            "worlds",
        )
    }
    for name, folder in (("lfw", "lfw_view1"), ("orl", "orl_faces")):
        if (DATA / folder).is_dir():
            found[name] = [*evaluate, name, str(DATA / folder)]
    return found


def run(name: str, command: Sequence[str]) -> None:
    """Run one command and keep its JSON."""
    target = RESULTS / f"{name}.json"
    print(f"running {name}", flush=True)
    if "evaluate" in command:
        done = subprocess.run([*command, "--json"], check=True, stdout=subprocess.PIPE)
        target.write_bytes(done.stdout)
    else:
        subprocess.run([*command, "--json", str(target)], check=True)


def summary() -> list[list[str]]:
    """Return a row per figure: name, value, goal, whether it was reached."""
    rows = []
    for figure in FIGURES:
        file = RESULTS / f"{figure.result}.json"
        goal = f"{figure.relation} {figure.goal:g}"
        if not file.exists():
            rows.append([figure.name, "not measured here", goal, ""])
            continue
        try:
            value = figure.value(json.loads(file.read_text()))
        except (KeyError, StopIteration, ValueError):
            rows.append([figure.name, f"not in {file.name}", goal, ""])
            continue
        rows.append([figure.name, f"{value:.4g}", goal, "yes" if figure.reached(value) else "NO"])
    return rows


def readme() -> None:
    """Write the measured protocols and speeds into the README's table."""
    rows = []
    for name, title in (("lfw", "LFW View 1"), ("orl", "ORL")):
        report = json.loads((RESULTS / f"{name}.json").read_text())
        for figure, e in report["figures"].items():
            if e["value"] is not None and "optimistic" not in figure:
                interval = f"{e['low']:.4f} to {e['high']:.4f}"
                rows.append(f"| {title}: {figure} | {e['value']:.4f} | {interval} | {e['n']} |")
    done = {figure.name for figure in FIGURES if figure.result in ("lfw", "orl")}
    rows += [f"| {name} | {value} | | |" for name, value, _, _ in summary() if name not in done]
    path = HERE.parent / "README.md"
    before, _, rest = path.read_text().partition("<!-- figures -->\n")
    _, _, after = rest.partition("<!-- /figures -->")
    head = "| figure | value | 95 % interval | n |\n|---|---|---|---|\n"
    body = "\n".join(rows)
    path.write_text(f"{before}<!-- figures -->\n{head}{body}\n<!-- /figures -->{after}")


def main() -> None:
    """Run what was asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=sorted(commands()))
    parser.add_argument("--no-run", action="store_true", help="only print what is there")
    parser.add_argument("--readme", action="store_true", help="update the README's table")
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    if not arguments.no_run:
        for name, command in commands().items():
            if arguments.only is None or name in arguments.only:
                run(name, command)
    rows = summary()
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
    if arguments.readme:
        readme()


if __name__ == "__main__":
    main()
