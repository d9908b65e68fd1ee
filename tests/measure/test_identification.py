"""Identification metrics: a gallery small enough to count by hand, and properties."""

from __future__ import annotations

import numpy as np
import pytest

from vultus.errors import MeasureError
from vultus.measure.identification import (
    Searches,
    cmc,
    fnir,
    fnir_at_fpir,
    fpir,
    rank_k,
    threshold_at_fpir,
)

# Enrolled: a (two templates), b, c. Probes: a, b, c, and the strangers x, y.
GALLERY = ["a", "b", "c", "a"]
PROBES = ["a", "b", "c", "x", "y"]
SCORES = np.array(
    [
        [0.2, 0.5, 0.1, 0.9],  # a by its second template, rank 1
        [0.6, 0.4, 0.3, 0.1],  # b, rank 2 behind a
        [0.7, 0.7, 0.7, 0.2],  # c ties with a and b: rank 3
        [0.1, 0.3, 0.2, 0.1],
        [0.8, 0.3, 0.2, 0.1],
    ]
)


@pytest.fixture
def searches() -> Searches:
    return Searches.from_scores(SCORES, PROBES, GALLERY)


def test_best_template_counts_and_ties_are_against_the_mate(searches: Searches) -> None:
    assert searches.rank.tolist() == [1, 2, 3, 0, 0]
    assert searches.mate_score[:3].tolist() == [0.9, 0.4, 0.7]
    assert searches.best_other.tolist() == [0.5, 0.6, 0.7, 0.3, 0.8]
    assert searches.n_enrolled == 3


def test_cmc_known_answer(searches: Searches) -> None:
    assert [(k, e.value, e.n) for k, e in cmc(searches)] == [
        (1, 1 / 3, 3),
        (2, 2 / 3, 3),
        (3, 1.0, 3),
    ]


def test_fnir_and_fpir_known_answers(searches: Searches) -> None:
    assert fnir(searches, -np.inf).value == 0
    assert fnir(searches, -np.inf, rank=1).value == 2 / 3
    assert fnir(searches, 0.5).value == 1 / 3
    assert fnir(searches, 0.5, rank=1).value == 2 / 3
    assert fpir(searches, 0.3).value == 1
    assert fpir(searches, 0.5).value == 0.5
    assert fpir(searches, 0.81).value == 0
    assert fpir(searches, 0.5).n == 2


def test_threshold_for_an_fpir_is_chosen_on_dev_and_applied_elsewhere(searches: Searches) -> None:
    result = fnir_at_fpir(searches, 0.5)
    assert 0.3 < result.threshold <= 0.4
    assert result.fpir.value == 0.5
    assert result.fnir.value == 0
    stricter = Searches.from_scores(np.full((2, 4), 0.75), ["x", "y"], GALLERY)
    moved = fnir_at_fpir(searches, 0.5, dev=stricter)
    assert moved.threshold > 0.75
    assert moved.fnir.value == 2 / 3
    assert moved.to_dict()["n_enrolled"] == 3


def test_too_few_strangers_say_so(searches: Searches) -> None:
    result = fnir_at_fpir(searches, 0.1)
    assert "10 non-mated searches or more, got 2" in result.fnir.note
    assert result.to_dict()["threshold"] is None
    with pytest.raises(MeasureError, match="not estimable"):
        fpir(searches, result.threshold)


def test_a_failed_search_is_a_miss_and_never_a_false_positive() -> None:
    scores = np.array([[-np.inf, -np.inf], [-np.inf, -np.inf], [0.9, 0.1]])
    searches = Searches.from_scores(scores, ["a", "x", "a"], ["a", "b"])
    assert searches.rank.tolist() == [3, 0, 1]
    assert rank_k(searches, 2).value == 0.5
    assert fnir(searches, -np.inf).value == 0.5
    assert fpir(searches, -np.inf).value == 0


def test_a_gallery_of_one_person() -> None:
    searches = Searches.from_scores([[0.5], [0.4]], ["a", "x"], ["a"])
    assert searches.rank.tolist() == [1, 0]
    assert searches.best_other.tolist() == [-np.inf, 0.4]


@pytest.mark.parametrize("block", [1, 7, 1024])
def test_embeddings_in_blocks_equal_the_score_matrix(block: int) -> None:
    rng = np.random.default_rng(2)
    gallery_people, probe_people = rng.integers(0, 20, 60), rng.integers(0, 30, 50)
    centres = rng.normal(size=(30, 8))
    gallery = centres[gallery_people] + 0.6 * rng.normal(size=(60, 8))
    probes = centres[probe_people] + 0.6 * rng.normal(size=(50, 8))
    found = Searches.from_embeddings(probes, probe_people, gallery, gallery_people, block=block)
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (probes, gallery)]
    listed = Searches.from_scores(unit[0] @ unit[1].T, probe_people, gallery_people)
    assert found.rank.tolist() == listed.rank.tolist()
    assert found.best_other == pytest.approx(listed.best_other, abs=1e-6)
    rates = [e.value for _, e in cmc(found)]
    assert (np.diff(rates) >= 0).all()
    thresholds = np.linspace(-1, 1, 21)
    assert (np.diff([fnir(found, t).value for t in thresholds]) >= 0).all()
    assert (np.diff([fpir(found, t).value for t in thresholds]) <= 0).all()
    target = 0.25
    assert fpir(found, threshold_at_fpir(found, target)).value <= target


def test_order_of_gallery_and_probes_is_irrelevant(searches: Searches) -> None:
    rows, columns = [3, 1, 4, 0, 2], [2, 3, 0, 1]
    shuffled = Searches.from_scores(
        SCORES[rows][:, columns], [PROBES[i] for i in rows], [GALLERY[i] for i in columns]
    )
    assert shuffled.rank.tolist() == searches.rank[rows].tolist()


def test_interval_is_over_the_people_of_the_probes() -> None:
    scores = np.tile([[0.9, 0.1], [0.9, 0.1]], (20, 1))
    people = np.tile(["a", "b"], 20)
    estimate = rank_k(Searches.from_scores(scores, people, ["a", "b"]))
    assert estimate.value == 0.5
    assert estimate.high - estimate.low > 0.9


@pytest.mark.parametrize(
    "call",
    [
        lambda: Searches.from_scores([[0.1, np.nan]], ["a"], ["a", "b"]),
        lambda: Searches.from_scores([[0.1, 0.2]], ["a", "b"], ["a", "b"]),
        lambda: Searches.from_scores(np.zeros((1, 0)), ["a"], []),
        lambda: Searches.from_embeddings(np.zeros((1, 2)), ["a"], np.ones((1, 2)), ["a"]),
        lambda: Searches.from_embeddings(np.ones((1, 2)), ["a", "b"], np.ones((1, 2)), ["a"]),
        lambda: rank_k(Searches.from_scores([[0.1]], ["a"], ["a"]), 0),
    ],
)
def test_bad_input_is_refused(call: object) -> None:
    with pytest.raises(MeasureError):
        call()  # type: ignore[operator]


def test_rates_without_searches_of_the_kind_are_not_estimable() -> None:
    only_strangers = Searches.from_scores([[0.1]], ["x"], ["a"])
    assert not rank_k(only_strangers).estimable
    only_mated = Searches.from_scores([[0.1]], ["a"], ["a"])
    assert not fpir(only_mated, 0).estimable
