"""The losses of the paper, as functions of coordinates; and the wing loss for the shipped weights.

All take tensors of one shape and return the loss of every coordinate, to be weighed and averaged
by the caller. g is the true coordinate, p the student's, t a teacher's; e = abs(p - g) and
d = abs(t - g).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from vultus.settings import settings

LowRegion = Literal["zero", "linear"]


@settings
class Assist:
    """Weights of one teacher's assistive loss.

    Parameters
    ----------
    positive
        alpha+ > 0: pull towards the teacher where the student is worse.
    negative
        alpha- <= 0: push beyond the teacher where the student is better.
    beta
        Below beta * d the student is so good that the teacher says little.
    low
        Weight in that region: ``zero`` as in the released code, or ``linear``, from 0 at g to
        alpha- at beta * d, as in the paper's figure.
    reflect
        Mirror the teacher to the student's side of g first, as published.
    """

    positive: float = 1.9
    negative: float = -0.45
    beta: float = 0.15
    low: LowRegion = "zero"
    reflect: bool = True

    def __post_init__(self) -> None:
        if self.positive < 0 or self.negative > 0 or not 0 <= self.beta < 1:
            raise ValueError("need positive >= 0, negative <= 0 and 0 <= beta < 1")


#: Released values for the tough and for the tolerant teacher.
TOUGH, TOLERANT = Assist(), Assist(positive=1.8, negative=-0.4)


def assistive_loss(student: Tensor, truth: Tensor, teacher: Tensor, config: Assist) -> Tensor:
    """Return omega * abs(t' - p) per coordinate (ALoss).

    The reflected teacher t' = g + sign(p - g) d, the region borders and omega are constants: no
    gradient passes through them.
    """
    with torch.no_grad():
        error, reach = (student - truth).abs(), (teacher - truth).abs()
        low = error < config.beta * reach
        inner = torch.zeros_like(error)
        if config.low == "linear":
            border = (config.beta * reach).clamp(min=torch.finfo(error.dtype).tiny)
            inner = config.negative * error / border
        weight = torch.where(error > reach, config.positive, config.negative)
        weight = torch.where(low, inner, weight)
        goal = teacher
        if config.reflect:
            goal = truth + torch.sign(student - truth) * reach
    return weight * (goal - student).abs()


def main_loss(
    student: Tensor,
    truth: Tensor,
    tolerant: Tensor,
    form: Literal["code", "paper"] = "code",
) -> Tensor:
    """Return the piecewise main loss per coordinate, of tensors of one shape.

    c e up to the tolerant teacher's error d, and e^2 + c d - d^2 beyond it. In the released
    ``code`` c = 3, so that large errors have the smaller slope 2 e. ``paper`` takes c = 2 d, with
    which the slope is continuous as in the paper's figure.
    """
    error = (student - truth).abs()
    with torch.no_grad():
        reach = (tolerant - truth).abs()
    slope = 3.0 if form == "code" else 2 * reach
    return torch.where(error <= reach, slope * error, error**2 + slope * reach - reach**2)


def wing_loss(student: Tensor, truth: Tensor, width: float = 0.1, curve: float = 0.02) -> Tensor:
    """Return the wing loss (Feng et al., CVPR 2018) per coordinate.

    Parameters
    ----------
    student, truth
        Coordinates in sides of the crop.
    width, curve
        omega and epsilon, in sides.
    """
    error = (student - truth).abs()
    offset = width - width * math.log(1 + width / curve)
    return torch.where(error < width, width * torch.log1p(error / curve), error - offset)
