"""Rendered faces with exact groups: who is shown does not depend on how many others are."""

from __future__ import annotations

import numpy as np
import pytest

from vultus.audit.model_cards.renders import GROUPS, SmilingFaces

pytest.importorskip("numba")


@pytest.fixture(scope="module")
def even():
    counts = dict.fromkeys(GROUPS, 2)
    return SmilingFaces(3, 32, 2).collect({"train": counts, "test": dict.fromkeys(GROUPS, 1)})


def test_groups_splits_and_labels_are_those_asked_for(even):
    assert len(even) == 2 * (8 + 4)
    tone, age = (g.values for g in even.groups)
    counts = {
        g: int(((tone == g[0]) & (age == g[1]) & (even.split == "train")).sum()) for g in GROUPS
    }
    assert counts == dict.fromkeys(GROUPS, 4)
    assert even.label.mean() == 0.5
    for who in np.unique(even.people):
        assert even.label[even.people == who].tolist() == [True, False]
    assert not set(even.people[even.split == "train"]) & set(even.people[even.split == "test"])
    assert all(g.provenance.kind == "exact" for g in even.groups)


def test_skin_tone_is_seen(even):
    tone = even.groups[0].values
    light = even.pictures[tone == "light"].mean()
    assert light > even.pictures[tone == "dark"].mean() + 5


def test_collections_share_the_people_they_both_have(even):
    rare = dict.fromkeys(GROUPS, 2) | {GROUPS[-1]: 1}
    fewer = SmilingFaces(3, 32, 2).collect({"train": rare})
    assert len(fewer) == 2 * 7
    where = {sample: i for i, sample in enumerate(even.samples.tolist())}
    for sample, picture in zip(fewer.samples.tolist(), fewer.pictures, strict=True):
        np.testing.assert_array_equal(picture, even.pictures[where[sample]])
