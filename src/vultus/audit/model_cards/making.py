"""From a description and a frozen table to a card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vultus.audit.model_cards.evaluation import MIN_RESAMPLES, Evaluation, evaluate
from vultus.audit.model_cards.evidence import (
    NOT_EVALUATED,
    FrozenTable,
    Threshold,
    ThresholdRule,
)
from vultus.audit.model_cards.measures import RANKINGS, THRESHOLDED
from vultus.audit.model_cards.schema import (
    SCHEMA,
    Description,
    ModelCard,
    QuantitativeAnalyses,
)
from vultus.audit.model_cards.table import PredictionTable, read_table
from vultus.audit.model_cards.thresholds import choose_threshold, fixed_threshold
from vultus.errors import ConfigError
from vultus.settings import load_yaml, read_settings

#: Decimals that a card keeps.
DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Plan:
    """What is computed from a table.

    Parameters
    ----------
    split, dev
        Split to evaluate, and split that the threshold is chosen on.
    rule, target
        See :func:`~vultus.audit.model_cards.thresholds.choose_threshold`.
    threshold
        A threshold fixed beforehand, in place of a rule.
    factors, most
        Factors to report over, all if not given, and most of them in a combination.
    rankings
        Whether to add areas under curves.
    resamples, seed
        Of the bootstrap.
    """

    split: str = "test"
    dev: str = "dev"
    rule: ThresholdRule = "accuracy"
    target: float | None = None
    threshold: float | None = None
    factors: tuple[str, ...] | None = None
    most: int | None = None
    rankings: bool = True
    resamples: int = MIN_RESAMPLES
    seed: int = 0

    def evaluate(self, table: PredictionTable) -> Evaluation:
        """Choose the threshold where the task has one, and evaluate the split."""
        return evaluate(
            table,
            split=self.split,
            threshold=self._threshold(table),
            factors=self.factors,
            most=self.most,
            rankings=self.rankings,
            resamples=self.resamples,
            seed=self.seed,
        )

    def _threshold(self, table: PredictionTable) -> Threshold | None:
        if table.task not in THRESHOLDED:
            return None
        if self.threshold is not None:
            return fixed_threshold(self.threshold)
        return choose_threshold(
            table, self.rule, target=self.target, split=self.dev, test=self.split
        )


def read_description(path: Path | str) -> Description:
    """Read the YAML file in which an author describes a model.

    Raises
    ------
    ConfigError
        If it does not fit the schema, or states what only an evaluation may fill in.
    """
    file = Path(path)
    description = read_settings(Description, load_yaml(file), str(file))
    measured = {
        "factors.evaluation": description.factors.evaluation,
        "metrics.measures": description.metrics.measures,
        "metrics.threshold": description.metrics.threshold,
        "metrics.uncertainty": description.metrics.uncertainty,
        "evaluation_data.table": description.evaluation_data.table,
    }
    stated = [name for name, value in measured.items() if value != NOT_EVALUATED]
    if stated:
        raise ConfigError(f"{file}: leave out {stated}: these are filled in from the table")
    return description


def make_card(
    description: Description, table: Path | str | None, *, command: str, plan: Plan = Plan()
) -> ModelCard:
    """Return the card of a model.

    Parameters
    ----------
    description
        What its author says.
    table
        Frozen predictions, or None where nothing was evaluated.
    command
        What makes the card, for the record.
    plan
        What is computed from the table.

    Raises
    ------
    MeasureError
        If the table cannot be read or evaluated.
    """
    bare = ModelCard(
        schema=SCHEMA,
        command=command,
        model_details=description.model_details,
        intended_use=description.intended_use,
        factors=description.factors,
        metrics=description.metrics,
        evaluation_data=description.evaluation_data,
        training_data=description.training_data,
        quantitative_analyses=QuantitativeAnalyses(),
        ethical_considerations=description.ethical_considerations,
        caveats_and_recommendations=description.caveats_and_recommendations,
    )
    if table is None:
        return bare
    rows, sha256 = read_table(table)
    found = plan.evaluate(rows)
    frozen = FrozenTable(
        file=Path(table).name,
        sha256=sha256,
        task=rows.task,
        split=plan.split,
        n=found.n,
        people=NOT_EVALUATED if found.people is None else found.people,
    )
    return _filled(bare, found, frozen)


def plan_of(card: ModelCard) -> Plan | None:
    """Return the plan that a card's numbers were computed by; None if nothing was evaluated."""
    table, uncertainty = card.evaluation_data.table, card.metrics.uncertainty
    if table == NOT_EVALUATED or uncertainty == NOT_EVALUATED:
        return None
    threshold, found = card.metrics.threshold, card.quantitative_analyses
    plan = Plan(
        split=table.split,
        factors=tuple(f.name for f in _each(card.factors.evaluation)),
        most=max((len(r.cell) for r in _each(found.intersectional)), default=1),
        rankings=any(m.name in RANKINGS for m in _each(card.metrics.measures)),
        resamples=uncertainty.resamples,
        seed=uncertainty.seed,
    )
    if threshold == NOT_EVALUATED:
        return plan
    if threshold.split is None:
        return replace(plan, threshold=threshold.value)
    return replace(plan, rule=threshold.rule, target=threshold.target, dev=threshold.split)


def _each(values: Any) -> Sequence[Any]:
    return () if values == NOT_EVALUATED else values


def _filled(card: ModelCard, found: Evaluation, frozen: FrozenTable) -> ModelCard:
    threshold = NOT_EVALUATED if found.threshold is None else found.threshold
    card = replace(
        card,
        factors=replace(card.factors, evaluation=found.factors or NOT_EVALUATED),
        metrics=replace(
            card.metrics,
            measures=found.measures,
            threshold=threshold,
            uncertainty=found.uncertainty,
        ),
        evaluation_data=replace(card.evaluation_data, table=frozen),
        quantitative_analyses=QuantitativeAnalyses(
            unitary=found.unitary,
            intersectional=found.intersectional or NOT_EVALUATED,
            disparities=found.disparities or NOT_EVALUATED,
        ),
    )
    rounded = _rounded(asdict(card.quantitative_analyses))
    analyses = read_settings(QuantitativeAnalyses, rounded, "quantitative_analyses")
    return replace(card, quantitative_analyses=analyses)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
