"""Networks from an aligned crop to points in its pixels: started, run, measured and exported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vultus.errors import TrainingError
from vultus.geometry import UInt8Array
from vultus.landmarks.crops import TEMPLATE
from vultus.measure.landmarks import nme
from vultus.nets.backbones import to_input
from vultus.nets.learning import Export
from vultus.nets.starts import network_weights

_CHUNK = 64

#: NME above which a face counts as a failure.
FAILURE = 0.1


def load_network(network: nn.Module, path: str) -> None:
    """Load the network of a checkpoint, averaged weights where there are some.

    Parameters
    ----------
    network
        To load into.
    path
        A run's folder, a checkpoint's, or one ``.safetensors`` file.

    Raises
    ------
    ConfigError
        If there is no checkpoint.
    TrainingError
        If it holds another network.
    """
    try:
        network.load_state_dict(network_weights(path), strict=True)
    except RuntimeError as error:
        raise TrainingError(f"{path}: does not fit the network: {error}") from error


@torch.no_grad()
def predict_points(network: nn.Module, images: UInt8Array) -> NDArray[np.float32]:
    """Return points (N, 68, 2) in crop pixels, 0 the centre of the first.

    Parameters
    ----------
    network
        float32 (N, 3, S, S) in [-1, 1] -> points (N, 68, 2) in crop pixels.
    images
        uint8 RGB (N, S, S, 3), N from 1 on.
    """
    device = next(network.parameters()).device
    parts = [
        network(to_input(torch.from_numpy(images[i : i + _CHUNK].copy()).to(device)))
        for i in range(0, len(images), _CHUNK)
    ]
    return np.asarray(torch.cat(parts).float().cpu().numpy(), np.float32)


def point_figures(
    found: NDArray[np.float32],
    truth: NDArray[np.float32],
    targets: NDArray[np.float32] | None = None,
) -> dict[str, float]:
    """Return the mean NME by the distance of the outer eye corners, and the share above 10 %.

    Points without trust count as they are.

    Parameters
    ----------
    found, truth
        (N, 68, 2) crop pixels.
    targets
        In place of the truth as what should be found; the distance remains that of the truth.
    """
    # Eye corners of profiles nearly meet: no face counts by less than a pixel.
    lengths = np.maximum(np.linalg.norm(truth[:, 36] - truth[:, 45], axis=1), 1.0)
    errors = nme(found, truth if targets is None else targets, lengths)
    return {"nme": float(errors.mean()), "failure_rate": float((errors > FAILURE).mean())}


def figures_by_file(figures: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the figures of each file, numbered, and those of the last without a number."""
    out: dict[str, float] = {}
    for number, values in enumerate(figures):
        out |= {f"{name}_{number}": value for name, value in values.items()} | dict(values)
    return out


def points_export(
    network: nn.Module, size: int, seed: int, metadata: Mapping[str, str] | None = None
) -> Export:
    """Return a network as it is to be shipped: crop in, points in crop pixels out.

    Parameters
    ----------
    network
        As in :func:`predict_points`.
    size
        Side of the crops in pixels.
    seed
        Of the example that the export is checked with.
    metadata
        Text by key that travels inside the file.
    """
    generator = torch.Generator().manual_seed(seed)
    example = torch.randn(2, 3, size, size, generator=generator) / 2
    manifest = {
        "task": "landmarks",
        "template": TEMPLATE if size == 96 else f"{TEMPLATE} at {size} pixels",
        "input": {"mean": [127.5], "std": [127.5]},
    }
    device = next(network.parameters()).device
    return Export(network, example.to(device), ("points",), manifest, metadata or {})
