"""Detection, alignment and embedding of whole pictures, beside the peers' usual pipeline.

The peer is SCRFD-500M at 640 px with the w600k MobileFaceNet recogniser, both in ONNX Runtime
with the same number of threads, and looked for below ``VULTUS_PEERS`` (default
``../shared/weights/peers``); without them only Vultus is measured. Pictures are decoded before the
clock starts; each round runs every pipeline over all pictures, and the median round counts.

    python benchmarks/pipeline.py [--threads N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from detection_peers import scrfd
from machine import describe_machine
from vultus.analysis import Analyzer
from vultus.geometry import align
from vultus.images import find_images, open_image
from vultus.recognition import Embedder
from vultus.recognition.predictor import EmbedderSpec
from vultus.runtime import Preprocessing

Image = NDArray[np.uint8]
REPOSITORY = Path(__file__).resolve().parent.parent
PEERS = Path(os.environ.get("VULTUS_PEERS", REPOSITORY.parent / "shared" / "weights" / "peers"))
DATA = Path(os.environ.get("VULTUS_DATA", REPOSITORY.parent / "shared" / "data"))
LONG_SIDE = 640


def vultus(threads: int) -> Callable[[Sequence[Image]], int]:
    """Return our pipeline: pictures to the number of embedded faces."""
    analyzer = Analyzer(threads=threads)

    def run(pictures: Sequence[Image]) -> int:
        return sum(len(result.faces) for result in analyzer.stream(pictures))

    return run


def peer(threads: int) -> Callable[[Sequence[Image]], int] | None:
    """Return the peers' pipeline, or None where their weights are not here."""
    detector, recogniser = PEERS / "scrfd_500m_fixed.onnx", PEERS / "w600k_mbf_dequant_fp32.onnx"
    if not (detector.exists() and recogniser.exists()):
        return None
    find = scrfd(detector, threads)
    spec = EmbedderSpec(
        "w600k-mbf", recogniser, "arcface112", Preprocessing(mean=(127.5,), std=(127.5,))
    )
    embedder = Embedder(spec, threads=threads)

    def run(pictures: Sequence[Image]) -> int:
        count = 0
        for picture in pictures:
            faces = find(picture)
            if faces:
                points = [face.keypoints for face in faces]
                count += len(embedder.predict(align(picture, points, embedder.template)))
        return count

    return run


def pictures(limit: int) -> list[Image]:
    """Return whole photographs, long side 640 px: AFW scenes, or the portrait of scikit-image."""
    root = DATA / "afw_scenes"
    if root.is_dir():
        found = [open_image(path) for path in find_images([root])[:limit]]
    else:
        from skimage import data

        found = [data.astronaut()] * limit
    return [_fit(image) for image in found]


def _fit(image: Image) -> Image:
    scale = LONG_SIDE / max(image.shape[:2])
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def main() -> None:
    """Measure, print a table, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(arguments.threads)
    images = pictures(arguments.pictures)
    made = {
        "vultus": vultus(arguments.threads),
        "scrfd-500m + w600k-mbf": peer(arguments.threads),
    }
    pipelines = {name: run for name, run in made.items() if run is not None}
    times: dict[str, list[float]] = {name: [] for name in pipelines}
    faces = {}
    for _ in range(arguments.repeat + 1):
        for name, run in pipelines.items():
            start = time.perf_counter()
            faces[name] = run(images)
            times[name].append((time.perf_counter() - start) / len(images))
    rows = {
        name: {"ms_per_picture": 1000 * statistics.median(t[1:]), "faces": faces[name]}
        for name, t in times.items()
    }
    ours = rows["vultus"]["ms_per_picture"]
    for name, row in rows.items():
        ratio = row["ms_per_picture"] / ours
        print(f"{name:24} {row['ms_per_picture']:7.1f} ms a picture, {row['faces']} faces", end="")
        print("" if name == "vultus" else f"; vultus is {ratio:.2f} times as fast")
    if arguments.json:
        report = {
            "machine": describe_machine(),
            "threads": arguments.threads,
            "pictures": len(images),
            "long_side": LONG_SIDE,
            "rows": rows,
        }
        arguments.json.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
