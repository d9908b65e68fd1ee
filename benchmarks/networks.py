"""Time of every packaged or fetched network, alone: one input, one thread, in turns.

Printed are medians of milliseconds of processor time. Preparing the input and reading the answer
come on top; ``benchmarks/analyze.py`` has both. Weights that are not here are named and left out,
as are those that are no networks.

    OMP_NUM_THREADS=1 python benchmarks/networks.py [--rounds N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from machine import describe_machine
from vultus.errors import VultusError
from vultus.runtime import Session, Store

#: Height and width where a network leaves them open.
OPEN = 320


def example(session: Session) -> NDArray[Any]:
    """Return one random input; what lies in it does not change the work."""
    wanted = session.inputs[0]
    shape = (1, *(size or OPEN for size in wanted.shape[1:]))
    noise = np.random.default_rng(0).uniform(0, 1, shape)
    return noise.astype(wanted.dtype)


def load(store: Store) -> tuple[dict[str, tuple[Session, NDArray[Any]]], dict[str, str]]:
    """Return the networks that are here with an input each, and why the others are not."""
    ready, missing = {}, {}
    for name in store.weights:
        try:
            path = store.resolve(name)
            if path.suffix != ".onnx":
                continue
            session = Session(path, threads=1)
            ready[name] = session, example(session)
        except VultusError as error:
            missing[name] = str(error)
    return ready, missing


def main() -> None:
    """Measure, print a table, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    ready, missing = load(Store(offline=True, allow_licenses=["all"]))
    times: dict[str, list[float]] = {name: [] for name in ready}
    for _ in range(arguments.rounds + 1):
        for name, (session, batch) in ready.items():
            start = time.process_time()
            session.run(batch)
            times[name].append(1e3 * (time.process_time() - start))
    # The first round warms up.
    medians = {name: round(statistics.median(values[1:]), 2) for name, values in times.items()}
    for name, value in medians.items():
        print(f"{name:24} {value:8.2f} ms  {list(ready[name][1].shape)}")
    for name, reason in missing.items():
        print(f"{name:24} left out: {reason}")
    if arguments.json:
        report = {"machine": describe_machine(), "rounds": arguments.rounds, "ms": medians}
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
