"""Clustering: known groups, constraints that always hold, and an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score

from vultus.errors import ConfigError
from vultus.gallery import clustering
from vultus.gallery.clustering import cluster, estimate_threshold


def crowd(
    rng: np.random.Generator, sizes: list[int], *, dim: int = 128, noise: float = 0.8
) -> tuple[np.ndarray, np.ndarray]:
    """Return shuffled unit vectors of people with so many pictures each, and who they show."""
    who = np.repeat(np.arange(len(sizes)), sizes)
    centres = rng.standard_normal((len(sizes), dim)) / np.sqrt(dim)
    vectors = centres[who] + noise * rng.standard_normal((len(who), dim)) / np.sqrt(dim)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    order = rng.permutation(len(who))
    return vectors[order].astype(np.float32), who[order]


def partition(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}


SIZES = [120, 40, 17, 9, 5, 3, 2, 2] + [1] * 30


@pytest.mark.parametrize("method", ["average", "single"])
def test_people_of_unequal_sizes_and_single_pictures(rng: np.random.Generator, method: str) -> None:
    vectors, who = crowd(rng, SIZES)
    labels = cluster(vectors, threshold=0.42, method=method)
    assert partition(labels) == partition(who)


def test_a_person_with_more_pictures_than_neighbours(rng: np.random.Generator) -> None:
    vectors, who = crowd(rng, [1500, 300, 1, 1])
    assert partition(cluster(vectors, threshold=0.35, neighbours=10)) == partition(who)


def test_clusters_are_numbered_as_they_appear(rng: np.random.Generator) -> None:
    vectors, _ = crowd(rng, SIZES)
    labels = cluster(vectors, threshold=0.42)
    _, first = np.unique(labels, return_index=True)
    assert first.tolist() == sorted(first.tolist())
    assert labels[0] == 0
    assert labels.dtype == np.int64


def test_the_result_repeats_and_ignores_the_order(rng: np.random.Generator) -> None:
    vectors, _ = crowd(rng, SIZES, noise=1.3)
    labels = cluster(vectors, threshold=0.3)
    np.testing.assert_array_equal(labels, cluster(vectors, threshold=0.3))
    order = rng.permutation(len(vectors))
    shuffled = np.empty_like(labels)
    shuffled[order] = cluster(vectors[order], threshold=0.3)
    assert adjusted_rand_score(labels, shuffled) > 0.98


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(2, 60),
    threshold=st.floats(-0.2, 0.9),
    method=st.sampled_from(["average", "single"]),
)
def test_one_pair_at_a_time_gives_the_same(
    seed: int, n: int, threshold: float, method: str
) -> None:
    """Against scikit-learn, where every round merges only pairs that are each other's nearest.

    The similarities are too large for chance: all neighbours are kept, and no two are equal.
    """
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clustering, "_SHARE", 0.0)
        labels = cluster(vectors, threshold=threshold, method=method, neighbours=n)
    distances = 1 - vectors.astype(np.float64) @ vectors.T
    peer = AgglomerativeClustering(
        None, metric="precomputed", linkage=method, distance_threshold=1 - threshold
    ).fit_predict(np.maximum(distances, 0))
    assert partition(labels) == partition(peer)


def test_joining_several_at_once_changes_next_to_nothing(rng: np.random.Generator) -> None:
    vectors, who = crowd(rng, [400, 200, 100, 50, 30, 20, 10, *[2] * 20, *[1] * 40], noise=1.5)
    fast = cluster(vectors, threshold=0.25)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clustering, "_SHARE", 0.0)
        slow = cluster(vectors, threshold=0.25)
    assert adjusted_rand_score(fast, slow) > 0.97
    assert adjusted_rand_score(who, fast) > adjusted_rand_score(who, slow) - 0.01


def test_a_chain_of_lookalikes_is_not_one_person() -> None:
    """Faces every 25 degrees of a half circle: neighbours are similar, ends are opposite."""
    angles = np.radians(np.arange(0, 181, 22.5))
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    assert len(set(cluster(vectors, threshold=0.7, method="single").tolist())) == 1
    labels = cluster(vectors, threshold=0.7, method="average")
    for label in set(labels.tolist()):
        inside = vectors[labels == label]
        assert (inside @ inside.T).mean() >= 0.7
    assert len(set(labels.tolist())) > 1


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    method=st.sampled_from(["average", "single"]),
    share=st.sampled_from([0.0, 0.1, 3.0]),
)
def test_marks_always_hold(data: st.DataObject, method: str, share: float) -> None:
    """However many clusters a pair may take along in one round."""
    n = data.draw(st.integers(2, 30))
    seed = data.draw(st.integers(0, 2**32 - 1))
    threshold = data.draw(st.floats(-1, 1))
    pair = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))
    same = data.draw(st.lists(pair, max_size=12))
    apart = data.draw(st.lists(pair, max_size=12))
    group = list(range(n))
    for a, b in same:
        old, new = group[a], group[b]
        group = [new if g == old else g for g in group]
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    def run() -> np.ndarray:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(clustering, "_SHARE", share)
            return cluster(
                vectors, threshold=threshold, method=method, must_link=same, cannot_link=apart
            )

    if any(group[a] == group[b] for a, b in apart):
        with pytest.raises(ConfigError, match="cannot be linked"):
            run()
        return
    labels = run()
    assert all(labels[a] == labels[b] for a, b in same)
    assert all(labels[a] != labels[b] for a, b in apart)


def test_a_cannot_link_splits_a_person(rng: np.random.Generator) -> None:
    """The others go with whichever of the two they resemble more, none is lost."""
    vectors, _ = crowd(rng, [200])
    labels = cluster(vectors, threshold=0.3, cannot_link=[(3, 150)])
    assert labels[3] != labels[150]
    assert len(set(labels.tolist())) == 2


def test_a_must_link_bridges_what_is_not_alike(rng: np.random.Generator) -> None:
    vectors, who = crowd(rng, [20, 20])
    first, second = (np.flatnonzero(who == p).tolist() for p in (0, 1))
    pairs = list(zip(first, second, strict=True))
    assert len(set(cluster(vectors, threshold=0.2).tolist())) == 2
    assert set(cluster(vectors, threshold=0.2, must_link=pairs).tolist()) == {0}


def test_a_contradiction_is_named(rng: np.random.Generator) -> None:
    vectors, _ = crowd(rng, [5])
    with pytest.raises(ConfigError, match="rows 0 and 2 cannot be linked"):
        cluster(vectors, threshold=0.5, must_link=[(0, 1), (1, 2)], cannot_link=[(0, 2)])
    with pytest.raises(ConfigError, match="rows 3 and 3"):
        cluster(vectors, threshold=0.5, cannot_link=[(3, 3)])


@pytest.mark.parametrize("noise", [0.6, 1.2])
def test_the_threshold_can_be_estimated(rng: np.random.Generator, noise: float) -> None:
    vectors, who = crowd(rng, [60, 40, 30, *[4] * 60, *[1] * 100], dim=256, noise=noise)
    cosines = vectors @ vectors.T
    different = cosines[who[:, None] != who]
    threshold = estimate_threshold(vectors)
    # At most the 0.3 wrong links a face that it aims at, within what chance allows.
    assert (different >= threshold).sum() / len(vectors) < 0.6
    assert np.median(cosines[(who[:, None] == who) & (cosines < 0.999)]) > threshold
    assert adjusted_rand_score(who, cluster(vectors)) > 0.97


def test_estimating_does_not_depend_on_order_by_person(rng: np.random.Generator) -> None:
    vectors, who = crowd(rng, [10] * 100)
    in_order = np.argsort(who, kind="stable")
    assert estimate_threshold(vectors[in_order]) == pytest.approx(
        estimate_threshold(vectors), abs=0.03
    )


def test_nothing_and_single_faces() -> None:
    assert cluster(np.empty((0, 8), np.float32), threshold=0.5).shape == (0,)
    assert cluster(np.eye(8, dtype=np.float32)[:1], threshold=0.5).tolist() == [0]
    assert cluster(np.eye(8, dtype=np.float32), threshold=0.5).tolist() == list(range(8))
    same = np.tile(np.eye(8, dtype=np.float32)[:1], (300, 1))
    assert set(cluster(same, threshold=0.5).tolist()) == {0}


@pytest.mark.parametrize(
    ("templates", "options", "message"),
    [
        (np.ones(8), {}, r"shape \(N, D\)"),
        (2 * np.eye(4), {}, "unit length"),
        (np.full((2, 4), np.nan), {}, "unit length"),
        (np.eye(4), {"threshold": 1.5}, "cosine in"),
        (np.eye(4), {"threshold": float("nan")}, "cosine in"),
        (np.eye(4), {"threshold": 0.5, "method": "ward"}, "'average' or 'single'"),
        (np.eye(4), {"threshold": 0.5, "neighbours": 0}, "neighbours"),
        (np.eye(4), {"threshold": 0.5, "must_link": [(0, 4)]}, r"rows 0\.\.3"),
        (np.eye(4), {"threshold": 0.5, "cannot_link": [(-1, 2)]}, r"rows 0\.\.3"),
        (np.eye(4), {}, "at least 100"),
    ],
)
def test_bad_arguments(templates: np.ndarray, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cluster(templates, **options)
