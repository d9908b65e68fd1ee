"""What code fills into a model card: results, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from vultus.measure.groups import MIN_CELL
from vultus.settings import settings

NotEvaluated = Literal["not evaluated"]
NOT_EVALUATED: Final[NotEvaluated] = "not evaluated"

#: Cells with fewer independent units are flagged: their intervals do not hold what they promise.
SMALL: Final = MIN_CELL

Task = Literal["binary", "multiclass", "regression", "landmarks", "verification"]

ThresholdRule = Literal["accuracy", "equal-error", "fpr", "fixed"]

#: Where a group label comes from; ``exact`` are labels of a renderer.
LabelSource = Literal["self-reported", "annotated", "model-predicted", "exact", "derived"]


@settings
class Provenance:
    """Where the group labels of a factor come from.

    Parameters
    ----------
    kind
        ``exact`` are labels of a renderer, ``derived`` are computed from other labels.
    source
        Who or what labelled, and what the label means.
    error
        Known error of the labels. Must be stated for labels that a model predicted, whose error
        goes with the group.
    """

    kind: LabelSource
    source: str
    error: str = NOT_EVALUATED


@settings
class EvaluationFactor:
    """A factor that results are reported over (measured).

    Parameters
    ----------
    name
        Name of the table's column.
    groups
        Every group of it in the evaluation data, with its number of items.
    unlabelled
        Items without a label; they count in the overall results alone.
    provenance
        Of the labels.
    """

    name: str
    groups: Mapping[str, int]
    unlabelled: int
    provenance: Provenance


@settings
class Measure:
    """A performance measure: its definition, and what a reader learns from it (measured)."""

    name: str
    title: str
    definition: str
    reason: str


@settings
class Threshold:
    """The decision threshold, one for all groups (measured).

    Parameters
    ----------
    value
        A score at or above it is a positive decision.
    rule
        How it was chosen: the highest accuracy; equal error rates of both classes; the highest
        true positive rate with a false positive rate of at most ``target``; or not at all.
    target
        Of the rule ``fpr``, otherwise None.
    split
        Split of the table that it was chosen on; None if it was set beforehand.
    n
        Items that it was chosen on, 0 if it was set beforehand.
    """

    value: float
    rule: ThresholdRule
    target: float | None
    split: str | None
    n: int


@settings
class Uncertainty:
    """How intervals were found (measured).

    Parameters
    ----------
    method
        In words.
    confidence
        Level of the intervals.
    resamples, seed
        Of the bootstrap.
    unit
        What is resampled: people, or items where people are not known.
    """

    method: str
    confidence: float
    resamples: int
    seed: int
    unit: str


@settings
class FrozenTable:
    """The file that every number of the card was computed from (measured).

    Parameters
    ----------
    file
        Name of the file.
    sha256
        Of its bytes.
    task
        What the predictions are.
    split
        Split that was evaluated.
    n
        Items of that split.
    people
        Different people among them, or ``"not evaluated"`` where identities are not known.
    """

    file: str
    sha256: str
    task: Task
    split: str
    n: int
    people: int | NotEvaluated


@settings
class Interval:
    """A value with its confidence interval; all None where it is not estimable.

    Parameters
    ----------
    value, low, high
        Estimate and ends of the interval.
    method
        How the interval was found.
    note
        Why there is no value, where there is none; otherwise empty.
    """

    value: float | None
    low: float | None
    high: float | None
    method: str
    note: str = ""


@settings
class Result:
    """One measure in one cell.

    Parameters
    ----------
    metric
        Name of the measure.
    cell
        Factor to group; empty for all items.
    n
        Items in the cell.
    people
        Independent units behind the trials: people, or items where people are not known.
    trials
        Items that the measure rests on: its denominator, or for an area under a curve the
        smaller class.
    events
        Items counted in the numerator of a rate; None for other measures.
    small
        Whether fewer than :data:`SMALL` independent units stand behind it.
    estimate
        Value and interval.
    """

    metric: str
    cell: Mapping[str, str]
    n: int
    people: int
    trials: int
    events: int | None
    small: bool
    estimate: Interval


@settings
class Disparity:
    """The largest difference of a measure between two cells of the same factors.

    Parameters
    ----------
    metric
        Name of the measure.
    factors
        Factors whose cells are compared.
    highest, lowest
        The two cells.
    difference
        Their difference, with an interval that holds for all pairs of cells at once.
    pairs
        Number of pairs compared; small cells are left out.
    """

    metric: str
    factors: tuple[str, ...]
    highest: Mapping[str, str]
    lowest: Mapping[str, str]
    difference: Interval
    pairs: int


@settings
class ReportedFigure:
    """A figure that a stated command printed, not computed from this card's table.

    Parameters
    ----------
    metric, value, low, high
        What was measured, and its 95 % interval.
    n
        Items behind it.
    on
        Data that it was measured on.
    command
        The command that printed it.
    """

    metric: str
    value: float
    low: float
    high: float
    n: int
    on: str
    command: str


@settings
class Figure:
    """A picture of results, beside the card."""

    file: str
    caption: str
