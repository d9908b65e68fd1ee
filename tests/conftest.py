"""Shared fixtures: where real data lies, and a photograph that a dependency ships."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of real data sets; the test is skipped where there is none."""
    root = Path(os.environ.get("VULTUS_DATA", REPOSITORY.parent / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no data folder at {root}: set VULTUS_DATA to run this test")
    return root


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """uint8 (512, 512, 3): NASA portrait of Eileen Collins, public domain, from scikit-image."""
    from skimage import data

    return data.astronaut()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)
