"""A world: same number, same bytes; labels true of the picture; people who can be told apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vultus.errors import ConfigError, DatasetError
from vultus.worlds import (
    DOMAINS,
    Batch,
    Camera,
    Part,
    PoseSpec,
    WearSpec,
    World,
    WorldSpec,
    generate,
    person,
    split_identities,
    stream,
)

ARRAYS = ("colour", "depth", "normals", "parts", "landmarks", "box", "pose", "expression")


def joined(batches: list[Batch], name: str) -> np.ndarray:
    return np.concatenate([getattr(b, name) for b in batches])


def test_bytes_do_not_depend_on_batch_workers_or_start(small_world: World) -> None:
    alone = list(generate(small_world, 11, 7, batch=1))
    together = list(generate(small_world, 11, 7, batch=4, workers=2))
    fresh = list(generate(WorldSpec(size=64, identities=6), 11, 7, start=5))
    for name in ARRAYS:
        np.testing.assert_array_equal(joined(alone, name), joined(together, name))
        np.testing.assert_array_equal(joined(alone, name)[5:], joined(fresh, name))
    assert [len(b) for b in together] == [4, 3]


def test_other_seeds_give_other_pictures(small_world: World) -> None:
    a, b = small_world.sample(1, 0), small_world.sample(2, 0)
    assert a.identity == b.identity
    assert (a.colour != b.colour).mean() > 0.5


def test_samples_carry_consistent_labels(small_world: World) -> None:
    for sample in stream(small_world, 3, 8):
        assert sample.colour.shape == (64, 64, 3)
        assert sample.colour.dtype == np.uint8
        on = np.isfinite(sample.depth)
        assert (sample.parts[~on] == Part.BACKGROUND).all()
        lengths = np.linalg.norm(sample.normals[on], axis=1)
        np.testing.assert_allclose(lengths, 1, atol=1e-3)
        assert {Part.SKIN, Part.NOSE} <= set(np.unique(sample.parts).tolist())
        assert sample.live
        assert sample.infrared is None
        np.testing.assert_allclose(sample.keypoints[2], sample.landmarks[30], atol=1e-4)
        assert sample.facts()["identity"] == sample.index % 6


def test_people_keep_their_looks_and_differ_from_one_another(small_world: World) -> None:
    head = small_world.head
    again = person(head, 0, 3)
    np.testing.assert_array_equal(again.coefficients, person(head, 0, 3).coefficients)
    shapes = np.stack([person(head, 0, i).coefficients for i in range(20)])
    apart = np.linalg.norm(shapes[:, None] - shapes[None], axis=2)
    assert apart[~np.eye(20, dtype=bool)].min() > 3
    assert not np.array_equal(shapes[0], person(head, 1, 0).coefficients)
    even = person(head, 0, 3, asymmetry=0.0)
    assert (even.coefficients[head.symmetric :] == 0).all()


def test_skin_covers_the_range_of_human_tones(small_world: World) -> None:
    tones = [person(small_world.head, 0, i).look.melanin for i in range(300)]
    assert min(tones) < 0.15
    assert max(tones) > 1.8
    assert 0.2 < np.mean([t > 0.9 for t in tones]) < 0.7


@given(count=st.integers(3, 200), seed=st.integers(0, 50))
def test_splits_are_disjoint_and_complete(count: int, seed: int) -> None:
    parts = split_identities(count, (0.6, 0.2, 0.2), seed)
    flat = [i for part in parts for i in part]
    assert sorted(flat) == list(range(count))
    assert parts == split_identities(count, (0.6, 0.2, 0.2), seed)


def test_expressions_are_labelled(small_world: World) -> None:
    world = World(replace(small_world.spec, emotions=("surprise",)))
    sample = world.sample(0, 0)
    names = world.head.expression_names
    assert sample.emotion == "surprise"
    assert sample.expression[names.index("jawOpen")] > 0.15
    assert sample.expression[names.index("browInnerUp_L")] > 0.3


def test_ranges_of_pose_are_kept(small_world: World) -> None:
    spec = replace(small_world.spec, pose=PoseSpec((40, 60), (-5, 5), (0, 0), normal=False))
    world = World(spec)
    poses = np.array([world.shot(0, i).pose for i in range(40)])
    assert poses[:, 0].min() >= 40
    assert poses[:, 0].max() <= 60
    assert poses[:, 0].std() > 3
    assert (poses[:, 2] == 0).all()


def test_worn_things_are_marked_and_hide_points() -> None:
    bare = World(WorldSpec(size=96, identities=3, wear=WearSpec(0, 0, 0, 0, 0)))
    dark = World(WorldSpec(size=96, identities=3, wear=WearSpec(1, 1, 0, 0, 0)))
    for i in range(3):
        a, b = bare.sample(0, i), dark.sample(0, i)
        assert not a.occluded.any()
        assert b.occluded.sum() > 150
        # Dark lenses hide the eyes from view, not from the part labels.
        assert b.visible[36:48].sum() < a.visible[36:48].sum()
        assert (b.parts == Part.LEFT_EYE).sum() == (a.parts == Part.LEFT_EYE).sum()


def test_hats_are_background_and_occluders_stand_in_front() -> None:
    hat = World(WorldSpec(size=96, identities=3, wear=WearSpec(0, 0, 1, 0, 0))).sample(0, 1)
    assert (hat.parts[hat.occluded] == Part.BACKGROUND).all()
    assert np.isfinite(hat.depth[hat.occluded]).all()
    thing = World(WorldSpec(size=96, identities=3, wear=WearSpec(0, 0, 0, 0, 1))).sample(0, 1)
    assert thing.occluded.sum() > 100
    rest = np.isfinite(thing.depth) & ~thing.occluded
    assert thing.depth[thing.occluded].max() < thing.depth[rest].min()


def test_domains_change_the_picture_not_the_labels() -> None:
    spec = WorldSpec(size=64, identities=2)
    a = World(replace(spec, domains=(DOMAINS["studio"],))).sample(0, 1)
    b = World(replace(spec, domains=(DOMAINS["surveillance"],))).sample(0, 1)
    assert a.domain == "studio"
    assert b.domain == "surveillance"
    np.testing.assert_array_equal(a.landmarks, b.landmarks)
    np.testing.assert_array_equal(a.parts, b.parts)
    assert (a.colour != b.colour).mean() > 0.5


def test_photographs_serve_as_backgrounds(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from PIL import Image

    colours = np.zeros((80, 100, 3), np.uint8)
    colours[..., 1] = 200
    Image.fromarray(colours).save(tmp_path / "green.png")
    spec = WorldSpec(size=64, identities=2, backgrounds=str(tmp_path))
    sample = World(spec).sample(0, 0)
    behind = sample.colour[np.isinf(sample.depth)].astype(int)
    assert (behind[:, 1] - behind[:, 0]).mean() > 60
    with pytest.raises(DatasetError, match="no background pictures"):
        World(replace(spec, backgrounds=str(tmp_path / "nowhere"))).sample(0, 0)


def test_a_texture_array_replaces_painted_skin(small_world: World) -> None:
    from vultus.worlds import Appearance, paint

    own = np.zeros((256, 256, 3), np.float32)
    own[..., 2] = 0.7
    atlas = paint(small_world.head, Appearance(), 256, texture=own)
    np.testing.assert_array_equal(atlas.colour[100, 128], own[100, 128])
    with pytest.raises(ConfigError, match="shape"):
        paint(small_world.head, Appearance(), 128, texture=own)


def test_specs_survive_plain_dicts() -> None:
    spec = WorldSpec(size=96, people=(3, 9), domains=(DOMAINS["phone"],), species=("replay",))
    assert WorldSpec.from_dict(spec.to_dict()) == spec
    read = WorldSpec.from_dict({"size": 80, "pose": {"yaw": [-10, 10.5]}})
    assert read.pose.yaw == (-10.0, 10.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sise": 64}, "sise"),
        ({"size": "64"}, "size must be int"),
        ({"size": 3}, r"\[16, 2048\]"),
        ({"pose": {"yaw": [1, 2, 3]}}, "2 entries"),
        ({"pose": {"yaw": [10, -10]}}, "low <= high"),
        ({"pose": 4}, "mapping"),
        ({"head": "statue"}, "statue"),
        ({"emotions": ["glee"]}, "glee"),
        ({"species": ["hologram"]}, "hologram"),
        ({"identities": 0}, "at least one identity"),
        ({"wear": {"hat": 1.5}}, "probability hat"),
        ({"domains": []}, "domain"),
        ({"domains": [{"jpeg": [50, 120]}]}, "JPEG"),
        ({"camera": {"distance": [5, 10]}}, "25 cm"),
    ],
)
def test_bad_specs_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        WorldSpec.from_dict(values)


def test_bad_numbers_are_refused(small_world: World) -> None:
    with pytest.raises(ConfigError, match="start at 0"):
        small_world.sample(0, -1)
    with pytest.raises(ConfigError, match="batch"):
        next(generate(small_world, 0, 1, batch=0))
    with pytest.raises(ConfigError, match="workers"):
        next(stream(small_world, 0, 1, workers=0))
    with pytest.raises(ConfigError, match="split"):
        split_identities(2, (0.5, 0.3, 0.2))


def test_perspective_grows_with_nearness(small_world: World) -> None:
    shot = small_world.shot(0, 0)
    spans = []
    for distance in (30.0, 200.0):
        view = small_world.view(replace(shot, pose=(0, 0, 0), camera=Camera(distance, 0.8)))
        p = view.landmarks
        spans.append(np.ptp(p[31:36, 0]) / np.ptp(p[[0, 16], 0]))
    assert spans[0] > 1.1 * spans[1], "a near nose looks larger against the ears"
