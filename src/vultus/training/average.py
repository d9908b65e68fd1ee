"""Running average of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """Exponential moving average of a module's parameters and floating-point buffers.

    Parameters
    ----------
    module
        Averaged in place of itself by :meth:`swapped`.
    decay
        Weight of the past per step; over the first steps it is at most (1 + n) / (10 + n), so that
        the random start is forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = module, decay
        self.weights = {name: t.detach().clone() for name, t in self._live().items()}

    def _live(self) -> dict[str, Tensor]:
        named = {**dict(self.module.named_parameters()), **dict(self.module.named_buffers())}
        state = self.module.state_dict()
        return {n: t for n, t in named.items() if t.is_floating_point() and n in state}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step (0, 1, ...)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in self._live().items():
            # The module may have moved to an accelerator since.
            self.weights[name] = self.weights[name].to(tensor.device)
            self.weights[name].lerp_(tensor, 1 - decay)

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take over stored averages."""
        for name, tensor in self.weights.items():
            tensor.copy_(weights[name])

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Give the module the averaged weights for the length of a block."""
        live = self._live()
        with torch.no_grad():
            kept = {name: t.detach().clone() for name, t in live.items()}
            for name, t in live.items():
                t.copy_(self.weights[name])
        try:
            yield
        finally:
            with torch.no_grad():
                for name, t in live.items():
                    t.copy_(kept[name])
