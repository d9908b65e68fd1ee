"""Files that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from vultus.writing import replacing


def test_the_file_has_the_new_content_and_nothing_else_is_left(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")
    with replacing(file) as part:
        part.write_text("new")
        assert file.read_text() == "old", "nothing is to be seen before the end"
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("before", [None, "old"])
def test_after_an_error_all_is_as_it_was(tmp_path: Path, before: str | None) -> None:
    file = tmp_path / "a.txt"
    if before is not None:
        file.write_text(before)

    def fail() -> None:
        with replacing(file) as part:
            part.write_text("half")
            raise KeyError("in between")

    with pytest.raises(KeyError):
        fail()
    assert [p.read_text() for p in tmp_path.iterdir()] == ([] if before is None else [before])


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(file):
        pass
    assert file.read_text() == "old"


def test_the_folder_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "none" / "a.txt") as part:
        part.write_text("new")
