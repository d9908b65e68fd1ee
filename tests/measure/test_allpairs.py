"""All pairs at once must equal the pairs one by one."""

from __future__ import annotations

import numpy as np
import pytest

from vultus.errors import MeasureError
from vultus.measure import Estimate
from vultus.measure.allpairs import AllPairs, all_pairs
from vultus.measure.verification import Comparisons, fmr, fnmr, roc, tar_at_far, threshold_at_far


@pytest.fixture(scope="module")
def faces() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    people = rng.integers(0, 40, 400)
    centres = rng.normal(size=(40, 16))
    return (centres[people] + rng.normal(size=(400, 16))).astype(np.float32), people


@pytest.fixture(scope="module")
def listed(faces: tuple[np.ndarray, np.ndarray]) -> Comparisons:
    vectors, people = faces
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    i, j = np.triu_indices(len(people), 1)
    scores = (unit @ unit.T)[i, j]
    return Comparisons.from_pairs(
        scores, people[i] == people[j], np.stack([people[i], people[j]], 1)
    )


def same(one: Estimate, other: Estimate) -> bool:
    """Equal but for the rounding of sums in another order."""
    numbers = [(e.value, e.low, e.high) for e in (one, other)]
    return numbers[0] == pytest.approx(numbers[1]) and one.n == other.n


@pytest.mark.parametrize("block", [64, 2048])
def test_counts_and_genuine_scores_are_exact(
    faces: tuple[np.ndarray, np.ndarray], listed: Comparisons, block: int
) -> None:
    summary = all_pairs(*faces, block=block)
    assert summary.n_genuine == len(listed.genuine)
    assert summary.n_impostor == len(listed.impostor) == summary.impostor_histogram.sum()
    assert summary.genuine == pytest.approx(listed.sorted_genuine, abs=1e-6)


@pytest.mark.parametrize("far", [2e-5, 1e-4, 1e-3])
def test_tail_gives_the_exact_tar_at_far(
    faces: tuple[np.ndarray, np.ndarray], listed: Comparisons, far: float
) -> None:
    summary = all_pairs(*faces, tail=200)
    assert summary.threshold_at_far(far) == pytest.approx(threshold_at_far(listed, far), abs=1e-6)
    assert same(summary.tar_at_far(far), tar_at_far(listed, far).tar)


@pytest.mark.parametrize("far", [0.01, 0.1, 0.5])
def test_beyond_the_tail_the_histogram_errs_on_the_strict_side(
    faces: tuple[np.ndarray, np.ndarray], listed: Comparisons, far: float
) -> None:
    summary = all_pairs(*faces, tail=10)
    exact, threshold = threshold_at_far(listed, far), summary.threshold_at_far(far)
    assert exact - 1e-6 <= threshold <= exact + 2 / 2**15
    assert fmr(listed, threshold).value <= far


@pytest.mark.parametrize("threshold", [-0.3, 0.2, 0.6, 0.9])
def test_rates_and_their_intervals_are_those_of_the_list(
    faces: tuple[np.ndarray, np.ndarray], listed: Comparisons, threshold: float
) -> None:
    summary = all_pairs(*faces, tail=500, block=128)
    exact = fmr(listed, threshold)
    assert summary.fmr(threshold) == pytest.approx(exact.value, abs=2e-3)
    assert summary.fmr(threshold) >= exact.value
    assert summary.fnmr(threshold) == fnmr(listed, threshold).value
    estimate = summary.fmr_estimate(threshold)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(
        (exact.value, exact.low, exact.high)
    )


def test_roc_is_monotone_and_has_the_area_of_the_list(
    faces: tuple[np.ndarray, np.ndarray], listed: Comparisons
) -> None:
    curve = all_pairs(*faces, tail=500).roc()
    assert (np.diff(curve.thresholds) < 0).all()
    assert (np.diff(curve.fmr) >= 0).all()
    assert (curve.fmr[0], curve.fmr[-1]) == (0, 1)
    assert curve.auc == pytest.approx(roc(listed).auc, abs=1e-5)


def test_ties_at_the_edge_of_the_tail_are_all_counted() -> None:
    # Four people at right angles but for two that coincide: one score of 1, five of 0.
    vectors = np.eye(4)[[0, 0, 1, 2, 3]]
    summary = all_pairs(vectors, ["a", "b", "b", "c", "d"], tail=3)
    assert summary.n_impostor == 9
    assert summary.fmr(1.0) == pytest.approx(1 / 9)
    assert summary.fmr(0.0) == 1
    # Two errors are allowed; the second would let in all that tie at 0.
    assert 0 < summary.threshold_at_far(0.25) <= 1


def test_whole_scores_in_the_tail_make_everything_exact(
    faces: tuple[np.ndarray, np.ndarray], listed: Comparisons
) -> None:
    summary = all_pairs(*faces, tail=10**6)
    for far in (0.01, 0.5):
        assert same(summary.tar_at_far(far), tar_at_far(listed, far).tar)
    assert summary.fmr(0.2) == fmr(listed, 0.2).value


def test_too_few_pairs_say_so(faces: tuple[np.ndarray, np.ndarray]) -> None:
    summary: AllPairs = all_pairs(*faces)
    assert "1000000 impostor comparisons" in summary.tar_at_far(1e-6).note
    assert np.isnan(summary.threshold_at_far(1e-6))


@pytest.mark.parametrize(
    ("vectors", "people", "options", "message"),
    [
        (np.eye(3), ["a", "b", "c"], {}, "both kinds"),
        (np.eye(3), ["a", "a", "a"], {}, "both kinds"),
        (np.zeros((3, 2)), ["a", "a", "b"], {}, "length zero"),
        (np.full((3, 2), np.nan), ["a", "a", "b"], {}, "not finite"),
        (np.eye(3), ["a", "a"], {}, "2 entries, expected 3"),
        (np.ones(3), ["a", "a", "b"], {}, r"\(N, D\)"),
        (np.ones((4, 2)), ["a", "a", "a", "b"], {"max_genuine": 2}, "max_genuine"),
    ],
)
def test_bad_input_is_refused(
    vectors: np.ndarray, people: list[str], options: dict[str, int], message: str
) -> None:
    with pytest.raises(MeasureError, match=message):
        all_pairs(vectors, people, **options)
