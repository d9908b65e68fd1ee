"""The packaged liveness network beside MiniFASNet (Apache-2.0) on real pictures, and its time.

``OMP_NUM_THREADS=1 python benchmarks/liveness.py BONA_FIDE ATTACKS [--rival FILE] [--json FILE]``

BONA_FIDE and ATTACKS are folders of pictures. MiniFASNet looks at 2.7 times the box and sees the
edges of a sheet; its rule is that the class "live" has most of the probability.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vultus.detection import Detector
from vultus.evaluation import Report
from vultus.evaluation.liveness import Scorer, crop_scorer, evaluate_pictures, pictures_below
from vultus.faces import Face
from vultus.geometry import UInt8Array
from vultus.liveness import LivenessPredictor
from vultus.runtime import Session

SIDE, SCALE, LIVE = 80, 2.7, 1


def minifasnet(path: Path) -> Scorer:
    """Return the probability of the class live, of a window kept inside the picture."""
    session = Session(path, threads=1)

    def score(image: UInt8Array, face: Face) -> float:
        high, wide = image.shape[:2]
        x1, y1, x2, y2 = (float(v) for v in face.box)
        scale = min(SCALE, (wide - 1) / (x2 - x1), (high - 1) / (y2 - y1))
        span = np.array([x2 - x1, y2 - y1]) * scale
        corner = np.array([x1 + x2, y1 + y2]) / 2 - span / 2
        corner = np.clip(corner, 0, np.array([wide, high]) - 1 - span)
        (left, top), (width, height) = corner.astype(int), span.astype(int)
        crop = image[top : top + height + 1, left : left + width + 1]
        small = cv2.resize(crop, (SIDE, SIDE))[..., ::-1].astype(np.float32)
        logits = session.run(small.transpose(2, 0, 1)[None])[0][0].astype(np.float64)
        shares = np.exp(logits - logits.max())
        return float(shares[LIVE] / shares.sum())

    return score


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
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    predictor, detector = LivenessPredictor(threads=1), Detector(threads=1)
    genuine, fake = pictures_below([chosen.bona_fide]), pictures_below([chosen.attacks])
    assert predictor.threshold is not None
    known: list[tuple[str, Scorer, float]] = [
        (predictor.name, crop_scorer(predictor), predictor.threshold)
    ]
    if chosen.rival is not None:
        known.append(("MiniFASNet V2", minifasnet(chosen.rival), 0.5))
    reports: list[Report] = [
        evaluate_pictures(genuine, fake, score, detector, threshold, name=name, title="pictures")
        for name, score, threshold in known
    ]
    found: dict[str, Any] = {
        "milliseconds of processor time, one thread": processor_time(predictor),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "reports": [report.to_dict() for report in reports],
    }
    text = json.dumps(found, indent=2)
    print(text)
    if chosen.json is not None:
        chosen.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
