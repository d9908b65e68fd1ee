"""Age, sex and expression against labels: known answers, groups, and what is left out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from vultus.attributes.predictor import AgeSexAnswer
from vultus.datasets.crops import LabelledCrops
from vultus.errors import DatasetError
from vultus.evaluation.attributes import evaluate_attributes, evaluate_expression
from vultus.expression.predictor import EXPRESSIONS
from vultus.geometry import template


class AgeByRed:
    """Reads the age off the red channel and the sex off the green one."""

    name = "age-by-red"
    template = template("dlib150")

    def predict(self, crops: np.ndarray) -> list[AgeSexAnswer]:
        return [AgeSexAnswer(float(c[0, 0, 0]), 1.0, float(c[0, 0, 1] > 0)) for c in crops]


class ExpressionByBlue:
    """Reads the expression off the blue channel."""

    name = "expression-by-blue"
    template = template("dlib150")

    def predict(self, crops: np.ndarray) -> list[Mapping[str, float]]:
        codes = [int(crop[0, 0, 2]) for crop in crops]
        return [{e: float(i == code) for i, e in enumerate(EXPRESSIONS)} for code in codes]


def crops_of(red: list[int], green: list[int], blue: list[int], **labels: np.ndarray):
    images = np.zeros((len(red), 16, 16, 3), np.uint8)
    images[:] = np.stack([red, green, blue], 1)[:, None, None]
    points = np.zeros((len(red), 5, 2), np.float32)
    names = {
        "sex": ("female", "male"),
        "race": ("one", "two"),
        "expression": (*EXPRESSIONS, "contempt"),
        "set": ("here", "there"),
        "split": ("val",),
    }
    return LabelledCrops(images, points, labels, {k: v for k, v in names.items() if k in labels})


def test_errors_of_age_and_sex_are_given_by_group_and_large_intersections():
    # 40 women are said to be 5 years older than they are, 40 men are seen as women.
    sex = np.repeat([0, 1], 40)
    age = np.full(80, 50.0)
    crops = crops_of(
        [55] * 40 + [50] * 40, [0] * 80, [0] * 80,
        sex=sex, age=age, race=np.r_[np.zeros(70, int), np.ones(10, int)],
    )  # fmt: skip
    figures = evaluate_attributes(crops, AgeByRed(), name="file", test=1).figures
    assert figures["age: mean absolute error, years"].value == 2.5
    assert figures["age error, sex=female"].value == 5
    assert figures["age error, sex=male"].value == 0
    assert figures["sex error, sex=male"].value == 1
    assert figures["sex error, sex=male, race=one"].value == 1
    assert "sex error, sex=male, race=two" not in figures  # ten faces say nothing
    assert figures["sex error, race=two"].n == 10


def test_only_the_part_that_is_kept_apart_is_measured():
    rng = np.random.default_rng(0)
    red = rng.integers(0, 100, 300).tolist()
    crops = crops_of(red, [0] * 300, [0] * 300, sex=np.zeros(300, int), age=np.array(red, float))
    report = evaluate_attributes(crops, AgeByRed(), name="file", test=0.2)
    assert report.facts["pictures"] == int((crops.places() < 0.2).sum())
    with pytest.raises(DatasetError, match="no picture"):
        evaluate_attributes(crops, AgeByRed(), name="file", test=0)


def test_expressions_are_compared_per_set_and_grouped_by_appearance():
    # Those who look male are always read right, the others never; contempt is left out.
    blue, truth = [1] * 81, np.r_[np.ones(40, int), np.full(40, 2), 7]
    crops = crops_of(
        [30] * 81, [9] * 40 + [0] * 41, blue,
        expression=truth, set=np.zeros(81, int), split=np.zeros(81, int),
        identity=np.arange(81),
    )  # fmt: skip
    plain, grouped = (
        evaluate_expression(
            crops, ExpressionByBlue(), name="file", sets={"here": "val"}, appearance=appearance
        )[0].figures
        for appearance in (None, AgeByRed())
    )
    assert plain["accuracy"].value == 0.5
    assert plain["accuracy"].n == 80
    assert grouped["accuracy, apparent sex=male"].value == 1
    assert grouped["accuracy, apparent sex=female"].value == 0
    assert grouped["accuracy, apparent age=30-44"].value == 0.5
    assert not any("apparent" in name for name in plain)
    with pytest.raises(DatasetError, match="there"):
        evaluate_expression(crops, ExpressionByBlue(), name="file", sets={"there": ""})
