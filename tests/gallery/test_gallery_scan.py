"""The exact index: always what comparing with every vector gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vultus.gallery import scan
from vultus.gallery.scan import ExactIndex


def unit(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    x = rng.standard_normal((n, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def brute(queries: np.ndarray, vectors: np.ndarray, k: int) -> np.ndarray:
    """float64 (M, k): the k greatest cosines of each query, descending."""
    cosines = queries.astype(np.float64) @ vectors.astype(np.float64).T
    return -np.sort(-cosines, 1)[:, :k]


def check(index: ExactIndex, queries: np.ndarray, vectors: np.ndarray, k: int) -> None:
    wanted = brute(queries, vectors, k)
    for query, (rows, cosines), best in zip(queries, index.search(queries, k), wanted, strict=True):
        assert len(rows) == len(set(rows.tolist())) == min(k, len(vectors))
        np.testing.assert_allclose(cosines, best, atol=3e-5)
        np.testing.assert_allclose(vectors[rows] @ query, cosines, atol=3e-5)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 1500),
    dim=st.integers(2, 70),
    queries=st.integers(1, 7),
    k=st.integers(1, 40),
    spread=st.sampled_from([0.0, 1e-4, 0.05, 3.0]),
)
def test_search_is_brute_force(
    seed: int, n: int, dim: int, queries: int, k: int, spread: float
) -> None:
    """Also where the vectors are nearly or fully equal, so that thousands are candidates."""
    rng = np.random.default_rng(seed)
    vectors = unit(rng, 1, dim) + spread * unit(rng, n, dim)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    check(ExactIndex(dim).append(vectors), unit(rng, queries, dim), vectors, k)


def test_extreme_vectors(rng: np.random.Generator) -> None:
    """Axes, whose codes are the most uneven, and their negatives."""
    vectors = np.concatenate([np.eye(16), -np.eye(16)]).astype(np.float32)
    check(ExactIndex(16).append(vectors), np.concatenate([vectors, unit(rng, 9, 16)]), vectors, 32)


def test_several_blocks(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    monkeypatch.setattr(scan, "BLOCK", 1024)
    vectors = unit(rng, 5000, 48)
    index = ExactIndex(48)
    for part in np.split(vectors, [1, 900, 1024, 3000, 3001]):
        index = index.append(part)
    check(index, unit(rng, 70, 48), vectors, 25)


def test_known_answer() -> None:
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1], [-1, 0]], np.float32)
    ((rows, cosines),) = ExactIndex(2).append(vectors).search(np.array([[0.8, 0.6]], np.float32), 3)
    assert rows.tolist() == [1, 0, 2]
    np.testing.assert_allclose(cosines, [0.96, 0.8, 0.6], atol=3e-5)


def test_equal_cosines_come_in_the_order_of_rows() -> None:
    vectors = np.tile(np.array([[0.6, 0.8]], np.float32), (50, 1))
    ((rows, _),) = ExactIndex(2).append(vectors).search(vectors[:1], 7)
    assert rows.tolist() == list(range(7))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0.0, 0.01, 0.5, 1.0]))
def test_a_mask_searches_the_rest(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    vectors, queries = unit(rng, 700, 24), unit(rng, 6, 24)
    mask = rng.random(700) < share
    found = ExactIndex(24).append(vectors).search(queries, 9, mask=mask)
    for query, (rows, cosines) in zip(queries, found, strict=True):
        assert mask[rows].all()
        best = brute(query[None], vectors[mask], 9)[0]
        np.testing.assert_allclose(cosines, best, atol=3e-5)


def test_only_neighbours_near_enough(rng: np.random.Generator) -> None:
    vectors, queries = unit(rng, 3000, 16), unit(rng, 20, 16)
    which, rows, cosines = ExactIndex(16).append(vectors).neighbours(queries, 3000, at_least=0.4)
    pairs = np.stack(np.nonzero(queries @ vectors.T >= 0.4), 1)
    assert sorted(zip(which.tolist(), rows.tolist(), strict=True)) == sorted(
        map(tuple, pairs.tolist())
    )
    assert cosines.min() >= 0.4


def test_an_older_index_stays_as_it_was(rng: np.random.Generator) -> None:
    first, second = unit(rng, 100, 16), unit(rng, 2000, 16)
    old = ExactIndex(16).append(first)
    new = old.append(second)
    check(old, second[:5], first, 10)
    check(new, second[:5], np.concatenate([first, second]), 10)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0.0, 0.3, 0.99, 1.0]))
def test_rows_can_be_dropped(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    vectors, more = unit(rng, 1500, 16), unit(rng, 300, 16)
    kept = rng.random(1500) < share
    index = ExactIndex(16).append(vectors)
    left = index.keep(kept)
    assert len(left) == kept.sum()
    check(left.append(more), unit(rng, 3, 16), np.concatenate([vectors[kept], more]), 5)
    check(index, unit(rng, 3, 16), vectors, 5)


def test_an_empty_index_finds_nothing(rng: np.random.Generator) -> None:
    assert [len(rows) for rows, _ in ExactIndex(8).search(unit(rng, 3, 8), 5)] == [0, 0, 0]


def test_query_codes_cannot_overflow_16_bits() -> None:
    """Pairs of products are added in 16 bits by processors without VNNI."""
    largest_query, largest_code = 2 * scan._QUERY + 1, 127
    assert 2 * largest_query * largest_code < 2**15
