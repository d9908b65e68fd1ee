"""Recipes: everything that decides a training run's result, read from one YAML file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vultus.errors import ConfigError
from vultus.registry import catalogue, load_system
from vultus.settings import load_yaml, parse_value, plain, read_settings, settings


@settings
class Optimizer:
    """How parameters move.

    Parameters
    ----------
    name
        ``sgd``, ``adam``, ``adamw``, ``adagrad`` or ``rmsprop``.
    lr, weight_decay
        Peak learning rate; decay (decoupled for AdamW).
    momentum, nesterov
        For SGD and RMSprop; Nesterov for SGD only.
    betas
        For Adam and AdamW.
    decay_vectors
        Whether weight decay also covers biases and normalisation parameters.
    """

    name: Literal["sgd", "adam", "adamw", "adagrad", "rmsprop"]
    lr: float
    weight_decay: float = 0.0
    momentum: float = 0.0
    nesterov: bool = False
    betas: tuple[float, float] = (0.9, 0.999)
    decay_vectors: bool = True

    def __post_init__(self) -> None:
        if not self.lr > 0 or self.weight_decay < 0 or not 0 <= self.momentum < 1:
            raise ValueError("need lr > 0, weight_decay >= 0 and 0 <= momentum < 1")


@settings
class Schedule:
    """Factor on the learning rate over the run, after a linear warm-up.

    Parameters
    ----------
    name
        ``constant``; ``cosine`` to ``final``; ``polynomial`` (1 - t)^power to ``final``;
        ``step``, times ``gamma`` at each milestone.
    warmup
        Steps until the full rate.
    final
        Last factor of cosine and polynomial.
    power, milestones, gamma
        Of ``polynomial`` and ``step``; milestones are shares of the run in (0, 1).
    """

    name: Literal["constant", "cosine", "polynomial", "step"] = "constant"
    warmup: int = 0
    final: float = 0.0
    power: float = 1.0
    milestones: tuple[float, ...] = ()
    gamma: float = 0.1

    def factor(self, step: int, steps: int) -> float:
        """Return the factor for a step in [0, steps)."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        done = (step - self.warmup) / max(steps - self.warmup, 1)
        if self.name == "cosine":
            return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * done))
        if self.name == "polynomial":
            left: float = (1 - done) ** self.power
            return self.final + (1 - self.final) * left
        if self.name == "step":
            return self.gamma ** sum(step / steps >= m for m in self.milestones)
        return 1.0


@settings
class Evaluation:
    """When the learner is scored on development data, and what that decides.

    Parameters
    ----------
    every
        Steps between two evaluations; 0 for the last step only.
    metric, mode
        Metric that chooses the best checkpoint, and whether more or less of it is better. Without
        a metric the last checkpoint is the result.
    patience
        Evaluations without a better value after which the run stops.
    """

    every: int = 0
    metric: str | None = None
    mode: Literal["max", "min"] = "max"
    patience: int | None = None

    def __post_init__(self) -> None:
        if self.patience is not None and (self.metric is None or self.patience < 1):
            raise ValueError("patience needs a metric and a value of at least 1")


@settings
class Recipe:
    """One training run; ``batch`` sizes inside ``config`` count over all processes.

    Parameters
    ----------
    system
        Slug of the system.
    steps
        Optimiser steps.
    config
        The system's own settings.
    optimizer, players
        Of every player, and of those players that differ.
    seed
        Of the initial weights, the data order and the augmentation.
    schedule, clip, precision, accumulate
        Learning-rate factor; largest gradient norm; number format; batches per step.
    ema
        Decay of the running average of the weights that is evaluated and exported, if any.
    loss_weights
        Factor of each loss term by name; 1 where none is given.
    evaluation, checkpoint_every, keep
        Development scoring; steps between checkpoints (0: the last step only) and how many of
        them stay beside the best.
    log_every, workers
        Steps between log rows; worker processes per stream.
    channels_last
        Keep pictures and kernels with the channels innermost in memory, which most convolutions
        are faster on; results differ by rounding alone.
    """

    system: str
    steps: int
    optimizer: Optimizer
    config: dict[str, Any]
    players: dict[str, Optimizer] = field(default_factory=dict)
    seed: int = 0
    schedule: Schedule = field(default_factory=Schedule)
    clip: float | None = None
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accumulate: int = 1
    ema: float | None = None
    loss_weights: dict[str, float] = field(default_factory=dict)
    evaluation: Evaluation = field(default_factory=Evaluation)
    checkpoint_every: int = 0
    keep: int = 1
    log_every: int = 10
    workers: int = 0
    channels_last: bool = False

    def __post_init__(self) -> None:
        if min(self.steps, self.accumulate, self.keep, self.log_every) < 1 or self.seed < 0:
            raise ValueError("steps, accumulate, keep and log_every must be >= 1, seed >= 0")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError("ema must lie in (0, 1)")
        if self.clip is not None and not self.clip > 0:
            raise ValueError("clip must be positive")


@dataclass(frozen=True, slots=True)
class LoadedRecipe:
    """A recipe and the system's settings, both checked.

    Parameters
    ----------
    recipe
        The run.
    config
        ``recipe.config`` as the system's settings class.
    source
        File or other origin, for messages.
    """

    recipe: Recipe
    config: Any
    source: str


def load_recipe(
    path: Path | str, overrides: Sequence[str] | Mapping[str, Any] = (), *, debug: bool = False
) -> LoadedRecipe:
    """Read and check a recipe file.

    Parameters
    ----------
    path
        YAML: the fields of :class:`Recipe`, and ``debug``, a mapping of what differs in a run of
        seconds.
    overrides
        ``["optimizer.lr=0.1", ...]`` or a mapping of dotted keys to values.
    debug
        Whether to apply the ``debug`` part, before the overrides.

    Raises
    ------
    ConfigError
        Naming the file, the key and what was expected.
    """
    file = Path(path)
    values = load_yaml(file)
    variant = values.pop("debug", None)
    if debug:
        if not isinstance(variant, dict):
            raise ConfigError(f"{file}: debug: expected a mapping of what the debug run changes")
        values = _merge(values, variant)
    return read_recipe(_override(values, overrides, str(file)), str(file))


def read_recipe(values: Mapping[str, Any], source: str) -> LoadedRecipe:
    """Check a recipe given as plain values; see :func:`load_recipe`."""
    if is_fitted(values.get("system")):
        recipe = _fitted_recipe(values, source)
    else:
        recipe = read_settings(Recipe, values, source)
    build: Any = load_system(recipe.system).build
    if not hasattr(build, "settings") or not hasattr(build, "data"):
        raise ConfigError(f"{source}: system: {recipe.system!r} cannot be trained")
    config = read_settings(build.settings, recipe.config, source, "config")
    return LoadedRecipe(recipe, config, source)


def recipe_values(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain values, as :func:`read_recipe` takes them."""
    values = plain(recipe)
    return {key: values[key] for key in _FITTED} if is_fitted(recipe.system) else values


#: Keys in the recipe of a system that is fitted without gradient steps.
_FITTED = ("system", "seed", "config")


def is_fitted(slug: object) -> bool:
    """Return whether a system is a :class:`~vultus.nets.learning.FittedSystem`."""
    known = isinstance(slug, str) and (":" in slug or slug in catalogue())
    return known and hasattr(load_system(str(slug)).build, "fit")


def _fitted_recipe(values: Mapping[str, Any], source: str) -> Recipe:
    unused = sorted(values.keys() - set(_FITTED))
    if unused:
        raise ConfigError(
            f"{source}: {', '.join(unused)}: {values['system']} is fitted without gradient steps; "
            f"its recipe has {', '.join(_FITTED)} only"
        )
    # One step stands for the whole fit, in checkpoints and results.
    whole = {"steps": 1, "optimizer": {"name": "sgd", "lr": 1.0}}
    return read_settings(Recipe, {**values, **whole}, source)


def _merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in change.items():
        old = out.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        out[key] = _merge(old, value) if both else value  # type: ignore[arg-type]
    return out


def _override(
    values: dict[str, Any], overrides: Sequence[str] | Mapping[str, Any], source: str
) -> dict[str, Any]:
    if not isinstance(overrides, Mapping):
        pairs = [text.partition("=") for text in overrides]
        wrong = ["".join(pair) for pair in pairs if not pair[1] or not pair[0]]
        if wrong:
            raise ConfigError(f"{source}: override {wrong[0]!r} is not of the form key=value")
        overrides = {key: parse_value(value) for key, _, value in pairs}
    values = deepcopy(values)
    for dotted, value in overrides.items():
        *parents, last = dotted.split(".")
        place = values
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise ConfigError(f"{source}: override {dotted!r}: {parent!r} holds no keys")
        place[last] = value
    return values
