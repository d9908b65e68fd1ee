"""NME, AUC and failure rate: by hand, and where faces were missed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vultus.errors import MeasureError
from vultus.measure.landmarks import area_under_curve, landmark_scores, nme, normalisers

ERRORS = st.lists(st.floats(0, 0.5), min_size=1, max_size=30)


def face() -> np.ndarray:
    points = np.zeros((1, 68, 2))
    points[0, 36:42] = [(0, 0), (2, 1), (4, 1), (6, 0), (4, -1), (2, -1)]
    points[0, 42:48] = points[0, 36:42] + [14, 0]
    points[0, 8] = [10, 21]
    return points


def test_normalisers_by_hand() -> None:
    # Outer corners (0, 0) and (20, 0); centres 14 apart; box 20 wide, 22 high.
    assert normalisers(face(), "inter-ocular").tolist() == [20]
    assert normalisers(face(), "inter-pupil").tolist() == [14]
    assert normalisers(face(), "box-diagonal") == pytest.approx(np.hypot(20, 22))
    assert normalisers(face(), "box-size") == pytest.approx(np.sqrt(20 * 22))
    assert normalisers([[[3, 4], [0, 0], [1, 1], [2, 2], [3, 3]]], "inter-pupil").tolist() == [5]


def test_nme_by_hand() -> None:
    truth = face()
    predicted = truth + np.array([3, 4])
    assert nme(predicted, truth) == pytest.approx([5 / 20])
    assert nme(predicted, truth, [50.0]) == pytest.approx([0.1])
    predicted[0, 0] += [1000, 0]
    visible = np.ones((1, 68), bool)
    visible[0, 0] = False
    assert nme(predicted, truth, visible=visible) == pytest.approx([5 / 20])


@given(st.floats(0.1, 50), st.floats(-3, 3), st.integers(0, 99))
def test_nme_ignores_scale_rotation_and_shift(scale: float, angle: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(2, 68, 2)) * 10
    predicted = truth + rng.normal(size=truth.shape)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = [points @ turn.T + [7, -3] for points in (predicted, truth)]
    assert nme(*moved) == pytest.approx(nme(predicted, truth), rel=1e-6)


@given(ERRORS)
def test_auc_is_the_area_under_the_cumulative_curve(errors: list[float]) -> None:
    grid = (np.arange(20_000) + 0.5) / 20_000 * 0.08
    curve = (np.array(errors)[:, None] <= grid).mean(0)
    assert area_under_curve(errors, 0.08).mean() == pytest.approx(curve.mean(), abs=1e-4)


@given(ERRORS)
def test_stepped_auc_is_the_mean_of_the_curve_at_its_thresholds(errors: list[float]) -> None:
    thresholds = 0.07 * np.arange(70) / 70
    curve = [(np.array(errors) <= t).mean() for t in thresholds]
    assert area_under_curve(errors, 0.07, steps=70).mean() == pytest.approx(np.mean(curve))


def test_missed_faces_count_as_failures_but_not_in_the_mean() -> None:
    scores = landmark_scores([0.02, 0.04, 0.1, np.inf], limit=0.08)
    assert scores.nme.value == pytest.approx(0.16 / 3)
    assert "1 faces without landmarks" in scores.nme.note
    assert scores.failure_rate.value == 0.5
    assert scores.auc.value == pytest.approx((0.75 + 0.5) / 4)
    assert not landmark_scores([np.inf]).nme.estimable


def test_interval_is_over_people(rng: np.random.Generator) -> None:
    errors = np.repeat(rng.uniform(0, 0.1, 20), 10)
    alone = landmark_scores(errors).nme
    people = landmark_scores(errors, people=np.repeat(np.arange(20), 10)).nme
    assert people.value == alone.value
    assert people.high - people.low > 2 * (alone.high - alone.low)


@pytest.mark.parametrize(
    "call",
    [
        lambda: nme(face(), face()[:, :5]),
        lambda: nme(face(), np.zeros((1, 68, 2))),
        lambda: nme(face(), face(), [0.0]),
        lambda: nme(face() * np.nan, face()),
        lambda: nme(face(), face(), visible=np.zeros((1, 68), bool)),
        lambda: normalisers(np.ones((1, 29, 2)), "inter-ocular"),
        lambda: normalisers(np.ones((1, 5, 2)), "inter-ocular"),
        lambda: landmark_scores([]),
        lambda: landmark_scores([-0.1]),
        lambda: landmark_scores([np.nan]),
        lambda: area_under_curve([0.1], 0),
    ],
)
def test_bad_input_is_refused(call: object) -> None:
    with pytest.raises(MeasureError):
        call()  # type: ignore[operator]
