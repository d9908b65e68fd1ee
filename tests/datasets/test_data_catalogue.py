"""The catalogue: every entry can be read, and what is missing is said."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from vultus.datasets.catalogue import ENTRIES, data_root, entry, find, read
from vultus.errors import ConfigError, DatasetError


def test_keys_and_folders_are_unique_and_readers_exist() -> None:
    keys = [known.key for known in ENTRIES]
    folders = [name for known in ENTRIES for name in known.folders]
    assert len(set(keys)) == len(keys)
    assert len(set(folders)) == len(folders)
    for known in ENTRIES:
        module, function = known.reader.split(":")
        assert callable(getattr(import_module(f"vultus.datasets.{module}"), function))
        assert known.terms
        assert known.source.startswith("http")
        assert known.to_dict()["key"] == known.key


def test_a_set_is_found_by_any_of_its_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "att_faces" / "s1").mkdir(parents=True)
    (tmp_path / "att_faces" / "s1" / "1.pgm").touch()
    monkeypatch.setenv("VULTUS_DATA", str(tmp_path))
    assert find("orl") == tmp_path / "att_faces"
    assert read("orl")[0].identity == "s1"
    assert find("lfw") is None
    with pytest.raises(DatasetError, match=r"looked for lfw, lfw_view1.*research benchmark"):
        read("lfw")


def test_unknown_sets_and_missing_roots_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"unknown data set 'mnist'; known: lfw, orl"):
        entry("mnist")
    monkeypatch.delenv("VULTUS_DATA", raising=False)
    with pytest.raises(ConfigError, match="set VULTUS_DATA"):
        data_root()
    with pytest.raises(ConfigError, match="is not a folder"):
        data_root(tmp_path / "none")


def test_every_set_that_is_there_is_read(data_root: Path) -> None:
    present = [known.key for known in ENTRIES if find(known.key, data_root)]
    if not present:
        pytest.skip(f"no known data set under {data_root}")
    for key in present:
        dataset = read(key, data_root)
        assert len(dataset) > 0
        assert all(record.path.is_absolute() for record in dataset[:3])


def test_listing_needs_no_heavy_library() -> None:
    code = (
        "import sys, vultus.datasets.catalogue\n"
        "heavy = {'torch', 'cv2', 'onnxruntime', 'scipy', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
