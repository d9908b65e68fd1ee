"""Files of templates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vultus.errors import ConfigError, SpaceMismatchError
from vultus.faces import Embedding, Face
from vultus.templates import TemplateWriter, read_templates


def face(vector: list[float], space: str = "s") -> Face:
    return Face([0, 0, 9, 9], 0.5, np.zeros((5, 2)), embedding=Embedding(np.array(vector), space))


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    with TemplateWriter(path, "s") as writer:
        writer.add("ä.jpg", [face([1, 0]), face([0, 1])])
        writer.add("b.jpg", [])
        writer.add("c.jpg", [face([0.6, 0.8])])
    sources, templates = read_templates(path)
    assert sources == ["ä.jpg", "ä.jpg", "c.jpg"]
    assert [t.vector.tolist() for t in templates] == [
        [1, 0],
        [0, 1],
        pytest.approx([0.6, 0.8]),
    ]
    assert {t.space for t in templates} == {"s"}


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_nothing_to_write(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    with TemplateWriter(path, "s"):
        pass
    assert read_templates(path) == ([], [])


def test_an_error_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(SpaceMismatchError), TemplateWriter(tmp_path / "t.npz", "s") as writer:
        writer.add("a.jpg", [face([1, 0], "other")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["t.csv", "t", "no/such/folder/t.npz"])
def test_bad_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        TemplateWriter(tmp_path / name, "s")


@pytest.mark.parametrize("name", ["t.npz", "t.parquet"])
@pytest.mark.parametrize("data", [b"", b"junk", b"PK\x03\x04broken"])
def test_damaged_files_are_named(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=name):
        read_templates(path)
