"""An analyzer that opens real pictures and fills every field of a face, without any network.

A picture shows one face in its middle, or two side by side where it is wide; templates are the
colours of the picture, so that pictures are alike exactly where they look alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from vultus.analysis import Analysis
from vultus.errors import ImageError
from vultus.faces import Embedding, Face, Pose
from vultus.images import open_image

SPACE = "photo@0123456789ab/none"
DIM = 192
_POINTS = np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.6], [0.35, 0.78], [0.65, 0.78]])


class PhotoAnalyzer:
    """Stands in for :class:`vultus.analysis.Analyzer`."""

    def __init__(self) -> None:
        self.embedder = SimpleNamespace(space=SPACE, dim=DIM)
        self.detector = SimpleNamespace(name="photo", weights=())

    def stream(
        self, sources: Iterable[Any], *, embed: bool = True, subject: str | None = None, **_: Any
    ) -> Iterator[Analysis]:
        for source in sources:
            name = getattr(source, "name", "picture")
            try:
                image = open_image(source)
            except ImageError as error:
                yield Analysis(name, 0, 0, error=error.reason)
                continue
            height, width = image.shape[:2]
            count = 2 if width > 1.5 * height else 1
            faces = [_face(image, i, count, embed) for i in range(count)]
            if subject == "only" and count > 1:
                yield Analysis(name, width, height, error=f"{count} faces were found")
            else:
                yield Analysis(name, width, height, tuple(faces[:1] if subject else faces))


def _face(image: np.ndarray, number: int, count: int, embed: bool) -> Face:
    height, full = image.shape[:2]
    width = full / count
    x1, y1 = number * width + 0.25 * width, 0.2 * height
    box = np.array([x1, y1, x1 + 0.5 * width, y1 + 0.55 * height])
    size = box[2:] - box[:2]
    face = Face(
        box=box,
        score=0.98 - 0.1 * number,
        keypoints=box[:2] + _POINTS * size,
        landmarks=box[:2] + _outline() * size,
        pose=Pose(yaw=18.0 - 40 * number, pitch=-6.0, roll=4.0),
        quality={"overall": 0.82, "sharpness": 0.64, "light": 0.91, "reasons": ["slightly turned"]},
        liveness={"decision": "bona fide", "score": 0.97, "threshold": 0.5},
        expression={"neutral": 0.12, "happiness": 0.81, "surprise": 0.07, "valence": 0.6,
                    "arousal": -0.1},
        attributes={"age": 52.4, "age_spread": 6.1, "glasses": True, "sex": "male"},
    )  # fmt: skip
    if not embed:
        return face
    part = image[:, int(number * width) : int((number + 1) * width)]
    vector = cv2.resize(part, (8, 8), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    return face.replace(embedding=Embedding(vector - vector.mean() + 1e-3, SPACE))


def _outline() -> np.ndarray:
    """68 points of a face in a unit square, in the iBUG order."""

    def arc(cx: float, cy: float, rx: float, ry: float, a: float, b: float, n: int) -> np.ndarray:
        t = np.radians(np.linspace(a, b, n))
        return np.c_[cx + rx * np.cos(t), cy + ry * np.sin(t)]

    return np.concatenate([
        arc(0.5, 0.42, 0.46, 0.54, 180, 0, 17),
        arc(0.3, 0.3, 0.14, 0.08, 200, 340, 5), arc(0.7, 0.3, 0.14, 0.08, 200, 340, 5),
        np.c_[np.full(4, 0.5), np.linspace(0.37, 0.56, 4)], arc(0.5, 0.6, 0.1, 0.04, 180, 0, 5),
        arc(0.3, 0.36, 0.08, 0.035, 180, 480, 6), arc(0.7, 0.36, 0.08, 0.035, 180, 480, 6),
        arc(0.5, 0.78, 0.17, 0.07, 180, 510, 12), arc(0.5, 0.78, 0.12, 0.03, 180, 495, 8),
    ])  # fmt: skip
