"""Splits share no person, whatever the items' order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vultus.datasets.splits import folds_by_identity, name_places, split_by_identity
from vultus.errors import ConfigError

SHARES = {"train": 0.8, "dev": 0.1, "test": 0.1}
people = st.lists(st.integers(0, 30).map(str), min_size=12, max_size=200).filter(
    lambda names: len(set(names)) >= 5
)


@given(people, st.integers(0, 9))
def test_parts_are_disjoint_in_people_and_cover_all_items(names: list[str], seed: int) -> None:
    parts = split_by_identity(names, SHARES, seed=seed)
    array = np.array(names)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(names)))
    owners = [set(array[part]) for part in parts.values()]
    assert sum(map(len, owners)) == len(set(names))
    assert all(owners)
    total = len(set(names))
    for group, share in zip(owners, SHARES.values(), strict=True):
        assert abs(len(group) - share * total) <= 2


@given(people, st.randoms(use_true_random=False))
def test_a_person_stays_in_its_part_when_items_are_shuffled(
    names: list[str], random: object
) -> None:
    shuffled = list(names)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for one, other in zip(
        split_by_identity(names, SHARES).values(),
        split_by_identity(shuffled, SHARES).values(),
        strict=True,
    ):
        assert {names[i] for i in one} == {shuffled[i] for i in other}


def test_split_is_the_same_on_every_machine() -> None:
    parts = split_by_identity([f"p{i}" for i in range(10)], {"a": 0.5, "b": 0.5}, seed=3)
    assert parts["a"].tolist() == [3, 4, 6, 7, 9]


def test_seeds_differ() -> None:
    names = [str(i) for i in range(100)]
    first = split_by_identity(names, SHARES, seed=0)["test"]
    second = split_by_identity(names, SHARES, seed=1)["test"]
    assert first.tolist() != second.tolist()


@given(people, st.integers(2, 5))
def test_folds_are_disjoint_in_people_and_balanced(names: list[str], k: int) -> None:
    folds = folds_by_identity(names, k)
    array = np.array(names)
    for name in set(names):
        assert len(set(folds[array == name])) == 1
    sizes = np.bincount(folds, minlength=k)
    largest = max(np.unique(array, return_counts=True)[1])
    assert sizes.max() - sizes.min() <= largest


@pytest.mark.parametrize(
    "call",
    [
        lambda: split_by_identity(["a", "b"], {"x": 0.5, "y": 0.6}),
        lambda: split_by_identity(["a", "b"], {"x": 1.5, "y": -0.5}),
        lambda: split_by_identity(["a", "a"], {"x": 0.5, "y": 0.5}),
        lambda: split_by_identity(["a"], {}),
        lambda: split_by_identity([], {"x": 1.0}),
        lambda: split_by_identity(["a", None], {"x": 1.0}),
        lambda: folds_by_identity(["a", "b"], 3),
        lambda: folds_by_identity(["a", "b"], 1),
    ],
)
def test_bad_input_is_refused(call: object) -> None:
    with pytest.raises(ConfigError):
        call()  # type: ignore[operator]


def test_the_place_of_a_person_depends_on_the_name_alone() -> None:
    names = [f"person {i}" for i in range(400)]
    places = name_places(names)
    np.testing.assert_array_equal(name_places(names[::-1]), places[::-1])
    np.testing.assert_array_equal(name_places([*names[:3], names[0]])[[0, 3]], places[[0, 0]])
    # Spread evenly: the standard error of a share of 0.3 among 400 is 0.023.
    assert (places < 0.3).mean() == pytest.approx(0.3, abs=0.08)
    assert places.min() >= 0
    assert places.max() < 1
    # The same on every machine and in every version: who was kept apart stays apart.
    assert name_places(["Ada Lovelace"])[0] == pytest.approx(0.88874296424, abs=1e-9)
