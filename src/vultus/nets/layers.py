"""Small layers: unit length, pooling, convolution with normalisation."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Norm = Literal["batch", "group", "none"]
Activation = Literal["relu", "prelu", "leaky", "none"]


def unit(x: Tensor, eps: float = 1e-6) -> Tensor:
    """Return float32 vectors of length 1 along the last axis.

    ``eps`` bounds the divisor, and so the gradient at zero to 1 / eps: finite in float32 and
    bfloat16, while in float16 a zero vector overflows and the loss scaler skips the step.
    """
    return nn.functional.normalize(x.float(), dim=-1, eps=eps)


def norm_layer(kind: Norm, channels: int) -> nn.Module:
    """Return a normalisation of (N, C, H, W) maps; groups hold at most 8 channels."""
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        groups = next(g for g in range(max(channels // 8, 1), 0, -1) if channels % g == 0)
        return nn.GroupNorm(groups, channels)
    return nn.Identity()


def activation_layer(kind: Activation, channels: int) -> nn.Module:
    """Return an activation; PReLU learns one slope per channel, the slope of "leaky" stays."""
    if kind == "relu":
        return nn.ReLU(inplace=True)
    if kind == "leaky":
        return nn.LeakyReLU(0.25)
    return nn.PReLU(channels) if kind == "prelu" else nn.Identity()


class StridedDepthwise(nn.Conv2d):
    """A convolution in groups with a stride, whose gradients are quick on the CPU.

    There PyTorch takes many times as long for them as without a stride, so that computing the map
    whole and leaving out most of it is a gain.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        if not self.training or x.device.type != "cpu":
            return super().forward(x)
        whole = nn.functional.conv2d(
            x, self.weight, self.bias, 1, self.padding, self.dilation, self.groups
        )
        return whole[..., :: self.stride[0], :: self.stride[1]]


def conv(
    inputs: int,
    outputs: int,
    kernel: int = 3,
    stride: int = 1,
    *,
    groups: int = 1,
    padding: int | None = None,
    norm: Norm = "batch",
    activation: Activation = "relu",
) -> nn.Sequential:
    """Return convolution, normalisation, activation; "same" padding unless given."""
    padding = kernel // 2 if padding is None else padding
    kind = StridedDepthwise if groups > 1 and stride > 1 else nn.Conv2d
    layer = kind(inputs, outputs, kernel, stride, padding, groups=groups, bias=norm == "none")
    return nn.Sequential(layer, norm_layer(norm, outputs), activation_layer(activation, outputs))


class L2Pool2d(nn.Module):
    """Root of the local sum of squares (FaceNet, section 3.3), with a stride and padding.

    The sum, not the mean, is taken, as in the paper; ``eps`` keeps the gradient finite at zero.
    """

    def __init__(self, kernel: int, stride: int = 1, padding: int = 0, eps: float = 1e-6) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding, self.eps = kernel, stride, padding, eps

    def forward(self, x: Tensor) -> Tensor:
        """Pool (N, C, H, W)."""
        mean = nn.functional.avg_pool2d(x.float() ** 2, self.kernel, self.stride, self.padding)
        return (mean * self.kernel**2 + self.eps).sqrt().to(x.dtype)


class GeneralizedMeanPool(nn.Module):
    """Generalised mean over space, (mean x^p)^(1/p), with learned p (Radenovic et al., 2018)."""

    def __init__(self, p: float = 3.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(p))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Pool (N, C, H, W) to (N, C)."""
        powered = x.float().clamp(min=self.eps) ** self.p
        return (powered.mean((-2, -1)) ** (1 / self.p)).to(x.dtype)


class FlattenHead(nn.Sequential):
    """Embedding head of ArcFace (option E): BN, dropout, flatten, FC, BN without scale.

    Parameters
    ----------
    channels, side
        Of the incoming map (N, C, side, side).
    dim
        Length of the embedding; its norm is meaningful, so nothing is normalised here.
    """

    def __init__(self, channels: int, side: int, dim: int, dropout: float = 0.0) -> None:
        features = nn.BatchNorm1d(dim)
        nn.init.ones_(features.weight)
        features.weight.requires_grad_(False)
        super().__init__(
            nn.BatchNorm2d(channels),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(channels * side**2, dim),
            features,
        )


class DepthwiseHead(nn.Sequential):
    """Embedding head of MobileFaceNet: 1x1 to 512, global depthwise convolution, linear 1x1."""

    def __init__(
        self,
        channels: int,
        side: int,
        dim: int,
        hidden: int = 512,
        norm: Norm = "batch",
        activation: Activation = "prelu",
    ) -> None:
        super().__init__(
            conv(channels, hidden, 1, norm=norm, activation=activation),
            conv(hidden, hidden, side, groups=hidden, padding=0, norm=norm, activation="none"),
            conv(hidden, dim, 1, norm=norm, activation="none"),
            nn.Flatten(),
        )


class SqueezeExcite(nn.Module):
    """Channels weighed by what their means say together (Hu et al., 2018, section 3)."""

    def __init__(self, channels: int, reduction: int, activation: Activation = "prelu") -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            conv(channels, hidden, 1, norm="none", activation=activation),
            conv(hidden, channels, 1, norm="none", activation="none"),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Weigh (N, C, H, W)."""
        weights: Tensor = self.gate(x)
        return x * weights


class PoolHead(nn.Sequential):
    """Embedding head of small nets: mean over space, dropout, FC; optionally BN at the end."""

    def __init__(self, channels: int, dim: int, dropout: float = 0.0, bn: bool = True) -> None:
        super().__init__(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(channels, dim, bias=not bn),
            nn.BatchNorm1d(dim) if bn else nn.Identity(),
        )
