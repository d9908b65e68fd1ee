"""The networks: published sizes, blocks of equal size, shapes, what learns."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from vultus.landmarks.fan.networks import (  # noqa: E402
    Bottleneck,
    DepthNet,
    DepthNetwork,
    Fan,
    Hierarchical,
    Network,
    make_block,
    matched_inner,
    parameters,
)

SMALL = {"channels": 16, "depth": 2}


def test_the_published_network_has_the_published_size() -> None:
    with torch.device("meta"):
        four, one = Fan(Network()), Fan(Network(stacks=1))
        depth = DepthNet(DepthNetwork())
    assert parameters(four) == pytest.approx(24e6, rel=0.02)
    assert parameters(one) == pytest.approx(6e6, rel=0.05)
    # ResNet-152 without its classifier of a thousand classes, and with 71 channels in.
    assert parameters(depth) == pytest.approx(58.5e6, rel=0.01)


@pytest.mark.parametrize("block", ["hierarchical", "bottleneck"])
@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("stacks", [1, 3])
def test_every_stack_gives_maps_of_a_quarter(block: str, pooling: str, stacks: int) -> None:
    config = Network(stacks=stacks, block=block, pooling=pooling, **SMALL)  # type: ignore[arg-type]
    maps = Fan(config).eval()(torch.zeros(2, 3, 32, 32))
    assert [tuple(m.shape) for m in maps] == [(2, 68, 8, 8)] * stacks


def test_blocks_are_the_published_ones() -> None:
    block = Hierarchical(64, 64)
    assert [s[2].weight.shape[:2] for s in (block.one, block.two, block.three)] == [
        (32, 64), (16, 32), (16, 16),
    ]  # fmt: skip
    assert isinstance(make_block(Network(block="bottleneck"), 64, 64), Bottleneck)
    x = torch.randn(1, 64, 4, 4)
    assert not torch.equal(block(x), x)
    assert isinstance(Hierarchical(32, 64).skip, torch.nn.Sequential)


def test_pooling_is_a_choice() -> None:
    x = torch.randn(1, 3, 32, 32)
    out = []
    for pooling in ("max", "average"):
        torch.manual_seed(0)
        out.append(Fan(Network(stacks=1, pooling=pooling, **SMALL)).eval()(x)[0])  # type: ignore[arg-type]
    assert not torch.allclose(out[0], out[1])


@pytest.mark.parametrize("channels", [16, 32, 64])
def test_bottlenecks_can_be_given_as_many_parameters(channels: int) -> None:
    plain = Network(stacks=1, channels=channels, depth=3)
    inner = matched_inner(plain)
    narrow = Network(stacks=1, channels=channels, depth=3, block="bottleneck", inner=inner)
    assert parameters(Fan(narrow)) / parameters(Fan(plain)) == pytest.approx(1, abs=0.05)


def test_every_stack_learns() -> None:
    network = Fan(Network(stacks=2, **SMALL))
    sum(m.square().mean() for m in network(torch.randn(4, 3, 32, 32))).backward()
    still = [name for name, p in network.named_parameters() if p.grad is None]
    assert still == []


def test_depth_of_any_side() -> None:
    network = DepthNet(DepthNetwork(layers=(1, 1, 1, 1), channels=4)).eval()
    for size in (32, 64, 256):
        assert network(torch.zeros(1, 71, size, size)).shape == (1, 68)


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        Network(channels=20)
    with pytest.raises(ValueError, match="inner"):
        Network(inner=0.0)
    with pytest.raises(ValueError, match="at least 1"):
        DepthNetwork(layers=(0, 1, 1, 1))
