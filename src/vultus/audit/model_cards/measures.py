"""Measures of each task as ratios of sums over items, which is what resamples quickly.

The four error rates of a binary decision are those of section 4.4 of the paper: FPR and FNR
condition on the truth (equalised odds), FDR and FOR on the prediction (predictive parity). Where
base rates differ between groups, equality of one pair generally excludes equality of the other,
so all four are reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from vultus.audit.model_cards.evidence import Measure, Task, Threshold
from vultus.audit.model_cards.table import PredictionTable
from vultus.errors import MeasureError
from vultus.measure.arrays import Float

#: The error rates that are reported together or not at all.
ERROR_RATES: Final = ("fpr", "fnr", "fdr", "for")

#: Measures whose denominator is chosen by the prediction: undefined where a cell has one class.
BY_PREDICTION: Final = ("fdr", "for")

#: Thresholded tasks.
THRESHOLDED: Final[tuple[Task, ...]] = ("binary", "verification")


@dataclass(frozen=True, eq=False)
class Terms:
    """A measure as a ratio of sums.

    Parameters
    ----------
    top, bottom
        float64 (N,): the measure of some items is sum(top) / sum(bottom) over them.
    rate
        Whether it counts events, so that top and bottom are 0 or 1.
    """

    top: Float
    bottom: Float
    rate: bool


def _measure(name: str, title: str, definition: str, reason: str) -> tuple[str, Measure]:
    return name, Measure(name=name, title=title, definition=definition, reason=reason)


#: Every measure that a card can hold, by name.
MEASURES: Final[Mapping[str, Measure]] = dict(
    [
        _measure(
            "accuracy",
            "Accuracy",
            "share of items decided rightly",
            "the plainest summary; it hides which error is made, and follows the base rate",
        ),
        _measure(
            "fpr",
            "False positive rate",
            "FP / (FP + TN), the share of true negatives decided positive",
            "what a person without the attribute risks (equalised odds)",
        ),
        _measure(
            "fnr",
            "False negative rate",
            "FN / (FN + TP), the share of true positives decided negative",
            "what a person with the attribute risks (equalised odds)",
        ),
        _measure(
            "fdr",
            "False discovery rate",
            "FP / (FP + TP), the share of positive decisions that are wrong",
            "how far a positive decision can be believed (predictive parity)",
        ),
        _measure(
            "for",
            "False omission rate",
            "FN / (FN + TN), the share of negative decisions that are wrong",
            "how far a negative decision can be believed (predictive parity)",
        ),
        _measure(
            "mae",
            "Mean absolute error",
            "mean of |prediction - label|, in the label's unit",
            "the typical size of an error",
        ),
        _measure(
            "bias",
            "Mean signed error",
            "mean of prediction - label, in the label's unit",
            "whether a group is systematically over- or underestimated",
        ),
        _measure(
            "nme",
            "Normalised mean error",
            "mean over faces of the normalised distance between predicted and true points",
            "the usual error of landmarks, free of the size of the face",
        ),
        _measure(
            "fmr",
            "False match rate",
            "share of comparisons of different people that are accepted (ISO/IEC 19795-1)",
            "security: how often a stranger passes",
        ),
        _measure(
            "fnmr",
            "False non-match rate",
            "share of comparisons of the same person that are rejected (ISO/IEC 19795-1)",
            "convenience: how often the right person fails",
        ),
        _measure(
            "tar",
            "True accept rate at the threshold (TAR@FAR)",
            "1 - FNMR at the one threshold whose FMR met the target on the development split",
            "the usual single number; read it with the FMR that each group has at the threshold",
        ),
        _measure(
            "subgroup_auc",
            "Subgroup AUC",
            "area under the ROC curve within the group",
            "ranking within the group, free of the threshold",
        ),
        _measure(
            "pinned_auc",
            "Pinned AUC",
            "AUC of the group's items pooled with as much weight of all items",
            "ranking of the group among everybody (Dixon et al., 2018); its authors later showed "
            "that it hides some biases, so it is read with the other three",
        ),
        _measure(
            "bpsn_auc",
            "BPSN AUC",
            "AUC of the group's negatives against the other groups' positives",
            "low where the group's negatives score too high",
        ),
        _measure(
            "bnsp_auc",
            "BNSP AUC",
            "AUC of the group's positives against the other groups' negatives",
            "low where the group's positives score too low",
        ),
    ]
)

#: Areas under curves; they need scores, and are no ratios.
RANKINGS: Final = ("subgroup_auc", "pinned_auc", "bpsn_auc", "bnsp_auc")


def decided(table: PredictionTable, threshold: Threshold | None) -> Float:
    """Return which items of a thresholded task are decided positive, float64 (N,) of 0 and 1."""
    if threshold is None:
        raise MeasureError(
            f"a {table.task} table needs a threshold: choose it on a development split, "
            "or state one that was fixed beforehand"
        )
    score = table.values["score"]
    return np.asarray((score >= threshold.value) & (score > -np.inf), np.float64)


def terms(table: PredictionTable, threshold: Threshold | None = None) -> dict[str, Terms]:
    """Return the measures of a table's task.

    Parameters
    ----------
    table
        The rows to be evaluated.
    threshold
        For binary and verification tables.
    """
    ones = np.ones(len(table))
    if table.task in THRESHOLDED:
        return _decisions(table, decided(table, threshold))
    if table.task == "multiclass":
        right = table.values["label"] == table.values["prediction"]
        return {"accuracy": Terms(right.astype(np.float64), ones, True)}
    if table.task == "regression":
        error = table.values["prediction"] - table.values["label"]
        return {"mae": Terms(np.abs(error), ones, False), "bias": Terms(error, ones, False)}
    return {"nme": Terms(table.values["error"], ones, False)}


def _decisions(table: PredictionTable, positive: Float) -> dict[str, Terms]:
    truth = table.values["label"]
    negative, false = 1 - positive, 1 - truth
    found = {"accuracy": Terms((positive == truth).astype(np.float64), np.ones(len(table)), True)}
    if table.task == "verification":
        return found | {
            "fmr": Terms(positive * false, false, True),
            "fnmr": Terms(negative * truth, truth, True),
            "tar": Terms(positive * truth, truth, True),
        }
    return found | {
        "fpr": Terms(positive * false, false, True),
        "fnr": Terms(negative * truth, truth, True),
        "fdr": Terms(positive * false, positive, True),
        "for": Terms(negative * truth, negative, True),
    }
