"""The search that one core finishes: it runs, and what it finds can be trained."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from vultus.settings import plain
from vultus.training import load_checkpoint, load_recipe, read_recipe, train

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "cdcn" / "search-cpu.yaml"


def test_settings_are_those_of_the_search_but_for_the_size() -> None:
    small, full = (load_recipe(RECIPE.with_name(n)) for n in ("search-cpu.yaml", "search.yaml"))
    assert small.config.search == full.config.search
    assert small.config.batch == full.config.batch == 12
    # People of the search are not those that the cells found are compared on.
    assert small.config.data.simulation.population == 1000


def test_what_is_found_can_be_trained(tmp_path: Path) -> None:
    result = train(load_recipe(RECIPE, debug=True), out=tmp_path / "search", progress=False)
    _, learner, _ = load_checkpoint(result.checkpoint)
    genotype = learner.network.genotype()
    debug = load_recipe(RECIPE.parent.with_suffix(".yaml"), debug=True).recipe
    values = plain(debug)
    values["config"] |= {"genotype": plain(genotype)}
    trained = train(read_recipe(values, "test"), out=tmp_path / "found", progress=False)
    _, found, state = load_checkpoint(trained.checkpoint)
    assert found.config.genotype == genotype
    assert trained.step == state["step"] == debug.steps
