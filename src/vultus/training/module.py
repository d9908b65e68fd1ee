"""The Lightning side: one step of all players, logs, evaluation, checkpoints."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from vultus.errors import ConfigError, TrainingError
from vultus.nets.learning import Data, Learner, Progress, TrainableSystem
from vultus.training import checkpoints, layouts
from vultus.training import optimizers as optim
from vultus.training.average import Average
from vultus.training.batches import Batches
from vultus.training.recipes import LoadedRecipe, recipe_values


class Module(pl.LightningModule):
    """Drives a learner by hand-written optimisation, the same for one player or several.

    Parameters
    ----------
    learner, loaded
        Networks and losses; the recipe.
    """

    def __init__(self, learner: Learner, loaded: LoadedRecipe) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.learner, self.recipe = learner, loaded.recipe
        if self.recipe.channels_last:
            layouts.lay_out_kernels(learner)
        self.movers = optim.build_optimizers(learner, self.recipe)
        self.average = Average(learner, self.recipe.ema) if self.recipe.ema else None
        self.done = 0
        self.seen = 0
        self.values: dict[str, Any] = {}
        self.feedback: list[Mapping[str, Any]] = []
        if self._sharded() and self.recipe.precision == "16-mixed":
            raise ConfigError(
                f"{loaded.source}: precision: with class centres split over processes each would "
                "skip other steps under 16-mixed; use bf16-mixed"
            )
        # Data parallelism must leave the parameters alone that differ per process.
        self._ddp_params_and_buffers_to_ignore = self._sharded()

    def _sharded(self) -> list[str]:
        return [name for name, p in self.named_parameters() if optim.is_sharded(p)]

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Return the players' optimisers."""
        return list(self.movers.values())

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Let every player see the batch, and move at the end of an accumulation."""
        recipe = self.recipe
        if recipe.channels_last:
            batch = layouts.lay_out_pictures(batch)
        self.seen += 1
        moves = self.seen % recipe.accumulate == 0
        progress = Progress(self.done, recipe.steps)
        optimizers: Any = self.optimizers(use_pl_optimizer=True)
        optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
        for player, optimizer in zip(self.movers, optimizers, strict=True):
            several = len(optimizers) > 1
            if several:
                self.toggle_optimizer(optimizer)
            self._backward(batch, progress, player)
            if moves:
                self._move(optimizer, player)
            if several:
                self.untoggle_optimizer(optimizer)
        if moves:
            if self.average is not None:
                self.average.update(self.done)
            self.learner.after_step(progress)
            self.done += 1

    def _backward(self, batch: dict[str, Any], progress: Progress, player: str) -> None:
        weights = self.recipe.loss_weights
        given = self.learner.losses(batch, progress, player)
        unknown = weights.keys() - given.terms.keys()
        if unknown and len(self.movers) == 1:
            raise ConfigError(
                f"loss_weights: no loss term {sorted(unknown)}; known: {sorted(given.terms)}"
            )
        total = torch.stack(
            [weights.get(name, 1.0) * term.float() for name, term in given.terms.items()]
        ).sum()
        self.manual_backward(total / self.recipe.accumulate)
        prefix = "" if len(self.movers) == 1 else f"{player}/"
        for name, value in {**given.terms, **given.monitors, "loss": total}.items():
            self.values[prefix + name] = value.detach() if isinstance(value, Tensor) else value
        self.feedback.append(given.feedback)

    def _move(self, optimizer: Any, player: str) -> None:
        inner = self.movers[player]
        prefix = "" if len(self.movers) == 1 else f"{player}/"
        optim.set_rates(inner, self.recipe.schedule.factor(self.done, self.recipe.steps))
        self.values[prefix + "lr"] = inner.param_groups[0]["lr"]
        if self.recipe.clip is not None:
            # Under a gradient scaler the gradients are still scaled, and so is the limit.
            limit = self.recipe.clip * self.scale()
            self.values[prefix + "gradient_norm"] = (
                optim.clip_gradients(inner, limit) / self.scale()
            )
        optimizer.step()
        optimizer.zero_grad()

    def scale(self) -> float:
        """Return the factor on the gradients, 1 without a gradient scaler."""
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        return float(scaler.get_scale()) if scaler is not None else 1.0


class Keeper(pl.Callback):
    """Logs, evaluates, saves and stops.

    Parameters
    ----------
    system, data
        What evaluates the learner, and on what.
    loaded, out
        The recipe; folder of the run.
    batches
        For the throughput figures.
    best
        Step, value and misses of the best evaluation before a resume.
    """

    def __init__(
        self,
        system: TrainableSystem,
        data: Data,
        loaded: LoadedRecipe,
        out: Path,
        batches: Batches,
        best: Mapping[str, Any] | None = None,
    ) -> None:
        self.system, self.data, self.recipe, self.out = system, data, loaded.recipe, out
        self.batches = batches
        self.best: dict[str, Any] = dict(best or {"step": None, "value": None, "misses": 0})
        self.metrics: dict[str, float] = {}
        self._mark = (time.perf_counter(), 0.0, 0)
        self._saved: int | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._mark = (time.perf_counter(), self.batches.waited, self.batches.examples)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any, **__: Any
    ) -> None:
        """Act at the end of each optimiser step."""
        module = _module(pl_module)
        self._give_feedback(module)
        if module.seen % self.recipe.accumulate:
            return
        step, last = module.done, module.done == self.recipe.steps
        if step % self.recipe.log_every == 0 or last:
            self._log(trainer, module)
        evaluates = _due(step, self.recipe.evaluation.every) or last
        if evaluates and self.data.development is not None:
            self._evaluate(trainer, module)
        stops = self._out_of_patience()
        improved = self.best["step"] == step
        if _due(step, self.recipe.checkpoint_every) or last or stops or improved:
            self._save(trainer, module)
        trainer.should_stop = trainer.should_stop or stops

    def _give_feedback(self, module: Module) -> None:
        for given in module.feedback:
            for name, value in given.items():
                self.data.streams[name].sampler.feedback(value)  # type: ignore[attr-defined]
        module.feedback.clear()

    def _log(self, trainer: pl.Trainer, module: Module) -> None:
        _check_finite(module)
        values = {k: float(v) for k, v in module.values.items()}
        now, waited, examples = self._mark
        self._mark = (time.perf_counter(), self.batches.waited, self.batches.examples)
        seconds = self._mark[0] - now
        values["samples_per_second"] = (self._mark[2] - examples) / seconds
        values["waiting_share"] = (self._mark[1] - waited) / seconds
        self._write(trainer, values, module.done)

    def _evaluate(self, trainer: pl.Trainer, module: Module) -> None:
        found: dict[str, float] = {}
        if trainer.is_global_zero:
            found = evaluate(self.system, module.learner, self.data, module.average)
        # All processes must agree on whether to stop.
        found = trainer.strategy.broadcast(found)
        self.metrics = found
        self._write(trainer, {f"development/{k}": v for k, v in found.items()}, module.done)
        metric, mode = self.recipe.evaluation.metric, self.recipe.evaluation.mode
        if metric is None:
            return
        if metric not in found:
            raise ConfigError(f"evaluation.metric: no metric {metric!r}; known: {sorted(found)}")
        value, old = found[metric], self.best["value"]
        if old is None or (value > old if mode == "max" else value < old):
            self.best = {"step": module.done, "value": value, "misses": 0}
        else:
            self.best["misses"] += 1

    def _out_of_patience(self) -> bool:
        patience = self.recipe.evaluation.patience
        return patience is not None and self.best["misses"] >= patience

    def _save(self, trainer: pl.Trainer, module: Module) -> None:
        _check_finite(module)
        samplers = {
            name: stream.sampler.state()
            for name, stream in self.data.streams.items()
            if hasattr(stream.sampler, "state")
        }
        state = {
            "recipe": recipe_values(self.recipe),
            "metrics": self.metrics,
            "best": self.best,
            "samplers": samplers,
            "precision": trainer.precision_plugin.state_dict(),
        }
        run = checkpoints.Run(module.learner, module.movers, module.average)
        checkpoints.save(run, state, self.out, module.done)
        if trainer.is_global_zero:
            checkpoints.prune(self.out, self.recipe.keep, self.best["step"])

    @staticmethod
    def _write(trainer: pl.Trainer, values: Mapping[str, float], step: int) -> None:
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.log_metrics(dict(values), step)


def evaluate(
    system: TrainableSystem, learner: Learner, data: Data, average: Average | None = None
) -> dict[str, float]:
    """Return the development metrics of a learner, with averaged weights if given.

    The random state is put back afterwards, so that evaluating more often trains the same.
    """
    was_training = learner.training
    random_state = torch.get_rng_state()
    learner.eval()
    try:
        with torch.no_grad():
            if average is None:
                return dict(system.evaluate(learner, data.development))
            with average.swapped():
                return dict(system.evaluate(learner, data.development))
    finally:
        learner.train(was_training)
        torch.set_rng_state(random_state)


def write_result(out: Path, values: Mapping[str, Any]) -> None:
    """Write ``result.json`` of a run atomically."""
    part = out / ".result.part"
    part.write_text(json.dumps(values, indent=1), encoding="utf-8")
    os.replace(part, out / "result.json")


def _module(module: pl.LightningModule) -> Module:
    assert isinstance(module, Module)
    return module


def _check_finite(module: Module) -> None:
    loss = {k: float(v) for k, v in module.values.items() if k.split("/")[-1] == "loss"}
    if not all(math.isfinite(v) for v in loss.values()):
        raise TrainingError(
            f"step {module.done}: the loss is {loss}; lower the learning rate, clip the "
            "gradients, or look at the batch"
        )


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
