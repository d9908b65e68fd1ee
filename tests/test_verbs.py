"""Decisions on two pictures."""

from __future__ import annotations

import numpy as np
import pytest

from vultus.analysis import Analyzer
from vultus.errors import ConfigError, NoFaceError, SpaceMismatchError
from vultus.faces import Embedding
from vultus.recognition.calibration import Calibration
from vultus.verbs import calibration_of, choose_threshold, verify

CALIBRATION = Calibration(
    space="s",
    detector="d",
    data="four people",
    n_people=4,
    n_faces=8,
    n_genuine=4,
    n_impostor=1000,
    thresholds=(0.1, 0.2, 0.3),
    fmr=(0.1, 0.02, 0.01),
    fnmr=(0.0, 0.25, 0.5),
    command="vultus calibrate",
)


def test_the_default_parts_are_calibrated(analyzer: Analyzer) -> None:
    calibration = calibration_of(analyzer)
    assert calibration is not None
    assert calibration.smallest_fmr < 1e-4


def test_one_person_twice(analyzer: Analyzer, astronaut: np.ndarray) -> None:
    result = verify(astronaut, np.ascontiguousarray(astronaut[::2, ::-2]), analyzer=analyzer)
    assert result.same
    assert result.threshold.fmr is not None
    assert result.threshold.fmr <= 1e-3
    assert "vector" not in str(result.to_dict())


def test_two_people(analyzer: Analyzer, astronaut: np.ndarray, grace_hopper: np.ndarray) -> None:
    result = verify(astronaut, grace_hopper, analyzer=analyzer)
    swapped = verify(grace_hopper, astronaut, analyzer=analyzer)
    assert not result.same
    assert result.similarity == pytest.approx(swapped.similarity, abs=1e-6)


def test_no_face(analyzer: Analyzer, astronaut: np.ndarray) -> None:
    with pytest.raises(NoFaceError, match=r"array \(50, 60, 3\): no face"):
        verify(astronaut, np.zeros((50, 60, 3), np.uint8), analyzer=analyzer)


@pytest.mark.parametrize(
    ("asked", "value", "fmr"),
    [({"fmr": 0.1}, 0.1, 0.1), ({"fmr": 0.05}, 0.2, 0.02), ({"threshold": 0.25}, 0.25, 0.02)],
    ids=["exact", "next stricter", "own threshold"],
)
def test_thresholds_keep_to_the_rate(asked: dict[str, float], value: float, fmr: float) -> None:
    chosen = choose_threshold(CALIBRATION, **asked)
    assert (chosen.value, chosen.fmr) == (value, fmr)
    assert chosen.calibrated_on == "four people"


@pytest.mark.parametrize(
    ("calibration", "asked", "message"),
    [
        (CALIBRATION, {"fmr": 1e-3}, "strictest calibrated FMR is 0.01"),
        (CALIBRATION, {"fmr": 0.0}, "between 0 and 1"),
        (CALIBRATION, {"threshold": 1.5}, "between -1 and 1"),
        (CALIBRATION, {"threshold": float("nan")}, "between -1 and 1"),
        (None, {}, "no calibration"),
    ],
)
def test_thresholds_that_cannot_be(
    calibration: Calibration | None, asked: dict[str, float], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        choose_threshold(calibration, **asked)


def test_an_own_threshold_needs_no_calibration() -> None:
    chosen = choose_threshold(None, threshold=0.4)
    assert (chosen.value, chosen.fmr, chosen.calibrated_on) == (0.4, None, None)


def test_spaces_do_not_mix() -> None:
    with pytest.raises(SpaceMismatchError):
        Embedding(np.ones(3, np.float32), "a").similarity(Embedding(np.ones(3, np.float32), "b"))
