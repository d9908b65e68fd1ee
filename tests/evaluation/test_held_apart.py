"""Calibration on the people whom training has kept apart, by their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vultus.cli.calibration import _command
from vultus.datasets.splits import name_places
from vultus.evaluation.folder import development_people
from vultus.images import save_image


@pytest.fixture
def people(tmp_path: Path) -> Path:
    for i in range(30):
        folder = tmp_path / "set" / f"person {i}"
        folder.mkdir(parents=True)
        for j in range(2):
            save_image(folder / f"{j}.png", np.full((8, 8, 3), i, np.uint8))
    return tmp_path / "set"


def test_those_held_apart_are_the_people_whose_names_lie_below(people: Path) -> None:
    name, every = development_people(people)
    apart_name, apart = development_people(people, 0.3)
    names = sorted({who for _, who in every})
    wanted = {who for who, place in zip(names, name_places(names), strict=True) if place < 0.3}
    assert 0 < len(wanted) < 30
    assert {who for _, who in apart} == wanted
    assert len(apart) == 2 * len(wanted)
    assert (name, apart_name) == ("set", "set, the 30% held apart by name")


def test_the_stored_command_names_every_choice() -> None:
    root, out = Path("/data/lfw_view1"), Path("/tmp/mine.json")
    assert _command(root, out, None, None) == "vultus calibrate lfw_view1 --out mine.json"
    assert _command(root, out, 0.3, "compact-recogniser") == (
        "vultus calibrate lfw_view1 --out mine.json --held-apart 0.3"
        " --recognizer compact-recogniser"
    )
