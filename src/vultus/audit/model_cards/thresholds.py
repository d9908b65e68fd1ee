"""The decision threshold: chosen once, on development data, for all groups alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from vultus.audit.model_cards.evidence import Threshold, ThresholdRule
from vultus.audit.model_cards.measures import THRESHOLDED
from vultus.audit.model_cards.table import PredictionTable
from vultus.errors import MeasureError
from vultus.measure.comparisons import Comparisons
from vultus.measure.verification import best_threshold, eer, threshold_at_far

_RULES: Final = ("accuracy", "equal-error", "fpr")


def fixed_threshold(value: float) -> Threshold:
    """Return a threshold that was set before any data of the card was looked at."""
    return Threshold(value=value, rule="fixed", target=None, split=None, n=0)


def choose_threshold(
    table: PredictionTable,
    rule: ThresholdRule = "accuracy",
    *,
    target: float | None = None,
    split: str = "dev",
    test: str = "test",
) -> Threshold:
    """Choose a threshold on the development split of a binary or verification table.

    Parameters
    ----------
    table
        With scores of both splits.
    rule
        ``accuracy``, ``equal-error``, or ``fpr`` with a target (the FAR, in verification).
    target
        In (0, 1), for ``fpr`` alone.
    split, test
        Where it is chosen, and the split that it is for.

    Raises
    ------
    MeasureError
        If the two splits are the same or share people, if a class is missing, or if the data are
        too few for the target.
    """
    if table.task not in THRESHOLDED:
        raise MeasureError(f"a {table.task} table takes no threshold")
    if rule not in _RULES:
        raise MeasureError(f"a threshold is chosen by one of {list(_RULES)}, got {rule!r}")
    if (rule == "fpr") != (target is not None):
        raise MeasureError("rule 'fpr' needs a target, and no other rule takes one")
    if split == test:
        raise MeasureError(f"a threshold must not be chosen on the evaluated split {split!r}")
    part = table.part(split)
    _refuse_shared_people(part, table.part(test))
    truth = part.values["label"] == 1
    sides = Comparisons.from_pairs(part.values["score"], truth)
    value = _choices(target)[rule](sides)
    if np.isnan(value):
        raise MeasureError(
            f"{int((~truth).sum())} negatives of {split!r} are too few for a rate of {target:g}"
        )
    return Threshold(value=value, rule=rule, target=target, split=split, n=len(part))


def _choices(target: float | None) -> Mapping[str, Callable[[Comparisons], float]]:
    return {
        "accuracy": best_threshold,
        "equal-error": lambda sides: eer(sides).threshold,
        "fpr": lambda sides: threshold_at_far(sides, target or 0.0),
    }


def _refuse_shared_people(first: PredictionTable, second: PredictionTable) -> None:
    if first.people is None or second.people is None:
        return
    shared = np.intersect1d(first.people, second.people)
    if shared.size:
        raise MeasureError(
            f"{shared.size} people are in both splits, the first is {shared[0]!r}: "
            "a threshold chosen on them is not independent of the evaluation"
        )
