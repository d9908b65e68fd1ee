"""The packaged liveness network beside MiniFASNet (Apache-2.0) on real pictures, and its time.

``OMP_NUM_THREADS=1 python benchmarks/liveness.py BONA_FIDE ATTACKS [--rival FILE] [--json FILE]
[--windows FILE]``

BONA_FIDE and ATTACKS are folders of pictures. MiniFASNet looks at 2.7 times the box and sees the
edges of a sheet; its authors' rule is that the class "live" has most of the probability, ours the
threshold of the equal error rate on simulated development presentations. ``--windows`` names
presentations in such windows (``vultus data presentations --view window --part test``): what share
of every species MiniFASNet takes for bona fide. It learned from real attacks, so that it says how
real simulated ones look to it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vultus.detection import Detector
from vultus.evaluation import Report
from vultus.evaluation.liveness import (
    Scorer,
    Scores,
    crop_scorer,
    evaluate_pictures,
    pictures_below,
)
from vultus.geometry import UInt8Array
from vultus.liveness import LivenessPredictor
from vultus.liveness.cdcn.presentations import load_presentations
from vultus.liveness.windows import WINDOW, crop_faces
from vultus.runtime import Session

SIDE, LIVE = 80, 1

#: MiniFASNet's thresholds: its authors', and that of our development presentations.
RULES = (0.5, 0.153)


def window_scorer(path: Path) -> Callable[[UInt8Array], Scores]:
    """Return the probability of MiniFASNet's class live, of windows uint8 RGB (N, 80, 80, 3)."""
    session = Session(path, threads=1)

    def score(windows: UInt8Array) -> Scores:
        values = np.ascontiguousarray(windows[..., ::-1].transpose(0, 3, 1, 2), dtype=np.float32)
        logits = session.run(values)[0].astype(np.float64)
        shares = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(shares[:, LIVE] / shares.sum(1))

    return score


def minifasnet(path: Path) -> Scorer:
    """Return the probability of the class live, of a window kept inside the picture."""
    score = window_scorer(path)
    return lambda image, face: float(score(crop_faces(image, face.box[None], WINDOW, SIDE))[0])


def taken_for_bona_fide(
    file: Path, scorers: Mapping[str, tuple[Callable[[UInt8Array], Scores], float]]
) -> dict[str, dict[str, float]]:
    """Return the share of each species of presentations that each network takes for bona fide."""
    data = load_presentations(file).split("test")
    crops = data.crops()[0]
    sources = np.array([name.partition(" ")[0] for name in data.domains.tolist()])
    names = np.char.add(np.char.add(sources, " "), data.species)
    found: dict[str, dict[str, float]] = {}
    for title, (score, threshold) in scorers.items():
        accepted = score(crops) >= threshold
        found[title] = {
            name: round(float(accepted[names == name].mean()), 3)
            for name in np.unique(names).tolist()
        }
    return found


def processor_time(predictor: LivenessPredictor, times: int = 200) -> dict[str, float]:
    """Return the median milliseconds of processor time per face, alone and 32 at once."""
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (32, predictor.size, predictor.size, 3)).astype(np.uint8)
    found = {}
    for name, batch, count in (("one face", crops[:1], times), ("of 32", crops, times // 8)):
        spent = []
        for _ in range(count + 3):
            start = time.process_time()
            predictor.predict(batch)
            spent.append(1000 * (time.process_time() - start) / len(batch))
        found[name] = round(statistics.median(spent[3:]), 3)
    return found


def main() -> None:
    """Print figures, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bona_fide", type=Path)
    parser.add_argument("attacks", type=Path)
    parser.add_argument("--rival", type=Path, help="MiniFASNet as ONNX")
    parser.add_argument("--windows", type=Path, help="presentations in windows, test part")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    predictor, detector = LivenessPredictor(threads=1), Detector(threads=1)
    genuine, fake = pictures_below([chosen.bona_fide]), pictures_below([chosen.attacks])
    assert predictor.threshold is not None
    known: list[tuple[str, Scorer, float]] = [
        (predictor.name, crop_scorer(predictor), predictor.threshold)
    ]
    if chosen.rival is not None:
        rival = minifasnet(chosen.rival)
        known += [(f"MiniFASNet V2, {threshold:g}", rival, threshold) for threshold in RULES]
    reports: list[Report] = [
        evaluate_pictures(genuine, fake, score, detector, threshold, name=name, title="pictures")
        for name, score, threshold in known
    ]
    found: dict[str, Any] = {
        "milliseconds of processor time, one thread": processor_time(predictor),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "reports": [report.to_dict() for report in reports],
    }
    if chosen.windows is not None and chosen.rival is not None:
        score = window_scorer(chosen.rival)
        rules = {f"MiniFASNet V2, {threshold:g}": (score, threshold) for threshold in RULES}
        found["taken for bona fide"] = taken_for_bona_fide(chosen.windows, rules)
    text = json.dumps(found, indent=2)
    print(text)
    if chosen.json is not None:
        chosen.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
