"""vultus cards make, check, show."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from vultus.audit.model_cards import GroupColumn, PredictionTable, Provenance
from vultus.cli.cards import app
from vultus.errors import ConfigError
from vultus.runtime import manifest

DESCRIPTION = """\
model_details: {name: A model, id: a-model, licence: MIT}
intended_use: {}
factors: {}
metrics: {threshold_reason: Both errors cost the same.}
evaluation_data: {}
training_data: {}
ethical_considerations: {}
caveats_and_recommendations: {}
"""


def run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def made(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    label = np.arange(400) % 2
    table = PredictionTable(
        "binary",
        np.arange(400).astype(str),
        np.where(np.arange(400) < 150, "dev", "test"),
        {"label": label, "score": label + rng.normal(0, 0.6, 400)},
        (
            GroupColumn(
                "side",
                np.where(np.arange(400) % 3 == 0, "left", "right"),
                Provenance(kind="exact", source="Counted."),
            ),
        ),
    )
    table.save(tmp_path / "t.parquet")
    (tmp_path / "d.yaml").write_text(DESCRIPTION)
    done = run(
        "make", tmp_path / "d.yaml", "--table", tmp_path / "t.parquet", "--out", tmp_path / "out"
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(tmp_path / "out" / "a-model.json")
    return tmp_path


def test_a_card_is_made_and_checked_against_its_table(made):
    done = run("check", made / "out", "--table", made / "t.parquet")
    assert done.exit_code == 0
    assert "a-model.json: ok" in done.stdout


def test_a_fault_ends_with_exit_code_1(made):
    file = made / "out" / "a-model.json"
    values = json.loads(file.read_text())
    del values["factors"]
    file.write_text(json.dumps(values))
    done = run("check", file)
    assert done.exit_code == 1
    assert "section 'Factors' is missing" in done.stdout
    assert "1 of 1 cards do not pass" in done.stderr
    listed = run("check", file, "--json")
    assert listed.exit_code == 1
    assert json.loads(listed.stdout) == {str(file): ["factors: section 'Factors' is missing"]}


def test_a_number_changed_by_hand_ends_with_exit_code_1(made):
    file = made / "out" / "a-model.json"
    values = json.loads(file.read_text())
    values["quantitative_analyses"]["unitary"][0]["estimate"]["value"] = 0.999
    file.write_text(json.dumps(values, indent=1))
    assert run("check", file).exit_code == 1
    assert run("check", file, "--table", made / "t.parquet").exit_code == 1


def test_a_card_is_shown_in_three_formats(made):
    file = made / "out" / "a-model.json"
    assert run("show", file).stdout == file.with_suffix(".md").read_text()
    assert run("show", file, "--json").stdout == file.read_text()
    assert run("show", file, "--format", "hub").stdout.startswith("---\nlicense: mit\n")


def test_cards_of_all_weights_are_made(tmp_path):
    done = run("make", "--weights", "--out", tmp_path, "--json")
    assert done.exit_code == 0
    assert [Path(f).stem for f in json.loads(done.stdout)] == list(manifest())
    assert run("check", tmp_path).exit_code == 0


def test_bad_input_ends_with_exit_code_2(tmp_path):
    assert run("make").exit_code == 2
    assert run("make", tmp_path / "d.yaml", "--weights").exit_code == 2
    assert run("check", tmp_path).exit_code == 2
    # The command line's main() turns errors made for users into exit code 2.
    assert isinstance(run("show", tmp_path / "none.json").exception, ConfigError)
