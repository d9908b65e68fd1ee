"""RoI tanh warps in PyTorch: three geometries, exact inverses, the same as NumPy's."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from vultus import tanh_polar as reference  # noqa: E402
from vultus.errors import ConfigError  # noqa: E402
from vultus.nets.tanh_polar import (  # noqa: E402
    conversion,
    convert,
    pad_polar,
    restore,
    warp,
    warp_indices,
    warp_points,
)

GEOMETRIES = ("polar", "cartesian", "circular")
BOXES = torch.tensor([[30.0, 20.0, 70.0, 80.0], [10.0, 30.0, 60.0, 62.0]])
ANGLES = torch.tensor([0.4, -2.0])


def waves(size: int = 100) -> torch.Tensor:
    """Smooth pictures (2, 3, S, S) in [0, 1]."""
    y, x = torch.meshgrid(torch.arange(size) / size, torch.arange(size) / size, indexing="ij")
    rows = [torch.sin(a * x + b * y + a) for a, b in ((9, 4), (3, 11), (-7, 6))]
    picture = torch.stack(rows) / 2 + 0.5
    return torch.stack([picture, picture.flip(0)])


@pytest.mark.parametrize("keep_aspect", [True, False])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_indices_undo_points(geometry, keep_aspect):
    size = (24, 30)
    boxes = BOXES.double()
    options = {"keep_aspect": keep_aspect}
    points = warp_points(boxes, size, geometry, ANGLES.double(), **options)
    back = warp_indices(points, boxes, size, geometry, ANGLES.double(), **options)
    v, u = torch.meshgrid(torch.arange(24.0), torch.arange(30.0), indexing="ij")
    known = torch.ones(24, 30, dtype=torch.bool)
    if geometry == "polar":
        known[:, 0] = False
    if geometry == "circular":
        # Beyond the circle there is no point.
        known = torch.hypot((2 * u + 1) / 30 - 1, (2 * v + 1) / 24 - 1) < 0.999
    assert (back[..., 0] - u).abs()[:, known].max() < 1e-6
    assert ((back[..., 1] - v + 12) % 24 - 12).abs()[:, known].max() < 1e-6


@given(
    st.floats(3, 90), st.floats(3, 90), st.floats(-3, 3), st.booleans(), st.sampled_from([16, 33])
)
def test_points_are_those_of_numpy(width, height, angle, keep_aspect, side):
    box = np.array([[5, 7, 5 + width, 7 + height]], np.float32)
    expected = reference.polar_points(box, (side, 20), angle, keep_aspect=keep_aspect)
    given_angle = torch.tensor([angle], dtype=torch.float32)
    found = warp_points(
        torch.from_numpy(box), (side, 20), "polar", given_angle, keep_aspect=keep_aspect
    )
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-3)


def test_warp_and_restore_are_those_of_opencv():
    images = waves()
    bytes_ = (images * 255).round()
    pictures = bytes_.permute(0, 2, 3, 1).numpy().astype(np.uint8)
    found = warp(bytes_, BOXES, (64, 48), "polar", ANGLES)
    for i in range(2):
        expected = reference.warp_polar(pictures[i], BOXES[i].numpy(), (64, 48), float(ANGLES[i]))[
            0
        ]
        # The larger face is reduced before; OpenCV rounds weights to 1/32.
        gap = np.abs(found[i].permute(1, 2, 0).numpy()[:, :40] - expected[:, :40])
        assert np.quantile(gap, 0.99) < 4
        back = restore(found[i : i + 1], BOXES[i : i + 1], (100, 100), "polar", ANGLES[i : i + 1])
        maps = np.ascontiguousarray(found[i].permute(1, 2, 0).numpy())
        other = reference.restore_polar(maps, BOXES[i].numpy(), (100, 100), float(ANGLES[i]))
        gap = np.abs(back[0].permute(1, 2, 0).numpy() - other)
        assert np.quantile(gap, 0.99) < 4


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_pictures_come_back_inside_one_and_a_half_boxes(geometry):
    images = waves()
    there = warp(images, BOXES, (160, 160), geometry, ANGLES)
    back = restore(there, BOXES, (100, 100), geometry, ANGLES)
    for i, (x1, y1, x2, y2) in enumerate(((22, 10, 78, 90), (0, 22, 72, 70))):
        error = (back - images)[i, :, y1:y2, x1:x2].square().mean()
        assert 10 * math.log10(1 / error) > 30


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_labels_go_by_the_nearest_pixel(geometry):
    labels = torch.randint(0, 11, (2, 1, 100, 100), generator=torch.Generator().manual_seed(0))
    there = warp(labels.float(), BOXES, (40, 40), geometry, mode="nearest")
    assert set(there.unique().tolist()) <= set(map(float, range(11)))
    back = restore(there, BOXES, (100, 100), geometry, mode="nearest")
    assert set(back.unique().tolist()) <= set(map(float, range(11)))


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_gradients_reach_pictures_and_maps(geometry):
    boxes = BOXES[:1].double() / 10
    image = torch.rand(1, 1, 8, 8, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: warp(x, boxes, (8, 8), geometry), image)
    assert torch.autograd.gradcheck(lambda x: restore(x, boxes, (6, 6), geometry), image)


def test_each_box_is_its_own():
    images = waves()
    both = warp(images, BOXES, (20, 20), "polar", ANGLES)
    second = warp(images[1:], BOXES[1:], (20, 20), "polar", ANGLES[1:])
    torch.testing.assert_close(both[1:], second)


@pytest.mark.parametrize("keep_aspect", [True, False])
def test_conversion_is_the_warp_of_the_other_geometry(keep_aspect):
    # What the polar canvas shows, seen in Cartesian space, is the Cartesian canvas.
    images = waves(200)
    boxes = 2 * BOXES
    sides = boxes[:, 2:] - boxes[:, :2]
    ratios = sides[:, 0] / sides[:, 1]
    polar = warp(images, boxes, (96, 96), "polar", keep_aspect=keep_aspect)
    cartesian = warp(images, boxes, (96, 96), "cartesian")
    seen = convert(polar, conversion(ratios, (96, 96), "cartesian", keep_aspect), "cartesian")
    inner = (slice(None), slice(None), slice(20, 76), slice(20, 76))
    assert (seen - cartesian)[inner].abs().max() < 0.06
    back = convert(cartesian, conversion(ratios, (96, 96), "polar", keep_aspect), "polar")
    assert (back - polar)[..., :64].abs().max() < 0.06


def test_only_the_ratio_of_the_box_counts():
    # Both geometries scale with the box: the way between them is the same at every size.
    ways = []
    for scale in (1.0, 7.0):
        boxes = torch.tensor([[-0.35, -0.5, 0.35, 0.5]]) * scale
        points = warp_points(boxes, (9, 9), "cartesian")
        ways.append(warp_indices(points, boxes, (9, 9), "polar") + 1)
    torch.testing.assert_close(ways[0], ways[1], atol=1e-4, rtol=1e-4)
    grid = conversion(torch.tensor([0.7]), (9, 9), "cartesian")
    torch.testing.assert_close(
        (grid + 1) / 2 * torch.tensor([9.0, 10.0]), ways[0], atol=1e-4, rtol=1e-4
    )
    other = conversion(torch.tensor([1.3]), (9, 9), "cartesian")
    assert (other - grid).abs().max() > 0.05


def test_padding_goes_round_the_angle():
    maps = torch.arange(12.0).reshape(1, 1, 4, 3)
    padded = pad_polar(maps)
    assert padded.shape == (1, 1, 6, 4)
    torch.testing.assert_close(padded[0, 0, 0, 1:], maps[0, 0, -1])
    torch.testing.assert_close(padded[0, 0, -1, 1:], maps[0, 0, 0])
    torch.testing.assert_close(padded[0, 0, 1:-1, 0], maps[0, 0, :, 0])


def test_the_seam_leaves_no_trace():
    # A constant picture is constant everywhere inside, also where row 0 meets the last one.
    there = warp(torch.ones(1, 1, 100, 100), BOXES[:1], (32, 32), "polar")
    back = restore(there, BOXES[:1], (100, 100), "polar")
    torch.testing.assert_close(back[0, 0, 25:75, 30:70], torch.ones(50, 40))


def test_unknown_geometries_are_refused():
    with pytest.raises(ConfigError, match="unknown geometry 'log'"):
        warp_points(BOXES, (8, 8), "log")
    with pytest.raises(ConfigError, match="unknown geometry 'log'"):
        warp_indices(torch.zeros(2, 1, 1, 2), BOXES, (8, 8), "log")
