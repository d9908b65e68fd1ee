"""Classification: accuracy, F1, error rates of two classes, AUC, calibration, confusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import MeasureError
from vultus.measure import verification
from vultus.measure.arrays import (
    Float,
    Int,
    codes_of,
    finite,
    labels_of,
    mask_of,
    mean_defined,
    scores_of,
    sums,
)
from vultus.measure.bootstrap import (
    Resampling,
    bootstrap_ratio,
    method_name,
    percentile,
    weight_blocks,
)
from vultus.measure.comparisons import Comparisons
from vultus.measure.intervals import CONFIDENCE, Estimate, not_estimable, rate


def confusion_matrix(
    truth: ArrayLike, predicted: ArrayLike, classes: Sequence[Any] | None = None
) -> tuple[NDArray[np.int64], list[Any]]:
    """Return counts, int64 (K, K), rows truth and columns prediction, and the K classes.

    Parameters
    ----------
    truth, predicted
        (N,) labels of one type.
    classes
        Order of rows and columns; all labels that occur, sorted, if not given.

    Raises
    ------
    MeasureError
        If lengths differ, or a label is not among the classes.
    """
    t, p, names = _coded(truth, predicted, classes)
    k = len(names)
    counts = np.bincount(t * k + p, minlength=k * k).reshape(k, k)
    return counts.astype(np.int64), names


@dataclass(frozen=True, slots=True)
class ClassificationScores:
    """Figures of a classification test set.

    Parameters
    ----------
    accuracy
        Share of items with the right class.
    balanced_accuracy
        Mean recall over the classes that occur in the truth.
    macro_f1
        Mean F1 over the classes that occur in the truth or in the predictions.
    precision, recall, f1
        Per class; not estimable where the denominator is zero.
    """

    accuracy: Estimate
    balanced_accuracy: Estimate
    macro_f1: Estimate
    precision: dict[Any, Estimate]
    recall: dict[Any, Estimate]
    f1: dict[Any, Estimate]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; classes become strings."""
        out: dict[str, Any] = {
            name: getattr(self, name).to_dict()
            for name in ("accuracy", "balanced_accuracy", "macro_f1")
        }
        for name in ("precision", "recall", "f1"):
            out[name] = {str(label): e.to_dict() for label, e in getattr(self, name).items()}
        return out


def classification_scores(
    truth: ArrayLike,
    predicted: ArrayLike,
    people: ArrayLike | None = None,
    *,
    classes: Sequence[Any] | None = None,
    resampling: Resampling = Resampling(),
) -> ClassificationScores:
    """Measure predicted classes.

    Parameters
    ----------
    truth, predicted
        (N,) labels of one type.
    people
        (N,) who each item shows, for intervals over people.
    classes
        As in :func:`confusion_matrix`.
    resampling
        How the bootstrap is run.
    """
    t, p, names = _coded(truth, predicted, classes)
    n, k = len(t), len(names)
    unit, units = (np.arange(n), n) if people is None else codes_of(people, "people", n)
    # Per unit and class: right ones, true ones, predicted ones; all figures follow from the sums.
    table = np.zeros((units, 3 * k))
    np.add.at(table, (unit[t == p], t[t == p]), 1)
    np.add.at(table, (unit, k + t), 1)
    np.add.at(table, (unit, 2 * k + p), 1)
    value = _figures(table.sum(0, keepdims=True), k)[0]
    blocks = weight_blocks(units, None, resampling)
    replicates = np.concatenate([_figures(weights @ table, k) for weights in blocks])

    def estimate(i: int) -> Estimate:
        if np.isnan(value[i]):
            return not_estimable(n, "no such items", confidence=resampling.confidence)
        return percentile(float(value[i]), replicates[:, i], n, method_name(people), resampling)

    return ClassificationScores(
        rate(t == p, people, confidence=resampling.confidence),
        estimate(3 * k),
        estimate(3 * k + 1),
        *({name: estimate(part * k + i) for i, name in enumerate(names)} for part in range(3)),
    )


@dataclass(frozen=True, slots=True)
class BinaryRates:
    """The four error rates of a decision (Mitchell et al., "Model cards", 2019).

    FPR = FP / (FP + TN) and FNR = FN / (FN + TP) are given the truth; FDR = FP / (FP + TP) and
    FOR = FN / (FN + TN) are given the decision.
    """

    fpr: Estimate
    fnr: Estimate
    fdr: Estimate
    for_: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON, under fpr, fnr, fdr and for."""
        return {
            "fpr": self.fpr.to_dict(),
            "fnr": self.fnr.to_dict(),
            "fdr": self.fdr.to_dict(),
            "for": self.for_.to_dict(),
        }


def binary_rates(
    truth: ArrayLike,
    predicted: ArrayLike,
    people: ArrayLike | None = None,
    *,
    confidence: float = CONFIDENCE,
) -> BinaryRates:
    """Return the four error rates of decisions, bool (N,) both; intervals over people."""
    t = mask_of(truth, "truth")
    p = mask_of(predicted, "predicted", len(t))
    who = None if people is None else labels_of(people, "people", len(t))

    def among(kept: NDArray[np.bool_]) -> Estimate:
        return rate((t != p)[kept], None if who is None else who[kept], confidence=confidence)

    return BinaryRates(among(~t), among(t), among(p), among(~p))


def auc(
    truth: ArrayLike,
    scores: ArrayLike,
    people: ArrayLike | None = None,
    resampling: Resampling = Resampling(),
) -> Estimate:
    """Return the area under the ROC curve of a score for a two-class truth.

    Parameters
    ----------
    truth
        bool (N,).
    scores
        (N,), higher for True.
    people
        (N,) who each item shows, for intervals over people.
    resampling
        How the bootstrap is run.
    """
    values = scores_of(scores, "scores")
    t = mask_of(truth, "truth", len(values))
    if t.all() or not t.any():
        return not_estimable(len(t), "one class only", confidence=resampling.confidence)
    who = None if people is None else labels_of(people, "people", len(t))
    kept = (None, None) if who is None else (who[t], who[~t])
    return verification.auc(Comparisons(values[t], values[~t], *kept), resampling)


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence against accuracy (Guo et al., 2017).

    Parameters
    ----------
    edges
        (B + 1,) of the confidence bins.
    confidence, accuracy, count
        (B,) mean confidence, share of right predictions and number of items per bin; NaN where it
        is empty.
    ece
        Expected calibration error: mean over items of the gap in their bin. Biased upwards in
        small samples, since gaps of chance add up.
    """

    edges: Float
    confidence: Float
    accuracy: Float
    count: Int
    ece: Estimate


def reliability(
    truth: ArrayLike,
    probabilities: ArrayLike,
    people: ArrayLike | None = None,
    *,
    bins: int = 15,
    resampling: Resampling = Resampling(),
) -> Reliability:
    """Measure whether confidences can be taken at their word.

    Parameters
    ----------
    truth
        (N,) index of the true class, or bool (N,) for two classes.
    probabilities
        (N, K) for K classes: the highest is the prediction and its confidence. Or (N,) of the
        class True: the confidence is then that probability itself, over [0, 1].
    people
        (N,) who each item shows, for intervals over people.
    bins
        Number of bins of equal width.
    resampling
        How the bootstrap is run.
    """
    p = finite(probabilities, "probabilities")
    if p.ndim not in (1, 2) or not len(p) or (p < -1e-6).any() or (p > 1 + 1e-6).any():
        raise MeasureError(f"probabilities must be (N,) or (N, K) in [0, 1], got {p.shape}")
    if p.ndim == 1:
        stated, right = p, mask_of(truth, "truth", len(p))
    else:
        if (np.abs(p.sum(1) - 1) > 1e-3).any():
            raise MeasureError("probabilities of the classes must sum to 1")
        labels = labels_of(truth, "truth", len(p))
        if labels.dtype.kind not in "iu" or not np.isin(labels, np.arange(p.shape[1])).all():
            raise MeasureError(f"truth must be class indices 0 to {p.shape[1] - 1}")
        stated, right = p.max(1), np.asarray(p.argmax(1) == labels, np.bool_)
    edges = np.linspace(0, 1, bins + 1)
    place = (np.searchsorted(edges, stated, side="left") - 1).clip(0, bins - 1)
    unit, units = (np.arange(len(p)), len(p)) if people is None else codes_of(people, "people")
    gaps = np.zeros((units, bins))
    np.add.at(gaps, (unit, place), right - stated)
    sizes = sums(unit, np.ones(len(p)), units)

    def error(weights: Float) -> Float:
        return np.asarray(np.abs(weights @ gaps).sum(1) / (weights @ sizes), np.float64)

    blocks = weight_blocks(units, None, resampling)
    replicates = np.concatenate([error(weights) for weights in blocks])
    value = float(error(np.ones((1, units)))[0])
    count = np.bincount(place, minlength=bins)
    filled = np.where(count > 0, count, np.nan)
    return Reliability(
        edges,
        sums(place, stated, bins) / filled,
        sums(place, right, bins) / filled,
        count,
        percentile(value, replicates, len(p), method_name(people), resampling),
    )


def brier_score(
    truth: ArrayLike,
    probabilities: ArrayLike,
    people: ArrayLike | None = None,
    resampling: Resampling = Resampling(),
) -> Estimate:
    """Return the mean squared error of the probability (N,) of a two-class truth, bool (N,)."""
    p = scores_of(probabilities, "probabilities")
    t = mask_of(truth, "truth", len(p))
    return bootstrap_ratio((p - t) ** 2, None, people, resampling)


def _coded(
    truth: ArrayLike, predicted: ArrayLike, classes: Sequence[Any] | None
) -> tuple[Int, Int, list[Any]]:
    t = labels_of(truth, "truth")
    p = labels_of(predicted, "predicted", len(t))
    if not len(t):
        raise MeasureError("there is nothing to measure: truth is empty")
    if (t.dtype.kind in "US") != (p.dtype.kind in "US"):
        raise MeasureError(f"truth is {t.dtype} but predicted {p.dtype}: use one type of label")
    joined = np.concatenate([t, p])
    known, codes = np.unique(joined, return_inverse=True)
    names: list[Any] = known.tolist()
    if classes is not None:
        order = {label: i for i, label in enumerate(classes)}
        missing = [name for name in names if name not in order]
        if missing or len(order) != len(classes):
            raise MeasureError(f"labels {missing} are not among the classes {list(classes)}")
        codes = np.array([order[name] for name in names])[codes]
        names = list(classes)
    return codes[: len(t)].astype(np.intp), codes[len(t) :].astype(np.intp), names


def _figures(sums_: Float, k: int) -> Float:
    """Return precision, recall, F1 (B, K) each, balanced accuracy and macro F1."""
    right, true, predicted = sums_[:, :k], sums_[:, k : 2 * k], sums_[:, 2 * k :]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = right / predicted, right / true
        f1 = 2 * right / (true + predicted)
    means = [mean_defined(recall), mean_defined(f1)]
    return np.concatenate([precision, recall, f1, np.stack(means, 1)], axis=1)
