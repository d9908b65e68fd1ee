"""Channels innermost in memory, for networks and the batches that they see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def lay_out_kernels(module: nn.Module) -> None:
    """Store every parameter of four axes with the channels innermost, in place."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = _last(parameter.data)


def lay_out_pictures(batch: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return a batch whose float fields (N, C, H, W) have the channels innermost."""
    return {
        stream: {
            name: _last(value)
            if isinstance(value, Tensor) and value.ndim == 4 and value.is_floating_point()
            else value
            for name, value in fields.items()
        }
        for stream, fields in batch.items()
    }


def like(value: Tensor, model: Tensor) -> Tensor:
    """Return a tensor laid out in memory as another of the same shape."""
    if value.shape != model.shape or value.stride() == model.stride():
        return value
    return torch.empty_like(model, dtype=value.dtype, device=value.device).copy_(value)


def _last(value: Tensor) -> Tensor:
    return value.contiguous(memory_format=torch.channels_last)
