"""What the README tells people to type works."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vultus.analysis import Analyzer
from vultus.images import open_image, save_image

REPOSITORY = Path(__file__).resolve().parent.parent
README = (REPOSITORY / "README.md").read_text()
GALLERIES = (REPOSITORY / "docs" / "galleries.md").read_text()

#: Commands that need many people or minutes; tests/evaluation, training, reproduction and audit
#: test what they do.
ELSEWHERE = ("evaluate", "calibrate", "train", "reproduce", "cards", "serve")


def lines(text: str, start: str) -> list[str]:
    """Return the lines of code blocks that begin with a word, without their comments."""
    blocks = re.findall(r"```(?:\w*)\n(.*?)```", text, re.S)
    found = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in found if line.startswith(start)]


@pytest.fixture
def folder(tmp_path: Path, portraits: Path, analyzer: Analyzer) -> Path:
    """A folder with the pictures that the README speaks of."""
    hopper, collins = portraits / "hopper", portraits / "collins"
    for name in ("a.jpg", "photo.jpg", "alice.jpg"):
        shutil.copy(hopper / "portrait.png", tmp_path / name)
    shutil.copy(hopper / "mirrored.png", tmp_path / "b.jpg")
    shutil.copytree(portraits, tmp_path / "photos")
    (tmp_path / "new").mkdir()
    half = open_image(collins / "portrait.png")[::2, ::2]
    save_image(tmp_path / "new" / "1.jpg", np.ascontiguousarray(half))
    save_image(tmp_path / "party.jpg", np.ascontiguousarray(half[:, ::-1]))
    return tmp_path


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command line as the shell would, in a folder."""
    program = f"{shlex.quote(sys.executable)} -m {command}"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "XDG_CONFIG_HOME": str(folder)}
    environment.pop("VULTUS_KEY", None)
    return subprocess.run(
        program, shell=True, cwd=folder, capture_output=True, text=True, env=environment
    )


def test_commands_of_the_readme(folder: Path) -> None:
    commands = lines(README, "vultus ")
    assert len(commands) >= 10
    for command in commands:
        if command.split()[1] not in ELSEWHERE:
            done = run(command, folder)
            assert done.returncode == 0, f"{command}: {done.stderr}"


def test_commands_on_galleries_in_their_order(folder: Path) -> None:
    commands = lines(GALLERIES, "vultus ")
    for command in [c for c in commands if "rekey" not in c]:
        if "merge" in command:
            run("vultus enroll people.gallery party.jpg --person 'Ada Lovelace'", folder)
        done = run(command, folder)
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_python_of_the_readme(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(blocks) == 2
    monkeypatch.chdir(folder)
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def test_the_makefile_has_what_the_readme_names() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    for command in lines(README, "make "):
        assert f"\n{command.split()[1]}:" in makefile
