"""How well age, sex and expression are told from aligned crops, by group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.attributes.predictor import AgeSexAnswer, AttributePredictor
from vultus.datasets.crops import LabelledCrops
from vultus.errors import DatasetError
from vultus.evaluation.report import Report
from vultus.expression.predictor import EXPRESSIONS, ExpressionPredictor
from vultus.measure import Estimate, plots
from vultus.measure.classification import classification_scores, reliability
from vultus.measure.groups import Cell, by_group
from vultus.measure.intervals import rate
from vultus.measure.regression import regression_scores

#: Lower ends of the age bands that errors are given for.
BANDS = (0, 13, 20, 30, 45, 60)
#: Crops that are predicted at a time.
CHUNK = 256


def evaluate_attributes(
    crops: LabelledCrops, predictor: AttributePredictor, *, name: str, test: float = 0.12
) -> Report:
    """Measure age and sex against the labels ``age``, ``sex`` and ``race``.

    Parameters
    ----------
    crops
        What ``vultus data crops`` wrote.
    predictor
        The network.
    name
        Of the file, for the report.
    test
        Share of the pictures that is measured, those below this place (see
        :meth:`~vultus.datasets.crops.LabelledCrops.places`): what the recipes of age and sex keep
        apart; 1 for all.

    Raises
    ------
    DatasetError
        If no picture has both labels.
    """
    sexes = (*crops.names.get("sex", ()), "")
    ages, sex = crops.label("age"), np.array(sexes)[crops.label("sex")]
    rows = np.flatnonzero(np.isfinite(ages) & (sex != "") & (crops.places() < test))
    if not len(rows):
        raise DatasetError(f"{name}: no picture of the part has age and sex")
    answers = _answers(predictor, crops.images[rows])
    age, sex = ages[rows].astype(np.float64), sex[rows]
    guess = np.array([answer.age for answer in answers])
    right = np.array([("male" if a.male >= 0.5 else "female") for a in answers]) == sex
    scores = regression_scores(guess, age)
    adult = age >= 18
    figures: dict[str, Estimate] = {
        "age: mean absolute error, years": scores.mae,
        "age: mean absolute error, adults": regression_scores(guess[adult], age[adult]).mae,
        "age: within five years": rate(np.abs(guess - age) <= 5),
        "age: correlation": scores.pearson,
        "sex: accuracy": rate(right),
        "sex: accuracy, adults": rate(right[adult]),
    }
    groups = {"sex": sex, "age": _bands(age)}
    if "race" in crops.names:
        groups["race"] = np.array((*crops.names["race"], "unknown"))[crops.label("race")[rows]]
    wrong = by_group(lambda i: rate(~right[i]), groups, depth=2)
    apart = by_group(lambda i: regression_scores(guess[i], age[i]).mae, groups, depth=2)
    facts: dict[str, Any] = {"crops": name, "pictures": len(rows)}
    figures |= _cells("age error", apart) | _cells("sex error", wrong)
    return Report("attributes", {"network": predictor.name}, figures, facts)


def evaluate_expression(
    crops: LabelledCrops,
    predictor: ExpressionPredictor,
    *,
    name: str,
    sets: Mapping[str, str],
    appearance: AttributePredictor | None = None,
) -> list[Report]:
    """Measure the seven expressions on sets of a file, a report each.

    Parameters
    ----------
    crops
        What ``vultus data crops`` wrote; pictures of other expressions are left out.
    predictor
        The network.
    name
        Of the file, for the report.
    sets
        Sets to measure, each with the split that is meant, or ``""`` for all of it.
    appearance
        Groups faces by the sex and age that this network sees, since sets of expressions have no
        such labels: groups by appearance, with that network's errors.

    Raises
    ------
    DatasetError
        If a set has no picture with an expression.
    """
    names = np.array((*crops.names.get("expression", ()), ""))
    truth = names[crops.label("expression")]
    parts = {n: np.array((*crops.names[n], ""))[crops.label(n)] for n in ("set", "split")}
    reports = []
    for key, split in sets.items():
        of_set = (parts["set"] == key) & ((parts["split"] == split) | (split == ""))
        rows = np.flatnonzero(of_set & np.isin(truth, EXPRESSIONS))
        if not len(rows):
            raise DatasetError(f"{name}: no picture of {key} {split} has an expression")
        people = crops.label("identity")[rows]
        known = people if (people >= 0).all() else None
        shares = np.concatenate(
            [
                _probabilities(predictor, crops.images[rows[start : start + CHUNK]])
                for start in range(0, len(rows), CHUNK)
            ]
        )
        title = f"{key} {split}".strip()
        report = _expression_report(title, truth[rows], shares, known, predictor, name)
        if appearance is not None:
            right = np.array(EXPRESSIONS)[shares.argmax(1)] == truth[rows]
            groups = _appearances(appearance, crops.images[rows])
            cells = by_group(partial(_accuracy, right, known), groups, known)
            report = replace(report, figures={**report.figures, **_cells("accuracy", cells)})
        reports.append(report)
    return reports


def _accuracy(
    right: NDArray[np.bool_], people: NDArray[np.int64] | None, rows: NDArray[np.intp]
) -> Estimate:
    return rate(right[rows], None if people is None else people[rows])


def _cells(what: str, cells: list[Cell]) -> dict[str, Estimate]:
    """Return the figures of groups and of the intersections that are large enough."""
    return {
        f"{what}, {cell.name}": cell.estimate
        for cell in cells
        if len(cell.group) == 1 or (len(cell.group) > 1 and not cell.flagged)
    }


def _appearances(
    predictor: AttributePredictor, crops: NDArray[np.uint8]
) -> dict[str, NDArray[np.str_]]:
    answers = _answers(predictor, crops)
    sexes = np.array(["male" if answer.male >= 0.5 else "female" for answer in answers])
    return {
        "apparent sex": sexes,
        "apparent age": _bands(np.array([answer.age for answer in answers])),
    }


def _answers(predictor: AttributePredictor, crops: NDArray[np.uint8]) -> list[AgeSexAnswer]:
    return [
        answer
        for start in range(0, len(crops), CHUNK)
        for answer in predictor.predict(_sized(crops[start : start + CHUNK], predictor))
    ]


def _expression_report(
    title: str,
    truth: NDArray[np.str_],
    shares: NDArray[np.float64],
    people: NDArray[np.int64] | None,
    predictor: ExpressionPredictor,
    name: str,
) -> Report:
    guess = np.array(EXPRESSIONS)[shares.argmax(1)]
    scores = classification_scores(truth, guess, people, classes=EXPRESSIONS)
    codes = np.array([EXPRESSIONS.index(label) for label in truth])
    trust = reliability(codes, shares, people)
    figures: dict[str, Estimate] = {
        "accuracy": scores.accuracy,
        "balanced accuracy": scores.balanced_accuracy,
        "macro F1": scores.macro_f1,
        "expected calibration error": trust.ece,
        **{f"recall, {label}": scores.recall[label] for label in EXPRESSIONS},
    }
    return Report(
        f"expression, {title}",
        {"network": predictor.name},
        figures,
        {"crops": name, "pictures": len(truth), "chance": 1 / len(EXPRESSIONS)},
        plots={"reliability": lambda: plots.reliability({predictor.name: trust}, title=title)},
    )


def _probabilities(predictor: ExpressionPredictor, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    found = predictor.predict(_sized(crops, predictor))
    return np.array([[row[label] for label in EXPRESSIONS] for row in found])


def _sized(
    crops: NDArray[np.uint8], predictor: AttributePredictor | ExpressionPredictor
) -> NDArray[np.uint8]:
    """Return crops of the size that a predictor's template has."""
    side = predictor.template.size
    return np.stack([cv2.resize(c, (side, side)) for c in crops]).astype(np.uint8)


def _bands(ages: NDArray[np.float64]) -> NDArray[np.str_]:
    ends = (*(f"{b - 1:02d}" for b in BANDS[1:]), "")
    names = [f"{low:02d}-{end}" if end else f"{low}+" for low, end in zip(BANDS, ends, strict=True)]
    return np.array(names)[np.searchsorted(BANDS, ages, "right") - 1]
