"""Error rates of thresholds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vultus.errors import ConfigError
from vultus.measure.allpairs import AllPairs, all_pairs
from vultus.recognition.calibration import (
    Calibration,
    calibrate,
    find_calibration,
    read_calibration,
)

FACTS = {"space": "s", "detector": "d", "data": "made up", "command": "none"}


@pytest.fixture(scope="module")
def pairs() -> AllPairs:
    """60 people with 5 noisy unit vectors each."""
    rng = np.random.default_rng(3)
    who = np.repeat(np.arange(60), 5)
    vectors = rng.standard_normal((60, 16))[who] + 0.6 * rng.standard_normal((300, 16))
    return all_pairs(vectors, who)


@pytest.fixture(scope="module")
def calibration(pairs: AllPairs) -> Calibration:
    return calibrate(pairs, **FACTS)


def test_rates_are_those_of_the_pairs(pairs: AllPairs, calibration: Calibration) -> None:
    impostors = (pairs.embeddings @ pairs.embeddings.T)[
        np.triu(pairs.people[:, None] != pairs.people[None], 1)
    ]
    for rate in (0.3, 0.05, 0.01, 1e-3):
        threshold = calibration.threshold_at(rate)
        measured = (impostors >= threshold).mean()
        assert measured <= rate
        assert measured > rate / 1.25, "the lowest threshold that keeps the rate is stored"
        assert calibration.fmr_at(threshold) == pytest.approx(measured, rel=0.02)
        missed = (pairs.genuine < threshold).mean()
        assert calibration.fnmr_at(threshold) == pytest.approx(missed, abs=2e-3)


def test_the_strictest_rate_rests_on_ten_errors(pairs: AllPairs, calibration: Calibration) -> None:
    assert calibration.smallest_fmr * pairs.n_impostor == pytest.approx(10, abs=1)
    with pytest.raises(ConfigError, match="strictest calibrated FMR"):
        calibration.threshold_at(calibration.smallest_fmr / 2)


@given(st.floats(1e-3, 0.5), st.integers(1, 10_000))
def test_fpir_is_that_of_independent_comparisons(fpir: float, enrolled: int) -> None:
    grid = tuple(np.geomspace(0.9, 1e-9, 40).tolist())
    made = Calibration(
        "s", "d", "x", 2, 4, 2, 10**9, tuple(np.linspace(0, 1, 40).tolist()), grid,
        tuple(np.linspace(0, 1, 40).tolist()), "none",
    )  # fmt: skip
    reached = made.fpir_at(made.threshold_at_fpir(fpir, enrolled), enrolled)
    assert reached is not None
    assert reached <= fpir * (1 + 1e-9)
    assert made.fpir_at(0.5, 1) == pytest.approx(made.fmr_at(0.5))


def test_below_the_range_nothing_is_claimed(calibration: Calibration) -> None:
    assert calibration.fmr_at(-0.999) is None
    assert calibration.fpir_at(-0.999, 10) is None


def test_round_trip(tmp_path: Path, calibration: Calibration) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(calibration.to_dict()))
    assert read_calibration(path) == calibration


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[1]", '{"space": 1}', "\x00"],
    ids=["empty", "no fields", "list", "missing fields", "binary"],
)
def test_damaged_files_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"c\.json|not a calibration"):
        read_calibration(path)


def test_disorder_is_refused(calibration: Calibration) -> None:
    data = calibration.to_dict()
    data["fmr"] = data["fmr"][::-1]
    with pytest.raises(ConfigError, match="fmr is not monotonic"):
        Calibration.from_dict(data)


def test_too_few_comparisons() -> None:
    few = all_pairs(np.eye(4), [0, 0, 1, 1])
    with pytest.raises(ConfigError, match="too few comparisons"):
        calibrate(few, **FACTS)


def test_unknown_spaces_have_none() -> None:
    assert find_calibration("nothing@0/none", "none") is None
