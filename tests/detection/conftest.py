"""Detectors on weights that are on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from vultus.detection import Detector
from vultus.errors import ConfigError, WeightsError


@pytest.fixture(scope="session")
def offline() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VULTUS_OFFLINE", "1")
        yield


@pytest.fixture(scope="session")
def make_detector(offline: None) -> Callable[..., Detector]:
    """Build a detector; the test is skipped where its weights or its package are absent."""

    def make(name: str | None = None, **options: object) -> Detector:
        try:
            return Detector(name, threads=1, **options)  # type: ignore[arg-type]
        except WeightsError as error:
            pytest.skip(f"weights are neither installed nor in the cache: {error}")
        except ConfigError as error:
            if "pip install" in str(error):
                pytest.skip(str(error))
            raise

    return make


@pytest.fixture(scope="session")
def blazeface(make_detector: Callable[..., Detector]) -> Detector:
    return make_detector("blazeface")


@pytest.fixture(scope="session", params=["blazeface", "dlib-frontal"])
def detector(request: pytest.FixtureRequest, make_detector: Callable[..., Detector]) -> Detector:
    """Every detector in turn."""
    return make_detector(request.param)


@pytest.fixture(scope="session")
def portrait(astronaut: np.ndarray) -> np.ndarray:
    """uint8 (300, 300, 3): head and shoulders of the astronaut, at a place (x, y) = (80, 0)."""
    return np.ascontiguousarray(astronaut[:300, 80:380])
