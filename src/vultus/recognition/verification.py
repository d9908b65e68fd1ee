"""Development figures of an embedding network: embeddings of crops, TAR at a FAR, AUC."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from vultus.measure.verification import Comparisons, roc, tar_at_far
from vultus.nets.backbones import to_input
from vultus.nets.layers import unit

Float = NDArray[np.float32]


def embed(network: nn.Module, images: NDArray[np.uint8], *, batch: int = 256) -> Float:
    """Return unit embeddings, float32 (N, D), of crops uint8 (N, S, S, 3).

    The network is used in evaluation mode and left as it was.
    """
    was_training = network.training
    device = next(network.parameters()).device
    network.eval()
    try:
        with torch.no_grad():
            parts = [
                unit(network(to_input(torch.from_numpy(part)).to(device))).cpu().numpy()
                for part in np.array_split(images, max(1, -(-len(images) // batch)))
            ]
    finally:
        network.train(was_training)
    return np.concatenate(parts)


def comparisons(
    first: Float,
    people: ArrayLike,
    second: Float | None = None,
    other_people: ArrayLike | None = None,
) -> Comparisons:
    """Compare all crops with one another, or those of one set with those of another, by cosine.

    Parameters
    ----------
    first, people
        float32 (N, D) and (N,).
    second, other_people
        float32 (M, D) and (M,); within one set each pair counts once and no crop meets itself.
    """
    a = np.asarray(people)
    if second is None:
        i, j = np.triu_indices(len(a), 1)
        return Comparisons.from_pairs((first @ first.T)[i, j], a[i] == a[j])
    same = a[:, None] == np.asarray(other_people)[None]
    return Comparisons.from_pairs((first @ second.T).ravel(), same.ravel())


def figures(
    embeddings: Float, people: ArrayLike, fars: tuple[float, ...] = (1e-2,)
) -> dict[str, float]:
    """Return ``tar@FAR`` for each FAR, ``auc``, and mean cosines within and between people."""
    pairs = comparisons(embeddings, people)
    found = {f"tar@{far:g}": tar_at_far(pairs, far).tar.value for far in fars}
    found["auc"] = roc(pairs).auc
    found["genuine_cosine"] = float(pairs.genuine.mean())
    found["impostor_cosine"] = float(pairs.impostor.mean())
    return found
