"""Mirror twins: everything shared, the sides exchanged."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from vultus.recognition.crops import load_crops
from vultus.reproduction.twins import mirrored, original, twin_crops
from vultus.worlds import World, WorldSpec

ROOT = Path(__file__).resolve().parents[2] / "reproductions"


@pytest.fixture(scope="module")
def world() -> World:
    return World(WorldSpec(size=32, population=3, identities=4, asymmetry=1.5))


def test_one_person_is_drawn_for_both_of_a_pair_and_is_lopsided(world: World) -> None:
    first, second = original(world, 2), original(world, 3)
    assert (first.number, second.number) == (2, 3)
    assert (first.look, first.hair, first.offset) == (second.look, second.hair, second.offset)
    np.testing.assert_array_equal(first.coefficients, second.coefficients)
    odd = first.coefficients[world.head.symmetric :]
    assert np.sqrt(np.mean(odd**2)) == pytest.approx(1.5, rel=0.5)


def test_other_pairs_differ_in_everything(world: World) -> None:
    first, other = original(world, 0), original(world, 2)
    assert first.look != other.look
    assert np.abs(first.coefficients - other.coefficients).max() > 0.1


def test_mirrored_keypoints_lie_on_the_same_parts_and_twice_is_never() -> None:
    points = np.array([(10, 20), (30, 21), (19, 30), (12, 40), (28, 41)], np.float32)
    turned = mirrored(points, 64)
    np.testing.assert_array_equal(turned[0], (63 - 30, 21))
    np.testing.assert_array_equal(turned[3], (63 - 28, 41))
    np.testing.assert_array_equal(mirrored(turned, 64), points)


def test_crops_hold_every_person_as_often_and_come_out_the_same_again() -> None:
    crops = twin_crops(2, 2, 16, 5)
    assert crops.images.shape == (8, 16, 16, 3)
    np.testing.assert_array_equal(np.bincount(crops.people), [2, 2, 2, 2])
    np.testing.assert_array_equal(twin_crops(2, 2, 16, 5).images, crops.images)
    assert (twin_crops(2, 2, 16, 6).images != crops.images).any()
    # Eyes are where the template has them, for both of a pair: the right one on the right.
    assert (crops.points[:, 1, 0] > crops.points[:, 0, 0] + 3).all()


def test_one_of_a_pair_resembles_the_mirror_image_of_the_other() -> None:
    crops = twin_crops(3, 12, 32, 5)
    means = np.stack([crops.images[crops.people == p].mean((0, 3)) for p in range(6)])
    # The sides of a mean face, where light from left and right has evened out.
    sides = (means - means[:, :, ::-1])[:, 8:24, 8:24].reshape(3, 2, -1)
    agreement = [np.corrcoef(pair)[0, 1] for pair in sides]
    assert np.mean(agreement) < -0.2


def test_symface_tests_pairs_that_it_did_not_train_on(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    symface = runpy.run_path(str(ROOT / "symface.py"))
    budget = symface["budgets"]["smoke"] | {"twins": 6, "pictures": 1, "size": 16}
    bench = symface["Twins"](0, budget, tmp_path)
    trained = load_crops(bench.file)
    assert bench.identities == len(np.unique(trained.people)) == len(np.unique(bench.test.people))
    every = load_crops(next(tmp_path.glob("mirror-twins-6-1-*.safetensors")))
    shown = [np.flatnonzero((every.images == i).all((1, 2, 3))) for i in trained.images]
    people = np.concatenate(shown)
    # Whole pairs, and twins are still 2k and 2k + 1 after numbering anew.
    np.testing.assert_array_equal(people[1::2], people[::2] + 1)
    np.testing.assert_array_equal(trained.people, np.arange(6))
