"""A bounded memory of what was made, and pictures that do not depend on it."""

from __future__ import annotations

import numpy as np

from vultus.worlds import World, WorldSpec
from vultus.worlds.recent import Recent


def test_the_one_unused_for_longest_goes_first() -> None:
    made: list[str] = []

    def make(key: str) -> str:
        made.append(key)
        return key.upper()

    recent: Recent[str, str] = Recent(2)
    assert [recent.get(k, lambda k=k: make(k)) for k in "abacab"] == list("ABACAB")
    # a, b; a again; c drives out b; a again; b anew drives out c.
    assert made == list("abcb")
    assert len(recent) == 2


def test_nothing_is_kept_at_size_zero() -> None:
    recent: Recent[int, object] = Recent(0)
    assert recent.get(1, object) is not recent.get(1, object)
    assert len(recent) == 0


def test_kept_hair_changes_no_byte() -> None:
    spec = WorldSpec(size=32, identities=3)
    keeping, making = World(spec), World(spec)
    making._hairs = Recent(0)
    for index in range(12):
        a, b = keeping.sample(0, index), making.sample(0, index)
        assert a.colour.tobytes() == b.colour.tobytes()
        assert a.depth.tobytes() == b.depth.tobytes()
        np.testing.assert_array_equal(a.parts, b.parts)
    # Hats flatten the hair, so that a person has up to two heads of it.
    assert 0 < len(keeping._hairs) <= 6
