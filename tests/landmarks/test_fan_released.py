"""Released networks: their names, their files, their own crop and decoding."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from vultus.errors import WeightsError  # noqa: E402
from vultus.landmarks.fan.networks import DepthNetwork  # noqa: E402
from vultus.landmarks.fan.released import (  # noqa: E402
    fan_name,
    find_released,
    legacy_crop,
    legacy_frame,
    legacy_points,
    load_released,
    load_released_depth,
    read_tensors,
)


def block(inputs: int, outputs: int) -> nn.Module:
    """Return a residual block with the names of the released code."""
    half, quarter = outputs // 2, outputs // 4
    out = nn.Module()
    out.bn1, out.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, half, 3, bias=False)
    out.bn2, out.conv2 = nn.BatchNorm2d(half), nn.Conv2d(half, quarter, 3, bias=False)
    out.bn3, out.conv3 = nn.BatchNorm2d(quarter), nn.Conv2d(quarter, quarter, 3, bias=False)
    if inputs != outputs:
        out.downsample = nn.Sequential(
            nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False)
        )
    return out


def released_fan(stacks: int, c: int) -> nn.Module:
    """Return the tensors of a FAN under the names of the released code."""
    net = nn.Module()
    net.conv1, net.bn1 = nn.Conv2d(3, c // 4, 7), nn.BatchNorm2d(c // 4)
    net.conv2, net.conv3 = block(c // 4, c // 2), block(c // 2, c // 2)
    net.conv4 = block(c // 2, c)
    for i in range(stacks):
        hourglass = nn.Module()
        for level in range(1, 5):
            for name in ("b1", "b2", "b3"):
                setattr(hourglass, f"{name}_{level}", block(c, c))
        hourglass.b2_plus_1 = block(c, c)
        setattr(net, f"m{i}", hourglass)
        setattr(net, f"top_m_{i}", block(c, c))
        setattr(net, f"conv_last{i}", nn.Conv2d(c, c, 1))
        setattr(net, f"bn_end{i}", nn.BatchNorm2d(c))
        setattr(net, f"l{i}", nn.Conv2d(c, 68, 1))
        if i < stacks - 1:
            setattr(net, f"bl{i}", nn.Conv2d(c, c, 1))
            setattr(net, f"al{i}", nn.Conv2d(68, c, 1))
    return net


@pytest.fixture(scope="module")
def released() -> nn.Module:
    torch.manual_seed(0)
    return released_fan(2, 16)


def test_every_tensor_has_its_place(released: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "2DFAN4.pth"
    torch.save(released.state_dict(), path)
    aligner = load_released(path)
    assert aligner.convention == "contour"
    own = aligner.network.state_dict()
    for name, value in released.state_dict().items():
        assert torch.equal(own[fan_name(name)], value), name
    assert len(own) == len(released.state_dict())
    assert isinstance(aligner.network.pool, nn.AvgPool2d)
    assert isinstance(load_released(path, pooling="max").network.pool, nn.MaxPool2d)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("conv1.weight", "stem.0.weight"),
        ("conv4.downsample.2.weight", "third.skip.2.weight"),
        ("m1.b2_3.bn2.weight", "stacks.1.hourglass.inside.down.two.0.weight"),
        ("m0.b2_plus_1.conv3.bias", f"stacks.0.hourglass.{4 * 'inside.'}three.2.bias"),
        ("top_m_3.conv1.weight", "stacks.3.block.one.2.weight"),
        ("bl0.bias", "stacks.0.back.bias"),
        ("l3.bias", "stacks.3.maps.bias"),
    ],
)  # fmt: skip
def test_names(theirs: str, ours: str) -> None:
    assert fan_name(theirs) == ours


def test_archives_of_torchscript_are_read_as_tensors(tmp_path: Path) -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 4, 7)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv1(x)

    holder = Holder()
    path = tmp_path / "3DFAN4.zip"
    torch.jit.script(holder).save(str(path))
    tensors = read_tensors(path)
    assert torch.equal(tensors["conv1.weight"], holder.conv1.weight)
    with pytest.raises(WeightsError, match="no stacked hourglasses"):
        load_released(path)


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "2DFAN4.pth"
    ran = tmp_path / "ran"

    class Bad:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (ran,))

    path.write_bytes(pickle.dumps({"l0.weight": Bad()}))
    with pytest.raises(WeightsError, match="cannot be read as plain tensors"):
        load_released(path)
    torch.save({"l0.weight": Bad()}, path)
    with pytest.raises(WeightsError, match="cannot be read as plain tensors"):
        load_released(path)
    assert not ran.exists()


def test_the_digest_in_a_name_must_hold(released: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "plain.pth"
    torch.save(released.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:10]
    good = path.rename(tmp_path / f"2DFAN4-{digest}.pth")
    assert load_released(good).convention == "contour"
    bad = tmp_path / "3DFAN4-0123456789.pth"
    bad.write_bytes(good.read_bytes())
    with pytest.raises(WeightsError, match="does not begin with 0123456789"):
        load_released(bad)


def test_a_file_that_lacks_tensors_is_named(released: nn.Module, tmp_path: Path) -> None:
    tensors = dict(released.state_dict())
    del tensors["bl0.weight"]
    torch.save(tensors, tmp_path / "3dfan.pth")
    with pytest.raises(WeightsError, match=r"3dfan\.pth: does not fit"):
        load_released(tmp_path / "3dfan.pth")
    torch.save(released.state_dict(), tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="contour or projected"):
        load_released(tmp_path / "x.pth")


def test_files_are_found_by_name(tmp_path: Path) -> None:
    for name in ("2DFAN4-cd938726ad.zip", "3DFAN4.pth", "depth-6c4283c0e0.zip", "s3fd.pth"):
        (tmp_path / name).touch()
    found = find_released(tmp_path)
    assert {kind: file.name[:5] for kind, file in found.items()} == {
        "contour": "2DFAN", "projected": "3DFAN", "depth": "depth",
    }  # fmt: skip
    assert find_released(tmp_path / "nowhere") == {}


def test_depth_has_its_names_too(tmp_path: Path) -> None:
    width, layers = 4, (1, 2, 1, 1)
    net: Any = nn.Module()
    net.conv1, net.bn1 = nn.Conv2d(71, width, 7, bias=False), nn.BatchNorm2d(width)
    channels = width
    for level, count in enumerate(layers):
        inner, rows = width * 2**level, []
        for i in range(count):
            row: Any = nn.Module()
            row.conv1, row.bn1 = nn.Conv2d(channels, inner, 1, bias=False), nn.BatchNorm2d(inner)
            row.conv2, row.bn2 = nn.Conv2d(inner, inner, 3, bias=False), nn.BatchNorm2d(inner)
            row.conv3 = nn.Conv2d(inner, 4 * inner, 1, bias=False)
            row.bn3 = nn.BatchNorm2d(4 * inner)
            if i == 0:
                row.downsample = nn.Sequential(
                    nn.Conv2d(channels, 4 * inner, 1, bias=False), nn.BatchNorm2d(4 * inner)
                )
            channels = 4 * inner
            rows.append(row)
        setattr(net, f"layer{level + 1}", nn.ModuleList(rows))
    net.fc = nn.Linear(channels, 68)
    state = {f"module.{name}": value for name, value in net.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "depth.pth")
    depth = load_released_depth(tmp_path / "depth.pth", DepthNetwork(layers=layers, channels=width))
    own = depth.network.state_dict()
    assert torch.equal(own["blocks.1.skip.0.weight"], net.layer2[0].downsample[0].weight)
    assert torch.equal(own["blocks.2.three.1.weight"], net.layer2[1].bn3.weight)
    image = np.zeros((90, 80, 3), np.uint8)
    points = np.random.default_rng(0).uniform(20, 60, (1, 68, 2))
    solid = depth.lift([image], [[15, 15, 65, 70]], points)
    assert solid.shape == (1, 68, 3)
    np.testing.assert_allclose(solid[0, :, :2], points[0], atol=1e-3)


def test_the_legacy_crop_and_decoding_go_together() -> None:
    image = np.zeros((300, 320, 3), np.uint8)
    image[150:154, 170:174] = 255
    box = np.array([100.0, 90.0, 220.0, 230.0])
    centre, scale = legacy_frame(box)
    assert scale == pytest.approx(260 / 195)
    crop = legacy_crop(image, centre, scale)
    rows, columns = np.nonzero(crop[..., 0] > 127)
    maps = np.zeros((1, 1, 64, 64), np.float32)
    maps[0, 0, round((rows.mean() + 0.5) / 4 - 0.5), round((columns.mean() + 0.5) / 4 - 0.5)] = 1
    x, y = legacy_points(maps, centre, scale)[0, 0]
    # A pixel of the map covers four of the picture here; whole pixels are all they give.
    assert (x, y) == pytest.approx((171.5, 151.5), abs=4.2)
    assert x == int(x)


def test_a_legacy_crop_may_reach_over_the_picture() -> None:
    image = np.full((60, 60, 3), 200, np.uint8)
    centre, scale = legacy_frame(np.array([0.0, 0.0, 50.0, 60.0]))
    crop = legacy_crop(image, centre, scale)
    assert crop.shape == (256, 256, 3)
    assert crop[2, 2].max() == 0
    assert crop[140, 140].min() == 200
    assert legacy_crop(image, np.array([900.0, 900.0]), 0.5).max() == 0


def test_a_released_network_gives_whole_picture_pixels(released: nn.Module, tmp_path: Path) -> None:
    torch.save(released.state_dict(), tmp_path / "2dfan.pth")
    aligner = load_released(tmp_path / "2dfan.pth")
    image = np.random.default_rng(0).integers(0, 256, (90, 80, 3), np.uint8)
    for options in ({}, {"flip": True}, {"mirror": True}):
        points = aligner.locate([image], [[15, 15, 65, 70]], **options)
        assert points.shape == (1, 68, 2)
        np.testing.assert_array_equal(points, np.trunc(points))
