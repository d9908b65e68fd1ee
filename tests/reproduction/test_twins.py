"""Near-duplicates: everything shared but the antisymmetric shape."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from vultus.recognition.crops import load_crops
from vultus.reproduction.twins import twin, twin_crops
from vultus.worlds import World, WorldSpec

ROOT = Path(__file__).resolve().parents[2] / "reproductions"


@pytest.fixture(scope="module")
def world() -> World:
    return World(WorldSpec(size=32, population=3, identities=4, asymmetry=1.5))


def test_a_pair_differs_in_its_asymmetry_alone(world: World) -> None:
    first, second = twin(world, 2), twin(world, 3)
    even = world.head.symmetric
    assert (first.number, second.number) == (2, 3)
    assert (first.look, first.hair, first.offset) == (second.look, second.hair, second.offset)
    np.testing.assert_array_equal(first.coefficients[:even], second.coefficients[:even])
    odd = first.coefficients[even:] - second.coefficients[even:]
    assert np.sqrt(np.mean(odd**2)) == pytest.approx(1.5 * np.sqrt(2), rel=0.4)


def test_other_pairs_differ_in_everything(world: World) -> None:
    first, other = twin(world, 0), twin(world, 2)
    even = world.head.symmetric
    assert first.look != other.look
    assert np.abs(first.coefficients[:even] - other.coefficients[:even]).max() > 0.1


def test_without_asymmetry_a_pair_has_one_shape() -> None:
    flat = World(WorldSpec(size=32, identities=2, asymmetry=0.0))
    np.testing.assert_array_equal(twin(flat, 0).coefficients, twin(flat, 1).coefficients)


def test_crops_hold_every_person_as_often_and_come_out_the_same_again() -> None:
    crops = twin_crops(2, 2, 16, 5)
    assert crops.images.shape == (8, 16, 16, 3)
    np.testing.assert_array_equal(np.bincount(crops.people), [2, 2, 2, 2])
    np.testing.assert_array_equal(twin_crops(2, 2, 16, 5).images, crops.images)
    assert (twin_crops(2, 2, 16, 6).images != crops.images).any()


def test_symface_tests_pairs_that_it_did_not_train_on(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    symface = runpy.run_path(str(ROOT / "symface.py"))
    budget = symface["budgets"]["smoke"] | {"twins": 6, "pictures": 1, "size": 16}
    bench = symface["Twins"](0, budget, tmp_path)
    trained = load_crops(bench.file)
    assert bench.identities == len(np.unique(trained.people)) == len(np.unique(bench.test.people))
    every = load_crops(next(tmp_path.glob("twins-6-1-*.safetensors")))
    shown = [np.flatnonzero((every.images == i).all((1, 2, 3))) for i in trained.images]
    people = np.concatenate(shown)
    # Whole pairs, and near-duplicates are still 2k and 2k + 1 after numbering anew.
    np.testing.assert_array_equal(people[1::2], people[::2] + 1)
    np.testing.assert_array_equal(trained.people, np.arange(6))
