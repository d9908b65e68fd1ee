"""Leaks by command: people and copies are named, and the exit code says whether there are any."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from vultus.cli.app import app
from vultus.images import save_image

RUNNER = CliRunner()


@pytest.fixture
def sets(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Folders of people: one person and one picture stand in both splits."""
    pictures = rng.integers(0, 256, (4, 8, 8, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    root = tmp_path / "daten" / "five_celebrities"
    for place, picture in (
        ("train/ana/1.png", pictures[0]),
        ("train/bea/1.png", pictures[1]),
        ("test/bea/2.png", pictures[2]),
        ("test/cid/1.png", pictures[3]),
        ("test/cid/2.png", pictures[0]),
    ):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        save_image(root / place, picture)
    return tmp_path / "daten"


def test_leaks_between_splits_are_named(sets: Path) -> None:
    words = ["data", "leaks", "celebrities:train", "celebrities:test", "--root", str(sets)]
    done = RUNNER.invoke(app, [*words, "--json"])
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["identities"] == ["bea"]
    assert len(found["copies"]) == 1
    assert len(found["near_copies"]) == 1
    assert "bea" in RUNNER.invoke(app, words).stdout


def test_disjoint_sets_end_well(sets: Path) -> None:
    for place in ("test/bea/2.png", "test/cid/2.png"):
        (sets / "five_celebrities" / place).unlink()
    words = ["data", "leaks", "celebrities:train", "celebrities:test", "--root", str(sets)]
    assert RUNNER.invoke(app, words).exit_code == 0


def test_an_unknown_split_names_the_known(sets: Path) -> None:
    words = ["data", "leaks", "celebrities:val", "celebrities:test", "--root", str(sets)]
    done = RUNNER.invoke(app, words)
    assert done.exit_code == 2
    assert "splits here: test, train" in done.stderr
