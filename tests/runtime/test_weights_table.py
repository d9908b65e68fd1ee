"""The table of weights: a line per figure, and written only between its marks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vultus.errors import ConfigError
from vultus.runtime import list_weights, manifest
from vultus.runtime.manifest import Figure
from vultus.runtime.table import brief_table, weights_table, write_marked


def test_a_line_per_figure_with_value_interval_and_n() -> None:
    figures = (
        Figure("accuracy", 0.9, "a | b", "measure it", 100, (0.85, 0.95)),
        Figure("milliseconds", 2.5, "a processor", "time it"),
    )
    weight = replace(manifest()["dlib-resnet29"], figures=figures)
    lines = weights_table([weight, replace(weight, id="bare", figures=())]).splitlines()
    assert len(lines) == 2 + 3
    assert "accuracy: 0.9 [0.85, 0.95] | a \\| b | 100 |" in lines[2]
    assert lines[3].startswith("| | | | milliseconds: 2.5 | a processor |")
    assert lines[4].startswith("| `bare` |")
    # Every line has the same number of columns.
    assert {line.replace("\\|", "").count("|") for line in lines} == {9}


def test_every_weight_of_the_manifest_is_in_it() -> None:
    text = weights_table(manifest().values())
    assert all(f"`{name}`" in text for name in manifest())


def test_only_what_stands_between_the_marks_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- weights -->\nold\n<!-- /weights -->\nz\n")
    write_marked(page, "weights", "new \\1")
    assert page.read_text() == "a\n<!-- weights -->\nnew \\1\n<!-- /weights -->\nz\n"
    with pytest.raises(ConfigError, match="figures"):
        write_marked(page, "figures", "new")
    with pytest.raises(ConfigError, match=r"none\.md"):
        write_marked(tmp_path / "none.md", "weights", "new")


def test_the_brief_table_has_a_line_per_weight_with_its_headline_and_its_time() -> None:
    figures = (
        Figure("milliseconds per face", 2.5, "a processor", "time it"),
        Figure("accuracy", 0.9, "a set", "measure it", 100, (0.85, 0.95)),
        Figure("recall", 0.8, "a set", "measure it", 100),
    )
    weight = replace(manifest()["dlib-resnet29"], figures=figures)
    lines = brief_table([weight, replace(weight, id="bare", figures=())]).splitlines()
    assert len(lines) == 2 + 2
    assert "| 2.5 | accuracy: 0.9 [0.85, 0.95] | a set | 100 | free (CC0-1.0) |" in lines[2]
    assert {line.count("|") for line in lines} == {9}


@pytest.mark.parametrize(
    ("page", "make", "command"),
    [
        ("docs/weights.md", weights_table, "--write docs/weights.md"),
        ("README.md", brief_table, "--brief --write README.md"),
    ],
)
def test_the_pages_with_weights_are_up_to_date(page, make, command) -> None:
    written = (Path(__file__).resolve().parents[2] / page).read_text(encoding="utf-8")
    assert make(list_weights()) in written, f"run: vultus models table {command}"
