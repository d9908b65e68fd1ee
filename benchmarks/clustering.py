"""Clustering: B-cubed, time and memory on synthetic collections of unequal people.

Two in five people have a single picture, the others from two to a twentieth of the collection,
Pareto distributed. A third of the people come in pairs of lookalikes (cosine 0.4 between their
directions); noise is 0.6 to 1.6 times as long as the direction, and 3 times for the worst tenth of
the pictures. 512 dimensions. The threshold is estimated from the collection, as for a user who has
none.

Ways: average and single linkage of this package; average linkage merging one pair at a time
(scikit-learn, small collections only, at the same threshold), which needs all N squared distances.
Every case runs in a process of its own.

    python benchmarks/clustering.py [--sizes 5000 20000 100000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from machine import describe_machine
from vultus.gallery.clustering import cluster, estimate_threshold
from vultus.measure.clustering import clustering_scores

DIM = 512
#: Beyond this many faces the N squared distances of scikit-learn do not fit.
LARGEST_PEER = 10_000
WAYS = ("average", "single", "scikit-learn average")

Matrix = NDArray[np.float32]
Labels = NDArray[np.int64]


def collection(size: int, seed: int = 0) -> tuple[Matrix, Labels]:
    """Return unit templates, float32 (size, DIM), in random order, and the people they show."""
    rng = np.random.default_rng([seed, size])
    sizes: list[int] = []
    while sum(sizes) < size:
        many = int(np.clip(2 + 2 * rng.pareto(1.1), 2, size // 20))
        sizes.append(1 if rng.random() < 0.4 else many)
    who = np.repeat(np.arange(len(sizes)), sizes)[:size]
    centres = rng.standard_normal((len(sizes), DIM), np.float32)
    pairs = len(sizes) // 6
    mixed = 0.4 * centres[:pairs] + np.float32(np.sqrt(1 - 0.4**2)) * centres[pairs : 2 * pairs]
    centres[pairs : 2 * pairs] = mixed
    centres = centres[rng.permutation(len(sizes))] / np.float32(np.sqrt(DIM))
    spread = np.where(rng.random(size) < 0.1, 3, rng.uniform(0.6, 1.6, size)).astype(np.float32)
    noise = rng.standard_normal((size, DIM), np.float32) / np.float32(np.sqrt(DIM))
    templates = centres[who] + spread[:, None] * noise
    templates /= np.linalg.norm(templates, axis=1, keepdims=True)
    order = rng.permutation(size)
    return templates[order], who[order]


def labels_of(way: str, templates: Matrix, threshold: float) -> Labels:
    """Cluster in one of the ways."""
    if way in ("average", "single"):
        return cluster(templates, threshold=threshold, method=way)  # type: ignore[arg-type]
    from sklearn.cluster import AgglomerativeClustering

    distances = np.maximum(1 - templates @ templates.T, 0)
    model = AgglomerativeClustering(
        None, metric="precomputed", linkage="average", distance_threshold=1 - threshold
    )
    labels: Labels = model.fit_predict(distances)
    return labels


def run_case(way: str, size: int) -> None:
    """Measure one case in this process and print its figures."""
    templates, who = collection(size)
    threshold = estimate_threshold(templates)
    start = time.perf_counter()
    labels = labels_of(way, templates, threshold)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    scores = clustering_scores(who, labels)
    figures = {
        "name": way,
        "size": size,
        "people": len(np.unique(who)),
        "largest": int(np.bincount(who).max()),
        "clusters": len(np.unique(labels)),
        "threshold": threshold,
        "precision": scores.bcubed_precision.value,
        "recall": scores.bcubed_recall.value,
        "f": scores.bcubed_f.value,
        "seconds": seconds,
        "peak_gb": peak * (1e-9 if sys.platform == "darwin" else 1024e-9),
    }
    print(json.dumps(figures))


def main() -> None:
    """Measure all cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5_000, 20_000, 100_000])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--case", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        run_case(arguments.case[0], int(arguments.case[1]))
        return
    rows: list[dict[str, Any]] = []
    for size in arguments.sizes:
        for way in WAYS:
            if way.startswith("scikit") and size > LARGEST_PEER:
                continue
            case = [sys.executable, __file__, "--case", way, str(size)]
            done = subprocess.run(case, check=True, stdout=subprocess.PIPE)
            rows.append(json.loads(done.stdout))
            row = rows[-1]
            print(
                f"{row['name']:<22}{size:>8} faces  {row['people']:>6} people "
                f"{row['clusters']:>6} clusters  P {row['precision']:.4f}  R {row['recall']:.4f}  "
                f"F {row['f']:.4f}  {row['seconds']:8.2f} s  {row['peak_gb']:5.2f} GB",
                flush=True,
            )
    if arguments.json:
        command = "python benchmarks/clustering.py"
        report = {"command": command, "machine": describe_machine(), "rows": rows}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
