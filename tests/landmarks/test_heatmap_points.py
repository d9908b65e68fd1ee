"""Heat maps and points: the renderer, decoding, crops of boxes, and the way round."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from vultus.errors import VultusError  # noqa: E402
from vultus.geometry import invert_affine, transform_points  # noqa: E402
from vultus.landmarks.fan.heatmaps import gaussian_maps, to_map  # noqa: E402
from vultus.landmarks.heatmaps import (  # noqa: E402
    coarse,
    crop_maps,
    cut_boxes,
    decode,
    face_boxes,
    jittered,
    to_crop,
    unflipped,
)
from vultus.points68 import MEAN, MIRROR, mirrored  # noqa: E402


def test_a_gaussian_on_a_pixel_is_a_patch_of_seven_with_peak_one() -> None:
    (values,) = gaussian_maps(torch.tensor([[10.0, 20.0]]), 32)
    assert values[20, 10] == 1
    assert values[20, 11].item() == pytest.approx(np.exp(-0.5))
    rows, columns = torch.nonzero(values, as_tuple=True)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (17, 23, 7, 13)


def test_deviation_two_draws_a_patch_of_thirteen() -> None:
    (values,) = gaussian_maps(torch.tensor([[20.0, 20.0]]), 64, 2.0)
    assert (values > 0).any(0).sum() == 13
    assert values[20, 22].item() == pytest.approx(np.exp(-0.5))


def test_absent_points_and_points_far_outside_give_empty_maps() -> None:
    points = torch.tensor([[float("nan"), 3.0], [3.0, float("inf")], [-40.0, 5.0], [5.0, 5.0]])
    assert gaussian_maps(points, 16).amax((1, 2)).tolist() == [0, 0, 0, 1]


def test_borders_cut_a_gaussian_without_moving_it() -> None:
    whole = gaussian_maps(torch.tensor([[11.0, 18.3]]), 32)
    part = gaussian_maps(torch.tensor([[1.0, 8.3]]), 16)
    torch.testing.assert_close(part[0], whole[0, 10:26, 10:26])


def test_snapped_gaussians_have_their_centre_on_a_pixel() -> None:
    (values,) = gaussian_maps(torch.tensor([[7.4, 9.6]]), 16, snap=True)
    assert values[10, 7] == 1


def test_batches_are_drawn_at_once_and_pass_gradients() -> None:
    points = torch.rand(2, 3, 68, 2, requires_grad=True)
    maps = gaussian_maps(points * 16, 16)
    assert maps.shape == (2, 3, 68, 16, 16)
    maps.sum().backward()
    assert torch.isfinite(points.grad).all()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 15), st.floats(0, 15)), min_size=1, max_size=8),
    st.booleans(),
)
def test_decoding_its_own_targets_is_within_half_a_pixel(
    points: list[tuple[float, float]], snap: bool
) -> None:
    given_points = torch.tensor(points, dtype=torch.float32)
    maps = gaussian_maps(given_points, 16, snap=snap)[None].numpy()
    found, peaks = decode(maps)
    limit = 0.5 + 1e-4 if not snap else 0.75 + 1e-4
    assert np.abs(found[0] - given_points.numpy()).max() <= limit
    assert (peaks > 0.7).all()


def test_inside_the_map_decoding_is_within_a_quarter() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(2, 13, (1, 400, 2)).astype(np.float32)
    found, _ = decode(gaussian_maps(torch.from_numpy(points), 16).numpy())
    assert np.abs(found - points).max() <= 0.25 + 1e-4


@pytest.mark.parametrize("size", [64, 128, 256])
def test_the_way_from_picture_to_maps_and_back(size: int) -> None:
    truth = np.array(MEAN, np.float32)[None] * 3.1 + np.float32(57.3)
    boxes = face_boxes(truth)
    maps = crop_maps(boxes, size)
    inside = transform_points(maps, truth)
    side = size // 4
    target = gaussian_maps(to_map(torch.from_numpy(inside), size, side), side)
    found, _ = decode(target.numpy())
    back = transform_points(invert_affine(maps), to_crop(found, size, side))
    pixel = 4 / maps[0, 0, 0]
    assert np.abs(back - truth).max() <= 0.5 * pixel


def test_crops_follow_the_published_frame() -> None:
    (affine,) = crop_maps([[100, 100, 200, 220]], 256)
    side = 200 * (100 + 120) / 195
    assert affine[0, 0] == pytest.approx(256 / side)
    # The centre of the crop lies 0.12 heights above that of the box.
    centre = transform_points(affine, [[150, 160 - 0.12 * 120]])[0]
    np.testing.assert_allclose(centre, 127.5, atol=1e-3)


def test_pixels_land_where_the_points_do() -> None:
    image = np.zeros((240, 240, 3), np.uint8)
    cv2.circle(image, (130, 90), 3, (255, 255, 255), -1)
    crops, maps = cut_boxes([image], [[60, 60, 180, 200]], 128)
    x, y = transform_points(maps[0], [[130, 90]])[0]
    rows, columns = np.nonzero(crops[0, ..., 0] > 127)
    assert (columns.mean(), rows.mean()) == pytest.approx((x, y), abs=0.3)


def test_boxes_without_area_are_refused() -> None:
    with pytest.raises(VultusError, match="above 0"):
        crop_maps([[10, 10, 10, 40]], 64)
    with pytest.raises(VultusError, match="do not fit"):
        cut_boxes([np.zeros((8, 8, 3), np.uint8)], [[0, 0, 4, 4], [0, 0, 4, 4]], 64)


def test_boxes_reach_to_the_hairline() -> None:
    points = np.array(MEAN, np.float32)
    (box,) = face_boxes(points[None])
    low, high = points.min(0), points.max(0)
    assert box.tolist() == pytest.approx(
        [low[0], low[1] - 0.33 * (high[1] - low[1]), high[0], high[1]], abs=1e-3
    )


def test_noise_moves_every_side_by_its_share_at_most() -> None:
    boxes = np.tile(np.array([[10, 20, 110, 70]], np.float32), (500, 1))
    off = (jittered(boxes, 0.2, np.random.default_rng(1)) - boxes) / [100, 50, 100, 50]
    assert 0.19 < np.abs(off).max() <= 0.2
    assert np.abs(off.mean(0)).max() < 0.02


def test_coarse_pictures_lose_detail_but_keep_their_size() -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    box = [20, 20, 84, 84]
    small = coarse(image, box, 16)
    assert small.shape == image.shape
    assert small.std() < 0.5 * image.std()
    assert coarse(image, box, 64) is image


def test_maps_of_mirror_images_come_back() -> None:
    # Off the half pixels, whose patches would be rounded to another side in the mirror.
    points = np.array(MEAN, np.float32)[None] / 6 + np.float32(0.013)
    plain = gaussian_maps(torch.from_numpy(points), 16).numpy()
    other = gaussian_maps(torch.from_numpy(mirrored(points, 16)), 16).numpy()
    np.testing.assert_allclose(unflipped(other), plain, atol=1e-5)
    assert unflipped(other).shape == plain.shape
    assert len(MIRROR) == 68
