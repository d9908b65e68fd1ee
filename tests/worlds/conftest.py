"""Heads and small worlds that several tests share."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vultus.worlds import Camera, Head, Lighting, World, WorldSpec, load_head

cv2.setNumThreads(1)


@pytest.fixture(scope="session")
def procedural() -> Head:
    return load_head("procedural", "low")


@pytest.fixture(scope="session", params=["procedural", "ict"])
def head(request: pytest.FixtureRequest) -> Head:
    """Both sources; ICT-FaceKit only where its file is."""
    if request.param == "procedural":
        return load_head("procedural", "low")
    data: Path = request.getfixturevalue("data_root")
    if not (data / "ict_facekit").is_dir():
        pytest.skip(f"no ict_facekit in {data}")
    return load_head("ict", "low", data=data)


@pytest.fixture(scope="session")
def small_world() -> World:
    return World(WorldSpec(size=64, identities=6))


@pytest.fixture
def plain_light() -> Lighting:
    """Frontal white light without shadows."""
    return Lighting(
        np.array([[0, 0, 1]], np.float32),
        np.ones((1, 3), np.float32),
        np.full(3, 0.3, np.float32),
        np.full(3, 0.3, np.float32),
        shadows=False,
    )


@pytest.fixture
def camera() -> Camera:
    return Camera(distance=70.0, fill=0.8)
