"""A compact recogniser, taught by two larger ones on faces that nobody has labelled.

The student sees a spoiled copy of a crop and is to give the embedding that the teachers give the
clean one; the cosines between the faces of a batch are to be the teachers' too (relational
distillation, Park et al., 2019). Where identities are known, a margin softmax is added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vultus.datasets.crops import LabelledCrops
from vultus.errors import ConfigError
from vultus.measure.verification import tar_at_far
from vultus.nets.augmentation import Augmentation
from vultus.nets.backbones import Backbone, Embedder, build_backbone
from vultus.nets.crop_streams import AugmentedCrops
from vultus.nets.dlib_resnet import DlibResNet, load_trunk
from vultus.nets.layers import unit
from vultus.nets.learning import (
    MAIN,
    Batch,
    Data,
    Export,
    Learner,
    Losses,
    ParameterGroup,
    Progress,
)
from vultus.nets.margins import Margin
from vultus.nets.softmax import MarginSoftmax
from vultus.nets.streams import Strata, Stream
from vultus.places import default_home
from vultus.recognition import predictor
from vultus.recognition.compact_faces import TEMPLATE, CompactData, faces, names_of, parts
from vultus.recognition.shipping import embedding_export
from vultus.recognition.teachers import RetailEmbedder, fused, taught
from vultus.recognition.verification import comparisons, embed
from vultus.runtime import resolve
from vultus.settings import settings

#: The weight that teaches, and with which a network may begin.
DLIB = "dlib-resnet29"
#: FAR of the development figures.
FAR = 1e-3


@settings
class CompactSettings:
    """A small recogniser.

    Parameters
    ----------
    data, augmentation, margin
        Faces and teachers; how crops are spoiled; loss on known identities.
    size, dim
        Side of the network's input, length of an embedding.
    backbone
        A network to train from nothing, of the same size and dim. Without it the network is dlib's
        residual one without its last stage and one block, which begins with the weights of
        ``dlib-resnet29`` (public domain) as far as ``start`` says.
    start
        Whether dlib's weights are taken over; otherwise they are drawn at random.
    identities
        Rows of the class-centre matrix; at least the number of training people.
    batch
        Examples per step.
    trunk_rate
        Factor on the learning rate of layers that begin with weights.
    """

    data: CompactData
    augmentation: Augmentation = field(default_factory=Augmentation)
    margin: Margin = field(default_factory=lambda: Margin(name="cosface", scale=32.0, m=0.2))
    size: int = 100
    dim: int = 256
    backbone: Backbone | None = None
    start: bool = True
    identities: int
    batch: int = 64
    trunk_rate: float = 0.1

    def __post_init__(self) -> None:
        given = self.backbone
        if given is not None and (given.size, given.dim) != (self.size, self.dim):
            raise ValueError("backbone must have the size and dim of the settings")
        if given is None and self.size < 80:
            raise ValueError("dlib's network needs pictures of 80 pixels or more")


@dataclass(frozen=True, slots=True, eq=False)
class Development:
    """People kept apart: crops at the network's size, the same spoiled, and who they show."""

    clean: NDArray[np.uint8]
    spoiled: NDArray[np.uint8]
    people: NDArray[np.int64]


class CompactLearner(Learner):
    """Network, and the centres of known identities."""

    def __init__(self, config: CompactSettings) -> None:
        super().__init__()
        self.config = config
        self.net = network(config)
        self.centres = MarginSoftmax(config.dim, config.identities, config.margin)

    def players(self) -> Mapping[str, list[ParameterGroup]]:
        """Return everything, with a slower trunk where it begins with weights."""
        started = self.config.backbone is None and self.config.start
        trunk = list(self.net.trunk.parameters())
        rest = [*self.net.head.parameters(), *self.centres.parameters()]
        rate = self.config.trunk_rate if started else 1.0
        return {MAIN: [ParameterGroup(trunk, lr_scale=rate), ParameterGroup(rest)]}

    def losses(self, batch: Batch, progress: Progress, player: str) -> Losses:
        """Return ``teach`` (1 - cosine to the target), ``relations`` and ``identity``."""
        faces = batch["faces"]
        vectors = unit(self.net(faces["image"]))
        target, label = faces["target"].float(), faces["label"]
        cosine = (vectors * target).sum(1)
        terms = {"teach": (1 - cosine).mean(), "relations": relations(vectors, target)}
        known = torch.nonzero(label >= 0)[:, 0]
        if len(known):
            terms["identity"] = self.centres(vectors[known], label[known])
        return Losses(terms, {"cosine": cosine.detach().mean()})


def relations(vectors: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared difference of the cosines between the faces of a batch, times N.

    Both float (N, D) of unit length; 0 for a batch of one.
    """
    count = len(vectors)
    if count < 2:
        return vectors.sum() * 0
    gap = vectors @ vectors.T - target @ target.T
    return gap.square().sum() / (count - 1)


def network(config: CompactSettings) -> Embedder:
    """Return the untrained network, with dlib's weights where the settings say so."""
    if config.backbone is not None:
        return build_backbone(config.backbone)
    trunk = DlibResNet()
    if config.start:
        load_trunk(trunk, resolve(DLIB))
    # The features of dlib's trunk are far from centred; without the first normalisation a matrix
    # learns them many times more slowly.
    head = nn.Sequential(
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.BatchNorm1d(trunk.channels),
        nn.Linear(trunk.channels, config.dim),
    )
    return Embedder(trunk, head, config.size, config.dim)


class Compact:
    """A small recogniser, taught by dlib's network and one of the Open Model Zoo."""

    settings = CompactSettings

    @staticmethod
    def build(config: CompactSettings) -> CompactLearner:
        """Return an untrained learner."""
        return CompactLearner(config)

    @staticmethod
    def data(config: CompactSettings, seed: int) -> Data:
        """Return the stream of faces, and the people kept apart."""
        crops = faces(config.data, seed)
        train, apart = parts(crops, config.data)
        label = _numbered(crops, train, config.data)
        if label.max() >= config.identities:
            raise ConfigError(
                f"config.identities is {config.identities}, the data has {label.max() + 1}"
            )
        teachings = _teach(crops, config.data)
        weights = config.data.weights[: len(teachings)]
        target = fused(teachings, train, config.dim, weights)
        examples = AugmentedCrops(
            crops.images[train],
            {"target": target[train], "label": label[train]},
            config.size,
            config.augmentation,
        )
        sampler = _sampler(crops, train, config, seed)
        return Data({"faces": Stream(examples, sampler)}, _development(crops, apart, config, seed))

    @staticmethod
    def evaluate(learner: CompactLearner, development: Development) -> Mapping[str, float]:
        """Return TAR at FAR 1e-3 of clean and of spoiled probes, and their mean, which chooses."""
        clean = embed(learner.net, development.clean)
        spoiled = embed(learner.net, development.spoiled)
        people = development.people
        pairs = comparisons(clean, people)
        across = comparisons(clean, people, spoiled, people)
        found = {
            "tar": tar_at_far(pairs, FAR).tar.value,
            "tar_spoiled": tar_at_far(across, FAR).tar.value,
        }
        return {**found, "score": (found["tar"] + found["tar_spoiled"]) / 2}

    @staticmethod
    def export(learner: CompactLearner) -> Mapping[str, Export]:
        """Return the network, giving embeddings of unit length."""
        return {"compact": embedding_export(learner.net, template=TEMPLATE)}


def _numbered(
    crops: LabelledCrops, train: NDArray[np.intp], data: CompactData
) -> NDArray[np.int64]:
    """Return the class of each crop, -1 for people of one picture and where nobody knows."""
    sets, identity = names_of(crops, "set"), names_of(crops, "identity")
    label = np.full(len(crops), -1, np.int64)
    known = train[np.isin(sets[train], (data.people, "renders")) & (identity[train] != "")]
    _, codes, counts = np.unique(identity[known], return_inverse=True, return_counts=True)
    order = np.cumsum(counts > 1) - 1
    label[known] = np.where(counts[codes] > 1, order[codes], -1)
    return label


def _teach(crops: LabelledCrops, data: CompactData) -> list[NDArray[np.float32]]:
    cache = default_home() / "teachers"
    teachers: list[predictor.Embedder | RetailEmbedder] = [predictor.Embedder(DLIB, threads=1)]
    if data.teacher is not None:
        teachers.append(RetailEmbedder(data.teacher))
    return [taught(crops.images, crops.points, teacher, cache) for teacher in teachers]


def _sampler(
    crops: LabelledCrops, train: NDArray[np.intp], config: CompactSettings, seed: int
) -> Strata:
    sets = names_of(crops, "set")[train]
    shares = config.data.shares or {name: float((sets == name).sum()) for name in np.unique(sets)}
    absent = sorted(set(shares) - set(sets))
    if absent:
        raise ConfigError(f"config.data.shares: no crops of {', '.join(absent)}")
    ends = np.cumsum(list(shares.values())) / sum(shares.values()) * config.batch
    counts = np.diff(np.rint(ends).astype(int), prepend=0)
    chosen = [(np.flatnonzero(sets == n), int(c)) for n, c in zip(shares, counts, strict=True) if c]
    return Strata([rows for rows, _ in chosen], [count for _, count in chosen], seed)


def _development(
    crops: LabelledCrops, rows: NDArray[np.intp], config: CompactSettings, seed: int
) -> Development:
    size = (config.size, config.size)
    way = cv2.INTER_AREA if config.size < crops.size else cv2.INTER_LINEAR
    clean = np.stack([cv2.resize(crops.images[i], size, interpolation=way) for i in rows])
    # Spoiled without moving: alignment is the detector's business.
    still = replace(config.augmentation, rotation=0.0, scale=0.0, shift=0.0, flip=0.0)
    rng = np.random.default_rng((seed, 3))
    spoiled = np.stack([still.crop(crops.images[i], config.size, rng)[0] for i in rows])
    _, people = np.unique(names_of(crops, "identity")[rows], return_inverse=True)
    return Development(clean.astype(np.uint8), spoiled, people.astype(np.int64))
