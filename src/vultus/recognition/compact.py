"""A compact recogniser, taught by two larger ones on faces that nobody has labelled.

The student sees a spoiled copy of a crop and is to give the embedding that the teachers give the
clean one; the cosines between the faces of a batch are to be the teachers' too (relational
distillation, Park et al., 2019). Where identities are known, a margin softmax is added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vultus.datasets.crops import LabelledCrops, load_labelled, save_labelled
from vultus.datasets.splits import name_places
from vultus.errors import ConfigError, DatasetError
from vultus.geometry import align, similarity_transform, template, transform_points
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
from vultus.recognition.shipping import embedding_export
from vultus.recognition.teachers import RetailEmbedder, fused, taught
from vultus.recognition.verification import comparisons, embed
from vultus.runtime import resolve
from vultus.settings import settings
from vultus.worlds import PoseSpec, WorldSpec, stream

#: The crop that the network looks at, scaled to its size.
TEMPLATE = "dlib150"
#: The weight that teaches, and with which a network may begin.
DLIB = "dlib-resnet29"
#: FAR of the development figures.
FAR = 1e-3


@settings
class Renders:
    """Rendered people among the faces.

    Parameters
    ----------
    people, each
        How many, and pictures of each.
    file
        Where they are kept once drawn.
    """

    people: int
    each: int = 4
    file: str | None = None


@settings
class CompactData:
    """Faces, teachers and who stays apart.

    Parameters
    ----------
    file
        What ``vultus data crops`` wrote at 150 pixels with the template ``dlib150``; its parts
        named ``dev-test``, ``test`` and ``val`` are left out. Without it only renders are used.
    teacher
        ``face-reidentification-retail-0095.xml``, a second teacher beside dlib's network.
    weights
        Of dlib's network and of the second teacher, in the cosines that are taught.
    renders
        Rendered people to add.
    people
        The set whose identities are used; in the others every face is for itself.
    development
        Share of those people that is kept apart, by
        :func:`~vultus.datasets.splits.name_places`: they choose the checkpoint.
    most
        Faces of a set at most, by name, spread evenly over it.
    shares
        Share of each set in every batch, by name; ``renders`` for the rendered people. By their
        numbers of faces if not given.
    """

    file: str | None = None
    teacher: str | None = None
    weights: tuple[float, float] = (0.2, 0.8)
    renders: Renders | None = None
    people: str = "lfw"
    development: float = 0.3
    most: dict[str, int] = field(default_factory=dict)
    shares: dict[str, float] | None = None

    def __post_init__(self) -> None:
        if self.file is None and self.renders is None:
            raise ValueError("a file of crops or renders, or both, are needed")
        if not 0 < self.development < 1 or any(
            value <= 0 for value in (*self.weights, *(self.shares or {}).values())
        ):
            raise ValueError("development must lie in (0, 1), and weights and shares be positive")


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


def faces(data: CompactData, seed: int) -> LabelledCrops:
    """Return all crops with the labels ``set`` and ``identity``, -1 where it is not known."""
    found = []
    if data.file is not None:
        crops = load_labelled(data.file)
        if crops.size != template(TEMPLATE).size:
            raise DatasetError(f"{data.file}: crops of 150 pixels are needed, got {crops.size}")
        kept = crops.take(~_part(crops, ("dev-test", "test", "val")))
        found.append(kept.take(_spread(_names(kept, "set"), data.most)))
    if data.renders is not None:
        found.append(_rendered(data.renders, seed))
    return found[0] if len(found) == 1 else _joined(*found)


def parts(crops: LabelledCrops, data: CompactData) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return which crops are trained on and which show people kept apart.

    Those people belong to the set named by ``people``, or to the renders where it is not there.
    """
    sets, identity = _names(crops, "set"), _names(crops, "identity")
    wanted = data.people if data.people in sets else "renders"
    mine = np.flatnonzero((sets == wanted) & (identity != ""))
    if not len(mine):
        raise DatasetError(f"no people of the set {wanted!r} among the crops")
    low = name_places(identity[mine]) < data.development
    apart = mine[low]
    train = np.setdiff1d(np.arange(len(crops)), apart)
    if not len(apart) or not len(train):
        raise DatasetError(f"{len(mine)} crops of {wanted!r} cannot be divided by person")
    return train, apart


def _numbered(
    crops: LabelledCrops, train: NDArray[np.intp], data: CompactData
) -> NDArray[np.int64]:
    """Return the class of each crop, -1 for people of one picture and where nobody knows."""
    sets, identity = _names(crops, "set"), _names(crops, "identity")
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
    sets = _names(crops, "set")[train]
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
    _, people = np.unique(_names(crops, "identity")[rows], return_inverse=True)
    return Development(clean.astype(np.uint8), spoiled, people.astype(np.int64))


def _names(crops: LabelledCrops, label: str) -> NDArray[np.str_]:
    known = np.array(["", *crops.names.get(label, ())])
    return np.asarray(known[crops.label(label) + 1])


def _part(crops: LabelledCrops, left_out: tuple[str, ...]) -> NDArray[np.bool_]:
    return np.asarray(np.isin(_names(crops, "split"), left_out))


def _spread(sets: NDArray[np.str_], most: Mapping[str, int]) -> NDArray[np.intp]:
    """Return which items stay where sets are cut down to a number of items each."""
    kept = []
    for name in np.unique(sets):
        rows = np.flatnonzero(sets == name)
        count = min(len(rows), most.get(str(name), len(rows)))
        kept.append(rows[np.linspace(0, len(rows) - 1, count).round().astype(int)])
    return np.sort(np.concatenate(kept))


def _rendered(renders: Renders, seed: int) -> LabelledCrops:
    if renders.file is not None and Path(renders.file).exists():
        return load_labelled(renders.file)
    target = template(TEMPLATE)
    world = WorldSpec(
        size=round(1.4 * target.size),
        identities=renders.people,
        pose=PoseSpec(yaw=(-45, 45), pitch=(-20, 20)),
    )
    images, points, who = [], [], []
    for sample in stream(world, seed, renders.people * renders.each):
        images.append(align(sample.colour, sample.keypoints[None], target)[0])
        placed = similarity_transform(sample.keypoints, target.points)
        points.append(transform_points(placed, sample.keypoints))
        who.append(f"rendered-{sample.identity}")
    names, codes = np.unique(who, return_inverse=True)
    zeros = np.zeros(len(who), np.int64)
    crops = LabelledCrops(
        np.stack(images),
        np.stack(points).astype(np.float32),
        {"set": zeros, "identity": codes.astype(np.int64), "split": zeros - 1},
        {"set": ("renders",), "identity": tuple(map(str, names)), "split": ()},
    )
    if renders.file is not None:
        save_labelled(Path(renders.file), crops)
    return crops


def _joined(first: LabelledCrops, second: LabelledCrops) -> LabelledCrops:
    """Put two sets of crops after one another; of the labels, those of set, identity and split."""
    labels, names = {}, {}
    for key in ("set", "identity", "split"):
        values = np.concatenate([_names(first, key), _names(second, key)])
        known = sorted(set(values) - {""})
        order = {name: code for code, name in enumerate(known)}
        labels[key] = np.array([order.get(value, -1) for value in values], np.int64)
        names[key] = tuple(known)
    return LabelledCrops(
        np.concatenate([first.images, second.images]),
        np.concatenate([first.points, second.points]),
        labels,
        names,
    )
