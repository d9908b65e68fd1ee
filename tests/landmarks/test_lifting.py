"""Annotations made anew: what is written, what it says, and that it can be read again."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from vultus.datasets.points import read_300w
from vultus.errors import DatasetError
from vultus.images import save_image
from vultus.landmarks.lifting import lift_folder
from vultus.points68 import MEAN

POINTS = np.array(MEAN, np.float32) + 20
SIZE = float(np.sqrt(np.ptp(POINTS, axis=0).prod()))


class Inwards:
    """Moves the contour by ten per cent of the face's size, nothing else."""

    name = "inwards"

    def locate(
        self,
        images: Sequence[np.ndarray],
        boxes: np.ndarray,
        guides: np.ndarray | None = None,
        *,
        flip: bool = False,
    ) -> np.ndarray:
        assert guides is not None
        points = np.array(guides)
        points[:, :17, 0] += 0.1 * SIZE
        return points


class Flat:
    """Gives every point the depth of its number."""

    def lift(
        self, images: Sequence[np.ndarray], boxes: np.ndarray, points: np.ndarray
    ) -> np.ndarray:
        depth = np.tile(np.arange(68, dtype=np.float32), (len(points), 1))
        return np.concatenate([points, depth[..., None]], 2)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    text = "\n".join(f"{x + 1:.4f} {y + 1:.4f}" for x, y in POINTS)
    for i in range(20):
        folder = tmp_path / "in" / f"part{i % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        save_image(folder / f"{i}.png", np.full((140, 140, 3), 90, np.uint8))
        (folder / f"{i}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{text}\n}}\n")
    return tmp_path / "in"


@pytest.mark.parametrize("pictures", ["link", "copy"])
def test_what_is_written_can_be_read(root: Path, tmp_path: Path, pictures: str) -> None:
    done = lift_folder(root, tmp_path / "out", Inwards(), pictures=pictures)  # type: ignore[arg-type]
    assert done.faces == 20
    read = read_300w(tmp_path / "out")
    assert {r.split for r in read} == {"part0", "part1"}
    moved = read[0].labels["landmarks"] - POINTS
    np.testing.assert_allclose(moved[:17, 0], 0.1 * SIZE, atol=2e-3)
    np.testing.assert_allclose(moved[17:], 0, atol=2e-3)
    assert read[0].path.is_symlink() == (pictures == "link")


def test_how_far_points_moved_is_told(root: Path, tmp_path: Path) -> None:
    done = lift_folder(root, tmp_path / "out", Inwards(), part="part1", pictures="none")
    assert (done.faces, done.inner) == (10, 0)
    assert done.contour == pytest.approx(0.1, rel=1e-4)
    assert done.moved == pytest.approx(0.1 * 17 / 68, rel=1e-4)
    about = json.loads((tmp_path / "out" / "lifted.json").read_text())
    assert about["convention"] == "projected"
    assert (about["network"], about["part"], about["depth"]) == ("inwards", "part1", False)
    files = list((tmp_path / "out").rglob("*.pts"))
    assert len(files) == 10
    assert "projected from the head" in files[0].read_text()
    assert not list((tmp_path / "out").rglob("*.png"))


def test_depth_stands_in_a_table(root: Path, tmp_path: Path) -> None:
    lift_folder(root, tmp_path / "out", Inwards(), depth=Flat(), pictures="none")
    with (tmp_path / "out" / "points3d.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 20
    assert rows[0]["image"].startswith("part0/")
    assert float(rows[0]["z67"]) == 67
    assert float(rows[0]["x17"]) == pytest.approx(POINTS[17, 0], abs=2e-3)


def test_a_folder_in_use_is_left_alone(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not empty"):
        lift_folder(root, root, Inwards())
    lift_folder(root, tmp_path / "once", Inwards())
    with pytest.raises(DatasetError, match="projected already"):
        lift_folder(tmp_path / "once", tmp_path / "twice", Inwards())
    with pytest.raises(DatasetError, match=r"in part9; parts: \['part0', 'part1'\]"):
        lift_folder(root, tmp_path / "out", Inwards(), part="part9")
