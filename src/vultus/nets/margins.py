"""Margins for softmax heads: what is taken off the target cosine, and what it costs.

A margin sees the cosine of each sample to its own class centre and the sample's embedding norm.
All arithmetic is float32, whatever the autocast state.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from vultus.errors import ConfigError
from vultus.settings import settings


@settings
class Margin:
    """Which margin, and its constants.

    Parameters
    ----------
    name
        ``softmax`` (none), ``arcface``, ``cosface``, ``adaface`` or ``magface``.
    scale
        Factor on all cosines before the softmax.
    m
        Margin: radians for ArcFace, cosine for CosFace, both for AdaFace; MagFace ignores it.
    """

    name: Literal["softmax", "arcface", "cosface", "adaface", "magface"] = "arcface"
    scale: float = 64.0
    m: float = 0.5

    def __post_init__(self) -> None:
        if self.scale <= 0 or not 0 <= self.m < math.pi / 2:
            raise ConfigError(
                f"margin {self.name}: need scale > 0 and 0 <= m < pi/2, got {self.scale}, {self.m}"
            )


class NoMargin(nn.Module):
    """The cosine as it is: normalised softmax."""

    def forward(self, cosine: Tensor, norm: Tensor) -> tuple[Tensor, Tensor]:
        """Return the target cosines (N,) and a penalty per sample (N,)."""
        return cosine, torch.zeros_like(norm)


class ArcFace(nn.Module):
    """cos(theta + m), Deng et al. (2019), equation 3.

    Past theta = pi - m, where the cosine would rise again, it goes on as cos(theta) - m sin(m),
    so that the target falls over the whole range.
    """

    def __init__(self, m: float = 0.5) -> None:
        super().__init__()
        self.m = m

    def forward(self, cosine: Tensor, norm: Tensor) -> tuple[Tensor, Tensor]:
        """Return the target cosines (N,) and a penalty per sample (N,)."""
        # The clamp bounds the gradient of the root where the sample sits on its centre.
        sine = (1 - cosine**2).clamp(min=1e-7).sqrt()
        shifted = cosine * math.cos(self.m) - sine * math.sin(self.m)
        beyond = cosine - self.m * math.sin(self.m)
        target = torch.where(cosine > math.cos(math.pi - self.m), shifted, beyond)
        return target, torch.zeros_like(norm)


class CosFace(nn.Module):
    """cos(theta) - m, Wang et al. (2018), equation 4."""

    def __init__(self, m: float = 0.4) -> None:
        super().__init__()
        self.m = m

    def forward(self, cosine: Tensor, norm: Tensor) -> tuple[Tensor, Tensor]:
        """Return the target cosines (N,) and a penalty per sample (N,)."""
        return cosine - self.m, torch.zeros_like(norm)


class AdaFace(nn.Module):
    """cos(theta - m z) - (m z + m) with z the batch-normalised embedding norm.

    Kim et al. (2022), equations 13 to 16: a clear picture (large norm) gets an additive margin,
    a poor one an angular margin that asks less of it. No gradient flows through the norm.

    Parameters
    ----------
    m, h
        Margin, and the factor that concentrates z.
    momentum
        Weight of the present batch in the running mean and deviation of the norms; 1 uses the
        batch alone. In evaluation mode the running values are used and left as they are.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, m: float = 0.4, h: float = 0.333, momentum: float = 1.0) -> None:
        super().__init__()
        self.m, self.h, self.momentum = m, h, momentum
        self.register_buffer("mean", torch.tensor(20.0))
        self.register_buffer("std", torch.tensor(100.0))

    def forward(self, cosine: Tensor, norm: Tensor) -> tuple[Tensor, Tensor]:
        """Return the target cosines (N,) and a penalty per sample (N,)."""
        norms = norm.detach().clamp(1e-3, 100)
        if self.training:
            # A batch of one has no deviation; its z is then 0.
            std = norms.std() if len(norms) > 1 else norms.new_zeros(())
            self.mean.lerp_(norms.mean(), self.momentum)
            self.std.lerp_(std, self.momentum)
        z = ((norms - self.mean) / (self.std + 1e-3) * self.h).clamp(-1, 1)
        eps = 1e-3
        theta = cosine.clamp(-1 + eps, 1 - eps).acos()
        target = (theta - self.m * z).clamp(eps, math.pi - eps).cos() - (self.m * z + self.m)
        return target, torch.zeros_like(norm)


class MagFace(nn.Module):
    """cos(theta + m(a)) and a penalty g(a) on the norm a, Meng et al. (2021), equations 2 and 3.

    m rises linearly over [l_a, u_a]; g(a) = a / u_a^2 + 1 / a, weighted by ``penalty``.
    """

    def __init__(
        self,
        norms: tuple[float, float] = (10.0, 110.0),
        margins: tuple[float, float] = (0.45, 0.8),
        penalty: float = 35.0,
    ) -> None:
        super().__init__()
        self.norms, self.margins, self.penalty = norms, margins, penalty

    def forward(self, cosine: Tensor, norm: Tensor) -> tuple[Tensor, Tensor]:
        """Return the target cosines (N,) and a penalty per sample (N,)."""
        (low, high), (m_low, m_high) = self.norms, self.margins
        a = norm.clamp(low, high)
        m = m_low + (m_high - m_low) / (high - low) * (a - low)
        sine = (1 - cosine**2).clamp(min=1e-7).sqrt()
        shifted = cosine * m.cos() - sine * m.sin()
        target = torch.where(cosine > (math.pi - m).cos(), shifted, cosine - m * m.sin())
        return target, self.penalty * (a / high**2 + 1 / a)


def build_margin(margin: Margin) -> nn.Module:
    """Return the margin that the settings name."""
    if margin.name == "arcface":
        return ArcFace(margin.m)
    if margin.name == "cosface":
        return CosFace(margin.m)
    if margin.name == "adaface":
        return AdaFace(margin.m)
    return MagFace() if margin.name == "magface" else NoMargin()
