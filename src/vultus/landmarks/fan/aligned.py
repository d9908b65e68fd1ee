"""Hourglasses on crops that are aligned by points, read by the mean place of their maps.

Ours, not the paper's: a face whose points are known roughly is turned upright, centred and scaled
by them before the hourglasses see it, and every map is a distribution over places, whose mean is
the point. The export gives points, so that it is used like any other landmark network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vultus.geometry import FloatArray, UInt8Array
from vultus.landmarks.crop_networks import (
    figures_by_file,
    load_network,
    point_figures,
    predict_points,
)
from vultus.landmarks.crops import DEVELOPMENT, TRAIN, PointCrops, joined
from vultus.landmarks.fan.heatmaps import gaussian_maps, to_map
from vultus.landmarks.fan.networks import Fan
from vultus.landmarks.kd_landmarks.augmentation import Augmentation, PointExamples
from vultus.landmarks.renders import aligned_crops
from vultus.nets.backbones import to_input
from vultus.nets.learning import MAIN, Data, Learner, Losses, Progress
from vultus.nets.streams import Shuffled, Stream, mixed
from vultus.settings import settings

if TYPE_CHECKING:
    from vultus.landmarks.fan.learners import FanSettings


@settings
class Aligned:
    """How aligned crops are drawn.

    Parameters
    ----------
    shares
        Of each batch, by file; by their number of crops if not given.
    views
        How far training views depart from the aligned crop.
    start
        A run or checkpoint whose weights to start from.
    """

    shares: tuple[float, ...] | None = None
    views: Augmentation = field(default_factory=Augmentation)
    start: str | None = None


class AlignedLearner(Learner):
    """Hourglasses whose maps are distributions."""

    def __init__(self, config: FanSettings, aligned: Aligned) -> None:
        super().__init__()
        self.config, self.start = config, aligned.start
        self.net = Fan(config.network)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def losses(self, batch: Mapping[str, Any], progress: Progress, player: str = MAIN) -> Losses:
        """Return the losses of every stack on views of faces."""
        if progress.step == 0 and self.start is not None:
            load_network(self.net, self.start)
        faces, config = batch["faces"], self.config
        x = to_input(faces["image"]).contiguous(memory_format=torch.channels_last)
        return place_losses(
            self.net(x), faces["points"], faces["weight"], config.data.size, config.sigma
        )

    def predict(self, images: UInt8Array) -> FloatArray:
        """Return points (N, 68, 2) in pixels of uint8 RGB crops (N, S, S, 3)."""
        self.net.eval()
        return predict_points(Points(self.net), images)


class Points(nn.Module):
    """The network as it is exported: the points of the last stack, in crop pixels."""

    def __init__(self, network: Fan) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return points (N, 68, 2), 0 the centre of the first pixel."""
        maps: Tensor = self.network(x)[-1]
        stride = x.shape[-1] / maps.shape[-1]
        return (mean_places(maps) + 0.5) * stride - 0.5


def mean_places(maps: Tensor) -> Tensor:
    """Return the mean places (N, K, 2), x and y in map pixels, of logits (N, K, M, M).

    The soft argmax of Sun et al., "Integral human pose regression" (ECCV 2018).
    """
    side = maps.shape[-1]
    chances = functional.softmax(maps.float().flatten(2), -1).reshape(maps.shape)
    places = torch.arange(side, device=maps.device, dtype=torch.float32)
    return torch.stack([chances.sum(2) @ places, chances.sum(3) @ places], -1)


def place_losses(
    stacks: list[Tensor], points: Tensor, weight: Tensor, size: int, sigma: float
) -> Losses:
    """Return, for every stack, two terms that are least at the true points.

    ``maps``: cross-entropy between the map, as a distribution over places, and a Gaussian around
    the point; points outside the crop have none. ``points``: distance of the mean place from the
    point, in map pixels.

    Parameters
    ----------
    stacks
        Logits (N, 68, M, M) of each.
    points, weight
        (N, 68, 2) crop pixels, and (N, 68) trust in each.
    size, sigma
        Side of the crop in pixels; deviation of the Gaussians in map pixels.
    """
    side = stacks[0].shape[-1]
    truth = to_map(points, size, side)
    inside = ((truth > -0.5) & (truth < side - 0.5)).all(-1)
    target = gaussian_maps(truth, side, sigma).flatten(2)
    target = target / target.sum(-1, keepdim=True).clamp(min=1e-6)
    shown, total = weight * inside, weight.sum().clamp(min=1e-6)
    terms = {}
    for i, maps in enumerate(stacks):
        surprise = -(target * functional.log_softmax(maps.float().flatten(2), -1)).sum(-1)
        off = ((mean_places(maps) - truth).square().sum(-1) + 1e-6).sqrt()
        terms[f"maps_{i}"] = (surprise * shown).sum() / total
        terms[f"points_{i}"] = (off * weight).sum() / total
    return Losses(terms)


def aligned_data(config: FanSettings, aligned: Aligned, seed: int) -> Data:
    """Return views of aligned crops, and plain development crops by file."""
    files = aligned_crops(config.data, seed)
    train = [part.take(part.split == TRAIN) for part in files]
    development = [part.take(part.split == DEVELOPMENT) for part in files]
    examples = PointExamples(joined(train), aligned.views)
    if aligned.shares is None:
        stream = Stream(examples, Shuffled(len(examples), config.batch, seed))
    else:
        sizes = [len(part) for part in train]
        stream = Stream(examples, mixed(sizes, aligned.shares, config.batch, seed))
    return Data({"faces": stream}, [part for part in development if len(part)])


def aligned_figures(learner: AlignedLearner, development: list[PointCrops]) -> dict[str, float]:
    """Return NME by the outer eye corners and the share above 10 %, of each file and the last."""
    plain = (crops.plain() for crops in development)
    return figures_by_file(point_figures(learner.predict(images), truth) for images, truth in plain)
