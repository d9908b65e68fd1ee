"""The table of weights: a line per figure, and written only between its marks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vultus.errors import ConfigError
from vultus.runtime import list_weights, manifest
from vultus.runtime.manifest import Figure
from vultus.runtime.table import weights_table, write_marked


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


def test_the_page_of_weights_is_up_to_date() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "weights.md"
    text = weights_table(list_weights())
    written = page.read_text(encoding="utf-8")
    assert text in written, "run: vultus models table --write docs/weights.md"
