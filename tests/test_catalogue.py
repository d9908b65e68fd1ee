"""The catalogue: systems are found in the source, without importing any."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vultus.errors import ConfigError
from vultus.registry import catalogue, load_system

GOOD = '''
from vultus.registry import system

@system("{slug}", paper={paper}, task="room")
class Thing:
    """What it does.

    More.
    """
'''


def write(root: Path, name: str, text: str) -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_reads_declarations_in_the_order_of_the_papers(tmp_path: Path) -> None:
    root = tmp_path / "pack"
    write(root, "room/late.py", GOOD.format(slug="late", paper=30))
    write(root, "room/early/__init__.py", GOOD.format(slug="early", paper=2))
    write(root, "room/other.py", "raise RuntimeError('must not be imported')")
    found = catalogue(root)
    assert list(found) == ["early", "late"]
    assert found["early"].module == "pack.room.early"
    assert (found["late"].paper, found["late"].task) == (30, "room")
    assert found["late"].summary == "What it does."


def test_a_slug_may_stand_once(tmp_path: Path) -> None:
    root = tmp_path / "pack"
    write(root, "a/x.py", GOOD.format(slug="same", paper=1))
    write(root, "b/x.py", GOOD.format(slug="same", paper=2))
    with pytest.raises(ConfigError, match=r"pack\.a\.x and in pack\.b\.x"):
        catalogue(root)


def test_arguments_must_be_literals(tmp_path: Path) -> None:
    root = tmp_path / "pack"
    write(root, "a/x.py", GOOD.format(slug="x", paper="NUMBER"))
    with pytest.raises(ConfigError, match="literals"):
        catalogue(root)


def test_every_catalogued_system_registers_on_import() -> None:
    pytest.importorskip("torch")
    for slug, entry in catalogue().items():
        loaded = load_system(slug)
        assert (loaded.paper, loaded.task) == (entry.paper, entry.task)


def test_unknown_system_names_the_known() -> None:
    with pytest.raises(ConfigError, match="unknown system 'nothing'; known"):
        load_system("nothing")


def test_listing_loads_no_torch() -> None:
    code = (
        "import sys, vultus, vultus.training, vultus.registry as r; r.catalogue();"
        "print(sorted({'torch', 'lightning', 'onnxruntime', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
