"""Photographs as skin: what was painted comes back from its picture, and labels do not move."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from vultus.errors import ConfigError, DatasetError
from vultus.worlds import (
    Lighting,
    Makeup,
    Texture,
    WearSpec,
    World,
    WorldSpec,
    load_texture,
    paint,
    project_photo,
    save_texture,
)
from vultus.worlds.noise import srgb
from vultus.worlds.projection import fit_head

BARE = WorldSpec(size=224, detail="low", identities=6, wear=WearSpec(0, 0, 0, 0, 0))


@pytest.fixture(scope="module")
def bare_world() -> World:
    return World(BARE)


def photograph(world: World, index: int, lighting: Lighting, **changes: object):  # type: ignore[no-untyped-def]
    """A picture without noise, its points, and the atlas that was painted for it."""
    shot = replace(world.shot(0, index), lighting=lighting, **changes)  # type: ignore[arg-type]
    view = world.view(shot)
    light = view.radiance[..., :3] + (1 - view.radiance[..., 3:]) * 0.3
    picture = np.round(srgb(light / 1.3) * 255).astype(np.uint8)
    return picture, view, paint(world.head, shot.look, 256).colour


@pytest.mark.parametrize(("index", "yaw"), [(1, 0.0), (1, 25.0), (3, -40.0)])
def test_painted_skin_comes_back_from_its_picture(
    bare_world: World, plain_light: Lighting, index: int, yaw: float
) -> None:
    picture, view, truth = photograph(bare_world, index, plain_light, pose=(yaw, 3.0, 4.0))
    texture = project_photo(bare_world.head, picture, view.landmarks)
    known = texture.cover > 0.9
    assert 0.06 < known.mean() < 0.2
    found, painted = texture.colour[known], truth[known]
    gain = (found * painted).sum() / (found**2).sum()
    assert np.abs(found * gain - painted).mean() < 0.15 * painted.mean()
    for channel in range(3):
        assert np.corrcoef(found[:, channel], painted[:, channel])[0, 1] > 0.6


def test_light_from_one_side_is_taken_out(bare_world: World, plain_light: Lighting) -> None:
    side = replace(plain_light, directions=np.array([[0.8, 0.0, 0.6]], np.float32))
    picture, view, _ = photograph(bare_world, 1, side, pose=(0.0, 0.0, 0.0))

    def imbalance(colour: np.ndarray) -> float:
        known = texture.cover > 0.9
        level = colour.mean(-1)
        left, right = (np.where(known, level, np.nan)[:, s] for s in (slice(128), slice(128, 256)))
        return abs(float(np.log(np.nanmedian(right) / np.nanmedian(left))))

    texture = project_photo(bare_world.head, picture, view.landmarks)
    cheeks = picture[:, :112].mean(), picture[:, 112:].mean()
    assert cheeks[1] > 1.1 * cheeks[0], "the picture is brighter where the light stands"
    assert imbalance(texture.colour) < 0.12


def test_the_fitted_head_meets_the_points(bare_world: World, plain_light: Lighting) -> None:
    _, view, _ = photograph(bare_world, 1, plain_light, pose=(15.0, 5.0, -8.0))
    fitted = fit_head(bare_world.head, view.landmarks)
    inner = fitted.screen[bare_world.head.landmarks[17:]]
    reach = np.linalg.norm(view.landmarks[45] - view.landmarks[36])
    assert np.abs(inner - view.landmarks[17:]).max() < 0.03 * reach
    assert fitted.yaw == pytest.approx(15, abs=6)


def test_worlds_wear_the_textures_of_a_folder(tmp_path: Path, bare_world: World) -> None:
    green = np.zeros((64, 64, 3), np.float32)
    green[..., 1] = 0.6
    cover = np.zeros((64, 64), np.float32)
    cover[10:48, 16:48] = 1
    save_texture(tmp_path / "grün.png", Texture(green, cover))
    spec = replace(BARE, size=64)
    plain, worn = (World(s) for s in (spec, replace(spec, textures=str(tmp_path))))
    a, b = plain.sample(0, 0), worn.sample(0, 0)
    for name in ("depth", "normals", "parts", "landmarks", "visible", "pose", "box"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    nose = b.colour[b.parts == 6].astype(int)
    assert (nose[:, 1] - nose[:, 0]).mean() > 60
    np.testing.assert_array_equal(b.colour, worn.sample(0, 0).colour)
    assert worn.sample(0, 6).identity == 0


def test_make_up_is_worn_over_a_photograph(bare_world: World) -> None:
    look = bare_world.shot(0, 0).look
    skin = Texture(np.full((256, 256, 3), 0.4, np.float32), np.ones((256, 256), np.float32))
    without = paint(bare_world.head, replace(look, makeup=Makeup()), 256, texture=skin).colour
    worn = Makeup(lips=(0.5, 0.02, 0.04), lip_cover=0.9)
    made_up = paint(bare_world.head, replace(look, makeup=worn), 256, texture=skin).colour
    changed = np.abs(made_up - without).max(-1) > 0.1
    assert 0.0005 < changed.mean() < 0.05


def test_a_texture_survives_its_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texture = Texture(
        rng.random((32, 32, 3), np.float32), rng.integers(0, 2, (32, 32)).astype(np.float32)
    )
    save_texture(tmp_path / "a.png", texture)
    back = load_texture(tmp_path / "a.png", 32)
    np.testing.assert_array_equal(back.cover, texture.cover)
    assert np.abs(srgb(back.colour) - srgb(texture.colour)).max() < 0.5 / 255 + 1e-4
    assert load_texture(tmp_path / "a.png", 48).colour.shape == (48, 48, 3)


def test_what_is_no_texture_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no textures in .*nowhere.*data textures"):
        World(replace(BARE, textures=str(tmp_path / "nowhere")))
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"photo\.png: expected a square PNG"):
        World(replace(BARE, textures=str(tmp_path))).sample(0, 0)
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"empty\.png"):
        load_texture(tmp_path / "empty.png", 32)


def test_what_is_no_face_is_refused(bare_world: World) -> None:
    picture = np.zeros((50, 60, 3), np.uint8)
    with pytest.raises(ConfigError, match="68 finite points"):
        project_photo(bare_world.head, picture, np.zeros((5, 2)))
    with pytest.raises(ConfigError, match="no face"):
        project_photo(bare_world.head, picture, np.zeros((68, 2)))
    with pytest.raises(ConfigError, match="uint8"):
        project_photo(bare_world.head, picture.astype(np.float32), np.zeros((68, 2)))
