"""Cards that lack something are rejected, and complete ones pass."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest
from prediction_tables import crossed, description

from vultus.audit.model_cards import (
    Plan,
    check_file,
    from_json,
    load_card,
    make_card,
    problems,
    read_description,
    save_card,
    table_problems,
    to_json,
)
from vultus.audit.model_cards.schema import SECTIONS
from vultus.errors import ConfigError
from vultus.settings import plain


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    file = tmp_path_factory.mktemp("frozen") / "t.csv"
    crossed().save(file)
    return file


@pytest.fixture(scope="module")
def card(frozen):
    return make_card(description(), frozen, command="pytest", plan=Plan(rule="equal-error"))


@pytest.fixture
def values(card):
    return plain(card)


def faults(values) -> str:
    return "\n".join(map(str, problems(values)))


def test_a_complete_card_passes(card, values):
    assert problems(card) == []
    assert problems(values) == []


def test_an_unevaluated_card_passes_since_it_says_so():
    made = make_card(description(), None, command="pytest")
    assert problems(made) == []
    assert plain(made)["quantitative_analyses"]["unitary"] == "not evaluated"


@pytest.mark.parametrize("section", SECTIONS)
def test_a_missing_section_is_rejected(values, section):
    del values[section]
    assert faults(values) == f"{section}: section '{SECTIONS[section]}' is missing"


@pytest.mark.parametrize("blank", ["", "   ", []])
def test_what_is_blank_is_rejected(values, blank):
    values["intended_use"]["primary_uses"] = blank
    assert "intended_use.primary_uses: is blank; write 'not evaluated'" in faults(values)


def test_a_metric_without_interval_is_rejected(values):
    values["quantitative_analyses"]["unitary"][3]["estimate"]["low"] = None
    assert faults(values) == (
        "quantitative_analyses.unitary.3.estimate: has no confidence interval"
    )


def test_a_missing_value_needs_a_reason(values):
    estimate = values["quantitative_analyses"]["unitary"][0]["estimate"]
    estimate.update(value=None, low=None, high=None)
    assert "has no value and does not say why" in faults(values)


def test_two_factors_need_an_intersectional_table(values):
    values["quantitative_analyses"]["intersectional"] = "not evaluated"
    assert "has no result for age x sex" in faults(values)


def test_one_factor_needs_none(frozen):
    plan = Plan(factors=("age",))
    assert problems(make_card(description(), frozen, command="pytest", plan=plan)) == []


def _drop(name):
    def change(values):
        analyses = values["quantitative_analyses"]
        for part in ("unitary", "intersectional"):
            analyses[part] = [r for r in analyses[part] if r["metric"] != name]

    return change


def _set(path, value):
    def change(values):
        *parents, last = path.split(".")
        for key in parents:
            values = values[int(key)] if isinstance(values, list) else values[key]
        values[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop("fdr"), "reports some error rates and not ['fdr']"),
        (_set("metrics.threshold", "not evaluated"), "state the threshold"),
        (_set("metrics.threshold.split", "test"), "was chosen on 'test', the evaluated split"),
        (_set("metrics.threshold_reason", "not evaluated"), "say why the threshold"),
        (_set("metrics.uncertainty.resamples", 200), "1000 resamples or more"),
        (_set("metrics.measures", "not evaluated"), "does not define 'accuracy'"),
        (_set("evaluation_data.table", "not evaluated"), "need a frozen table and its SHA-256"),
        (_set("evaluation_data.table.sha256", "abc"), "need a frozen table and its SHA-256"),
        (_set("model_details.id", "a/b"), "letters, digits, dots and dashes"),
        (_set("model_details.sha256", "abc"), "64 hex digits"),
        (_set("factors.evaluation", "not evaluated"), "which the factors do not list"),
        (_set("quantitative_analyses.unitary.0.people", 5), "fewer than 30: flag it"),
        (_set("quantitative_analyses.unitary.0.trials", 10**6), "counts that cannot be"),
        (_set("quantitative_analyses.unitary.0.estimate.low", 2.0), "wrong way round"),
        (_set("quantitative_analyses.unitary", "not evaluated"), "has no result for factor"),
        (
            _set("factors.evaluation.0.provenance", {"kind": "model-predicted", "source": "A net"}),
            "state its error on these groups",
        ),
        (_set("quantitative_analyses.reported", [{"metric": "m"}]), "value: this key is required"),
        (_set("metrics.speed", "fast"), "unknown key"),
        (_set("schema", 2), "schema: expected 1"),
    ],
)
def test_a_card_without_evidence_is_rejected(values, change, message):
    change(values)
    assert message in faults(values)


def test_json_comes_back_as_the_same_card(card):
    assert from_json(to_json(card)) == card
    assert to_json(from_json(to_json(card))) == to_json(card)
    with pytest.raises(ConfigError, match="not JSON"):
        from_json("{")


class TestRecomputation:
    def test_finds_nothing_in_an_honest_card(self, card, frozen):
        assert table_problems(card, frozen) == []

    def test_finds_a_number_changed_by_hand(self, card, frozen):
        values = plain(card)
        values["quantitative_analyses"]["intersectional"][2]["estimate"]["value"] -= 0.05
        found = table_problems(from_json(json.dumps(values)), frozen)
        assert len(found) == 1
        assert "the table gives" in found[0].what

    def test_finds_results_that_were_left_out(self, card, frozen):
        values = plain(card)
        worst = values["quantitative_analyses"]["intersectional"].pop()
        found = table_problems(from_json(json.dumps(values)), frozen)
        assert worst["metric"]
        assert "lacks 1 results" in str(found[0])

    def test_finds_another_threshold(self, card, frozen):
        values = plain(card)
        values["metrics"]["threshold"]["value"] += 0.1
        assert "metrics.threshold" in str(table_problems(from_json(json.dumps(values)), frozen))

    def test_finds_another_table(self, card, tmp_path):
        crossed(seed=5).save(tmp_path / "t.csv")
        found = table_problems(card, tmp_path / "t.csv")
        assert "the card records SHA-256" in str(found[0])

    def test_keeps_a_threshold_fixed_beforehand(self, frozen):
        made = make_card(description(), frozen, command="pytest", plan=Plan(threshold=0.5))
        assert made.metrics.threshold.rule == "fixed"
        assert table_problems(made, frozen) == []


class TestFiles:
    def test_are_the_json_the_page_and_the_figure(self, card, tmp_path):
        file = save_card(card, tmp_path)
        assert sorted(p.name for p in tmp_path.iterdir()) == [
            "test-model-intervals.svg",
            "test-model.json",
            "test-model.md",
        ]
        assert check_file(file) == []
        assert load_card(file).model_details == card.model_details

    def test_are_the_same_bytes_every_time(self, card, tmp_path):
        for name in "ab":
            save_card(card, tmp_path / name)
        for file in (tmp_path / "a").iterdir():
            assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()

    def test_must_agree(self, card, tmp_path):
        file = save_card(card, tmp_path)
        page = file.with_suffix(".md")
        page.write_text(page.read_text().replace("not evaluated", "excellent", 1))
        assert "not what the JSON renders to" in str(check_file(file)[0])
        page.unlink()
        assert "is missing" in str(check_file(file)[0])

    def test_of_a_bad_card_are_not_written(self, card, tmp_path):
        values = deepcopy(plain(card))
        values["quantitative_analyses"]["intersectional"] = "not evaluated"
        with pytest.raises(ConfigError, match="'test-model' does not pass"):
            save_card(from_json(json.dumps(values)), tmp_path)
        assert not list(tmp_path.iterdir())


def test_an_author_may_not_fill_in_results(tmp_path):
    file = tmp_path / "d.yaml"
    file.write_text(
        "model_details: {name: A, id: a}\nintended_use: {}\nfactors: {}\n"
        "metrics: {threshold: {value: 0.5, rule: fixed, target: null, split: null, n: 0}}\n"
        "evaluation_data: {}\ntraining_data: {}\nethical_considerations: {}\n"
        "caveats_and_recommendations: {}\n"
    )
    with pytest.raises(ConfigError, match=r"leave out \['metrics.threshold'\]"):
        read_description(file)
    file.write_text(file.read_text().replace("metrics: {threshold", "metrics: {thresholt"))
    with pytest.raises(ConfigError, match="unknown key"):
        read_description(file)
