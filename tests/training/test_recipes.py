"""Recipes: checked against typed settings; the error names file, key and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from vultus.errors import ConfigError
from vultus.training.recipes import Optimizer, Recipe, Schedule, load_recipe

TEXT = """\
system: toy_system:Toy
steps: 100
optimizer: {name: sgd, lr: 1e-1}
config: {batch: 16}
debug:
  steps: 2
  config: {noise: 0.0}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "toy.yaml"
    file.write_text(TEXT)
    return file


def test_reads_the_recipe_and_the_systems_settings(recipe: Path) -> None:
    loaded = load_recipe(recipe)
    assert loaded.recipe.steps == 100
    assert loaded.recipe.optimizer == Optimizer(name="sgd", lr=0.1)
    assert (loaded.config.batch, loaded.config.noise) == (16, 0.3)


def test_debug_merges_and_overrides_come_last(recipe: Path) -> None:
    loaded = load_recipe(recipe, ["steps=3", "optimizer.lr=0.5", "evaluation.every=1"], debug=True)
    assert (loaded.recipe.steps, loaded.recipe.optimizer.lr) == (3, 0.5)
    assert (loaded.config.batch, loaded.config.noise) == (16, 0.0)
    assert loaded.recipe.evaluation.every == 1
    same = {"steps": 3, "optimizer.lr": 0.5, "evaluation.every": 1}
    assert load_recipe(recipe, same, debug=True).recipe == loaded.recipe


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["stepz=3"], ["stepz", "unknown key"]),
        (["steps=many"], ["steps", "integer", "'many'"]),
        (["steps=0"], ["steps", ">= 1"]),
        (["optimizer.name=lion"], ["optimizer.name", "'sgd'", "'lion'"]),
        (["optimizer.lr=-1"], ["optimizer", "lr > 0"]),
        (["config.batch=1.5"], ["config.batch", "integer"]),
        (["config.colour=red"], ["config.colour", "unknown key"]),
        (["system=none"], ["unknown system 'none'"]),
        (["system=toy_system:Missing"], ["toy_system:Missing", "cannot be imported"]),
        (["system=toy_system:Points"], ["system", "cannot be trained"]),
        (["steps"], ["'steps'", "key=value"]),
        (["steps.more=1"], ["steps.more", "holds no keys"]),
        (["evaluation.patience=2"], ["patience needs a metric"]),
    ],
)
def test_refuses(recipe: Path, overrides: list[str], words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        load_recipe(recipe, overrides)
    for word in words:
        assert word in str(error.value)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "größe.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"größe\.yaml: not UTF-8"):
        load_recipe(file)


def test_missing_keys_are_all_named(tmp_path: Path) -> None:
    file = tmp_path / "empty.yaml"
    file.write_text("system: toy_system:Toy\n")
    with pytest.raises(ConfigError, match=r"empty\.yaml.*steps.*required.*optimizer.*config"):
        load_recipe(file)
    with pytest.raises(ConfigError, match="debug"):
        load_recipe(file, debug=True)


def test_schedules_by_hand() -> None:
    cosine = Schedule(name="cosine", warmup=4, final=0.1)
    assert [cosine.factor(s, 104) for s in (0, 3, 4)] == pytest.approx([0.25, 1.0, 1.0])
    assert cosine.factor(54, 104) == pytest.approx(0.55)
    polynomial = Schedule(name="polynomial", power=2.0)
    assert polynomial.factor(50, 100) == pytest.approx(0.25)
    steps = Schedule(name="step", milestones=(0.5, 0.75))
    assert [steps.factor(s, 100) for s in (49, 50, 75)] == pytest.approx([1, 0.1, 0.01])
    assert Schedule().factor(99, 100) == 1.0


def test_every_recipe_of_the_repository_fits_its_system() -> None:
    folder = Path(__file__).resolve().parents[2] / "recipes"
    for file in sorted(folder.glob("*.yaml")):
        for debug in (False, True):
            loaded = load_recipe(file, debug=debug)
            slug = loaded.recipe.system
            # A variant is called SLUG-NAME and stands beside SLUG.
            assert file.stem == slug or file.stem.startswith(f"{slug}-")
            assert (folder / f"{slug}.yaml").exists()
            assert isinstance(loaded.recipe, Recipe)


def test_every_variant_fits_a_system_and_has_a_debug_run() -> None:
    folder = Path(__file__).resolve().parents[2] / "recipes"
    variants = sorted(folder.glob("*/**/*.yaml"))
    assert variants
    for file in variants:
        for debug in (False, True):
            loaded = load_recipe(file, debug=debug)
            assert isinstance(loaded.recipe, Recipe)
            if debug:
                assert loaded.recipe.steps <= 10, f"{file}: a debug run takes seconds"
