"""Everything that `vultus analyze` can say of a face: faces a second, and what each part costs.

Pictures are photographs with the long side at 640 pixels: AFW scenes (one to several faces each),
decoded before the clock starts. Each round runs the whole analysis with every predictor on, usual
and opt-in, and templates; the median round counts. Then every predictor runs alone on the faces
that were found, with crops and meshes of its own, in milliseconds of processor time a face, so
that what several share is counted in each.

    python benchmarks/analyze.py [--threads N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import cv2

from machine import describe_machine
from pipeline import Image, pictures
from vultus.analysis import CHUNK, Analyzer
from vultus.predictors import NAMES, choose


def whole(analyzer: Analyzer, images: list[Image], repeat: int) -> dict[str, Any]:
    """Return faces a second of the whole analysis, by the clock and per processor second."""
    clock, processor, faces = [], [], 0
    for _ in range(repeat + 1):
        start = time.perf_counter(), time.process_time()
        found = analyzer.stream(images, fields=choose(also=NAMES))
        faces = sum(len(result.faces) for result in found)
        clock.append(time.perf_counter() - start[0])
        processor.append(time.process_time() - start[1])
    seconds, used = statistics.median(clock[1:]), statistics.median(processor[1:])
    return {
        "pictures": len(images),
        "faces": faces,
        "faces per second": round(faces / seconds, 2),
        "pictures per second": round(len(images) / seconds, 2),
        "faces per processor second": round(faces / used, 2),
    }


def parts(analyzer: Analyzer, images: list[Image], repeat: int) -> dict[str, float]:
    """Return milliseconds of processor time a face of detection and of each predictor alone."""
    chunk = images[:CHUNK]
    found = analyzer.detector.detect_many(chunk)
    count = sum(map(len, found))
    ready = analyzer.fill(chunk, found, choose(also=NAMES))

    def cost(work: Any) -> float:
        times = []
        for _ in range(repeat + 1):
            start = time.process_time()
            work()
            times.append(time.process_time() - start)
        return round(1000 * statistics.median(times[1:]) / count, 2)

    rows = {"detection": cost(lambda: analyzer.detector.detect_many(chunk))}
    return rows | {name: cost(lambda n=name: analyzer.fill(chunk, ready, [n])) for name in NAMES}


def main() -> None:
    """Measure, print a table, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(arguments.threads)
    images = pictures(arguments.pictures)
    analyzer = Analyzer(threads=arguments.threads)
    report = {
        "machine": describe_machine(),
        "threads": arguments.threads,
        "everything": whole(analyzer, images, arguments.repeat),
        "milliseconds of processor time a face": parts(analyzer, images, arguments.repeat),
    }
    for name, value in report["everything"].items():
        print(f"{name:<28} {value}")
    for name, value in report["milliseconds of processor time a face"].items():
        print(f"{name:<28} {value} ms")
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
