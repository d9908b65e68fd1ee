"""Optimisers from a recipe, and their state as tensors and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vultus.errors import ConfigError, TrainingError
from vultus.nets.learning import Learner, ParameterGroup
from vultus.training.layouts import like
from vultus.training.recipes import Optimizer, Recipe


def build_optimizers(learner: Learner, recipe: Recipe) -> dict[str, torch.optim.Optimizer]:
    """Return one optimiser per player, in the order in which they move.

    Raises
    ------
    ConfigError
        If the recipe names a player that the learner lacks, or a player has no parameters.
    """
    players = learner.players()
    unknown = recipe.players.keys() - players.keys()
    if unknown:
        raise ConfigError(f"players: no player {sorted(unknown)}; known: {sorted(players)}")
    built = {}
    for name, groups in players.items():
        chosen = recipe.players.get(name, recipe.optimizer)
        rows = [row for group in groups for row in _rows(group, chosen)]
        if not rows:
            raise ConfigError(f"player {name!r} has no trainable parameters")
        built[name] = _build(chosen, rows)
    return built


def _rows(group: ParameterGroup, chosen: Optimizer) -> list[dict[str, Any]]:
    decay = chosen.weight_decay if group.weight_decay is None else group.weight_decay
    kinds: list[tuple[list[nn.Parameter], float]] = [(list(group.parameters), decay)]
    if not chosen.decay_vectors:
        kinds = [
            ([p for p in group.parameters if p.ndim > 1], decay),
            ([p for p in group.parameters if p.ndim <= 1], 0.0),
        ]
    base = chosen.lr * group.lr_scale
    return [
        {"params": p, "lr": base, "weight_decay": d, "base_lr": base, "clip": group.clip}
        for p, d in kinds
        if p
    ]


def _build(chosen: Optimizer, rows: Sequence[dict[str, Any]]) -> torch.optim.Optimizer:
    lr = chosen.lr
    if chosen.name == "sgd":
        return torch.optim.SGD(rows, lr, momentum=chosen.momentum, nesterov=chosen.nesterov)
    if chosen.name == "adam":
        return torch.optim.Adam(rows, lr, betas=chosen.betas)
    if chosen.name == "adamw":
        return torch.optim.AdamW(rows, lr, betas=chosen.betas)
    if chosen.name == "adagrad":
        return torch.optim.Adagrad(rows, lr)
    return torch.optim.RMSprop(rows, lr, momentum=chosen.momentum)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's learning rate to its base times a factor."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def clip_gradients(optimizer: torch.optim.Optimizer, limit: float) -> Tensor:
    """Scale the gradients of the groups under clipping to a joint norm of at most ``limit``.

    Parameters that differ per process count with all their parts, so that every process finds the
    same norm; it is returned.
    """
    covered = [p for g in optimizer.param_groups if g["clip"] for p in g["params"]]
    moving = [p for p in covered if p.grad is not None]
    common = [p.grad for p in moving if not is_sharded(p)]
    norm: Tensor = torch.nn.utils.get_total_norm(common)
    if any(is_sharded(p) for p in covered):
        parts = torch.nn.utils.get_total_norm([p.grad for p in moving if is_sharded(p)])
        square = parts.to(moving[0].device) ** 2
        dist.all_reduce(square)
        norm = (norm**2 + square).sqrt()
    torch.nn.utils.clip_grads_with_norm_(moving, limit, norm)
    return norm


def pack(
    optimizers: Mapping[str, torch.optim.Optimizer], *, sharded: bool
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state of all optimisers as named tensors and as JSON values.

    Parameters
    ----------
    optimizers
        By player.
    sharded
        Whether to give the state of the parameters that differ per process, or of the others.
    """
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, Any] = {}
    for player, optimizer in optimizers.items():
        for i, parameter in enumerate(_parameters(optimizer)):
            if is_sharded(parameter) != sharded:
                continue
            for key, value in optimizer.state.get(parameter, {}).items():
                name = f"{player}/{i}/{key}"
                if isinstance(value, Tensor):
                    tensors[name] = value.detach().contiguous()
                else:
                    numbers[name] = value
    return tensors, numbers


def unpack(
    optimizers: Mapping[str, torch.optim.Optimizer],
    tensors: Mapping[str, Tensor],
    numbers: Mapping[str, Any],
) -> None:
    """Put back what :func:`pack` gave, for sharded and common parameters together.

    Raises
    ------
    TrainingError
        If the state belongs to other players or parameters.
    """
    states: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in optimizers}
    for name, value in {**tensors, **numbers}.items():
        player, index, key = name.split("/", 2)
        if player not in states:
            raise TrainingError(f"the checkpoint has a player {player!r}, the learner has none")
        states[player].setdefault(int(index), {})[key] = value
    for player, optimizer in optimizers.items():
        count = len(_parameters(optimizer))
        if any(i >= count for i in states[player]):
            raise TrainingError(f"the checkpoint's player {player!r} has more parameters")
        whole = optimizer.state_dict()
        whole["state"] = states[player]
        optimizer.load_state_dict(whole)
        # Files hold plain order; arithmetic on mixed layouts is slower and may round otherwise.
        for parameter, state in optimizer.state.items():
            for key, value in state.items():
                if isinstance(value, Tensor):
                    state[key] = like(value, parameter)


def is_sharded(parameter: Tensor) -> bool:
    """Return whether a parameter holds another part on every process."""
    return bool(getattr(parameter, "sharded", False))


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]
