"""Layers with a known answer: convolutions in groups with a stride, the gate of channels."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from vultus.nets.layers import SqueezeExcite, StridedDepthwise, conv  # noqa: E402


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize("stride", [2, 3])
def test_training_a_strided_depthwise_convolution_is_that_of_an_ordinary_one(
    side: int, stride: int
) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(6, 12, 3, stride, 1, groups=6)
    quick = StridedDepthwise(6, 12, 3, stride, 1, groups=6)
    quick.load_state_dict(plain.state_dict())
    x = torch.randn(2, 6, side, side)

    def both(layer: nn.Module) -> tuple[Tensor, ...]:
        given = x.clone().requires_grad_()
        y = layer(given)
        y.square().sum().backward()
        grads = [given.grad, *(p.grad for p in layer.parameters())]
        return (y, *(g for g in grads if g is not None))

    wanted, found = both(plain), both(quick.train())
    assert len(wanted) == len(found) == 4
    for one, two in zip(wanted, found, strict=True):
        torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(quick.eval()(x), plain(x))


def test_only_convolutions_in_groups_with_a_stride_are_replaced() -> None:
    assert type(conv(4, 4, stride=2, groups=4)[0]) is StridedDepthwise
    assert type(conv(4, 4, stride=2)[0]) is type(conv(4, 4, groups=4)[0]) is nn.Conv2d


def test_the_gate_weighs_channels_by_their_means() -> None:
    layer = SqueezeExcite(2, 2, "leaky")
    first, last = (m for m in layer.modules() if isinstance(m, nn.Conv2d))
    first.weight.data = torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1)
    last.weight.data = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1)
    first.bias.data.zero_()
    last.bias.data.zero_()
    x = torch.ones(1, 2, 2, 2)
    x[0, 0] = torch.tensor([[0.0, 2.0], [4.0, 6.0]])
    # The mean of the first channel, 3, opens the second; the first stays half open.
    wanted = torch.stack([x[0, 0] / 2, x[0, 1] * torch.sigmoid(torch.tensor(3.0))])
    torch.testing.assert_close(layer(x)[0], wanted)
