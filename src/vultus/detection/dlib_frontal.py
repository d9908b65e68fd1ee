"""dlib's frontal face detector and its five-point predictor.

King, "Max-margin object detection" (2015), on histograms of oriented gradients (Dalal and Triggs
2005), and Kazemi and Sullivan, "One millisecond face alignment with an ensemble of regression
trees" (2014). Finds near-frontal, upright faces of 80 pixels or more in the picture that it scans.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from vultus.errors import ConfigError, ProviderError
from vultus.faces import Face
from vultus.geometry import (
    FloatArray,
    UInt8Array,
    invert_affine,
    similarity_transform,
    template,
    transform_points,
)
from vultus.runtime import resolve

WEIGHTS = "dlib-shape5-native"

#: Pictures are doubled up to this long side, and halved towards the other above it.
DOUBLE_UP_TO, SHRINK_ABOVE = 800, 2000

#: The five points in dlib's face chip, as parts of its side before the padding of 0.25.
_CHIP = np.array(
    [
        (0.8595674595992, 0.2134981538014),
        (0.6460604764104, 0.2289674387677),
        (0.1205750620789, 0.2137274526848),
        (0.3340850613712, 0.2290642403242),
        (0.4901123135679, 0.6277975316475),
    ]
)
_PADDING = 0.25

#: How far a WIDER FACE box reaches beyond dlib's on the left, top, right and bottom, in sides of
#: dlib's square: medians over faces found by both dlib and YuNet.
_REACH = np.array([-0.04, 0.17, -0.04, 0.05], np.float32)


class DlibFrontal:
    """dlib's detector with keypoints made from its five points.

    dlib marks the eye corners and the base of the nose. The eyes are the middle of their corners;
    nose tip and mouth corners are extrapolated, see :func:`keypoints_from_dlib`. The score is the
    logistic function of twice dlib's confidence, so that dlib's own threshold is 0.5.
    """

    default_min_score = 0.5
    weights = (WEIGHTS,)

    def __init__(self, *, provider: str = "cpu", threads: int | None = None) -> None:
        if provider != "cpu":
            raise ProviderError(f"dlib-frontal runs on 'cpu' only, got provider {provider!r}")
        try:
            import dlib
        except ImportError as error:
            raise ConfigError(
                "the detector 'dlib-frontal' needs dlib: pip install 'vultus[dlib]'"
            ) from error
        self._make_detector = dlib.get_frontal_face_detector
        self._predictor = dlib.shape_predictor(str(resolve(WEIGHTS)))
        # A detector keeps its feature pyramid between calls: one per thread.
        self._local = threading.local()

    def find(self, images: Sequence[UInt8Array], min_score: float) -> list[list[Face]]:
        """Return each picture's faces, best first, with scores of at least ``min_score``."""
        return [self._find(image, min_score) for image in images]

    def _find(self, image: UInt8Array, min_score: float) -> list[Face]:
        scanned, scale = _resized(image)
        least = float(np.clip(min_score, 1e-6, 1 - 1e-6))
        # Below a confidence of -1 nearly every window counts as a face.
        threshold = max(np.log(least / (1 - least)) / 2, -1.0)
        rectangles, confidences, _ = self._detector().run(scanned, 0, threshold)
        faces = [
            self._face(scanned, scale, rectangle, confidence)
            for rectangle, confidence in zip(rectangles, confidences, strict=True)
        ]
        kept = [face for face in faces if face.score >= min_score]
        return sorted(kept, key=lambda face: -face.score)

    def _face(
        self, scanned: UInt8Array, scale: FloatArray, rectangle: Any, confidence: float
    ) -> Face:
        parts = self._predictor(scanned, rectangle).parts()
        points = np.array([(part.x, part.y) for part in parts], np.float32)
        # dlib's rectangles hold their last pixel.
        square = np.array(
            [rectangle.left(), rectangle.top(), rectangle.right() + 1, rectangle.bottom() + 1],
            np.float32,
        )
        reach = _REACH * (square[2] - square[0]) * np.array([-1, -1, 1, 1], np.float32)
        return Face(
            (square + reach) / np.tile(scale, 2),
            float(1 / (1 + np.exp(-2 * confidence))),
            (keypoints_from_dlib(points) + 0.5) / scale - 0.5,
        )

    def _detector(self) -> Any:
        if not hasattr(self._local, "detector"):
            self._local.detector = self._make_detector()
        return self._local.detector


def _resized(image: UInt8Array) -> tuple[UInt8Array, FloatArray]:
    """Return the picture at the size that is scanned, and (2,) that size over the picture's."""
    height, width = image.shape[:2]
    longest = max(height, width)
    wanted = 2.0 if longest <= DOUBLE_UP_TO else min(SHRINK_ABOVE / longest, 1.0)
    if wanted == 1:
        return image, np.ones(2, np.float32)
    size = max(round(width * wanted), 1), max(round(height * wanted), 1)
    method = cv2.INTER_LINEAR if wanted > 1 else cv2.INTER_AREA
    scanned = np.asarray(cv2.resize(image, size, interpolation=method), np.uint8)
    return scanned, np.array([size[0] / width, size[1] / height], np.float32)


def keypoints_from_dlib(points: FloatArray) -> FloatArray:
    """Turn dlib's five points into the five of :class:`~vultus.faces.Face`.

    The eyes are measured. Nose tip and mouth corners lie where ``dlib150`` has them in dlib's own
    chip of the face, moved as little as possible so that aligning the five to ``dlib150`` gives
    that chip: with residuals d of the aligned points, sum(d) = 0 and sum(conj(s) d) = 0 for the
    centred aligned points s, in complex numbers.

    Parameters
    ----------
    points
        (5, 2): image-right eye's outer and inner corner, image-left eye's outer and inner corner,
        base of the nose.

    Returns
    -------
    float32 (5, 2).
    """
    goal = template("dlib150")
    # dlib counts from pixel edges.
    places = (_CHIP + _PADDING) / (1 + 2 * _PADDING) * goal.size - 0.5
    chip = similarity_transform(points, places)
    eyes = transform_points(chip, np.stack([points[2:4].mean(0), points[:2].mean(0)]))
    target = goal.points[:, 0] + 1j * goal.points[:, 1].astype(np.float64)
    centred = target - target.mean()
    residual = np.zeros(5, np.complex128)
    residual[:2] = target[:2] - (eyes[:, 0] + 1j * eyes[:, 1])
    system = np.stack([np.ones(3), centred[2:].conj()])
    for _ in range(10):  # the right side holds the residuals' squares: rounds settle it
        known = np.array([residual[:2].sum(), (centred[:2].conj() * residual[:2]).sum()])
        wanted = np.array([0, (np.abs(residual) ** 2).sum()]) - known
        residual[2:] = np.linalg.lstsq(system, wanted, rcond=None)[0]
    placed = target - residual
    aligned = np.stack([placed.real, placed.imag], 1).astype(np.float32)
    return transform_points(invert_affine(chip), aligned)
