"""Central difference convolution (Yu et al., CVPR 2020, section 3.1)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from vultus.errors import ConfigError


def fused_kernel(weight: Tensor, theta: float) -> Tensor:
    """Return the plain kernel that computes a central difference convolution.

    y(p) = sum_n w_n x(p + n) - theta x(p) sum_n w_n, so the whole difference term moves into the
    centre weight.

    Parameters
    ----------
    weight
        (O, I, K, K), K odd.
    theta
        Share of the difference term; 0 returns the weight itself.

    Returns
    -------
    (O, I, K, K) in the weight's dtype; the sum over the kernel is taken in float32 or wider,
    since in half precision it loses the small differences that the layer is made for.
    """
    if theta == 0:
        return weight
    middle = weight.shape[-1] // 2
    wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
    centre = torch.zeros_like(wide[:1, :1])
    centre[..., middle, middle] = 1.0
    total = wide.sum((2, 3), keepdim=True)
    return (wide - theta * total * centre).to(weight.dtype)


def difference_kernel(kernel: Tensor, theta: float) -> Tensor:
    """Return the weight whose :func:`fused_kernel` is a given kernel: its inverse, for theta < 1.

    Every plain convolution is a central difference convolution of other weights, so that a
    trained network can be turned into one without changing what it computes; what changes is
    which way training moves it.

    Parameters
    ----------
    kernel
        (O, I, K, K), K odd.
    theta
        Share of the difference term in [0, 1).

    Raises
    ------
    ConfigError
        If theta is 1: a kernel that does not sum to zero then has no such weight.
    """
    if not 0 <= theta < 1:
        raise ConfigError(f"a plain kernel needs theta in [0, 1), got {theta}")
    middle = kernel.shape[-1] // 2
    weight = kernel.clone()
    centre = kernel[..., middle, middle]
    around = kernel.sum((2, 3)) - centre
    weight[..., middle, middle] = (centre + theta * around) / (1 - theta)
    return weight


def central_difference_conv2d(
    x: Tensor,
    weight: Tensor,
    theta: float,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve maps (N, I, H, W) with the mix of intensities and central differences.

    Zero padding meets the difference term too: beside the border even theta = 1 sees constant
    offsets of the input.

    Returns
    -------
    (N, O, H', W').
    """
    kernel = fused_kernel(weight, theta)
    return functional.conv2d(x, kernel, bias, stride, padding, dilation, groups)


class CentralDifferenceConv2d(nn.Conv2d):
    """A convolution that mixes intensities with central differences, without more parameters.

    In place of any ``nn.Conv2d`` with an odd square kernel and zero padding; the weights are those
    of the plain convolution, so a state dictionary fits both.

    Parameters
    ----------
    inputs, outputs
        Channels.
    kernel, stride, padding, dilation, groups, bias
        As for ``nn.Conv2d``; by default 3x3 that keeps the size, without bias.
    theta
        In [0, 1]: 0 is the plain convolution, 1 sees differences from the centre only. The paper
        uses 0.7.

    Raises
    ------
    ConfigError
        If the kernel is even or theta is out of range.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        padding: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        *,
        theta: float = 0.7,
    ) -> None:
        if kernel % 2 == 0 or not 0 <= theta <= 1:
            raise ConfigError(
                f"central difference convolution needs an odd kernel and theta in [0, 1], got "
                f"kernel {kernel} and theta {theta}"
            )
        super().__init__(inputs, outputs, kernel, stride, padding, dilation, groups, bias)
        self.theta, self._pads = theta, padding

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H', W'); gradients flow through both terms."""
        out: Tensor = self._conv_forward(x, fused_kernel(self.weight, self.theta), self.bias)
        return out

    def plain(self) -> nn.Conv2d:
        """Return the ordinary convolution that computes the same."""
        layer = nn.Conv2d(
            self.in_channels,
            self.out_channels,
            (self.kernel_size[0], self.kernel_size[1]),
            (self.stride[0], self.stride[1]),
            self._pads,
            (self.dilation[0], self.dilation[1]),
            self.groups,
            self.bias is not None,
        )
        layer.to(self.weight.device, self.weight.dtype)
        with torch.no_grad():
            layer.weight.copy_(fused_kernel(self.weight, self.theta))
            if self.bias is not None and layer.bias is not None:
                layer.bias.copy_(self.bias)
        return layer


def fused(network: nn.Module) -> nn.Module:
    """Return a copy for inference in which every central difference convolution is a plain one."""
    copied = copy.deepcopy(network)
    for module in list(copied.modules()):
        for name, child in module.named_children():
            if isinstance(child, CentralDifferenceConv2d):
                setattr(module, name, child.plain())
    return copied.plain() if isinstance(copied, CentralDifferenceConv2d) else copied
