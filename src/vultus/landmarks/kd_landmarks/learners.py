"""What is trained: the two teachers, the student, or all three in one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vultus.geometry import UInt8Array
from vultus.landmarks.crop_networks import load_network, point_figures, predict_points
from vultus.landmarks.crops import PointCrops
from vultus.landmarks.kd_landmarks.augmentation import Augmentation
from vultus.landmarks.kd_landmarks.losses import (
    TOLERANT,
    TOUGH,
    Assist,
    assistive_loss,
    main_loss,
    wing_loss,
)
from vultus.landmarks.kd_landmarks.networks import (
    Network,
    Regressor,
    Shipped,
    to_coordinates,
)
from vultus.landmarks.renders import Renders
from vultus.nets.backbones import to_input
from vultus.nets.learning import MAIN, Learner, Losses, ParameterGroup, Progress
from vultus.settings import settings

Stage = Literal["tough", "tolerant", "student", "all"]
Loss = Literal["kd", "main", "mse", "l1", "wing"]

#: Losses that need a teacher.
_TAUGHT = ("kd", "main")


@settings
class PointData:
    """Where faces with points come from.

    Parameters
    ----------
    size
        Side of the network's input.
    files
        What ``python -m vultus.landmarks`` wrote.
    shares
        Of each batch, by file; by their number of crops if not given.
    renders
        Heads to draw where there are no files.
    augmentation
        Of training views.
    development
        Which files' development crops are scored; all if not given.
    """

    size: int = 96
    files: tuple[str, ...] = ()
    shares: tuple[float, ...] | None = None
    renders: Renders | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    development: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if bool(self.files) == (self.renders is not None):
            raise ValueError("give either files or renders")
        if self.shares is not None and len(self.shares) != len(self.files):
            raise ValueError("give one share per file")


@settings
class Teachers:
    """Trained teachers: folders of checkpoints, or ``.safetensors`` files in them.

    Parameters
    ----------
    tough, tolerant
        Of a run with ``stage: tough``, and of one with ``stage: tolerant``.
    """

    tough: str
    tolerant: str


@settings
class KDSettings:
    """Student, teachers and losses.

    Parameters
    ----------
    data, batch
        Faces; views per step.
    stage
        Train the ``tough`` teacher on hard points, the ``tolerant`` one on soft points, the
        ``student`` with both, or ``all``: teachers first, then frozen, then the student.
    student, teacher
        Networks.
    loss
        ``kd``: main loss and both assistive losses. ``main``: the main loss alone. ``mse``,
        ``l1`` and ``wing`` need no teacher.
    form
        Of the main loss, see :func:`~vultus.landmarks.kd_landmarks.losses.main_loss`.
    factors
        On main loss, tough and tolerant assistive loss (lambda).
    tough, tolerant
        Assistive losses.
    variance
        Share of variance that soft points keep.
    shapes
        File of the shape model, fitted on the training views and written on first use; without
        one it is fitted in every run.
    teachers
        For ``stage: student`` where the loss wants them.
    teaching
        Share of a run of ``stage: all`` that trains the teachers.
    start
        A checkpoint of the same stage whose weights to start from.
    """

    data: PointData
    batch: int = 70
    stage: Stage = "all"
    student: Network = field(default_factory=Network)
    teacher: Network = field(default_factory=lambda: Network(trunk="efficientnet-b3", dropout=0.5))
    loss: Loss = "kd"
    form: Literal["code", "paper"] = "code"
    factors: tuple[float, float, float] = (2.0, 1.0, 1.0)
    tough: Assist = TOUGH
    tolerant: Assist = TOLERANT
    variance: float = 0.9
    shapes: str | None = None
    teachers: Teachers | None = None
    teaching: float = 0.5
    start: str | None = None

    def __post_init__(self) -> None:
        if self.batch < 1 or not 0 < self.teaching < 1 or not 0 < self.variance <= 1:
            raise ValueError("need batch >= 1, teaching in (0, 1), variance in (0, 1]")
        if self.stage == "student" and self.loss in _TAUGHT and self.teachers is None:
            raise ValueError(f"stage student with loss {self.loss} needs teachers")
        if self.stage == "all" and self.loss not in _TAUGHT:
            raise ValueError(f"loss {self.loss} uses no teacher: take stage student")

    @property
    def wants_teachers(self) -> bool:
        """Whether the learner holds the two teachers."""
        return self.stage == "all" or (self.stage == "student" and self.loss in _TAUGHT)

    @property
    def wants_soft(self) -> bool:
        """Whether training needs soft points."""
        return self.stage in ("tolerant", "all")


class KDLearner(Learner):
    """Student and frozen teachers, or one teacher."""

    def __init__(self, config: KDSettings) -> None:
        super().__init__()
        self.config = config
        size = config.data.size
        self.net = Regressor(
            config.student if config.stage in ("student", "all") else config.teacher, size
        )
        if config.wants_teachers:
            self.tough, self.tolerant = (Regressor(config.teacher, size) for _ in range(2))
            if config.stage == "student":
                self.tough.requires_grad_(False)
                self.tolerant.requires_grad_(False)

    def _begin(self) -> None:
        """Read the weights to start from: needed to train, not to load what was trained."""
        config = self.config
        if config.wants_teachers and config.teachers is not None:
            load_network(self.tough, config.teachers.tough)
            load_network(self.tolerant, config.teachers.tolerant)
        if config.start is not None:
            load_network(self.net, config.start)

    def train(self, mode: bool = True) -> KDLearner:
        """Set the mode; frozen teachers stay in evaluation mode, without dropout."""
        super().train(mode)
        if self.config.wants_teachers and self.config.stage == "student":
            self.tough.eval()
            self.tolerant.eval()
        return self

    def players(self) -> Mapping[str, Sequence[ParameterGroup]]:
        """Return one player with what is trained."""
        return {MAIN: [ParameterGroup([p for p in self.parameters() if p.requires_grad])]}

    def losses(self, batch: Mapping[str, Any], progress: Progress, player: str = MAIN) -> Losses:
        """Return the losses of the stage on views of faces."""
        if progress.step == 0:
            self._begin()
        faces, size = batch["faces"], self.config.data.size
        x = to_input(faces["image"])
        truth = to_coordinates(faces["points"], size)
        weight = faces["weight"][..., None]
        stage = self.config.stage
        if stage == "all" and progress.fraction < self.config.teaching:
            soft = to_coordinates(faces["soft"], size)
            return Losses(
                {
                    "tough": mean((self.tough(x) - truth) ** 2, weight),
                    "tolerant": mean((self.tolerant(x) - soft) ** 2, weight),
                }
            )
        if stage in ("tough", "tolerant"):
            target = truth if stage == "tough" else to_coordinates(faces["soft"], size)
            return Losses({stage: mean((self.net(x) - target) ** 2, weight)})
        return self._student(x, truth, weight)

    def _student(self, x: Tensor, truth: Tensor, weight: Tensor) -> Losses:
        points = self.net(x)
        simple = {"mse": torch.square, "l1": torch.abs}
        name = self.config.loss
        if name in simple:
            return Losses({name: mean(simple[name](points - truth), weight)})
        if name == "wing":
            return Losses({name: mean(wing_loss(points, truth), weight)})
        tough, tolerant = self._taught(x)
        terms = kd_terms(points, truth, tough, tolerant, weight, self.config)
        error = mean((points - truth).abs(), weight).detach()
        return Losses(terms, {"error": error})

    @torch.no_grad()
    def _taught(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the frozen teachers say of the view that the student sees."""
        self.tough.eval()
        self.tolerant.eval()
        return self.tough(x), self.tolerant(x)


def kd_terms(
    points: Tensor,
    truth: Tensor,
    tough: Tensor,
    tolerant: Tensor,
    weight: Tensor,
    config: KDSettings,
) -> dict[str, Tensor]:
    """Return the weighted terms of the KD loss; their sum can be negative.

    Parameters
    ----------
    points, truth, tough, tolerant
        Coordinates (B, N, 2) of student, annotation and teachers.
    weight
        (B, N, 1) trust in each point.
    config
        Forms and factors.
    """
    own, first, second = config.factors
    terms = {"main": own * mean(main_loss(points, truth, tolerant, config.form), weight)}
    if config.loss == "kd":
        terms["tough"] = first * mean(assistive_loss(points, truth, tough, config.tough), weight)
        terms["tolerant"] = second * mean(
            assistive_loss(points, truth, tolerant, config.tolerant), weight
        )
    return terms


def mean(values: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean of (B, N, 2) with weights (B, N, 1)."""
    return (values * weight).sum() / (weight.sum() * values.shape[-1]).clamp(min=1e-6)


def predict(network: Regressor, images: UInt8Array) -> NDArray[np.float32]:
    """Return points (N, 68, 2) in pixels of uint8 RGB crops (N, S, S, 3)."""
    return predict_points(Shipped(network), images)


def figures(
    network: Regressor, crops: PointCrops, targets: NDArray[np.float32] | None = None
) -> dict[str, float]:
    """Return the figures of :func:`~vultus.landmarks.crop_networks.point_figures`.

    ``targets`` (N, 68, 2) takes the place of the crops' points.
    """
    images, truth = crops.plain()
    return point_figures(predict(network, images), truth, targets)
