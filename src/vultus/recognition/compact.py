"""A compact recogniser: a small published network, trained further on faces nobody has labelled.

It begins with the weights of face-reidentification-retail-0095, which is its teacher too. It sees
a spoiled copy of a crop and is to give the teacher's embedding of the clean one, averaged with that
of its mirror image; the cosines between the faces of a batch are to be the teacher's (relational
distillation, Park et al., 2019). Where identities are known, the target lies nearer to what the
pictures of a person have in common.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vultus.datasets.crops import LabelledCrops
from vultus.errors import ConfigError
from vultus.geometry import template
from vultus.measure.verification import tar_at_far
from vultus.nets.augmentation import Augmentation
from vultus.nets.backbones import Embedder
from vultus.nets.crop_streams import AugmentedCrops
from vultus.nets.layers import DepthwiseHead, conv, unit
from vultus.nets.learning import Batch, Data, Export, Learner, Losses, Progress
from vultus.nets.mobilefacenet import MobileFaceNet
from vultus.nets.openvino_weights import assign, fill, read_chain
from vultus.nets.streams import Shuffled, Strata, Stream
from vultus.places import default_home
from vultus.recognition.compact_faces import TEMPLATE, CompactData, faces, names_of, parts
from vultus.recognition.shipping import embedding_export
from vultus.recognition.teachers import RetailEmbedder, taught
from vultus.recognition.verification import comparisons, embed
from vultus.settings import settings

#: FAR of the development figures.
FAR = 1e-3
#: Length of an embedding.
DIM = 256
Float = NDArray[np.float32]


@settings
class CompactSettings:
    """A small recogniser.

    Parameters
    ----------
    data, augmentation
        Faces and how crops are spoiled.
    teacher
        ``face-reidentification-retail-0095.xml``, whose weights the network begins with and whose
        embeddings are its targets. Without it the network begins at random and learns random
        targets, which only tries the mechanics.
    together
        Weight of the person's mean embedding in the targets of a person with several pictures; the
        picture's own has the rest.
    kept
        Weight of the first weights beside the trained ones in what is evaluated and exported.
    width
        Factor on the channels; 1 with a teacher.
    batch
        Examples per step.
    """

    data: CompactData
    augmentation: Augmentation = field(default_factory=Augmentation)
    teacher: str | None = None
    together: float = 0.3
    kept: float = 0.0
    width: float = 1.0
    batch: int = 64

    def __post_init__(self) -> None:
        if self.teacher is not None and self.width != 1:
            raise ValueError("a network that begins with a teacher's weights has width 1")
        if not 0 <= self.together <= 1 or not 0 <= self.kept < 1 or self.width <= 0:
            raise ValueError("together and kept must lie in [0, 1], width be positive")


@dataclass(frozen=True, slots=True, eq=False)
class Development:
    """People kept apart: crops, the same spoiled, and who they show."""

    clean: NDArray[np.uint8]
    spoiled: NDArray[np.uint8]
    people: NDArray[np.int64]


class CompactLearner(Learner):
    """One network, held to the targets.

    Parameters
    ----------
    net
        Trained.
    kept
        Weight of what it was at first in :meth:`merged`, in [0, 1).
    """

    def __init__(self, net: Embedder, kept: float = 0.0) -> None:
        super().__init__()
        self.net, self.kept = net, kept
        # Plain tensors, so that no checkpoint holds them: they are there whenever it is built.
        self._first = {name: value.clone() for name, value in net.state_dict().items()}

    def merged(self) -> Embedder:
        """Return a network whose weights lie between the first and the trained ones.

        What a network could do before it was trained further is lost less so (Wortsman et al.,
        2022, equation 1).
        """
        net = copy.deepcopy(self.net)
        with torch.no_grad():
            for name, value in net.state_dict().items():
                value.lerp_(self._first[name].to(value.device), self.kept)
        return net

    def losses(self, batch: Batch, progress: Progress, player: str) -> Losses:
        """Return ``teach`` (1 - cosine to the target) and ``relations``."""
        faces = batch["faces"]
        vectors, target = unit(self.net(faces["image"])), faces["target"].float()
        cosine = (vectors * target).sum(1)
        terms = {"teach": (1 - cosine).mean(), "relations": relations(vectors, target)}
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


def network(teacher: Path | str | None = None, width: float = 1.0) -> Embedder:
    """Return a MobileFaceNet with squeeze-and-excitation, its normalisation folded in.

    Parameters
    ----------
    teacher
        face-reidentification-retail-0095's ``.xml``; the network gives what that one gives.
        Random weights without it.
    width
        Factor on the channels.

    Raises
    ------
    WeightsError, ConfigError
        If the file is another network, cannot be read, or OpenVINO is not installed.
    """
    size = template(TEMPLATE).size
    scale = conv(3, 3, 1, groups=3, norm="none", activation="none")
    trunk = MobileFaceNet(width, norm="none", activation="leaky", squeeze=8)
    head = DepthwiseHead(
        trunk.channels, size // trunk.stride, DIM, round(512 * width), "none", "leaky"
    )
    net = Embedder(nn.Sequential(scale, trunk), head, size, DIM)
    if teacher is not None:
        chain = read_chain(teacher)
        fill((*trunk.modules(), *head.modules()), chain.convolutions)
        # The file takes BGR of 0 to 255, the network RGB of -1 to 1.
        stem, first = trunk.layers.get_submodule("0.0"), scale.get_submodule("0")
        assert isinstance(stem, nn.Conv2d)
        assert isinstance(first, nn.Conv2d)
        assert first.bias is not None
        assign(stem.weight, chain.convolutions[0].weight[:, ::-1])
        gain, shift = chain.scale[::-1] * 127.5, chain.shift[::-1]
        assign(first.weight, gain.reshape(3, 1, 1, 1))
        assign(first.bias, gain + shift)
    return net


class Compact:
    """A small recogniser that begins with a network of the Open Model Zoo."""

    settings = CompactSettings

    @staticmethod
    def build(config: CompactSettings) -> CompactLearner:
        """Return a learner that has learnt nothing yet beyond its teacher's weights."""
        return CompactLearner(network(config.teacher, config.width), config.kept)

    @staticmethod
    def data(config: CompactSettings, seed: int) -> Data:
        """Return the stream of faces, and the people kept apart."""
        crops = faces(config.data, seed)
        train, apart = parts(crops, config.data)
        shown = crops.take(train)
        target = drawn_together(
            _targets(shown, config, seed), names_of(shown, "identity"), config.together
        )
        size = template(TEMPLATE).size
        examples = AugmentedCrops(shown.images, {"target": target}, size, config.augmentation)
        stream = Stream(examples, _sampler(shown, config, seed))
        return Data({"faces": stream}, _development(crops.take(apart), config, seed))

    @staticmethod
    def evaluate(learner: CompactLearner, development: Development) -> Mapping[str, float]:
        """Return TAR at FAR 1e-3 of clean and of spoiled probes, and their mean, which chooses."""
        net = learner.merged()
        clean = embed(net, development.clean)
        spoiled = embed(net, development.spoiled)
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
        return {"compact": embedding_export(learner.merged(), template=TEMPLATE)}


def drawn_together(vectors: Float, people: NDArray[np.str_], share: float) -> Float:
    """Return unit vectors (N, D), each moved towards the mean of its person's.

    Parameters
    ----------
    vectors
        float32 (N, D) of unit length.
    people
        Names (N,); where it is empty, nothing moves.
    share
        Weight of the mean, in [0, 1].
    """
    moved = vectors.copy()
    names, codes = np.unique(people, return_inverse=True)
    sums = np.zeros((len(names), vectors.shape[1]), np.float32)
    np.add.at(sums, codes, vectors)
    known = people != ""
    common = sums / np.linalg.norm(sums, axis=1, keepdims=True).clip(1e-6)
    moved[known] += share * (common[codes[known]] - vectors[known])
    return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True).clip(1e-6), np.float32)


def _targets(crops: LabelledCrops, config: CompactSettings, seed: int) -> Float:
    if config.teacher is not None:
        return taught(crops.images, RetailEmbedder(config.teacher), default_home() / "teachers")
    drawn = np.random.default_rng((seed, 1)).normal(size=(len(crops), DIM))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


def _sampler(crops: LabelledCrops, config: CompactSettings, seed: int) -> Shuffled | Strata:
    shares = config.data.shares
    if shares is None:
        return Shuffled(len(crops), config.batch, seed)
    sets = names_of(crops, "set")
    absent = sorted(set(shares) - set(sets))
    if absent:
        raise ConfigError(f"config.data.shares: no crops of {', '.join(absent)}")
    ends = np.cumsum(list(shares.values())) / sum(shares.values()) * config.batch
    counts = np.diff(np.rint(ends).astype(int), prepend=0)
    chosen = [(np.flatnonzero(sets == n), int(c)) for n, c in zip(shares, counts, strict=True) if c]
    return Strata([rows for rows, _ in chosen], [count for _, count in chosen], seed)


def _development(crops: LabelledCrops, config: CompactSettings, seed: int) -> Development:
    # Spoiled without moving: alignment is the detector's business.
    still = replace(config.augmentation, rotation=0.0, scale=0.0, shift=0.0, flip=0.0)
    rng = np.random.default_rng((seed, 3))
    spoiled = np.stack([still.crop(image, crops.size, rng)[0] for image in crops.images])
    _, people = np.unique(names_of(crops, "identity"), return_inverse=True)
    return Development(crops.images, spoiled, people.astype(np.int64))
