"""Train from a recipe: one process or several, from the start or from a checkpoint."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from torch.multiprocessing.spawn import ProcessRaisedException, spawn

from vultus import errors
from vultus.errors import ConfigError, TrainingError, VultusError
from vultus.nets.learning import Data, TrainableSystem
from vultus.registry import load_system
from vultus.settings import plain
from vultus.training import checkpoints
from vultus.training.batches import Batches
from vultus.training.fitting import fit
from vultus.training.logs import CsvLog
from vultus.training.module import Keeper, Module, write_result
from vultus.training.recipes import LoadedRecipe, is_fitted, load_recipe, read_recipe, recipe_values

Accelerator = Literal["cpu", "gpu", "auto"]


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a run leaves behind.

    Parameters
    ----------
    out
        Folder of the run.
    checkpoint
        The best checkpoint by the recipe's metric, or else the last.
    step, metrics
        Steps done; development metrics of the last evaluation.
    best
        Value of the recipe's metric at the best checkpoint, if the recipe names one.
    seconds
        Wall-clock time of this call's training.
    """

    out: Path
    checkpoint: Path
    step: int
    metrics: Mapping[str, float]
    best: float | None
    seconds: float


def train(
    recipe: Path | str | LoadedRecipe,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    debug: bool = False,
    out: Path | str,
    resume: bool = False,
    devices: int = 1,
    accelerator: Accelerator = "cpu",
    progress: bool | None = None,
    tensorboard: bool = True,
) -> TrainingResult:
    """Train the system that a recipe names.

    Parameters
    ----------
    recipe, overrides, debug
        See :func:`~vultus.training.recipes.load_recipe`; a recipe already loaded takes neither
        overrides nor the debug variant.
    out
        Folder for checkpoints, ``metrics.csv``, TensorBoard events and ``result.json``.
    resume
        Go on from the newest checkpoint in ``out``, or start where there is none. On the CPU the
        result is, bit for bit, that of a run that was never stopped.
    devices, accelerator
        Processes on this machine, and what each computes on. Batch sizes count over all
        processes, so the number of devices does not change the recipe. Under ``torchrun`` leave
        ``devices`` at 1 and the launcher's processes are used.
    progress
        Show a progress bar; by default when standard error is a terminal.
    tensorboard
        Write TensorBoard events beside the CSV.

    Raises
    ------
    ConfigError
        If the recipe does not fit.
    TrainingError
        If ``out`` holds another run, or the loss is no longer finite.
    KeyboardInterrupt
        If the run was interrupted; its checkpoints stay, and ``resume`` goes on from the newest.
    """
    loaded = recipe
    if not isinstance(loaded, LoadedRecipe):
        loaded = load_recipe(Path(str(recipe)), overrides, debug=debug)
    elif overrides or debug:
        raise ConfigError(f"{loaded.source}: a loaded recipe takes no overrides")
    _check(loaded, devices, accelerator)
    folder = Path(out)
    start = _starting_point(folder, loaded, resume)
    options = _Options(folder, start, devices, accelerator, progress, tensorboard)
    if is_fitted(loaded.recipe.system):
        if devices != 1:
            raise ConfigError(f"{loaded.source}: is fitted in one process, not in {devices}")
        if start is None:
            fit(loaded, folder)
    elif devices == 1 or "LOCAL_RANK" in os.environ:
        _train(loaded, options)
    else:
        _spread(loaded, options)
    return read_result(folder)


def _spread(loaded: LoadedRecipe, options: _Options) -> None:
    """Train in several processes; an error made for users comes out of them as it is."""
    told = get_context("spawn").SimpleQueue()
    values = recipe_values(loaded.recipe)
    arguments = (options.devices, _free_port(), values, loaded.source, options, told)
    try:
        spawn(_worker, args=arguments, nprocs=options.devices)  # type: ignore[no-untyped-call]
    except ProcessRaisedException:
        if told.empty():
            raise
        kind, message = told.get()
        raise getattr(errors, kind)(message) from None


def read_result(out: Path) -> TrainingResult:
    """Return the result of a finished run; :class:`TrainingError` if there is none."""
    try:
        values = json.loads((out / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{out}: no finished run: {error}") from error
    values["checkpoint"] = out / values["checkpoint"]
    return TrainingResult(out=out, **values)


@dataclass(frozen=True, slots=True)
class _Options:
    out: Path
    start: Path | None
    devices: int
    accelerator: Accelerator
    progress: bool | None
    tensorboard: bool


def _check(loaded: LoadedRecipe, devices: int, accelerator: Accelerator) -> None:
    on_gpu = accelerator != "cpu" and torch.cuda.is_available()
    if accelerator == "gpu" and not on_gpu:
        raise ConfigError("accelerator 'gpu': PyTorch sees none; use 'cpu' or 'auto'")
    if loaded.recipe.precision == "16-mixed" and not on_gpu:
        raise ConfigError(
            f"{loaded.source}: precision: 16-mixed needs a GPU; on the CPU use bf16-mixed"
        )
    if devices < 1:
        raise ConfigError(f"devices must be at least 1, got {devices}")


def _starting_point(out: Path, loaded: LoadedRecipe, resume: bool) -> Path | None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(
            f"{out}: cannot be made a folder for the run: {error.strerror}; choose another"
        ) from error
    known = checkpoints.checkpoint_folders(out)
    if not resume and (known or (out / "result.json").exists()):
        raise TrainingError(f"{out}: holds a run already; resume it or choose another folder")
    if not known:
        return None
    stored = checkpoints.read_state(known[-1])["recipe"]
    # Read anew, so that settings which are younger than the checkpoint have their defaults.
    before = recipe_values(read_recipe(stored, str(known[-1])).recipe)
    now = recipe_values(loaded.recipe)
    changed = sorted(k for k in now.keys() | before.keys() if now.get(k) != before.get(k))
    if changed:
        raise TrainingError(
            f"{known[-1]}: written under another recipe, which differs in {changed}; "
            "choose another folder"
        )
    return known[-1]


def _worker(
    rank: int,
    world: int,
    port: int,
    values: Mapping[str, Any],
    source: str,
    options: _Options,
    told: SimpleQueue[tuple[str, str]],
) -> None:
    """Run one process of several, under the variables that torchrun would set."""
    os.environ.update(
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        WORLD_SIZE=str(world),
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        NODE_RANK="0",
    )
    try:
        _train(read_recipe(values, source), options)
    except VultusError as error:
        told.put((type(error).__name__, str(error)))
        raise


def _train(loaded: LoadedRecipe, options: _Options) -> None:
    recipe = loaded.recipe
    system: TrainableSystem = load_system(recipe.system).build  # type: ignore[assignment]
    trainer = _trainer(loaded, options)
    with _quiet():
        # Heads that split their classes over processes need the group when they are built.
        trainer.strategy.setup_environment()
        _seed(recipe.seed)
        module = Module(system.build(loaded.config), loaded)
        data = system.data(loaded.config, recipe.seed)
        if trainer.world_size > 1 and trainer.global_rank:
            # Other processes draw other dropout masks.
            _seed(recipe.seed + 7919 * trainer.global_rank)
        state = _restore(module, data, trainer, options.start)
        start = recipe.accumulate * module.done
        batches = Batches(
            data.streams,
            range(start, recipe.accumulate * recipe.steps),
            seed=recipe.seed,
            rank=trainer.global_rank,
            world=trainer.world_size,
            workers=recipe.workers,
        )
        keeper = Keeper(system, data, loaded, options.out, batches, state.get("best"))
        trainer.callbacks.append(keeper)  # type: ignore[attr-defined]
        began = time.perf_counter()
        if len(batches):
            with _interruptible(trainer):
                trainer.fit(module, batches)
        seconds = time.perf_counter() - began
    if trainer.is_global_zero:
        _finish(options.out, keeper, state, seconds)
    trainer.strategy.barrier()


def _seed(seed: int) -> None:
    # Streams bring their own generators; these three are for layers and third-party code.
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002


def _trainer(loaded: LoadedRecipe, options: _Options) -> pl.Trainer:
    done = int(options.start.name.removeprefix("step-")) if options.start else 0
    first = os.environ.get("RANK", "0") == "0"
    loggers: list[Any] = []
    if first:
        loggers.append(CsvLog(options.out, done))
        if options.tensorboard:
            loggers.append(TensorBoardLogger(options.out, name="", version="tensorboard"))
    shows = first and (sys.stderr.isatty() if options.progress is None else options.progress)
    spread = "LOCAL_RANK" in os.environ
    world, here = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_WORLD_SIZE", 0))
    here = here or world
    with _quiet():
        return pl.Trainer(
            accelerator=options.accelerator,
            devices=here if spread else 1,
            num_nodes=world // here if spread else 1,
            strategy=DDPStrategy(find_unused_parameters=True) if spread else "auto",
            plugins=[LightningEnvironment()] if spread else None,
            precision=loaded.recipe.precision,
            max_epochs=1,
            logger=loggers,
            callbacks=[_Bar()] if shows else [],
            enable_progress_bar=shows,
            enable_checkpointing=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
        )


def _restore(module: Module, data: Data, trainer: pl.Trainer, start: Path | None) -> dict[str, Any]:
    if start is None:
        return {}
    run = checkpoints.Run(module.learner, module.movers, module.average)
    state = checkpoints.restore(run, start)
    module.done = int(state["step"])
    module.seen = module.done * module.recipe.accumulate
    for name, value in state["samplers"].items():
        data.streams[name].sampler.restore(value)  # type: ignore[attr-defined]
    trainer.precision_plugin.load_state_dict(state["precision"])
    return state


def _finish(out: Path, keeper: Keeper, state: Mapping[str, Any], seconds: float) -> None:
    last = checkpoints.checkpoint_folders(out)[-1]
    best = keeper.best
    chosen = last if best["step"] is None else last.with_name(f"step-{best['step']:08d}")
    write_result(
        out,
        {
            "checkpoint": str(chosen.relative_to(out)),
            "step": int(last.name.removeprefix("step-")),
            "metrics": keeper.metrics or state.get("metrics", {}),
            "best": best["value"],
            "seconds": seconds,
        },
    )


def load_checkpoint(folder: Path) -> tuple[TrainableSystem, Any, dict[str, Any]]:
    """Return the system, the trained learner in evaluation mode, and the checkpoint's state."""
    state = checkpoints.read_state(folder)
    loaded = read_recipe(state["recipe"], str(folder))
    system: TrainableSystem = load_system(loaded.recipe.system).build  # type: ignore[assignment]
    learner = system.build(loaded.config)
    checkpoints.load_learner(learner, folder)
    return system, learner.eval(), state | {"config": plain(loaded.config)}


class _Bar(RichProgressBar):
    """Lightning's bar over the steps of a run, which is one epoch, with the last loss."""

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """Return what is shown behind the bar."""
        loss = pl_module.values.get("loss") if isinstance(pl_module, Module) else None
        return {} if loss is None else {"loss": f"{float(loss):.4f}"}

    def _get_train_description(self, current_epoch: int) -> str:
        return "training"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _interruptible(trainer: pl.Trainer) -> Iterator[None]:
    """Let an interrupt through: Lightning turns it into an exit, and ignores all later ones."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        if not trainer.interrupted:
            raise
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advice about devices and workers off the terminal."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\.")
        warnings.filterwarnings("ignore", message=".*find_unused_parameters.*")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
