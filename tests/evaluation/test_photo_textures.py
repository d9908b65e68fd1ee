"""Photographs to textures: one file a face, kept when it is there, and a reason where none is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vultus.datasets import Dataset, Record
from vultus.detection import Detector
from vultus.errors import ConfigError, DatasetError
from vultus.evaluation.textures import photo_textures
from vultus.images import save_image
from vultus.landmarks import LandmarkPredictor
from vultus.worlds import CameraSpec, PoseSpec, World, WorldSpec, load_texture


@pytest.fixture(scope="module")
def networks() -> tuple[Detector, LandmarkPredictor]:
    return Detector(threads=1), LandmarkPredictor(threads=1)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A rendered face, an empty wall and a broken file."""
    folder = tmp_path_factory.mktemp("öffentlich")
    spec = WorldSpec(
        size=224, identities=1, camera=CameraSpec(fill=(0.6, 0.6)), pose=PoseSpec((0, 0), (0, 0))
    )
    save_image(folder / "a.png", World(spec).sample(0, 0).colour)
    save_image(folder / "b.png", np.full((224, 224, 3), 128, np.uint8))
    (folder / "c.png").write_bytes(b"no picture")
    return Dataset("few", folder, tuple(Record(p) for p in sorted(folder.iterdir())))


def test_a_face_gives_a_texture_and_a_second_call_keeps_it(
    photographs: Dataset, networks: tuple[Detector, LandmarkPredictor], tmp_path: Path
) -> None:
    assert photo_textures(photographs, tmp_path, *networks, size=128) == (1, 2)
    (path,) = tmp_path.iterdir()
    assert path.name == "few-000000.png"
    texture = load_texture(path, 128)
    known = texture.cover > 0.9
    assert 0.05 < known.mean() < 0.3
    red, _, blue = texture.colour[known].mean(0)
    assert red > blue, "skin is reddish"
    before = path.stat().st_mtime_ns
    assert photo_textures(photographs, tmp_path, *networks, size=128) == (1, 2)
    assert path.stat().st_mtime_ns == before


def test_pictures_without_faces_are_refused(
    photographs: Dataset, networks: tuple[Detector, LandmarkPredictor], tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="none of 2 pictures"):
        photo_textures(photographs.take([1, 2]), tmp_path, *networks)
    with pytest.raises(ConfigError, match=r"\[64, 2048\]"):
        photo_textures(photographs, tmp_path, *networks, size=8)
