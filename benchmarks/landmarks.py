"""Processor time of the landmark networks per face, one thread, and their sizes.

``OMP_NUM_THREADS=1 python benchmarks/landmarks.py [--json FILE]``
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from skimage import data

from vultus.geometry import similarity_transform, warp
from vultus.landmarks import LandmarkPredictor
from vultus.runtime import manifest

FIVE = np.array([(201, 100), (247, 103), (227, 123), (203, 139), (244, 140)], np.float32)


def milliseconds(call: Callable[[], object], times: int) -> float:
    """Return the median processor time of a call, after three that do not count."""
    spent = []
    for _ in range(times + 3):
        start = time.process_time()
        call()
        spent.append(1000 * (time.process_time() - start))
    return round(statistics.median(spent[3:]), 3)


def measure(name: str, times: int) -> dict[str, float]:
    """Return size and times of one network."""
    predictor = LandmarkPredictor(name, threads=1, allow_licenses=["all"])
    picture = data.astronaut()
    maps = similarity_transform(FIVE, predictor.template.points)
    one = warp(picture, maps[None], predictor.template.size)
    many = np.repeat(one, 32, 0)
    return {
        "megabytes": round(manifest()[name].bytes / 1e6, 2),
        "one crop": milliseconds(lambda: predictor.predict(one), times),
        "per crop, 32 at once": milliseconds(lambda: predictor.predict(many), times // 8) / 32,
        "located, two passes, mirrored": milliseconds(
            lambda: predictor.locate(picture, FIVE[None]), times
        ),
        "located, one pass": milliseconds(
            lambda: predictor.locate(picture, FIVE[None], passes=1, flip=False), times
        ),
    }


def main() -> None:
    """Print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--times", type=int, default=200)
    options = parser.parse_args()
    names = [n for n, w in manifest().items() if w.task == "landmarks"]
    found = {name: measure(name, options.times) for name in names}
    for name, row in found.items():
        print(name, row)
    if options.json:
        options.json.write_text(json.dumps({"cpus": os.cpu_count(), "networks": found}, indent=1))


if __name__ == "__main__":
    main()
