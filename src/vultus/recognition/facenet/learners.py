"""Triplet training, and harmonic training against an older network (FaceNet, sections 3 and 6)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vultus.errors import ConfigError
from vultus.nets.backbones import Backbone, build_backbone
from vultus.nets.layers import unit
from vultus.nets.learning import MAIN, Learner, Losses, Progress
from vultus.nets.triplets import squared_distances, triplet_loss
from vultus.recognition.crops import CropData
from vultus.recognition.facenet.mining import Negatives, Positives, Triplets, mine
from vultus.recognition.facenet.networks import INPUTS, Norm, build_network
from vultus.settings import settings


@settings
class Harmonic:
    """Training that makes a new network comparable with an old one.

    Parameters
    ----------
    old, new
        ``model.safetensors`` of the old network, which stays as it is, and of an independently
        trained new one, whose embedding layer starts anew.
    head_share
        Share of the run in which only the embedding layer learns.
    """

    old: str
    new: str
    head_share: float = 0.3


@settings
class FaceNetSettings:
    """Triplet training of any network.

    Parameters
    ----------
    data
        Crops.
    network
        ``nn1`` to ``nn4``, ``nns1``, ``nns2``, or ``backbone`` for the one below.
    backbone
        A network of :mod:`vultus.nets.backbones`.
    dim, norm
        Length of the embedding; normalisation of the paper's networks.
    people, each, extra
        A batch: people, pictures of each, and random pictures of others.
    margin, negatives, positives
        See :func:`~vultus.recognition.facenet.mining.mine`.
    harmonic
        Make the network comparable with an older one.
    """

    data: CropData
    network: Literal["nn1", "nn2", "nn3", "nn4", "nns1", "nns2", "backbone"]
    people: int
    each: int
    extra: int = 0
    backbone: Backbone | None = None
    dim: int = 128
    norm: Norm = "batch"
    margin: float = 0.2
    negatives: Negatives = "semi-hard"
    positives: Positives = "all"
    harmonic: Harmonic | None = None

    def __post_init__(self) -> None:
        if (self.network == "backbone") != (self.backbone is not None):
            raise ValueError("backbone must be given exactly where network is 'backbone'")
        if self.backbone and (self.backbone.size, self.backbone.dim) != (self.data.size, self.dim):
            raise ValueError("backbone.size and backbone.dim must equal data.size and dim")
        if self.network == "nn1" and self.data.size != INPUTS["nn1"][0]:
            raise ValueError("nn1 takes crops of 220 pixels")
        if self.people < 2 or self.each < 2:
            raise ValueError("triplets need batches of 2 people or more with 2 pictures or more")


def network_of(config: FaceNetSettings) -> nn.Module:
    """Return the untrained network that the settings name."""
    if config.backbone is not None:
        return build_backbone(config.backbone)
    return build_network(config.network, config.dim, config.norm)


class FaceNetLearner(Learner):
    """One network under the triplet loss, with a monitor of collapse."""

    def __init__(self, config: FaceNetSettings) -> None:
        super().__init__()
        self.config = config
        self.network = network_of(config)

    def losses(self, batch: Mapping[str, Any], progress: Progress, player: str = MAIN) -> Losses:
        """Return the mean loss of the mined triplets of a batch."""
        faces = batch["faces"]
        vectors = unit(self.network(faces["image"]))
        return triplet_losses(vectors, faces["label"], self.config)


def triplet_losses(
    vectors: Tensor, labels: Tensor, config: FaceNetSettings, fixed: Tensor | None = None
) -> Losses:
    """Return the mean triplet loss of unit vectors (N, D), and what tells of collapse.

    Parameters
    ----------
    vectors, labels
        Embeddings and int64 (N,) people.
    config
        Mining rules and margin.
    fixed
        bool (N,): vectors that cannot move; triplets of these alone are left out.
    """
    distances = squared_distances(vectors, vectors)
    with torch.no_grad():
        found = mine(
            distances.detach(),
            labels,
            margin=config.margin,
            negatives=config.negatives,
            positives=config.positives,
        )
    if fixed is not None:
        found = _moving(found, fixed)
    a, p, n = found.anchor, found.positive, found.negative
    each = triplet_loss(distances[a, p], distances[a, n], config.margin)
    # Without any triplet the loss is a zero that still has a gradient.
    loss = each.mean() if len(each) else distances.sum() * 0
    between = distances.detach()[labels[:, None] != labels[None]]
    monitors = {
        "distance_between": between.mean(),
        "active": (each > 0).sum() / max(found.pairs, 1),
    }
    return Losses({"triplet": loss}, monitors)


def _moving(found: Triplets, fixed: Tensor) -> Triplets:
    keep = ~(fixed[found.anchor] & fixed[found.positive] & fixed[found.negative])
    return Triplets(found.anchor[keep], found.positive[keep], found.negative[keep], int(keep.sum()))


class HarmonicLearner(Learner):
    """A new network in triplets that mix its embeddings with those of a frozen, older one.

    All combinations of old and new anchors, positives and negatives occur, but those of old
    embeddings alone; the semi-hard rule sees the mixed distances.
    """

    def __init__(self, config: FaceNetSettings, harmonic: Harmonic) -> None:
        super().__init__()
        self.config, self.share = config, harmonic.head_share
        self.network, self.old = network_of(config), network_of(config)
        _load(self.old, harmonic.old)
        self.old.requires_grad_(False)
        _load(self.network, harmonic.new)
        _last_linear(self.network).reset_parameters()
        self._unfrozen = [p for p in self.network.parameters() if p.requires_grad]

    def losses(self, batch: Mapping[str, Any], progress: Progress, player: str = MAIN) -> Losses:
        """Return the mean loss of the mixed triplets of a batch."""
        faces = batch["faces"]
        self._choose_phase(progress)
        new = unit(self.network(faces["image"]))
        self.old.eval()
        with torch.no_grad():
            old = unit(self.old(faces["image"]))
        labels = faces["label"].repeat(2)
        fixed = torch.arange(len(labels), device=labels.device) >= len(new)
        return triplet_losses(torch.cat([new, old]), labels, self.config, fixed)

    def _choose_phase(self, progress: Progress) -> None:
        whole = progress.fraction >= self.share
        head = {id(p) for p in _last_linear(self.network).parameters()}
        for parameter in self._unfrozen:
            parameter.requires_grad_(whole or id(parameter) in head)


def _last_linear(network: nn.Module) -> nn.Linear:
    layers = [m for m in network.modules() if isinstance(m, nn.Linear)]
    if not layers:
        raise ConfigError("harmonic training needs a network with a linear embedding layer")
    return layers[-1]


def _load(network: nn.Module, source: str) -> None:
    path = Path(source)
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"harmonic: {path} cannot be read: {error}") from error
    prefix = "network."
    own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    try:
        network.load_state_dict(own)
    except RuntimeError as error:
        raise ConfigError(f"harmonic: {path} holds another network: {error}") from error
