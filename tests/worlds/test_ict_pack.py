"""From OBJ files to the packed head: known answers on a square of four vertices."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vultus.errors import DatasetError
from vultus.worlds.ict import find_file
from vultus.worlds.ict_pack import content_sha256, pack

FACES = "f 1/1 2/2 3/3 4/4\nf 1/1 3/3 4/2\n"
TEXTURE = "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
SQUARE = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)]


def mesh(vertices: list[tuple[float, ...]]) -> str:
    rows = "".join(f"v {x} {y} {z}\n" for x, y, z in vertices)
    return f"# a comment\nmtllib a.mtl\n{rows}{TEXTURE}usemtl skin\n{FACES}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "generic_neutral_mesh.obj").write_text(mesh(SQUARE))
    (tmp_path / "identity000.obj").write_text(mesh([(0, 0, 2), *SQUARE[1:]]))
    (tmp_path / "identity001.obj").write_text(mesh(SQUARE))
    (tmp_path / "jawOpen.obj").write_text(mesh([*SQUARE[:3], (0, 0.5, 0)]))
    (tmp_path / "vertex_indices.json").write_text(json.dumps({"idx_to_landmark_verts": [3, 1]}))
    return tmp_path


def test_known_square(folder: Path) -> None:
    head = pack(folder)
    np.testing.assert_array_equal(head["neutral"], np.array(SQUARE, np.float32))
    # Four corners become a fan of two triangles.
    np.testing.assert_array_equal(head["triangles"], [[0, 1, 2], [0, 2, 3], [0, 2, 3]])
    np.testing.assert_array_equal(head["triangle_uv"], [[0, 1, 2], [0, 2, 3], [0, 2, 1]])
    offsets = head["identity"] * head["identity_scale"][:, None, None]
    np.testing.assert_allclose(offsets[0], [[0, 0, 2], [0] * 3, [0] * 3, [0] * 3], atol=1e-4)
    assert not offsets[1].any()
    assert list(head["expression_names"]) == ["jawOpen"]
    moved = head["expression"][0] * head["expression_scale"][0]
    np.testing.assert_allclose(moved[3], [0, -0.5, 0], atol=1e-4)
    assert list(head["landmarks68"]) == [3, 1]


def test_digest_sees_values_shapes_and_names(folder: Path) -> None:
    head = pack(folder)
    digest = content_sha256(head)
    assert digest == content_sha256(dict(reversed(head.items())))
    for change in (
        {"neutral": head["neutral"] + np.float32(1e-3)},
        {"neutral": head["neutral"].reshape(3, 4)},
        {"extra": head["uv"]},
    ):
        assert content_sha256(head | change) != digest


@pytest.mark.parametrize("missing", ["generic_neutral_mesh.obj", "vertex_indices.json"])
def test_a_missing_file_is_named(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(DatasetError, match=missing):
        pack(folder)


def test_a_mesh_of_another_shape_is_refused(folder: Path) -> None:
    (folder / "identity001.obj").write_text(mesh(SQUARE[:3]))
    with pytest.raises(DatasetError, match="not the files"):
        pack(folder)


def test_worlds_look_under_data_then_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, home = tmp_path / "data", tmp_path / "home"
    monkeypatch.setenv("VULTUS_DATA", str(data))
    monkeypatch.setenv("VULTUS_HOME", str(home))
    with pytest.raises(DatasetError, match="vultus data get ict-facekit"):
        find_file()
    for place in (home, data):
        file = place / "ict_facekit" / "ict_facekit.npz"
        file.parent.mkdir(parents=True)
        file.touch()
        assert find_file() == file
