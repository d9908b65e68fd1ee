"""Segmentation: IoU and F1 per class from confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import MeasureError
from vultus.measure.arrays import Float, codes_of, mean_defined
from vultus.measure.bootstrap import Resampling, method_name, percentile, weight_blocks
from vultus.measure.intervals import Estimate, not_estimable


def pixel_confusion(
    predicted: ArrayLike, truth: ArrayLike, classes: int, *, ignore: int | None = None
) -> NDArray[np.int64]:
    """Return the confusion matrix of one mask, int64 (K, K), rows truth, columns prediction.

    Parameters
    ----------
    predicted, truth
        Integer masks of one shape, values 0 to K - 1.
    classes
        K.
    ignore
        True label whose pixels do not count; it may lie outside 0 to K - 1.

    Raises
    ------
    MeasureError
        If shapes differ, or a label lies outside the classes.
    """
    p, t = np.asarray(predicted), np.asarray(truth)
    if p.shape != t.shape or p.dtype.kind not in "iu" or t.dtype.kind not in "iu":
        raise MeasureError(
            f"masks must be integers of one shape, got {p.dtype} {p.shape} and {t.dtype} {t.shape}"
        )
    if ignore is not None:
        kept = t != ignore
        p, t = p[kept], t[kept]
    for name, mask in (("predicted", p), ("truth", t)):
        if mask.size and (mask.min() < 0 or mask.max() >= classes):
            raise MeasureError(
                f"{name} mask has labels {mask.min()} to {mask.max()}, expected 0 to {classes - 1}"
            )
    cells = t.ravel().astype(np.int64) * classes + p.ravel()
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes).astype(np.int64)


@dataclass(frozen=True, slots=True)
class ParsingScores:
    """Figures of a segmentation test set; pixels of all images are pooled.

    Parameters
    ----------
    iou, f1
        Per class: intersection over union, and 2 TP / (2 TP + FP + FN); not estimable for a class
        that is neither in the truth nor in the predictions.
    mean_iou, mean_f1
        Means over the classes that are estimable.
    accuracy
        Share of pixels with the right class.
    """

    iou: dict[str, Estimate]
    f1: dict[str, Estimate]
    mean_iou: Estimate
    mean_f1: Estimate
    accuracy: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "iou": {name: estimate.to_dict() for name, estimate in self.iou.items()},
            "f1": {name: estimate.to_dict() for name, estimate in self.f1.items()},
            "mean_iou": self.mean_iou.to_dict(),
            "mean_f1": self.mean_f1.to_dict(),
            "accuracy": self.accuracy.to_dict(),
        }


def parsing_scores(
    confusions: ArrayLike,
    names: Sequence[str],
    people: ArrayLike | None = None,
    *,
    mean_over: Sequence[str] | None = None,
    resampling: Resampling = Resampling(),
) -> ParsingScores:
    """Measure segmentation from the confusion matrix of each image.

    Parameters
    ----------
    confusions
        (N, K, K) from :func:`pixel_confusion`.
    names
        Of the K classes.
    people
        (N,) who each image shows, for intervals over people instead of images.
    mean_over
        Classes that the means are over, all if not given; often all but the background.
    resampling
        How the bootstrap is run.
    """
    counts = np.asarray(confusions)
    k = len(names)
    if counts.ndim != 3 or counts.shape[1:] != (k, k) or not len(counts):
        raise MeasureError(f"confusions must be (N, {k}, {k}), got shape {counts.shape}")
    if counts.dtype.kind not in "iu" or (counts < 0).any():
        raise MeasureError(f"confusions must be counts, got {counts.dtype}")
    if len(set(names)) != k or not set(mean_over or names) <= set(names):
        raise MeasureError(f"names must differ and hold those of mean_over, got {list(names)}")
    averaged = np.array([name in (mean_over or names) for name in names])
    flat = counts.reshape(len(counts), -1).astype(np.float64)
    if people is not None:
        codes, size = codes_of(people, "people", len(flat))
        grouped = np.zeros((size, flat.shape[1]))
        np.add.at(grouped, codes, flat)
        flat = grouped
    value = _figures(flat.sum(0, keepdims=True), k, averaged)[0]
    replicates = np.concatenate(
        [
            _figures(weights @ flat, k, averaged)
            for weights in weight_blocks(len(flat), None, resampling)
        ]
    )
    n, over = len(counts), method_name(people)

    def estimate(i: int) -> Estimate:
        if np.isnan(value[i]):
            return not_estimable(n, "no such pixels", confidence=resampling.confidence)
        return percentile(float(value[i]), replicates[:, i], n, over, resampling)

    return ParsingScores(
        {name: estimate(i) for i, name in enumerate(names)},
        {name: estimate(k + i) for i, name in enumerate(names)},
        estimate(2 * k),
        estimate(2 * k + 1),
        estimate(2 * k + 2),
    )


def _figures(flat: Float, k: int, averaged: NDArray[np.bool_]) -> Float:
    """Return IoU (B, K), F1 (B, K), both means and the accuracy of confusions (B, K * K)."""
    matrix = flat.reshape(-1, k, k)
    right = np.diagonal(matrix, axis1=1, axis2=2)
    truth, predicted = matrix.sum(2), matrix.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = right / (truth + predicted - right)
        f1 = 2 * right / (truth + predicted)
        accuracy = right.sum(1) / matrix.sum((1, 2))
    means = [mean_defined(values[:, averaged]) for values in (iou, f1)]
    return np.concatenate([iou, f1, np.stack([*means, accuracy], 1)], axis=1)
