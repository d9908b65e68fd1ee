"""Shared fixtures: where real data lies, and a photograph that a dependency ships."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from vultus.analysis import Analyzer

# A busy machine makes single examples slow; the time limit of a test guards against hanging.
settings.register_profile("vultus", deadline=None)
settings.load_profile("vultus")

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


@pytest.fixture(scope="session")
def grace_hopper() -> np.ndarray:
    """uint8 (600, 512, 3): US Navy portrait of Grace Hopper, public domain, from matplotlib."""
    from importlib import resources

    from vultus.images import open_image

    portrait = resources.files("matplotlib") / "mpl-data" / "sample_data" / "grace_hopper.jpg"
    return open_image(portrait.read_bytes())


@pytest.fixture(scope="session")
def analyzer() -> Analyzer:
    """The default analyzer on one thread; skipped where its weights cannot be had offline."""
    from vultus.analysis import Analyzer, default_weights
    from vultus.errors import WeightsError
    from vultus.runtime import resolve

    try:
        for weight in default_weights():
            resolve(weight, offline=True)
    except WeightsError as error:
        pytest.skip(f"{error}: run 'vultus models get --default' first")
    return Analyzer(threads=1)


@pytest.fixture(scope="session")
def portraits(
    tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray, grace_hopper: np.ndarray
) -> Path:
    """A folder of two people: ``collins`` with 2 pictures, ``hopper`` with 3, one of them small."""
    from vultus.images import save_image

    root = tmp_path_factory.mktemp("portraits")
    for name, image in (("collins", astronaut), ("hopper", grace_hopper)):
        (root / name).mkdir()
        save_image(root / name / "portrait.png", image)
        save_image(root / name / "mirrored.png", np.ascontiguousarray(image[:, ::-1]))
    save_image(root / "hopper" / "small.jpg", np.ascontiguousarray(grace_hopper[::3, ::3]))
    return root


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)
