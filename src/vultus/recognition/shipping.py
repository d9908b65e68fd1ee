"""How a trained embedding network is shipped."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vultus.nets.backbones import Embedder
from vultus.nets.learning import Export


class UnitLength(nn.Module):
    """A network whose output vectors are made unit length."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, D) of length 1; a zero vector stays zero."""
        y: Tensor = self.network(x)
        lengths = y.square().sum(1, keepdim=True).clamp(min=1e-12).sqrt()
        return y / lengths


def embedding_export(
    network: nn.Module,
    size: int | None = None,
    dim: int | None = None,
    *,
    template: str = "arcface112",
) -> Export:
    """Return the export of an embedding network for crops of a template, scaled to its size."""
    if isinstance(network, Embedder):
        size, dim = network.size, network.dim
    assert size is not None
    example = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    manifest = {
        "task": "recognition",
        "dim": dim,
        "size": size,
        "template": template,
        "input": {"layout": "nchw", "order": "rgb", "mean": [127.5], "std": [127.5]},
    }
    return Export(UnitLength(network), example, ("embedding",), manifest)
