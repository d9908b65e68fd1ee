"""Cards as Markdown, as figures, and with the front matter of a model hub."""

from __future__ import annotations

import pytest
import yaml
from prediction_tables import crossed, description, of_counts

from vultus.audit.model_cards import (
    Plan,
    evaluate,
    fixed_threshold,
    front_matter,
    interval_plot,
    make_card,
    to_hub,
    to_markdown,
)
from vultus.audit.model_cards.schema import SECTIONS
from vultus.errors import MeasureError


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    file = tmp_path_factory.mktemp("rendered") / "t.csv"
    crossed().save(file)
    return make_card(
        description(licence="Apache-2.0"), file, command="pytest", plan=Plan(rule="equal-error")
    )


class TestMarkdown:
    def test_has_the_nine_sections_in_order(self, card):
        headings = [line[3:] for line in to_markdown(card).splitlines() if line.startswith("## ")]
        assert headings == list(SECTIONS.values())

    def test_says_what_was_not_evaluated(self):
        page = to_markdown(make_card(description(), None, command="pytest"))
        assert "- **Fairness constraints**: not evaluated" in page
        assert "### Unitary results\n\nnot evaluated" in page
        assert "- **Decision threshold**: not evaluated" in page

    def test_leaves_no_field_empty(self, card):
        for line in to_markdown(card).splitlines():
            assert not line.endswith(("**: ", "**:  ")), line

    def test_shows_values_intervals_and_numbers(self, tmp_path):
        of_counts(tp=60, fn=20, fp=0, tn=50, factors={"eyes": "open"}).save(tmp_path / "t.csv")
        made = make_card(
            description(), tmp_path / "t.csv", command="pytest", plan=Plan(threshold=0.5)
        )
        found = made.quantitative_analyses.unitary
        fnr = next(r.estimate for r in found if r.metric == "fnr" and not r.cell)
        row = next(line for line in to_markdown(made).splitlines() if line.startswith("| all |"))
        assert f"0.250 [{fnr.low:.3f}, {fnr.high:.3f}] (80)" in row
        assert "0.000 [0.000, 0.058] (50)" in row
        assert row.startswith("| all | 130 |")

    def test_flags_small_cells_and_gives_reasons(self, tmp_path):
        of_counts(tp=8, fn=2, fp=0, tn=0).save(tmp_path / "t.csv")
        made = make_card(
            description(), tmp_path / "t.csv", command="pytest", plan=Plan(threshold=0.5)
        )
        row = next(line for line in to_markdown(made).splitlines() if line.startswith("| all |"))
        assert "(10) †" in row
        assert "not estimable: no case among 10 items" in row

    def test_states_provenance_threshold_and_hash(self, card):
        page = to_markdown(card)
        assert "Labels are annotated: Two annotators. Label error: 3 % disagree." in page
        assert "equal error rates of positives and negatives on the split `dev` (300" in page
        assert f"SHA-256 `{card.evaluation_data.table.sha256}`" in page

    def test_keeps_tables_whole_whatever_a_group_is_called(self, tmp_path):
        of_counts(20, 20, 20, 20, factors={"a|b": "c|d"}).save(tmp_path / "t.csv")
        made = make_card(
            description(), tmp_path / "t.csv", command="pytest", plan=Plan(threshold=0.5)
        )
        row = next(x for x in to_markdown(made).splitlines() if x.startswith(r"| c\|d |"))
        assert row.count(" | ") == 10


class TestHub:
    def test_front_matter_holds_what_a_hub_reads(self, card):
        found = front_matter(card)
        assert found["license"] == "apache-2.0"
        assert found["library_name"] == "vultus"
        assert found["datasets"] == ["drawn-numbers"]
        assert "fnr" in found["metrics"]
        assert found["tags"]
        (model,) = found["model-index"]
        cells = {r["dataset"]["config"] for r in model["results"]}
        assert {"all", "age: old", "age: old, sex: female"} <= cells

    def test_results_are_those_of_the_card(self, card):
        results = front_matter(card)["model-index"][0]["results"]
        stated = {
            (r["dataset"]["config"], m["type"]): m["value"] for r in results for m in r["metrics"]
        }
        analyses = card.quantitative_analyses
        every = [*analyses.unitary, *analyses.intersectional]
        assert len(stated) == sum(r.estimate.value is not None for r in every)
        fnr = next(r for r in every if r.metric == "fnr" and dict(r.cell) == {"sex": "male"})
        assert stated["sex: male", "fnr"] == fnr.estimate.value

    def test_other_licences_keep_their_name(self):
        made = make_card(description(licence="Research only"), None, command="pytest")
        found = front_matter(made)
        assert (found["license"], found["license_name"]) == ("other", "research-only")
        assert "model-index" not in found

    def test_text_is_yaml_and_then_the_page(self, card):
        text = to_hub(card)
        _, head, page = text.split("---\n", 2)
        assert yaml.safe_load(head) == front_matter(card)
        assert page.lstrip() == to_markdown(card)

    def test_is_read_by_the_hub_library(self, card, tmp_path):
        hub = pytest.importorskip("huggingface_hub")
        file = tmp_path / "README.md"
        file.write_text(to_hub(card), encoding="utf-8")
        read = hub.ModelCard.load(file)
        assert read.data.license == "apache-2.0"
        assert read.data.model_name == "Test model"
        every = {(r.dataset_config, r.metric_type): r for r in read.data.eval_results}
        worst = every["age: old, sex: female", "fnr"]
        assert worst.dataset_split == "test"
        assert "n=" in worst.metric_name
        assert 0 < worst.metric_value < 1


class TestFigures:
    def test_show_every_cell_and_the_interval(self):
        found = evaluate(crossed(), threshold=fixed_threshold(0.5))
        results = [*found.unitary, *found.intersectional]
        figure = interval_plot(results, ["fpr", "fnr"])
        left, right = figure.axes
        names = [t.get_text() for t in left.get_yticklabels()]
        assert names[0].startswith("all (n=")
        assert len(names) == 1 + 2 + 2 + 4
        worst = found.result("fnr", age="old", sex="female")
        row = next(i for i, name in enumerate(names) if name.startswith("age: old, sex: female"))
        spans = [
            line.get_xdata().tolist() for line in right.lines if set(line.get_ydata()) == {row}
        ]
        assert [worst.estimate.low, worst.estimate.high] in spans

    def test_mark_small_cells_with_hollow_points(self):
        found = evaluate(of_counts(5, 5, 40, 40), threshold=fixed_threshold(0.5))
        figure = interval_plot(found.unitary, ["fpr", "fnr"])
        faces = [
            [line.get_markerfacecolor() for line in axes.lines if line.get_marker() == "o"]
            for axes in figure.axes
        ]
        assert faces[1] == ["white"]
        assert faces[0] != ["white"]

    def test_leave_no_global_state(self):
        import matplotlib.pyplot as plt

        before = plt.get_fignums()
        found = evaluate(of_counts(5, 5, 4, 4), threshold=fixed_threshold(0.5))
        interval_plot(found.unitary, ["fpr"])
        assert plt.get_fignums() == before

    def test_of_nothing_are_refused(self):
        found = evaluate(of_counts(5, 5, 4, 4), threshold=fixed_threshold(0.5))
        with pytest.raises(MeasureError, match="no results of"):
            interval_plot(found.unitary, ["nme"])
