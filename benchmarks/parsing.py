"""Processor time of face parsing per face: warp, network, and masks.

OMP_NUM_THREADS=1 python benchmarks/parsing.py [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vultus.parsing.predictor import ParsingPredictor
from vultus.tanh_polar import warp_polar, with_ratio

SIDE = 512
BOX = np.array([[150.0, 120.0, 330.0, 350.0]], np.float32)


def median(work: Callable[[], object], turns: int) -> float:
    """Return the median of processor time in ms."""
    work()
    times = []
    for _ in range(turns):
        start = time.process_time()
        work()
        times.append(1e3 * (time.process_time() - start))
    return float(np.median(times))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    predictor = ParsingPredictor(threads=1)
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    region = with_ratio(BOX, predictor.ratio)
    crops = warp_polar(image, region, predictor.size)
    parts = predictor.parse(image, BOX)[0]
    found = {
        "warp": median(lambda: warp_polar(image, region, predictor.size), options.turns),
        "network, batch 1": median(lambda: predictor.predict(crops), options.turns),
        "network, batch 8, per face": median(
            lambda: predictor.predict(np.repeat(crops, 8, 0)), options.turns // 4 + 1
        )
        / 8,
        "whole face with shares": median(lambda: predictor.parse(image, BOX), options.turns),
        "mask of 128 x 128": median(lambda: parts.crop(BOX[0], (128, 128)), options.turns),
        f"mask of a picture of {SIDE} x {SIDE}, face 180 x 230": median(
            lambda: parts.mask((SIDE, SIDE)), options.turns // 4 + 1
        ),
    }
    for name, value in found.items():
        print(f"{value:8.2f} ms  {name}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
