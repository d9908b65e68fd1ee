"""Streams: what a step draws depends on the seed and the step alone."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from hypothesis import given
from hypothesis import strategies as st

from vultus.errors import ConfigError
from vultus.nets.streams import ByClass, Shuffled, Strata, mixed


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 5))
def test_shuffled_gives_every_example_once_per_pass(count: int, batch: int, seed: int) -> None:
    sampler = Shuffled(count, batch, seed)
    drawn = np.concatenate([sampler.batch(s) for s in range(count)])
    for start in range(0, len(drawn) - count + 1, count):
        assert sorted(drawn[start : start + count]) == list(range(count))


def test_any_step_can_be_asked_first() -> None:
    labels = np.repeat(np.arange(6), 5)
    for make in (
        lambda: Shuffled(17, 5, 3),
        lambda: ByClass(labels, 3, 4, 3, extra=2),
        lambda: Strata([np.arange(7), np.arange(7, 30)], [2, 6], 3),
    ):
        forwards = [make().batch(s) for s in (0, 1, 9)]
        late = make()
        backwards = [late.batch(s) for s in (9, 1, 0)][::-1]
        for a, b in zip(forwards, backwards, strict=True):
            np.testing.assert_array_equal(a, b)


@given(st.integers(0, 50))
def test_by_class_gives_k_distinct_examples_of_p_classes_and_others(step: int) -> None:
    labels = np.repeat(np.arange(8), 6)
    drawn = ByClass(labels, 3, 4, 0, extra=5).batch(step)
    blocks = labels[drawn[:12]].reshape(3, 4)
    assert (blocks == blocks[:, :1]).all()
    assert len(set(blocks[:, 0])) == 3
    assert len(set(drawn)) == 17
    assert not set(labels[drawn[12:]]) & set(blocks[:, 0])


def test_by_class_repeats_a_small_class_only_after_all_of_it() -> None:
    drawn = ByClass(np.array([0, 0, 1, 1, 1]), 2, 5, 0).batch(0)
    zeros = drawn[np.isin(drawn, [0, 1])]
    assert sorted(np.bincount(zeros)) == [2, 3]


def test_strata_hold_their_shares_in_every_half() -> None:
    sampler = Strata([np.arange(10), np.arange(10, 40)], [4, 12], 0)
    for step in range(5):
        drawn = sampler.batch(step)
        assert (drawn < 10).sum() == 4
        assert (drawn[:8] < 10).sum() == 2


@pytest.mark.parametrize(
    "make",
    [
        lambda: Shuffled(0, 4, 0),
        lambda: ByClass(np.zeros(4), 2, 2, 0),
        lambda: ByClass(np.array([0, 1]), 2, 2, 0, extra=1),
    ],
)
def test_refuses_what_cannot_be_drawn(make: object) -> None:
    with pytest.raises(ConfigError):
        make()  # type: ignore[operator]


def test_parts_are_mixed_by_their_shares_and_rounding_goes_to_the_first() -> None:
    sampler = mixed([10, 5, 7], [1, 0, 2], 8, seed=3)
    for step in range(4):
        rows = sampler.batch(step)
        assert ((rows < 10).sum(), ((rows >= 15) & (rows < 22)).sum()) == (3, 5)
