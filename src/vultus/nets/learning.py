"""The contract between a system and the trainer.

A system is a class marked with :func:`vultus.registry.system` that has the members of
:class:`TrainableSystem`. It never sees optimisers, devices, checkpoints or logs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn

from vultus.nets.streams import Stream

Batch = Mapping[str, Mapping[str, Any]]

MAIN = "main"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands: optimiser steps done, and the number it will do."""

    step: int
    steps: int

    @property
    def fraction(self) -> float:
        """Share of the run that is done, in [0, 1)."""
        return self.step / self.steps


@dataclass(frozen=True, slots=True)
class Losses:
    """What one forward pass gives.

    Parameters
    ----------
    terms
        Scalar losses by name. Their sum, weighted by the recipe's ``loss_weights``, is minimised.
    monitors
        Scalars to log beside the losses.
    feedback
        Per stream, what its sampler wants to learn from this step (see
        :class:`~vultus.nets.streams.Sampler`).
    """

    terms: Mapping[str, Tensor]
    monitors: Mapping[str, Tensor | float] = field(default_factory=dict)
    feedback: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Parameters with their own learning-rate factor.

    Parameters
    ----------
    parameters
        Of one player; each in one group only.
    lr_scale
        Factor on the recipe's learning rate.
    weight_decay
        In place of the recipe's, if given.
    clip
        Whether the recipe's gradient clipping covers these parameters.
    """

    parameters: Sequence[nn.Parameter]
    lr_scale: float = 1.0
    weight_decay: float | None = None
    clip: bool = True


class Learner(nn.Module, ABC):
    """Networks and losses of a system; the trainer calls the methods below.

    A learner with adversaries or with architecture weights has several players, each with its own
    optimiser; in every step they move in order, each on a fresh forward pass.
    """

    @abstractmethod
    def losses(self, batch: Batch, progress: Progress, player: str) -> Losses:
        """Return the losses of one player on one batch (stream name -> field -> tensor)."""

    def players(self) -> Mapping[str, Sequence[ParameterGroup]]:
        """Return the parameter groups of each player; one player with everything by default."""
        return {MAIN: [ParameterGroup([p for p in self.parameters() if p.requires_grad])]}

    def after_step(self, progress: Progress) -> None:
        """Act after the players moved, for example by updating a momentum teacher."""


@dataclass(frozen=True, slots=True)
class Data:
    """What a system learns from and is chosen on; test data has no place here.

    Parameters
    ----------
    streams
        Training streams by name; each step takes one batch of every stream.
    development
        What :meth:`TrainableSystem.evaluate` needs to score a learner; opaque to the trainer.
    whole
        For a :class:`FittedSystem`, in place of streams: everything it is fitted to.
    """

    streams: Mapping[str, Stream]
    development: Any = None
    whole: Any = None


@dataclass(frozen=True, slots=True)
class Export:
    """A network as it is to be shipped.

    Parameters
    ----------
    module
        One float tensor in, one tensor or a tuple of tensors out.
    example
        Input batch of two or more.
    outputs
        Names of the outputs.
    manifest
        Fields of the weight's manifest entry, for example ``task``, ``dim``, ``template``.
    metadata
        Text by key that travels inside the file, for example the names of its features.
    """

    module: nn.Module
    example: Tensor
    outputs: Sequence[str] = ("output",)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


class TrainableSystem(Protocol):
    """The members that a system has; all are called on the class."""

    #: Settings class of the recipe's ``config`` mapping.
    settings: ClassVar[type[Any]]

    @staticmethod
    def build(config: Any) -> Learner:
        """Return an untrained learner; torch is seeded before the call."""

    @staticmethod
    def data(config: Any, seed: int) -> Data:
        """Return the training streams and the development data."""

    @staticmethod
    def evaluate(learner: Any, development: Any) -> Mapping[str, float]:
        """Return development metrics; the learner is in evaluation mode, without gradients."""

    @staticmethod
    def export(learner: Any) -> Mapping[str, Export]:
        """Return the networks to ship, by name; empty where a system ships none."""


@runtime_checkable
class FittedSystem(Protocol):
    """What a system without gradient steps has besides: a forest, a solution in closed form.

    Its recipe has ``system``, ``config`` and ``seed`` alone. ``build`` returns any module whose
    parameters and buffers have the shapes of the fitted one, so that a checkpoint holds it.
    """

    @staticmethod
    def fit(learner: Any, whole: Any, seed: int) -> Mapping[str, float]:
        """Fit the learner to :attr:`Data.whole`, and return figures of the fit to log."""
