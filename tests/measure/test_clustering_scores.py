"""Clustering metrics: textbook values, scikit-learn, and what each must not depend on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import pair_confusion_matrix

from vultus.errors import MeasureError
from vultus.measure.clustering import clustering_scores

labelled = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=60)


def test_bcubed_known_answer() -> None:
    # Clusters {a a a b} and {b b}: precision (3*3/4 + 1/4 + 2*1) / 6, recall (3*1 + 1/3 + 2*2/3)/6.
    result = clustering_scores(list("aaabbb"), [0, 0, 0, 0, 1, 1])
    assert result.bcubed_precision.value == pytest.approx((9 / 4 + 1 / 4 + 2) / 6)
    assert result.bcubed_recall.value == pytest.approx((3 + 1 / 3 + 4 / 3) / 6)
    assert result.pairwise_precision.value == pytest.approx(4 / 7)
    assert result.pairwise_recall.value == pytest.approx(4 / 6)
    assert (result.n_people, result.n_clusters, result.ari.n) == (2, 2, 6)


@given(labelled)
def test_values_agree_with_scikit_learn_and_with_the_definition(
    pairs: list[tuple[int, int]],
) -> None:
    people, clusters = (np.array(column) for column in zip(*pairs, strict=True))
    result = clustering_scores(people, clusters)
    assert result.ari.value == pytest.approx(adjusted_rand_score(people, clusters))
    expected = normalized_mutual_info_score(people, clusters)
    assert result.nmi.value == pytest.approx(expected, abs=1e-9)
    same_person, same_cluster = people[:, None] == people, clusters[:, None] == clusters
    correct = (same_person & same_cluster).sum(1)
    assert result.bcubed_precision.value == pytest.approx((correct / same_cluster.sum(1)).mean())
    assert result.bcubed_recall.value == pytest.approx((correct / same_person.sum(1)).mean())
    ((_, false), (missed, true)) = pair_confusion_matrix(people, clusters)
    if true + false:
        assert result.pairwise_precision.value == pytest.approx(true / (true + false))
    if true + missed:
        assert result.pairwise_recall.value == pytest.approx(true / (true + missed))


@given(labelled)
def test_names_and_order_are_irrelevant(pairs: list[tuple[int, int]]) -> None:
    people, clusters = (np.array(column) for column in zip(*pairs, strict=True))
    renamed = clustering_scores([f"person {9 - p}" for p in people[::-1]], 100 - 7 * clusters[::-1])
    one, other = clustering_scores(people, clusters), renamed
    assert one.bcubed_f.value == pytest.approx(other.bcubed_f.value)
    assert one.nmi.value == pytest.approx(other.nmi.value)


def test_noise_faces_are_clusters_of_their_own() -> None:
    people, clusters = list("aabb"), [0, 0, -1, -1]
    apart = clustering_scores(people, clusters, noise=-1)
    assert apart.n_clusters == 3
    assert apart.bcubed_precision.value == 1
    assert apart.bcubed_recall.value == 0.75
    assert clustering_scores(people, clusters).bcubed_recall.value == 1


def test_no_pairs_are_not_estimable() -> None:
    result = clustering_scores(["a", "b"], [0, 1])
    assert not result.pairwise_precision.estimable
    assert result.bcubed_f.value == 1
    assert result.to_dict()["pairwise_f"]["value"] is None


def test_interval_covers_the_value_of_many_people() -> None:
    # Each person's faces go to their own cluster, or with probability 0.3 one by one elsewhere.
    rng = np.random.default_rng(8)

    def sample(people: int) -> tuple[np.ndarray, np.ndarray]:
        who = np.repeat(np.arange(people), rng.integers(1, 9, people))
        lost = rng.uniform(size=len(who)) < 0.3
        return who, np.where(lost, people + np.arange(len(who)), who)

    truth = clustering_scores(*sample(50_000)).bcubed_recall.value
    hits = 0
    for _ in range(150):
        estimate = clustering_scores(*sample(60)).bcubed_recall
        hits += estimate.low <= truth <= estimate.high
    assert 0.90 <= hits / 150 <= 0.99


@pytest.mark.parametrize(("people", "clusters"), [([], []), (["a"], [0, 1]), ([[1]], [[1]])])
def test_bad_input_is_refused(people: list[object], clusters: list[object]) -> None:
    with pytest.raises(MeasureError):
        clustering_scores(people, clusters)
