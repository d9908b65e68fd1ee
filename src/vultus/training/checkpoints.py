"""Checkpoints: a folder of safetensors and JSON, written whole or not at all.

``checkpoints/step-00000300/`` holds ``model.safetensors``, ``optimizer.safetensors``,
``average.safetensors`` where the recipe asks for one, ``state.json``, and for every process
``process-0.safetensors`` and ``process-0.json`` with its random state and sharded parameters.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vultus.errors import TrainingError
from vultus.nets.learning import Learner
from vultus.training import optimizers as optim
from vultus.training.average import Average

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Run:
    """What a checkpoint covers.

    Parameters
    ----------
    learner, optimizers, average
        Networks, optimisers by player, running average of the weights.
    """

    learner: Learner
    optimizers: Mapping[str, torch.optim.Optimizer]
    average: Average | None


def checkpoint_folders(out: Path) -> list[Path]:
    """Return the complete checkpoints of a run, oldest first."""
    return sorted((out / "checkpoints").glob("step-[0-9]*"))


def save(run: Run, state: Mapping[str, Any], out: Path, step: int) -> Path:
    """Write a checkpoint; every process of the run calls this.

    Parameters
    ----------
    run
        What is saved.
    state
        JSON values: recipe, metrics, samplers, gradient scaler.
    out, step
        Folder of the run; steps done.
    """
    rank, world = _place()
    final = out / "checkpoints" / f"step-{step:08d}"
    part = final.with_name(f".{final.name}.part")
    if rank == 0:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
    _barrier(world)
    own, own_numbers = optim.pack(run.optimizers, sharded=True)
    own = {f"optimizer/{k}": v for k, v in own.items()}
    split = _split_names(run.learner)
    weights = run.learner.state_dict()
    average = run.average.weights if run.average is not None else {}
    own |= {f"model/{k}": weights[k] for k in split}
    own |= {f"average/{k}": average[k] for k in split & average.keys()}
    own |= {f"random/{k}": v for k, v in _random_tensors().items()}
    _write(part / f"process-{rank}.safetensors", own)
    _write_json(
        part / f"process-{rank}.json",
        {"optimizer": own_numbers, "python": random.getstate(), "numpy": _numpy_state()},
    )
    if rank == 0:
        tensors, numbers = optim.pack(run.optimizers, sharded=False)
        _write(part / "model.safetensors", _without(weights, split))
        _write(part / "optimizer.safetensors", tensors)
        if run.average is not None:
            _write(part / "average.safetensors", _without(average, split))
        head = {"format": FORMAT, "step": step, "processes": world, "optimizer": numbers}
        _write_json(part / "state.json", head | dict(state))
    _barrier(world)
    if rank == 0:
        shutil.rmtree(final, ignore_errors=True)
        os.replace(part, final)
    _barrier(world)
    return final


def read_state(folder: Path) -> dict[str, Any]:
    """Return ``state.json`` of a checkpoint.

    Raises
    ------
    TrainingError
        If the folder is no checkpoint, or one of another format.
    """
    try:
        state: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{folder}: not a checkpoint: {error}") from error
    if state.get("format") != FORMAT:
        raise TrainingError(f"{folder}: checkpoint format {state.get('format')}, not {FORMAT}")
    return state


def restore(run: Run, folder: Path) -> dict[str, Any]:
    """Put a run back where a checkpoint left it, and return the checkpoint's state.

    Raises
    ------
    TrainingError
        If the checkpoint is damaged, of another network, or of another number of processes.
    """
    state = read_state(folder)
    rank, world = _place()
    if state["processes"] != world:
        raise TrainingError(
            f"{folder}: written by {state['processes']} processes, cannot go on with {world}"
        )
    own = _read(folder / f"process-{rank}.safetensors")
    own_state = json.loads((folder / f"process-{rank}.json").read_text(encoding="utf-8"))
    weights = _read(folder / "model.safetensors") | _under(own, "model/")
    load_weights(run.learner, weights, folder)
    optim.unpack(
        run.optimizers,
        _read(folder / "optimizer.safetensors") | _under(own, "optimizer/"),
        state["optimizer"] | own_state["optimizer"],
    )
    if run.average is not None:
        run.average.load(_read(folder / "average.safetensors") | _under(own, "average/"))
    _set_random(_under(own, "random/"), own_state)
    return state


def load_learner(learner: nn.Module, folder: Path) -> None:
    """Load the weights to ship: the running average where there is one."""
    weights = _read(folder / "model.safetensors") | _joined(folder, "model/")
    if (folder / "average.safetensors").exists():
        weights |= _read(folder / "average.safetensors") | _joined(folder, "average/")
    load_weights(learner, weights, folder)


def load_weights(learner: nn.Module, weights: Mapping[str, Tensor], source: Path) -> None:
    """Load named tensors; every name and shape must fit."""
    try:
        learner.load_state_dict(dict(weights), strict=True)
    except RuntimeError as error:
        raise TrainingError(f"{source}: does not fit the network: {error}") from error


def prune(out: Path, keep: int, best: int | None) -> None:
    """Remove all checkpoints but the newest ``keep`` and the best."""
    for folder in checkpoint_folders(out)[:-keep]:
        if int(folder.name.removeprefix("step-")) != best:
            shutil.rmtree(folder)


def _joined(folder: Path, prefix: str) -> dict[str, Tensor]:
    """Return the parameters that differ per process, put together in the order of the processes."""
    parts: dict[str, list[Tensor]] = {}
    for rank in range(read_state(folder)["processes"]):
        own = _read(folder / f"process-{rank}.safetensors")
        for name, tensor in _under(own, prefix).items():
            parts.setdefault(name, []).append(tensor)
    return {name: torch.cat(tensors) for name, tensors in parts.items()}


def _split_names(learner: nn.Module) -> set[str]:
    return {name for name, p in learner.named_parameters() if optim.is_sharded(p)}


def _without(tensors: Mapping[str, Tensor], names: set[str]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name not in names}


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    # Clones, since safetensors refuses tensors that share memory.
    save_file({k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}, path)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{path}: cannot be read: {error}") from error


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _random_tensors() -> dict[str, Tensor]:
    tensors = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors["cuda"] = torch.cuda.get_rng_state()
    return tensors


def _numpy_state() -> list[Any]:
    # Vultus draws from generators only; libraries under it may use the legacy state.
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return [kind, np.asarray(keys).tolist(), *rest]


def _set_random(tensors: Mapping[str, Tensor], own: Mapping[str, Any]) -> None:
    torch.set_rng_state(tensors["cpu"])
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])
    version, words, gauss = own["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, *rest = own["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), *rest))  # noqa: NPY002


def _place() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _barrier(world: int) -> None:
    if world > 1:
        dist.barrier()
