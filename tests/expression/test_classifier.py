"""Expressions: training on renders, weights of classes, parts of a set by person."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vultus.datasets.crops import LabelledCrops, save_labelled
from vultus.errors import DatasetError
from vultus.expression.classifier import (
    ExpressionClassifier,
    ExpressionData,
    Rendering,
    class_weights,
    labelled,
    rendered,
    set_aside,
)
from vultus.expression.predictor import CIRCUMPLEX, EXPRESSIONS
from vultus.expression.renders import rendered_crops
from vultus.training import load_recipe, train

RECIPES = Path(__file__).resolve().parents[2] / "recipes" / "expression"


@pytest.mark.parametrize("name", ["clean", "research"])
def test_the_recipe_trains(name: str, tmp_path: Path) -> None:
    result = train(load_recipe(RECIPES / f"{name}.yaml", debug=True), out=tmp_path, progress=False)
    assert set(result.metrics) == {"accuracy", "macro_recall"}


def test_renders_show_what_their_label_says() -> None:
    crops = rendered_crops(70, 64, 3)
    codes = crops.label("expression")
    assert set(codes) == set(range(len(EXPRESSIONS)))
    # A smile draws the corners of the mouth apart.
    width = np.linalg.norm(crops.points[:, 4] - crops.points[:, 3], axis=1)
    smile, neutral = (
        width[codes == EXPRESSIONS.index(name)].mean() for name in ("happiness", "neutral")
    )
    assert smile > neutral


def test_weights_are_inverse_to_the_frequency_of_a_class() -> None:
    codes = np.array([0, 0, 0, 0, 1])
    np.testing.assert_allclose(class_weights(codes, 0.0), 1)
    weights = class_weights(codes, 1.0)
    assert weights[4] == pytest.approx(4 * weights[0])
    assert weights.mean() == pytest.approx(1)


def test_a_person_is_on_one_side_only() -> None:
    rng = np.random.default_rng(1)
    people = np.repeat(np.arange(-1, 30), 4)
    crops = LabelledCrops(
        rng.integers(0, 256, (len(people), 8, 8, 3), np.uint8),
        np.zeros((len(people), 5, 2), np.float32),
        {"identity": people},
    )
    chosen = set_aside(crops, 0.3)
    sides = [set(chosen[people == person]) for person in range(30)]
    assert all(len(side) == 1 for side in sides)
    assert 0 < chosen.mean() < 0.6


def test_only_the_training_part_of_the_named_sets_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    rng = np.random.default_rng(0)
    crops = LabelledCrops(
        rng.integers(0, 256, (5, 8, 8, 3), np.uint8),
        np.zeros((5, 5, 2), np.float32),
        {
            "set": np.array([0, 0, 0, 1, 0]),
            "split": np.array([0, 1, 0, -1, 0]),
            "expression": np.array([2, 2, 1, 2, 0]),
        },
        {
            "set": ("fer2013", "jaffe"),
            "split": ("train", "val"),
            "expression": ("contempt", "fear", "happiness"),
        },
    )
    save_labelled(path, crops)
    found = labelled(ExpressionData(file=str(path), sets=("fer2013",)))
    assert [EXPRESSIONS[c] for c in found.label("expression")] == ["happiness", "fear"]
    with pytest.raises(DatasetError, match="raf"):
        labelled(ExpressionData(file=str(path), sets=("raf",)))


def test_renders_are_kept_and_checked(tmp_path: Path) -> None:
    file = str(tmp_path / "r.safetensors")
    drawn = rendered(Rendering(count=4, file=file, size=32), 0)
    again = rendered(Rendering(count=4, file=file, size=32), 0)
    np.testing.assert_array_equal(drawn.images, again.images)
    with pytest.raises(DatasetError, match="other crops"):
        rendered(Rendering(count=5, file=file, size=32), 0)


def test_the_export_gives_probabilities() -> None:
    config = load_recipe(RECIPES / "clean.yaml", debug=True).config
    export = ExpressionClassifier.export(ExpressionClassifier.build(config).eval())["expression"]
    shares = export.module(export.example)
    assert shares.shape == (2, len(EXPRESSIONS))
    torch.testing.assert_close(shares.sum(1), torch.ones(2))


def test_every_expression_has_a_place_on_the_circumplex() -> None:
    assert tuple(CIRCUMPLEX) == EXPRESSIONS
    assert CIRCUMPLEX["happiness"][0] > 0 > CIRCUMPLEX["sadness"][0]
