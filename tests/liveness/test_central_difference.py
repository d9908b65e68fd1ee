"""Central difference convolution against the formula of the paper."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from vultus.errors import ConfigError
from vultus.liveness.cdcn.convolution import (
    CentralDifferenceConv2d,
    central_difference_conv2d,
    fused,
    fused_kernel,
)


def by_definition(x, weight, theta):
    """Sum over the window, term by term: theta * w (x_n - x_0) + (1 - theta) * w x_n."""
    padded = functional.pad(x, (1, 1, 1, 1))
    n, _, h, w = x.shape
    out = torch.zeros(n, len(weight), h, w, dtype=x.dtype)
    for row in range(h):
        for column in range(w):
            window = padded[:, :, row : row + 3, column : column + 3]
            centre = window[:, :, 1:2, 1:2]
            mixed = theta * (window - centre) + (1 - theta) * window
            out[:, :, row, column] = torch.einsum("nikl,oikl->no", mixed, weight)
    return out


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 1), st.integers(0, 1000))
def test_equals_the_explicit_difference_formula(theta: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 3, 5, 4, generator=generator, dtype=torch.float64)
    layer = CentralDifferenceConv2d(3, 4, theta=theta).double()
    torch.testing.assert_close(layer(x), by_definition(x, layer.weight, theta))


def test_equals_two_branches_with_an_unpadded_difference_branch() -> None:
    x = torch.randn(2, 4, 9, 9)
    weight = torch.randn(6, 2, 3, 3)
    both = functional.conv2d(x, weight, stride=2, padding=1, groups=2) - 0.7 * functional.conv2d(
        x, weight.sum((2, 3), keepdim=True), stride=2, groups=2
    )
    found = central_difference_conv2d(x, weight, 0.7, stride=2, padding=1, groups=2)
    torch.testing.assert_close(found, both, rtol=1e-4, atol=1e-4)


def test_theta_zero_is_the_plain_convolution() -> None:
    layer = CentralDifferenceConv2d(3, 5, theta=0.0)
    x = torch.randn(1, 3, 6, 6)
    torch.testing.assert_close(layer(x), functional.conv2d(x, layer.weight, padding=1))


def test_theta_one_ignores_an_offset_inside_but_not_at_the_border() -> None:
    layer = CentralDifferenceConv2d(3, 5, theta=1.0)
    x = torch.randn(1, 3, 8, 8)
    change = (layer(x + 10) - layer(x)).detach().abs()
    assert change[..., 1:-1, 1:-1].max() < 1e-4
    assert change[..., 0, :].max() > 0.1


@pytest.mark.parametrize("theta", [0.0, 0.7, 1.0])
def test_gradients_flow_through_both_terms(theta: float) -> None:
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, w: central_difference_conv2d(x, w, theta, padding=1), (x, weight)
    )


def test_the_kernel_is_summed_in_float32_under_half_precision() -> None:
    weight = torch.full((1, 1, 3, 3), 1.0)
    weight[0, 0, 0, 0] = 1.0 + 2**-7
    half = weight.bfloat16()
    kernel = fused_kernel(half, 1.0)
    exact = half.float()
    exact[0, 0, 1, 1] -= half.float().sum()
    assert kernel.dtype == torch.bfloat16
    torch.testing.assert_close(kernel, exact.bfloat16())


def test_fusing_a_network_changes_no_output() -> None:
    network = torch.nn.Sequential(
        CentralDifferenceConv2d(3, 4, bias=True),
        torch.nn.Sequential(torch.nn.ReLU(), CentralDifferenceConv2d(4, 2, theta=0.3)),
    )
    plain = fused(network)
    x = torch.randn(2, 3, 7, 7)
    torch.testing.assert_close(plain(x), network(x), rtol=1e-4, atol=1e-5)
    assert not any(isinstance(m, CentralDifferenceConv2d) for m in plain.modules())
    assert isinstance(network[0], CentralDifferenceConv2d)


def test_weights_are_those_of_a_plain_convolution() -> None:
    layer = CentralDifferenceConv2d(3, 4)
    layer.load_state_dict(torch.nn.Conv2d(3, 4, 3, bias=False).state_dict())


@pytest.mark.parametrize("wrong", [{"kernel": 2}, {"theta": -0.1}, {"theta": 1.5}])
def test_refuses_even_kernels_and_theta_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="odd kernel and theta"):
        CentralDifferenceConv2d(3, 4, **wrong)
