"""The network: trunk, feature pyramid, context modules, cross-stitch units, heads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from vultus.detection.mos.anchors import PER_CELL
from vultus.detection.mos.backbones import Trunk, build_trunk
from vultus.detection.mos.decoding import BIN, BINS, LOWEST
from vultus.detection.mos.deformable import DeformableConv2d
from vultus.nets.layers import conv
from vultus.settings import settings

Stitch = Literal["learned", "identity"]

ANGLES = ("yaw", "pitch", "roll")
#: Tasks in the order of the stitch weights, and outputs per anchor of the first three.
TASKS = ("class", "box", "points", *ANGLES)
_OUTPUTS = {"class": 2, "box": 4, "points": 10}


@settings
class MosNetwork:
    """Which network.

    Parameters
    ----------
    trunk, width
        ``shufflenet-v2`` is MOS-S, ``mobilenet-v2`` MOS-M; factor on its channels.
    channels
        Of the pyramid and of each task's feature; a multiple of 4.
    pose_channels
        Of the hidden layer of each angle's head.
    deformable
        Whether the pyramid's and the context modules' 3 x 3 convolutions are deformable.
    stitch
        Whether the mix of the tasks' features is learned, or each task keeps its own.
    pose
        Whether there are heads for the angles.
    """

    trunk: Trunk = "shufflenet-v2"
    width: float = 1.0
    channels: int = 64
    pose_channels: int = 128
    deformable: bool = True
    stitch: Stitch = "learned"
    pose: bool = True

    def __post_init__(self) -> None:
        if self.width <= 0 or self.channels < 4 or self.channels % 4 or self.pose_channels < 1:
            raise ValueError(
                "need width > 0, channels a positive multiple of 4 and pose_channels >= 1"
            )

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that have a head."""
        return TASKS if self.pose else TASKS[:3]


class Outputs(NamedTuple):
    """What the network says at each of A anchors.

    Parameters
    ----------
    logits
        (N, A, 2): no face, face.
    boxes, points
        (N, A, 4) and (N, A, 10) codes.
    bins
        (N, A, 3, 66) logits of the bins of yaw, pitch and roll; None without pose.
    """

    logits: Tensor
    boxes: Tensor
    points: Tensor
    bins: Tensor | None


def expected_angle(bins: Tensor) -> Tensor:
    """Return the angles in degrees, (...,), of logits over bins (..., 66) (Hopenet, section 3)."""
    numbers = torch.arange(BINS, dtype=torch.float32, device=bins.device)
    return BIN * (bins.float().softmax(-1) * numbers).sum(-1) + LOWEST


def _conv3(inputs: int, outputs: int, deformable: bool, relu: bool) -> nn.Sequential:
    if not deformable:
        return conv(inputs, outputs, activation="relu" if relu else "none")
    layers = [DeformableConv2d(inputs, outputs), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class Pyramid(nn.Module):
    """Feature pyramid: lateral 1 x 1, sums from the top down, 3 x 3 on the two finer levels."""

    def __init__(self, inputs: tuple[int, ...], channels: int, deformable: bool) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            nn.Sequential(conv(c, channels, 1, activation="none"), nn.LeakyReLU(0.1, inplace=True))
            for c in inputs
        )
        self.smooth = nn.ModuleList(
            _conv3(channels, channels, deformable, relu=True) for _ in inputs[:-1]
        )

    def forward(self, taps: list[Tensor]) -> list[Tensor]:
        """Return the levels, finest first."""
        levels = [layer(tap) for layer, tap in zip(self.lateral, taps, strict=True)]
        for i in range(len(levels) - 2, -1, -1):
            upper = nn.functional.interpolate(levels[i + 1], scale_factor=2.0, mode="nearest")
            levels[i] = self.smooth[i](levels[i] + upper)
        return levels


class Context(nn.Module):
    """SSH context module (Najibi et al., ICCV 2017): views of 3, 5 and 7 pixels, concatenated."""

    def __init__(self, channels: int, deformable: bool) -> None:
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.near = _conv3(channels, half, deformable, relu=False)
        self.shared = _conv3(channels, quarter, deformable, relu=True)
        self.middle = _conv3(quarter, quarter, deformable, relu=False)
        self.far = nn.Sequential(
            _conv3(quarter, quarter, deformable, relu=True),
            _conv3(quarter, quarter, deformable, relu=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W)."""
        shared = self.shared(x)
        return torch.cat([self.near(x), self.middle(shared), self.far(shared)], 1).relu()


class CrossStitch(nn.Module):
    """Mixes the features of tasks channel by channel (Misra et al., CVPR 2016).

    ``mix[i, j]`` (C,) says how much of task j's feature goes into task i's: 0.9 on the diagonal
    and 0.1 beside it to begin with, or the identity, which is not learned.
    """

    def __init__(self, tasks: int, channels: int, kind: Stitch) -> None:
        super().__init__()
        eye = torch.eye(tasks)
        if kind == "learned":
            start = torch.where(eye > 0, 0.9, 0.1)[..., None].repeat(1, 1, channels)
            self.mix = nn.Parameter(start)
        else:
            self.register_buffer("mix", eye[..., None].repeat(1, 1, channels))

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Return the mixed features, each (N, C, H, W)."""
        stacked = torch.stack(features, 1)
        return [(stacked * row[None, ..., None, None]).sum(1) for row in self.mix]

    def mixed_layers(self, layers: Iterable[nn.Conv2d]) -> tuple[Tensor, Tensor]:
        """Return one 1 x 1 convolution that gives the mixed features of several.

        Mixing is linear, and so may act on weights (T C, C, 1, 1) and biases (T C,) instead of on
        maps, which costs far less.
        """
        each = list(layers)
        weight = torch.stack([layer.weight[..., 0, 0] for layer in each])
        bias = torch.stack([_bias(layer) for layer in each])
        mixed = torch.einsum("ijc,jcd->icd", self.mix, weight)
        shifts = torch.einsum("ijc,jc->ic", self.mix, bias)
        return mixed.flatten(0, 1)[..., None, None], shifts.flatten()


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias


class LevelHeads(nn.Module):
    """The heads of one level."""

    def __init__(self, config: MosNetwork) -> None:
        super().__init__()
        channels, hidden = config.channels, config.pose_channels
        self.features = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in config.tasks)
        self.stitch = CrossStitch(len(config.tasks), channels, config.stitch)
        plain = [nn.Conv2d(channels, PER_CELL * k, 1) for k in _OUTPUTS.values()]
        angles = [
            nn.Sequential(conv(channels, hidden), nn.Conv2d(hidden, PER_CELL * BINS, 1))
            for _ in config.tasks[3:]
        ]
        self.predictors = nn.ModuleList([*plain, *angles])

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return (N, anchors, k) of class, box and points, and (N, anchors, 3, 66) of the pose."""
        weight, bias = self.stitch.mixed_layers(self.features)  # type: ignore[arg-type]
        mixed = nn.functional.conv2d(x, weight, bias).chunk(len(self.features), 1)
        found = []
        for predictor, feature in zip(self.predictors, mixed, strict=True):
            y = predictor(feature)
            found.append(y.permute(0, 2, 3, 1).reshape(y.shape[0], -1, y.shape[1] // PER_CELL))
        return [*found[:3], torch.stack(found[3:], 2)] if found[3:] else found


class MosNet(nn.Module):
    """Float BGR (N, 3, H, W) less the mean, sides multiples of 32 -> :class:`Outputs`."""

    def __init__(self, config: MosNetwork) -> None:
        super().__init__()
        self.config = config
        self.trunk = build_trunk(config.trunk, config.width)
        self.pyramid = Pyramid(self.trunk.channels, config.channels, config.deformable)
        levels = range(len(self.trunk.channels))
        self.context = nn.ModuleList(Context(config.channels, config.deformable) for _ in levels)
        self.heads = nn.ModuleList(LevelHeads(config) for _ in levels)

    def forward(self, x: Tensor) -> Outputs:
        """Return what the heads say."""
        levels = self.pyramid(self.trunk(x))
        found = [
            heads(context(level))
            for heads, context, level in zip(self.heads, self.context, levels, strict=True)
        ]
        joined = [torch.cat(parts, 1) for parts in zip(*found, strict=True)]
        return Outputs(joined[0], joined[1], joined[2], joined[3] if self.config.pose else None)


class Shipped(nn.Module):
    """The network with probabilities in place of class logits, as it is exported.

    Angles stay logits of bins: only those of the few faces that are kept have to be decoded.
    """

    def __init__(self, net: MosNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return scores (N, A), box and point codes, and bins (N, A, 3, 66) if there are any."""
        found = self.net(x)
        scores = found.logits.float().softmax(-1)[..., 1]
        plain = (scores, found.boxes.float(), found.points.float())
        return plain if found.bins is None else (*plain, found.bins.float())
