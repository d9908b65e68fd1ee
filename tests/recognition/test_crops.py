"""Crops: aligned, resized and split by person; damaged files refused; figures by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vultus.errors import ConfigError, DatasetError  # noqa: E402
from vultus.geometry import template  # noqa: E402
from vultus.recognition.crops import (  # noqa: E402
    CropData,
    CropExamples,
    Crops,
    at_least,
    collect,
    load_crops,
    load_split,
    patterns,
    people_split,
    pixels,
    rendered,
    save_crops,
)
from vultus.recognition.verification import comparisons, embed, figures  # noqa: E402


def test_collect_puts_the_keypoints_on_the_template_and_counts_what_it_missed(
    astronaut: np.ndarray,
) -> None:
    base = template("arcface112").points
    points = base * 2 + 30
    pictures = [(astronaut, "b"), (astronaut, "a"), (astronaut[:8], "c")]
    crops, missed = collect(pictures, lambda i: points if len(i) > 8 else None, 56)
    assert (crops.size, missed) == (56, 1)
    assert crops.people.tolist() == [1, 0]
    # Pixel centres: x + 0.5 scales with the size.
    np.testing.assert_allclose(crops.points[0], (base + 0.5) / 2 - 0.5, atol=1e-3)
    with pytest.raises(DatasetError, match="no face"):
        collect(pictures, lambda _: None, 56)


def test_file_round_trip_and_damage(tmp_path: Path) -> None:
    crops = patterns(3, 2, 16, 0)
    save_crops(tmp_path / "a" / "crops.safetensors", crops)
    again = load_crops(tmp_path / "a" / "crops.safetensors")
    for name in ("images", "people", "points"):
        np.testing.assert_array_equal(getattr(again, name), getattr(crops, name))
    (tmp_path / "bad.safetensors").write_bytes(b"x")
    for name in ("bad", "none"):
        with pytest.raises(DatasetError, match=name):
            load_crops(tmp_path / f"{name}.safetensors")


def test_shapes_must_agree() -> None:
    with pytest.raises(DatasetError, match=r"\(N, S, S, 3\)"):
        Crops(np.zeros((2, 8, 9, 3), np.uint8), np.zeros(2, int), np.zeros((2, 5, 2), np.float32))


def test_resizing_keeps_points_on_their_pixels() -> None:
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[0, 8:12, 16:20] = 255
    centre = np.full((1, 5, 2), (17.5, 9.5), np.float32)
    small = Crops(image, np.zeros(1, np.int64), centre).resized(8)
    x, y = small.points[0, 0]
    assert (x, y) == (4, 2)
    assert small.images[0, int(y), int(x)].min() == 255
    assert small.images.sum() == 255 * 3


def test_taking_numbers_people_anew() -> None:
    crops = patterns(4, 3, 8, 0)
    kept = crops.take(crops.people >= 2)
    assert np.unique(kept.people).tolist() == [0, 1]
    uneven = crops.take(np.array([0, 1, 2, 3, 6, 7]))
    assert np.bincount(at_least(uneven, 2).people).tolist() == [3, 2]


def test_rendered_people_are_aligned_and_repeatable() -> None:
    pytest.importorskip("numba")
    crops = rendered(2, 3, 32, 5)
    assert np.bincount(crops.people).tolist() == [3, 3]
    # A least-squares similarity leaves a few pixels of 32 between any face and the template.
    base = (template("arcface112").points + 0.5) * (32 / 112) - 0.5
    assert np.abs(crops.points - base).mean() < 2
    np.testing.assert_array_equal(rendered(2, 3, 32, 5).images, crops.images)
    train_crops, development = load_split(CropData(size=32, renders=2, identities=3), 0)
    assert (len(train_crops.people), len(development.people)) == (4, 2)


def test_nobody_is_on_both_sides_of_a_split() -> None:
    people = np.repeat(np.arange(10), 4)
    mask = people_split(people, 0.7, 0)
    assert len(np.unique(people[mask])) == 7
    assert not set(people[mask]) & set(people[~mask])
    assert (people_split(people, 0.7, 0) == mask).all()
    assert (people_split(people, 0.7, 1) != mask).any()
    assert len(np.unique(people[people_split(people, 0.999, 0)])) == 9
    with pytest.raises(ConfigError, match="two people"):
        people_split(np.zeros(4), 0.5, 0)


def test_fewer_identities_leave_the_development_people_alone(tmp_path: Path) -> None:
    save_crops(tmp_path / "c.safetensors", patterns(20, 2, 16, 0))
    whole = CropData(size=16, file=str(tmp_path / "c.safetensors"), split_seed=3)
    few = CropData(size=16, file=str(tmp_path / "c.safetensors"), split_seed=3, identities=4)
    (a, dev_a), (b, dev_b) = load_split(whole, 0), load_split(few, 9)
    assert (a.people.max() + 1, b.people.max() + 1) == (16, 4)
    np.testing.assert_array_equal(dev_a.images, dev_b.images)


def test_examples_are_scaled_and_mirrored_half_of_the_time() -> None:
    crops = patterns(2, 2, 8, 0)
    examples = CropExamples(crops)
    rows = [examples.example(1, np.random.default_rng(s)) for s in range(200)]
    assert 70 < sum(r["flipped"] for r in rows) < 130
    turned = next(r for r in rows if r["flipped"])
    np.testing.assert_array_equal(turned["image"], pixels(crops.images[1])[..., ::-1])
    assert pixels(np.full((2, 2, 3), 255, np.uint8)).max() == 1
    assert pixels(np.zeros((2, 2, 3), np.uint8)).min() == -1


def test_figures_by_hand() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0.6, 0.8]], np.float32)
    pairs = comparisons(vectors, [0, 0, 1, 1])
    assert pairs.genuine.tolist() == pytest.approx([1, 0.8])
    assert sorted(pairs.impostor.tolist()) == pytest.approx([0, 0, 0.6, 0.6])
    across = comparisons(vectors[:2], [0, 0], vectors[2:], [1, 0])
    assert across.genuine.tolist() == pytest.approx([0.6, 0.6])
    found = figures(vectors, [0, 0, 1, 1], (0.25,))
    assert found["auc"] == 1
    assert found["tar@0.25"] == 1
    assert found["impostor_cosine"] == pytest.approx(0.3)


def test_embedding_leaves_the_network_in_its_mode() -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 4)).train()
    vectors = embed(network, np.zeros((5, 4, 4, 3), np.uint8), batch=2)
    assert network.training
    assert vectors.shape == (5, 4)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
