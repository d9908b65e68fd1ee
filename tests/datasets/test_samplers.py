"""Samplers: what batches hold, and going on after an interruption."""

from __future__ import annotations

import itertools
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vultus.datasets.samplers import BalancedSampler, PKSampler, Sampler
from vultus.errors import ConfigError

LABELS = np.repeat([0, 1, 2], [100, 10, 3])


def balanced(rng: int | np.random.Generator = 0) -> Sampler:
    return BalancedSampler(LABELS, 12, rng=rng)


def pk(rng: int | np.random.Generator = 0) -> Sampler:
    return PKSampler(np.repeat(np.arange(7), [2, 3, 4, 5, 6, 7, 1]), 3, 4, rng=rng)


def test_classes_are_balanced_and_their_items_come_in_rounds() -> None:
    batches = list(BalancedSampler(LABELS, 12, batches=30))
    for batch in batches:
        assert Counter(LABELS[batch].tolist()) == {0: 4, 1: 4, 2: 4}
    seen = Counter(np.concatenate(batches).tolist())
    for label in range(3):
        counts = [seen[i] for i in np.flatnonzero(label == LABELS)]
        assert max(counts) - min(counts) <= 1


def test_pk_batches_hold_p_people_with_k_pictures_each() -> None:
    identities = np.repeat(np.arange(7), [2, 3, 4, 5, 6, 7, 1])
    batches = list(pk())
    assert len(batches) == len(pk()) == 2
    people = []
    for batch in batches:
        rows = identities[batch].reshape(3, 4)
        assert (rows == rows[:, :1]).all()
        people += rows[:, 0].tolist()
        for person, row in zip(rows[:, 0], batch.reshape(3, 4), strict=True):
            own = (identities == person).sum()
            counts = Counter(row.tolist()).values()
            assert max(counts) <= -(-4 // own)
    # Six people have two pictures or more; each comes once.
    assert sorted(people) == list(range(6))


def test_least_leaves_people_out() -> None:
    identities = np.repeat(np.arange(7), [2, 3, 4, 5, 6, 7, 1])
    sampler = PKSampler(identities, 3, 4, least=4)
    assert set(identities[np.concatenate(list(sampler))]) <= {2, 3, 4, 5}


@pytest.mark.parametrize("make", [balanced, pk])
def test_epochs_differ_and_the_seed_repeats_them(make: object) -> None:
    def epochs(rng: int | np.random.Generator) -> list[list[list[int]]]:
        sampler = make(rng)  # type: ignore[operator]
        return [[batch.tolist() for batch in sampler] for _ in range(3)]

    one = epochs(5)
    assert one == epochs(5)
    assert one != epochs(6)
    assert one[0] != one[1]
    assert epochs(np.random.default_rng(1)) == epochs(np.random.default_rng(1))


@pytest.mark.parametrize("make", [balanced, pk])
@given(taken=st.integers(0, 25))
def test_an_interrupted_run_goes_on_where_it_stood(make: object, taken: int) -> None:
    def endless(sampler: Sampler) -> itertools.chain[np.ndarray]:
        return itertools.chain.from_iterable(iter(lambda: iter(sampler), None))

    whole = list(itertools.islice(endless(make(3)), 40))  # type: ignore[operator]
    first = make(3)  # type: ignore[operator]
    for _ in itertools.islice(endless(first), taken):
        pass
    state = json.loads(json.dumps(first.state_dict()))
    second = make(99)  # type: ignore[operator]
    second.load_state_dict(state)
    rest = list(itertools.islice(endless(second), 40 - taken))
    assert [b.tolist() for b in rest] == [b.tolist() for b in whole[taken:]]


@pytest.mark.parametrize(
    "state",
    [{}, {"seed": 0, "epoch": 0, "position": 999}, {"seed": "x", "epoch": 0, "position": 0}],
)
def test_foreign_states_are_refused(state: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        pk().load_state_dict(state)


@pytest.mark.parametrize(
    "call",
    [
        lambda: BalancedSampler([], 4),
        lambda: BalancedSampler([1, 2], 0),
        lambda: BalancedSampler([1, 2], 2, batches=0),
        lambda: PKSampler([1, 1, 2], 2, 2),
        lambda: PKSampler([1, 1, 2, 2], 0, 2),
        lambda: PKSampler([None, "a"], 1, 1),
    ],
)
def test_bad_input_is_refused(call: object) -> None:
    with pytest.raises(ConfigError):
        call()  # type: ignore[operator]
