"""Verification metrics: known answers, scikit-learn as reference, ties, failures, intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from vultus.errors import MeasureError
from vultus.measure.bootstrap import Resampling
from vultus.measure.verification import (
    Comparisons,
    accuracy,
    auc,
    best_threshold,
    eer,
    error_rates,
    fmr,
    fnmr,
    roc,
    tar_at_far,
    threshold_at_far,
    val_far,
)

#: Few distinct values, so that ties are common.
scores = st.lists(st.integers(0, 12).map(lambda v: v / 4), min_size=1, max_size=40)
sides = st.tuples(scores, scores).map(lambda pair: Comparisons(*map(np.array, pair)))


def test_rates_at_a_threshold_count_scores_at_it_as_accepted() -> None:
    comparisons = Comparisons([0.2, 0.5, 0.5, 0.9], [0.1, 0.5, 0.4, 0.0, 0.6])
    assert fmr(comparisons, 0.5).value == 2 / 5
    assert fnmr(comparisons, 0.5).value == 1 / 4
    assert accuracy(comparisons, 0.5).value == 6 / 9
    fmrs, fnmrs = error_rates(comparisons, [-np.inf, 0.5, np.inf])
    assert fmrs.tolist() == [1, 0.4, 0]
    assert fnmrs.tolist() == [0, 0.25, 1]


@given(sides)
def test_roc_is_that_of_scikit_learn(comparisons: Comparisons) -> None:
    fpr, tpr, _ = roc_curve(comparisons.same, comparisons.scores, drop_intermediate=False)
    curve = roc(comparisons)
    assert curve.fmr == pytest.approx(fpr)
    assert curve.tar == pytest.approx(tpr)
    assert curve.auc == pytest.approx(roc_auc_score(comparisons.same, comparisons.scores))
    assert (np.diff(curve.fmr) >= 0).all()
    assert (np.diff(curve.fnmr) <= 0).all()


@given(sides, st.randoms(use_true_random=False))
def test_order_does_not_matter(comparisons: Comparisons, random: object) -> None:
    rng = np.random.default_rng(random.getrandbits(32))  # type: ignore[attr-defined]
    shuffled = Comparisons(
        rng.permutation(comparisons.genuine), rng.permutation(comparisons.impostor)
    )
    fast = Resampling(20)
    assert eer(comparisons, fast) == eer(shuffled, fast)
    assert best_threshold(comparisons) == best_threshold(shuffled)
    assert (
        tar_at_far(comparisons, 0.2) == tar_at_far(shuffled, 0.2) or len(comparisons.impostor) < 5
    )


@given(sides)
def test_a_monotone_map_of_the_scores_changes_no_rate(comparisons: Comparisons) -> None:
    mapped = Comparisons(np.exp(comparisons.genuine), np.exp(comparisons.impostor))
    assert roc(comparisons).fmr.tolist() == roc(mapped).fmr.tolist()
    fast = Resampling(20)
    assert eer(comparisons, fast).estimate == eer(mapped, fast).estimate
    assert tar_at_far(comparisons, 0.3).tar.value == pytest.approx(
        tar_at_far(mapped, 0.3).tar.value, nan_ok=True
    )


@pytest.mark.parametrize(
    ("genuine", "impostor", "expected"),
    [
        ([0.9, 0.8, 0.7], [0.1, 0.2, 0.3], 0.0),
        ([0.1, 0.2, 0.3], [0.9, 0.8, 0.7], 1.0),
        ([0.5, 0.5], [0.5, 0.5, 0.5], 0.5),
        ([1, 0], [1, 0], 0.5),
        # FMR steps from 0 to 1/2 at FNMR 1/4: both are 1/4 between.
        ([4, 4, 4, 1], [2, 0], 0.25),
        # All on one line from (0, 1/3) to (1, 0), which meets the diagonal at 1/4.
        ([2, 2, 1], [1], 0.25),
    ],
)
def test_eer_known_answers(genuine: list[float], impostor: list[float], expected: float) -> None:
    assert eer(Comparisons(genuine, impostor), Resampling(10)).estimate.value == expected


@given(sides)
def test_eer_lies_on_the_roc_polygon(comparisons: Comparisons) -> None:
    value = eer(comparisons, Resampling(10)).estimate.value
    curve = roc(comparisons)
    # The polygon may be vertical at that FMR: FNMR there is an interval.
    left, right = np.searchsorted(curve.fmr, [value - 1e-12, value + 1e-12])
    low, high = curve.fnmr[min(right, len(curve.fnmr) - 1)], curve.fnmr[max(left - 1, 0)]
    assert low - 1e-9 <= value <= high + 1e-9


def test_eer_of_two_normals_is_that_of_theory(rng: np.random.Generator) -> None:
    comparisons = Comparisons(rng.normal(2, 1, 20000), rng.normal(0, 1, 50000))
    result = eer(comparisons)
    truth = 0.5 * math.erfc(1 / math.sqrt(2))
    assert result.estimate.low < truth < result.estimate.high
    assert result.estimate.high - result.estimate.low < 0.01
    assert result.threshold == pytest.approx(1, abs=0.05)


def test_eer_interval_covers() -> None:
    rng = np.random.default_rng(7)
    truth = 0.5 * math.erfc(1 / math.sqrt(2))
    hits = 0
    for _ in range(200):
        sample = Comparisons(rng.normal(2, 1, 150), rng.normal(0, 1, 300))
        estimate = eer(sample, Resampling(200)).estimate
        hits += estimate.low <= truth <= estimate.high
    assert 0.90 <= hits / 200 <= 0.99


def test_bootstrap_over_people_agrees_with_items_where_nobody_repeats(
    rng: np.random.Generator,
) -> None:
    genuine, impostor = rng.normal(2, 1, 400), rng.normal(0, 1, 400)
    people = Comparisons(genuine, impostor, np.arange(400), np.arange(400, 1200).reshape(400, 2))
    apart, together = auc(Comparisons(genuine, impostor)), auc(people)
    assert apart.value == together.value
    # Pairs of people that never repeat are drawn with up to three times the variance.
    ratio = (together.high - together.low) / (apart.high - apart.low)
    assert 1 < ratio < 1.8


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tar_at_far_is_conservative_with_ties(dtype: type) -> None:
    impostor = np.array([0.9, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], dtype)
    genuine = np.array([0.95, 0.5, 0.6, 0.7], dtype)
    comparisons = Comparisons(genuine, impostor)
    result = tar_at_far(comparisons, 0.2)
    # Two errors are allowed, but the second would let in three that tie.
    assert result.fmr.value == 0.1
    assert result.tar.value == 0.75
    assert result.threshold > 0.5
    assert (genuine >= dtype(result.threshold)).mean() == 0.75


@given(sides, st.floats(0.01, 0.99))
def test_tar_at_far_keeps_the_target_and_no_lower_threshold_does(
    comparisons: Comparisons, far: float
) -> None:
    result = tar_at_far(comparisons, far)
    n = len(comparisons.impostor)
    assert result.estimable == (far * n >= 1 - 1e-9)
    if result.estimable:
        assert result.fmr.value <= far + 1e-9
        lower = np.nextafter(result.threshold, -np.inf)
        assert error_rates(comparisons, lower)[0] > far - 1e-9 or far * n > n - 1
        assert result.tar.value == pytest.approx(float(roc(comparisons).tar_at(far)))


def test_decimal_targets_are_not_lost_to_binary_fractions() -> None:
    impostor = np.arange(3000.0)
    assert tar_at_far(Comparisons([1e4], impostor), 0.001).fmr.value == 0.001


def test_too_few_impostors_say_so() -> None:
    result = tar_at_far(Comparisons(np.ones(10), np.zeros(99)), 0.01)
    assert not result.estimable
    assert "100 impostor comparisons or more, got 99" in result.tar.note
    assert result.to_dict()["threshold"] is None
    with pytest.raises(MeasureError, match="not estimable where it was chosen"):
        fmr(Comparisons([1], [0]), result.threshold)


def test_interval_with_a_resampled_threshold_is_wider(rng: np.random.Generator) -> None:
    comparisons = Comparisons(rng.normal(2, 1, 2000), rng.normal(0, 1, 2000))
    fixed = tar_at_far(comparisons, 0.005).tar
    drawn = tar_at_far(comparisons, 0.005, resampling=Resampling()).tar
    assert drawn.value == fixed.value
    assert drawn.n == 2000
    assert drawn.high - drawn.low > 2 * (fixed.high - fixed.low)


@given(sides)
def test_best_threshold_reaches_the_best_accuracy(comparisons: Comparisons) -> None:
    best = max(accuracy(comparisons, t).value for t in (*np.unique(comparisons.scores), np.inf))
    assert accuracy(comparisons, best_threshold(comparisons)).value == pytest.approx(best)


def test_best_threshold_is_the_middle_of_the_widest_gap() -> None:
    assert best_threshold(Comparisons([0.5, 0.9], [0.1, 0.3])) == pytest.approx(0.4)
    # Between 0.2 and 0.4, or between 0.5 and 0.9, one error each: the wider one.
    assert best_threshold(Comparisons([0.4, 0.9], [0.2, 0.5])) == pytest.approx(0.7)


def test_val_and_far_of_facenet() -> None:
    comparisons = Comparisons.from_distances([0.3, 1.1, 1.4], [0.9, 1.1, 2.0, 3.0])
    val, far = val_far(comparisons, 1.1)
    assert (val.value, far.value) == (2 / 3, 2 / 4)


def test_failed_comparisons_are_rejected_at_every_threshold() -> None:
    comparisons = Comparisons([0.9, -np.inf, 0.8, 0.7], [0.1, -np.inf, 0.2, 0.3])
    assert fnmr(comparisons, -np.inf).value == 0.25
    assert fmr(comparisons, -np.inf).value == 0.75
    curve = roc(comparisons)
    assert (curve.fmr[-1], curve.fnmr[-1]) == (0.75, 0.25)
    assert eer(comparisons, Resampling(50)).estimate.value == 0.25
    assert accuracy(comparisons, best_threshold(comparisons)).value == 7 / 8
    assert best_threshold(Comparisons([-np.inf, 0.5], [-np.inf])) == 0.5


@pytest.mark.parametrize(
    ("genuine", "impostor"),
    [([], [1]), ([1], []), ([np.nan], [1]), ([1], [np.inf]), ([[1]], [1]), (["a"], [1])],
)
def test_bad_scores_are_refused(genuine: list[object], impostor: list[object]) -> None:
    with pytest.raises(MeasureError, match="scores"):
        Comparisons(genuine, impostor)


def test_pairs_need_both_kinds_and_people_that_agree() -> None:
    with pytest.raises(MeasureError, match="both kinds"):
        Comparisons.from_pairs([0.1, 0.2], [True, True])
    people = [["a", "a"], ["a", "b"], ["a", "a"]]
    with pytest.raises(MeasureError, match="disagree in 1 pairs, the first is 2"):
        Comparisons.from_pairs([0.9, 0.1, 0.2], [1, 0, 0], people)
    with pytest.raises(MeasureError, match="or none"):
        Comparisons([1.0], [0.0], genuine_people=np.array(["a"]))
    built = Comparisons.from_pairs([0.9, 0.1], [1, 0], people[:2])
    assert built.people is not None
    assert built.people.tolist() == people[:2]


def test_thinning_keeps_the_ends_the_tail_and_the_shape(rng: np.random.Generator) -> None:
    curve = roc(Comparisons(rng.normal(2, 1, 20000), rng.normal(0, 1, 80000)))
    thin = curve.thin(400)
    assert len(thin.fmr) <= 500
    assert (thin.fmr[0], thin.fmr[-1]) == (0, 1)
    assert thin.auc == pytest.approx(curve.auc, abs=1e-3)
    assert (thin.fmr[1:] < 1e-3).sum() > 20
    with pytest.raises(MeasureError):
        curve.thin(3)


def test_threshold_is_applied_unchanged_to_other_comparisons(rng: np.random.Generator) -> None:
    dev = Comparisons(rng.normal(2, 1, 1000), rng.normal(0, 1, 5000))
    other = Comparisons(rng.normal(2, 1, 1000), rng.normal(0.5, 1, 5000))
    threshold = threshold_at_far(dev, 0.01)
    assert fmr(dev, threshold).value == 0.01
    assert fmr(other, threshold).low > 0.01
