"""Figures of a network on pictures with known faces: AP, NME of points, error of pose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vultus.detection.mos.anchors import Faces, anchor_boxes, anchors, decode_points
from vultus.detection.mos.canvases import Canvases, Picture
from vultus.detection.mos.decoding import Detections, decode, expected_angles, to_input
from vultus.detection.mos.networks import MosNet, Shipped
from vultus.geometry import FloatArray, box_iou
from vultus.measure.bootstrap import Resampling
from vultus.measure.detection import average_precision, match, precision_recall, recall
from vultus.measure.landmarks import nme
from vultus.measure.pose import ANGLES, angle_errors

#: Score from which a detection counts for AP (WIDER FACE protocol of the paper).
MIN_SCORE = 0.02
#: Overlap of a detection with the face whose points and pose it is measured against.
SAME = 0.5
#: Absolute yaw in degrees above which a face counts as turned.
TURNED = 45.0

Outputs = tuple[FloatArray, ...]


@dataclass(frozen=True, slots=True, eq=False)
class FaceErrors:
    """Errors of points and pose, one row per true face that was answered.

    Parameters
    ----------
    nme
        (F,) mean distance of five points over the side of the true box.
    pose
        (F, 3) absolute errors of yaw, pitch and roll in degrees; None without pose.
    yaw
        (F,) absolute true yaw in degrees.
    """

    nme: NDArray[np.float64]
    pose: NDArray[np.float64] | None
    yaw: NDArray[np.float64]

    def figures(self) -> dict[str, float]:
        """Return means; NaN where no face counts."""
        turned = self.yaw > TURNED
        out = {
            "nme": _mean(self.nme),
            "nme_turned": _mean(self.nme[turned]),
            "nme_frontal": _mean(self.nme[~turned]),
        }
        if self.pose is not None:
            out |= {name: _mean(column) for name, column in zip(ANGLES, self.pose.T, strict=True)}
            out["pose"] = _mean(self.pose)
        return out


def draw(canvases: Canvases) -> list[Picture]:
    """Return all pictures of a split."""
    return [canvases.picture(i) for i in range(len(canvases))]


def predict(net: MosNet, pictures: Sequence[Picture], batch: int = 16) -> list[Outputs]:
    """Return scores, codes and bins of each picture, as an exported file gives them."""
    shipped = Shipped(net).eval()
    device = next(net.parameters()).device
    found: list[Outputs] = []
    with torch.no_grad():
        for start in range(0, len(pictures), batch):
            images = np.stack([p.image for p in pictures[start : start + batch]])
            given = shipped(torch.from_numpy(to_input(images)).to(device))
            rows = [value.cpu().numpy() for value in given]
            found += [tuple(row[i] for row in rows) for i in range(len(images))]
    return found


def at_best_anchors(outputs: Sequence[Outputs], truth: Sequence[Faces]) -> FaceErrors:
    """Measure what the network says at the anchor that overlaps each face most.

    No face is left out, whatever the detector's score, so two networks are measured on the same
    faces.
    """
    side = round(float(np.sqrt(len(outputs[0][0]) / 42)) * 32) if outputs else 32
    grid = anchors(side, side)
    boxes = anchor_boxes(grid)
    points, poses, kept = [], [], []
    for values, faces in zip(outputs, truth, strict=True):
        counted = faces.take(~faces.ignored)
        if not len(counted):
            continue
        best = box_iou(counted.boxes, boxes).argmax(1)
        points.append(decode_points(values[2][best], grid[best]))
        if len(values) > 3:
            poses.append(expected_angles(values[3][best]))
        kept.append(counted)
    return _errors(points, poses, kept)


def at_detections(found: Sequence[Detections], truth: Sequence[Faces]) -> FaceErrors:
    """Measure the detection that overlaps each face most, by half or more; others are missed."""
    points, poses, kept = [], [], []
    for seen, faces in zip(found, truth, strict=True):
        counted = faces.take(~faces.ignored)
        if not len(counted) or not len(seen):
            continue
        overlap = box_iou(counted.boxes, seen.boxes)
        best, hit = overlap.argmax(1), overlap.max(1) >= SAME
        points.append(seen.points[best[hit]])
        if seen.poses is not None:
            poses.append(seen.poses[best[hit]])
        kept.append(counted.take(hit))
    return _errors(points, poses, kept)


def _errors(points: list[FloatArray], poses: list[FloatArray], kept: list[Faces]) -> FaceErrors:
    faces = Faces.joined(kept)
    if not len(faces):
        return FaceErrors(np.empty(0), None, np.empty(0))
    error = nme(np.concatenate(points), faces.points, faces.sides)
    yaw = np.abs(faces.poses[:, 0]).astype(np.float64)
    if not poses:
        return FaceErrors(error, None, yaw)
    return FaceErrors(error, angle_errors(np.concatenate(poses), faces.poses), yaw)


def detections(
    outputs: Sequence[Outputs], size: int, min_score: float = MIN_SCORE
) -> list[Detections]:
    """Decode every picture of a given side."""
    grid = anchors(size, size)
    return [decode(values, grid, min_score) for values in outputs]


def detection_figures(
    found: Sequence[Detections], truth: Sequence[Faces], small: float
) -> dict[str, float]:
    """Return figures of detection.

    ``ap`` over all faces, ``ap_small`` over small ones (others ignored), ``recall`` at score 0.5,
    and the score ``threshold`` with the best F1 score, ``f1``.
    """
    boxes, scores = [d.boxes for d in found], [d.scores for d in found]
    true = [f.boxes for f in truth]
    # One resample: figures of development need no interval.
    once = Resampling(resamples=1)
    every = match(boxes, scores, true, ignore=[f.ignored for f in truth])
    few = match(boxes, scores, true, ignore=[f.ignored | (f.sides >= small) for f in truth])
    out = {
        "ap": average_precision(every, once).value,
        "ap_small": average_precision(few, once).value,
        "recall": recall(every, 0.5).value,
    }
    thresholds, precision, share = precision_recall(every)
    if len(thresholds):
        balance = 2 * precision * share / np.maximum(precision + share, 1e-9)
        best = int(balance.argmax())
        out |= {"f1": float(balance[best]), "threshold": float(thresholds[best])}
    return out


def figures(net: MosNet, pictures: Sequence[Picture], small: float) -> dict[str, float]:
    """Return all figures of a network on pictures of one size.

    Those of :func:`detection_figures`; errors of detections by name, and of every face at its best
    anchor with the prefix ``anchor_``.
    """
    outputs = predict(net, pictures)
    truth = [p.faces for p in pictures]
    found = detections(outputs, len(pictures[0].image))
    out = detection_figures(found, truth, small)
    out |= at_detections(found, truth).figures()
    best = at_best_anchors(outputs, truth).figures()
    return out | {f"anchor_{name}": value for name, value in best.items()}


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else float("nan")
