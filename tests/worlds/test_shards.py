"""Generated folders: whole, resumable, readable, and of equal bytes for equal requests."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from vultus.errors import ConfigError, DatasetError
from vultus.worlds import World, WorldSpec, read_shards, write_shards
from vultus.worlds.shards import digest

SPEC = WorldSpec(size=48, identities=3, species=("bona_fide", "replay"), channels=True)


def test_a_folder_gives_back_what_the_world_draws(tmp_path: Path) -> None:
    paths = write_shards(SPEC, 7, 5, tmp_path, shard=3)
    assert [p.name for p in paths] == ["shard-00000.tar", "shard-00001.tar"]
    world = World(SPEC)
    rows = list(read_shards(tmp_path))
    assert [r["index"] for r in rows] == list(range(5))
    for row in rows:
        sample = world.sample(7, row["index"])
        np.testing.assert_array_equal(row["colour"], sample.colour)
        np.testing.assert_array_equal(row["parts"], sample.parts)
        assert (np.isfinite(row["depth"]) == np.isfinite(sample.depth)).all()
        on = np.isfinite(sample.depth)
        np.testing.assert_allclose(row["depth"][on], sample.depth[on], atol=0.051)
        np.testing.assert_allclose(row["normals"], sample.normals, atol=0.006)
        np.testing.assert_allclose(row["landmarks"], sample.landmarks, atol=1e-4)
        assert row["species"] == sample.species
        assert "thermal" in row


def test_workers_and_interruptions_leave_no_trace(tmp_path: Path) -> None:
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    write_shards(SPEC, 7, 6, whole, shard=2)
    write_shards(SPEC, 7, 6, torn, shard=2, workers=2)
    expected = digest(whole)
    assert digest(torn) == expected
    # As a kill leaves it: one shard done, one half written, one not begun.
    (torn / "shard-00002.tar").unlink()
    second = (torn / "shard-00001.tar").read_bytes()
    (torn / "shard-00001.tar").unlink()
    (torn / "shard-00001.part").write_bytes(second[:5000])
    first = (torn / "shard-00000.tar").stat().st_mtime_ns
    with pytest.raises(DatasetError, match="missing"):
        list(read_shards(torn))
    write_shards(SPEC, 7, 6, torn, shard=2)
    assert digest(torn) == expected
    assert (torn / "shard-00000.tar").stat().st_mtime_ns == first, "whole shards are kept"


def test_members_of_a_sample_follow_one_another(tmp_path: Path) -> None:
    path = write_shards(SPEC, 1, 2, tmp_path, geometry=False)[0]
    with tarfile.open(path) as tar:
        names = tar.getnames()
    assert names == [f"{i:09d}.{kind}" for i in range(2) for kind in ("png", "npz", "json")]


def test_a_folder_takes_one_world_only(tmp_path: Path) -> None:
    write_shards(SPEC, 1, 2, tmp_path)
    with pytest.raises(DatasetError, match="another world"):
        write_shards(SPEC, 2, 2, tmp_path)
    about = json.loads((tmp_path / "world.json").read_text())
    assert WorldSpec.from_dict(about["spec"]) == SPEC


def test_foreign_folders_and_empty_requests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"world\.json"):
        list(read_shards(tmp_path))
    with pytest.raises(ConfigError, match="shards of"):
        write_shards(SPEC, 1, 0, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="cannot be made a folder"):
        write_shards(SPEC, 1, 1, tmp_path / "file")


def test_a_folder_from_before_a_setting_is_gone_on_with(tmp_path: Path) -> None:
    write_shards(SPEC, 1, 2, tmp_path)
    about = json.loads((tmp_path / "world.json").read_text())
    del about["spec"]["textures"]
    (tmp_path / "world.json").write_text(json.dumps(about))
    assert len(write_shards(SPEC, 1, 2, tmp_path)) == 1


@pytest.mark.parametrize("kept", [0, 700, 5000])
def test_a_damaged_shard_is_named(tmp_path: Path, kept: int) -> None:
    (path,) = write_shards(SPEC, 1, 2, tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DatasetError, match=r"shard-00000\.tar .*run the generation again"):
        list(read_shards(tmp_path))
