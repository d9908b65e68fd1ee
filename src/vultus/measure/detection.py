"""Detection: average precision, recall by size, false positives per image.

Detections are matched as in PASCAL VOC and WIDER FACE: in order of score, each detection takes the
true face that it overlaps most; it is a hit where the overlap reaches the limit and no better
detection took that face, else a false positive. Detections on faces that are marked to be ignored
count as neither.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vultus.errors import MeasureError
from vultus.geometry import box_iou
from vultus.measure.arrays import Bool, Float, Int, finite, sums
from vultus.measure.bootstrap import Resampling, bootstrap_ratio, percentile, weight_blocks
from vultus.measure.intervals import CONFIDENCE, Estimate, not_estimable, rate


@dataclass(frozen=True, eq=False)
class Matches:
    """Detections of a set of images, matched to its true faces.

    Parameters
    ----------
    score, hit, image
        (D,) of each detection that counts, best first: its score, whether it found a face, and
        the index of its image.
    truth_image, truth_size
        (G,) of each true face that counts: its image, and the root of its area in pixels.
    found_at
        (G,) score of the detection that found the face, -inf where none did.
    n_images
        Number of images.
    """

    score: Float
    hit: Bool
    image: Int
    truth_image: Int
    truth_size: Float
    found_at: Float
    n_images: int


def match(
    boxes: Sequence[ArrayLike],
    scores: Sequence[ArrayLike],
    truth: Sequence[ArrayLike],
    *,
    ignore: Sequence[ArrayLike] | None = None,
    iou: float = 0.5,
) -> Matches:
    """Match the detections of each image to its true faces.

    Parameters
    ----------
    boxes, scores
        For each image (D, 4) xyxy and (D,).
    truth
        For each image (G, 4) xyxy; empty where there is no face.
    ignore
        For each image bool (G,), true faces that count neither as found nor as missed.
    iou
        Intersection over union that a hit needs, in (0, 1].

    Raises
    ------
    MeasureError
        If lengths differ, a box is empty or not finite, or there are no images.
    """
    n = len(truth)
    if not n or len(boxes) != n or len(scores) != n or (ignore is not None and len(ignore) != n):
        raise MeasureError(
            f"{len(boxes)} images of boxes, {len(scores)} of scores and {n} of truth must be one "
            "number, not 0"
        )
    if not 0 < iou <= 1:
        raise MeasureError(f"iou lies in (0, 1], got {iou}")
    parts = [
        _match_image(
            _boxes(boxes[i], f"boxes of image {i}"),
            finite(scores[i], f"scores of image {i}").ravel(),
            _boxes(truth[i], f"truth of image {i}"),
            None if ignore is None else np.asarray(ignore[i], np.bool_),
            iou,
            i,
        )
        for i in range(n)
    ]
    score, hit, image, truth_image, size, found_at = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    order = np.argsort(-score, kind="stable")
    return Matches(
        score[order],
        hit[order].astype(np.bool_),
        image[order].astype(np.intp),
        truth_image.astype(np.intp),
        size,
        found_at,
        n,
    )


def _match_image(
    boxes: Float, scores: Float, truth: Float, ignore: Bool | None, iou: float, image: int
) -> tuple[Float, ...]:
    ignored = np.zeros(len(truth), np.bool_) if ignore is None else ignore
    if len(scores) != len(boxes) or ignored.shape != (len(truth),):
        raise MeasureError(
            f"image {image}: {len(boxes)} boxes with {len(scores)} scores, "
            f"{len(truth)} true faces with {ignored.shape} ignore marks"
        )
    found_at = np.full(len(truth), -np.inf)
    hit = np.zeros(len(boxes), np.bool_)
    counts = np.ones(len(boxes), np.bool_)
    if len(boxes) and len(truth):
        overlap = box_iou(boxes, truth)
        nearest = overlap.argmax(1)
        # float32 overlaps: a box that meets the limit exactly must not fail by rounding.
        touching = overlap[np.arange(len(boxes)), nearest] >= iou - 1e-6
        counts = ~(touching & ignored[nearest])
        order = np.argsort(-scores, kind="stable")
        order = order[(touching & counts)[order]]
        _, first = np.unique(nearest[order], return_index=True)
        taken = order[first]
        hit[taken] = True
        found_at[nearest[taken]] = scores[taken]
    sizes = np.sqrt((truth[:, 2] - truth[:, 0]) * (truth[:, 3] - truth[:, 1]))
    kept, place = ~ignored, float(image)
    return (
        scores[counts],
        hit[counts].astype(np.float64),
        np.full(int(counts.sum()), place),
        np.full(int(kept.sum()), place),
        sizes[kept],
        found_at[kept],
    )


def precision_recall(matches: Matches) -> tuple[Float, Float, Float]:
    """Return thresholds, precision and recall at every distinct score, best first, each (K,)."""
    ends = _score_ends(matches.score)
    hits = matches.hit.cumsum()[ends]
    precision = hits / (ends + 1)
    recall = hits / max(len(matches.found_at), 1)
    return matches.score[ends], np.asarray(precision, np.float64), np.asarray(recall, np.float64)


def average_precision(matches: Matches, resampling: Resampling = Resampling()) -> Estimate:
    """Return the area under the precision envelope over recall, with its interval over images.

    The envelope is the highest precision at that recall or more, as in VOC since 2010; every
    distinct score is a point, so the order of equal scores does not matter.
    """
    n = len(matches.found_at)
    if not n:
        return not_estimable(0, "there are no true faces", confidence=resampling.confidence)
    ends = _score_ends(matches.score)

    def area(weights: Float) -> Float:
        drawn = weights[:, matches.image]
        hits = (drawn * matches.hit).cumsum(1)[:, ends]
        total = weights[:, matches.truth_image].sum(1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.nan_to_num(hits / drawn.cumsum(1)[:, ends])
            recall = hits / total
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        steps = np.diff(recall, axis=1, prepend=0.0)
        return np.where(total[:, 0] > 0, (steps * envelope).sum(1), np.nan)

    value = float(area(np.ones((1, matches.n_images)))[0])
    # Blocks by the number of detections, which is what fills memory.
    step = max(1, 2_000_000 // max(len(matches.score), 1))
    replicates = [
        area(weights[i : i + step])
        for weights in weight_blocks(matches.n_images, None, resampling)
        for i in range(0, len(weights), step)
    ]
    return percentile(value, np.concatenate(replicates), n, "bootstrap over images", resampling)


def recall(
    matches: Matches, min_score: float = -np.inf, *, confidence: float = CONFIDENCE
) -> Estimate:
    """Return the share of true faces found by detections at or above a score; over images."""
    found = (matches.found_at >= min_score) & (matches.found_at > -np.inf)
    return rate(found, matches.truth_image, confidence=confidence)


def recall_by_size(
    matches: Matches,
    edges: Sequence[float],
    min_score: float = -np.inf,
    *,
    confidence: float = CONFIDENCE,
) -> list[tuple[float, float, Estimate]]:
    """Return recall for each range of face sizes.

    Parameters
    ----------
    matches
        From :func:`match`.
    edges
        Ascending sizes in pixels (root of the box area); each range includes its lower edge.
    min_score
        Detections below it do not count.
    confidence
        Level of the intervals.

    Returns
    -------
    list of (low, high, recall)
        Not estimable where no true face is of that size.
    """
    if len(edges) < 2 or (np.diff(edges) <= 0).any():
        raise MeasureError(f"edges must be two or more ascending sizes, got {list(edges)}")
    found = (matches.found_at >= min_score) & (matches.found_at > -np.inf)
    out = []
    for low, high in itertools.pairwise(edges):
        inside = (matches.truth_size >= low) & (matches.truth_size < high)
        share = rate(found[inside], matches.truth_image[inside], confidence=confidence)
        out.append((float(low), float(high), share))
    return out


def false_positives_per_image(
    matches: Matches, min_score: float = -np.inf, resampling: Resampling = Resampling()
) -> Estimate:
    """Return the mean number of false detections at or above a score, with its interval."""
    false = ~matches.hit & (matches.score >= min_score)
    per_image = sums(matches.image, false, matches.n_images)
    return bootstrap_ratio(per_image, None, None, resampling)


def _score_ends(scores: Float) -> Int:
    """Return the index of the last detection of each distinct score."""
    return np.flatnonzero(np.diff(scores, append=-np.inf))


def _boxes(values: ArrayLike, name: str) -> Float:
    array = finite(values, name)
    array = array.reshape(-1, 4) if array.size == 0 else array
    if array.ndim != 2 or array.shape[1] != 4:
        raise MeasureError(f"{name} must be (N, 4), got shape {array.shape}")
    if (array[:, 2:] <= array[:, :2]).any():
        raise MeasureError(f"{name}: a box is empty; boxes are x1, y1, x2, y2")
    return array
