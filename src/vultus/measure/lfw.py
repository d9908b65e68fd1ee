"""The two protocols of Labeled Faces in the Wild (Huang et al., 2007).

View 1 is for development: a threshold from the training pairs, accuracy on the test pairs. View 2
is for reporting: ten folds, each decided with the threshold of the other nine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vultus.errors import MeasureError
from vultus.measure.arrays import codes_of, mask_of, probability, scores_of
from vultus.measure.comparisons import Comparisons
from vultus.measure.distributions import t_quantile
from vultus.measure.intervals import CONFIDENCE, Estimate
from vultus.measure.verification import EqualErrorRate, accuracy, auc, best_threshold, eer


@dataclass(frozen=True, slots=True)
class View1:
    """Result of the development view.

    Parameters
    ----------
    threshold
        Of highest accuracy on the training pairs.
    train_accuracy
        On the pairs that the threshold was chosen on, hence optimistic.
    accuracy
        On the test pairs.
    auc, eer
        Of the test pairs; free of the threshold.
    """

    threshold: float
    train_accuracy: Estimate
    accuracy: Estimate
    auc: Estimate
    eer: EqualErrorRate

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "threshold": self.threshold,
            "train_accuracy": self.train_accuracy.to_dict(),
            "accuracy": self.accuracy.to_dict(),
            "auc": self.auc.to_dict(),
            **self.eer.to_dict(),
        }


def view1(train: Comparisons, test: Comparisons) -> View1:
    """Measure the development view: threshold from DevTrain, figures on DevTest."""
    threshold = best_threshold(train)
    return View1(
        threshold,
        accuracy(train, threshold),
        accuracy(test, threshold),
        auc(test),
        eer(test),
    )


@dataclass(frozen=True, slots=True)
class View2:
    """Result of the reporting view.

    Parameters
    ----------
    accuracy
        Mean over the folds, with Student's interval.
    standard_error
        Of the mean: the standard deviation over folds (n - 1) over the root of their number.
    fold_accuracies, thresholds
        Of each fold, in the order of the fold labels.
    """

    accuracy: Estimate
    standard_error: float
    fold_accuracies: tuple[float, ...]
    thresholds: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "accuracy": self.accuracy.to_dict(),
            "standard_error": self.standard_error,
            "fold_accuracies": list(self.fold_accuracies),
            "thresholds": list(self.thresholds),
        }


def view2(
    scores: ArrayLike, same: ArrayLike, folds: ArrayLike, *, confidence: float = CONFIDENCE
) -> View2:
    """Measure the reporting view, or any k-fold verification of its kind.

    Parameters
    ----------
    scores
        (N,) of all pairs.
    same
        bool (N,).
    folds
        (N,) label of each pair's fold. People of different folds should be different.
    confidence
        Level of the interval.

    Raises
    ------
    MeasureError
        If there are fewer than two folds, or the folds but one lack one kind of pair.
    """
    values = np.asarray(scores)
    scores_of(values, "scores", allow_failures=True)
    probability(confidence, "confidence")
    mask = mask_of(same, "same", len(values))
    codes, k = codes_of(folds, "folds", len(values))
    if k < 2:
        raise MeasureError(f"cross-validation needs two folds or more, got {k}")
    accuracies, thresholds = [], []
    for fold in range(k):
        inside = codes == fold
        threshold = best_threshold(Comparisons.from_pairs(values[~inside], mask[~inside]))
        accuracies.append(float(((values[inside] >= threshold) == mask[inside]).mean()))
        thresholds.append(threshold)
    mean, error = float(np.mean(accuracies)), float(np.std(accuracies, ddof=1)) / math.sqrt(k)
    half = t_quantile((1 + confidence) / 2, k - 1) * error
    estimate = Estimate(
        mean,
        max(mean - half, 0.0),
        min(mean + half, 1.0),
        len(values),
        confidence,
        f"Student's t over {k} folds",
    )
    return View2(estimate, error, tuple(accuracies), tuple(thresholds))
