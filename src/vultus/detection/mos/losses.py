"""Losses of the tasks, hard negatives, and weights from uncertainty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vultus.detection.mos.decoding import BIN, BINS, LOWEST
from vultus.detection.mos.networks import ANGLES, Outputs, expected_angle

#: Tasks whose loss is one half of that of a Gaussian likelihood.
REGRESSIONS = ("box", "points")
#: Negatives that teach in a picture without faces.
FEWEST = 16


@dataclass(frozen=True, slots=True)
class TaskLosses:
    """Losses of one batch.

    Parameters
    ----------
    terms
        Scalars by task, means over the anchors that count.
    total, small
        (N,) sums of class, box and point losses over all faces of each picture, and over its
        small ones; without gradient.
    """

    terms: dict[str, Tensor]
    total: Tensor
    small: Tensor


def hard_negatives(losses: Tensor, labels: Tensor, ratio: int) -> Tensor:
    """Return which negatives teach, bool (N, A): the worst ones, ``ratio`` per positive.

    Parameters
    ----------
    losses
        (N, A) class losses.
    labels
        (N, A) 1 face, 0 none, -1 ignored.
    ratio
        Negatives per positive of the same picture, at least :data:`FEWEST`.
    """
    open_to = torch.where(labels == 0, losses.detach(), -torch.inf)
    rank = open_to.argsort(1, descending=True).argsort(1)
    count = ((labels == 1).sum(1, keepdim=True) * ratio).clamp(min=FEWEST)
    return (rank < count) & (labels == 0)


def pose_loss(bins: Tensor, degrees: Tensor, alpha: float) -> Tensor:
    """Return Hopenet's loss of each face and angle (Ruiz et al., CVPR workshops 2018).

    Cross-entropy over bins plus ``alpha`` times the squared error of the expected angle.

    Parameters
    ----------
    bins
        (..., 66) logits.
    degrees
        (...,); clipped into the bins' range.
    """
    top = LOWEST + BIN * BINS
    clipped = degrees.clamp(LOWEST, top - 1e-3)
    number = ((clipped - LOWEST) / BIN).floor().long().clamp(0, BINS - 1)
    flat = bins.float().reshape(-1, BINS)
    entropy = nn.functional.cross_entropy(flat, number.reshape(-1), reduction="none")
    squared = (expected_angle(bins) - clipped) ** 2
    return entropy.reshape(degrees.shape) + alpha * squared


def task_losses(
    outputs: Outputs, targets: Mapping[str, Tensor], *, ratio: int, alpha: float
) -> TaskLosses:
    """Return the losses of the tasks for targets of :func:`~vultus.detection.mos.anchors.targets`.

    Smooth L1 on box and point codes, over positives; two-class cross-entropy over positives and
    hard negatives, divided by the number of positives; pose over positives whose pose is known.
    """
    labels = targets["label"]
    faces = labels == 1
    count = faces.sum().clamp(min=1)
    logits = outputs.logits.float()
    entropy = nn.functional.cross_entropy(
        logits.transpose(1, 2), labels.clamp(min=0), reduction="none"
    )
    taught = faces | hard_negatives(entropy, labels, ratio)
    each = {
        name: nn.functional.smooth_l1_loss(
            getattr(outputs, field).float(), targets[name], reduction="none"
        ).sum(-1)
        for name, field in (("box", "boxes"), ("points", "points"))
    }
    terms = {"class": (entropy * taught).sum() / count}
    terms |= {name: (loss * faces).sum() / count for name, loss in each.items()}
    if outputs.bins is not None:
        posed = faces & targets["posed"]
        # Where there is nothing to learn from, zero with a gradient keeps every step alike.
        chosen, degrees = outputs.bins[posed], targets["pose"][posed]
        angles = pose_loss(chosen, degrees, alpha).sum(0) / posed.sum().clamp(min=1)
        terms |= dict(zip(ANGLES, angles, strict=True))
    with torch.no_grad():
        both = (entropy + each["box"] + each["points"]) * faces
        small = (both * targets["small"]).sum(1)
    return TaskLosses(terms, both.sum(1), small)


class Uncertainty(nn.Module):
    """Weights of the tasks from their uncertainty (Kendall et al., CVPR 2018).

    With s = log sigma^2 learned for each task, the loss of a task becomes exp(-s) L + s / 2, and
    exp(-s) L / 2 + s / 2 for :data:`REGRESSIONS`. It may be negative.
    """

    def __init__(self, tasks: tuple[str, ...]) -> None:
        super().__init__()
        self.tasks = tasks
        self.log_variance = nn.Parameter(torch.zeros(len(tasks)))

    def forward(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weighted losses."""
        weighted = {}
        for name, s in zip(self.tasks, self.log_variance, strict=True):
            factor = 0.5 if name in REGRESSIONS else 1.0
            weighted[name] = factor * torch.exp(-s) * terms[name] + s / 2
        return weighted
