"""From the network's numbers to faces: decoding and suppression, NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vultus.detection.mos.anchors import decode_boxes, decode_points
from vultus.geometry import FloatArray, UInt8Array, nms

#: Mean of ImageNet in the order blue, green, red, subtracted without scaling.
MEAN = (104.0, 117.0, 123.0)
#: Bins of an angle, degrees per bin, and where the first begins.
BINS, BIN, LOWEST = 66, 3.0, -99.0
#: Best candidates that are kept before and after suppression, and the overlap that suppresses.
TOP, KEEP, OVERLAP = 5000, 750, 0.4


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Faces of one picture, best first; all arrays are of the same kept anchors.

    Parameters
    ----------
    boxes, points
        float32 (K, 4) xyxy and (K, 5, 2) in input pixels, between pixel edges.
    scores
        float32 (K,) in [0, 1].
    poses
        float32 (K, 3) yaw, pitch, roll in degrees; None from a network without pose.
    """

    boxes: FloatArray
    scores: FloatArray
    points: FloatArray
    poses: FloatArray | None

    def __len__(self) -> int:
        return len(self.scores)


def to_input(images: UInt8Array) -> FloatArray:
    """Return the network's input, float32 BGR (N, 3, H, W), of uint8 RGB (N, H, W, 3)."""
    shifted = images[..., ::-1].astype(np.float32) - np.array(MEAN, np.float32)
    return np.ascontiguousarray(shifted.transpose(0, 3, 1, 2))


def expected_angles(bins: FloatArray) -> FloatArray:
    """Return the angles in degrees, (...,), of logits over bins (..., 66)."""
    likely = np.exp(bins - bins.max(-1, keepdims=True))
    mean = (likely * np.arange(BINS)).sum(-1) / likely.sum(-1)
    return np.asarray(BIN * mean + LOWEST, np.float32)


def decode(
    outputs: tuple[FloatArray, ...] | list[FloatArray],
    grid: FloatArray,
    min_score: float,
    *,
    overlap: float = OVERLAP,
    top: int = TOP,
    keep: int = KEEP,
) -> Detections:
    """Decode one picture.

    Parameters
    ----------
    outputs
        Scores (A,), box codes (A, 4), point codes (A, 10) and, from a network with pose, logits
        of bins (A, 3, 66).
    grid
        Anchors (A, 3).
    min_score
        Lowest score that counts.
    overlap, top, keep
        See :data:`OVERLAP`, :data:`TOP`, :data:`KEEP`.
    """
    scores = outputs[0]
    best = np.flatnonzero(scores >= min_score)
    best = best[np.argsort(-scores[best], kind="stable")][:top]
    boxes = decode_boxes(outputs[1][best], grid[best])
    kept = nms(boxes, scores[best], overlap)[:keep]
    best, boxes = best[kept], boxes[kept]
    poses = expected_angles(outputs[3][best]) if len(outputs) > 3 else None
    points = decode_points(outputs[2][best], grid[best])
    return Detections(boxes, scores[best].astype(np.float32), points, poses)
