"""A small network for seven expressions, taught by labelled crops, by renders, or by both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vultus.datasets.crops import LabelledCrops, load_labelled, save_labelled
from vultus.errors import DatasetError
from vultus.expression.predictor import EXPRESSIONS
from vultus.expression.renders import rendered_crops
from vultus.measure.classification import confusion_matrix
from vultus.nets.augmentation import Augmentation
from vultus.nets.backbones import Backbone, build_backbone
from vultus.nets.crop_streams import AugmentedCrops, run
from vultus.nets.learning import Batch, Data, Export, Learner, Losses, Progress
from vultus.nets.streams import Shuffled, Stream
from vultus.settings import settings

#: The crop that the network looks at, scaled to its size.
TEMPLATE = "dlib150"


@settings
class Rendering:
    """Rendered faces to train on.

    Parameters
    ----------
    count, heads
        Pictures of each source of geometry.
    file
        Where they are kept once drawn, if anywhere.
    size
        Side of the crops.
    """

    count: int
    heads: tuple[str, ...] = ("procedural",)
    file: str | None = None
    size: int = 80


@settings
class ExpressionData:
    """Where crops and labels come from.

    Parameters
    ----------
    file
        What ``vultus data crops`` wrote with the template ``dlib150``.
    sets
        Sets of the file that are trained on; all their pictures that are marked ``train``, or not
        marked.
    renders
        Rendered faces, alone or beside the file.
    development
        Share of the pictures that choose the checkpoint: by identity where it is known, otherwise
        by the picture's digest.
    """

    file: str | None = None
    sets: tuple[str, ...] = ()
    renders: Rendering | None = None
    development: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.development < 1:
            raise ValueError("development must lie in (0, 1)")
        if self.file is None and self.renders is None:
            raise ValueError("give a file of crops, renders, or both")


@settings
class ExpressionSettings:
    """Seven expressions from one crop.

    Parameters
    ----------
    data, backbone, augmentation
        Crops; network (its ``dim`` is that of the features); how crops are changed.
    batch
        Examples of each stream per step.
    smoothing
        Part of a label's weight that is spread over all classes.
    balance
        Exponent on the inverse frequency of a class, its weight in the loss; 0 for none.
    """

    data: ExpressionData
    backbone: Backbone
    augmentation: Augmentation = field(default_factory=Augmentation)
    batch: int = 64
    smoothing: float = 0.1
    balance: float = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Development:
    """Pictures that choose the checkpoint, with codes of :data:`EXPRESSIONS`."""

    images: NDArray[np.uint8]
    codes: NDArray[np.int64]


class ExpressionNet(nn.Module):
    """(N, 3, S, S) -> (N, 7) logits."""

    def __init__(self, config: Backbone) -> None:
        super().__init__()
        self.backbone = build_backbone(config)
        self.head = nn.Linear(config.dim, len(EXPRESSIONS))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        y: Tensor = self.head(functional.relu(self.backbone(x)))
        return y


class Probabilities(nn.Module):
    """The network as shipped: (N, 7) probabilities."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """Return the probabilities."""
        shares: Tensor = self.net(x).float().softmax(1)
        return shares


class ExpressionLearner(Learner):
    """Network and cross-entropy on every stream."""

    def __init__(self, config: ExpressionSettings) -> None:
        super().__init__()
        self.config = config
        self.net = ExpressionNet(config.backbone)

    def losses(self, batch: Batch, progress: Progress, player: str) -> Losses:
        """Return the cross-entropy of each stream under its name."""
        logits = self.net(torch.cat([faces["image"] for faces in batch.values()]))
        pieces = logits.float().split([len(faces["code"]) for faces in batch.values()])
        terms = {}
        for (name, faces), piece in zip(batch.items(), pieces, strict=True):
            loss = functional.cross_entropy(
                piece, faces["code"], reduction="none", label_smoothing=self.config.smoothing
            )
            weight = faces["weight"].float()
            terms[name] = (loss * weight).sum() / weight.sum()
        return Losses(terms)


class ExpressionClassifier:
    """Seven expressions of a face from one small network."""

    settings = ExpressionSettings

    @staticmethod
    def build(config: ExpressionSettings) -> ExpressionLearner:
        """Return an untrained learner."""
        return ExpressionLearner(config)

    @staticmethod
    def data(config: ExpressionSettings, seed: int) -> Data:
        """Return the streams ``photos`` and ``renders``, as far as given, and development data.

        Where there are photographs, they alone choose the checkpoint.
        """
        sources = {}
        if config.data.file is not None:
            sources["photos"] = labelled(config.data)
        if config.data.renders is not None:
            sources["renders"] = rendered(config.data.renders, seed)
        streams, development = {}, None
        for name, crops in sources.items():
            chosen = set_aside(crops, config.data.development)
            codes = crops.label("expression")
            train = np.flatnonzero(~chosen)
            targets = {
                "code": codes[train],
                "weight": class_weights(codes[train], config.balance),
            }
            examples = AugmentedCrops(
                crops.images[train], targets, config.backbone.size, config.augmentation
            )
            streams[name] = Stream(examples, Shuffled(len(train), config.batch, seed))
            if development is None:
                development = Development(crops.images[chosen], codes[chosen])
        return Data(streams, development)

    @staticmethod
    def evaluate(learner: ExpressionLearner, development: Development) -> Mapping[str, float]:
        """Return ``accuracy`` and ``macro_recall``, the mean over the classes present."""
        logits = run(learner.net, development.images, learner.config.backbone.size)
        guesses = logits.argmax(1).numpy()
        counts, _ = confusion_matrix(development.codes, guesses, range(len(EXPRESSIONS)))
        totals = counts.sum(1)
        present = totals > 0
        recall = counts.diagonal()[present] / totals[present]
        accuracy = float((guesses == development.codes).mean())
        return {"accuracy": accuracy, "macro_recall": float(recall.mean())}

    @staticmethod
    def export(learner: ExpressionLearner) -> Mapping[str, Export]:
        """Return the network with probabilities as its output."""
        size = learner.config.backbone.size
        example = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
        manifest = {
            "task": "expression",
            "size": size,
            "template": TEMPLATE,
            "input": {"layout": "nchw", "order": "rgb", "mean": [127.5], "std": [127.5]},
        }
        module = Probabilities(learner.net)
        return {"expression": Export(module, example, ("probabilities",), manifest)}


def labelled(data: ExpressionData) -> LabelledCrops:
    """Return the crops of the sets named, with codes of :data:`EXPRESSIONS`.

    Pictures of other expressions, such as contempt, are left out.

    Raises
    ------
    DatasetError
        If the file lacks the labels or one of the sets.
    """
    assert data.file is not None
    crops = load_labelled(data.file)
    missing = set(data.sets) - set(crops.names.get("set", ()))
    if missing or "expression" not in crops.names:
        raise DatasetError(
            f"{data.file} has no label expression, or lacks the sets {sorted(missing)}"
        )
    sets, splits = (np.array((*crops.names[n], "")) for n in ("set", "split"))
    of_set = np.isin(sets[crops.label("set")], data.sets)
    training = np.isin(splits[crops.label("split")], ("train", ""))
    return recoded(crops.take(of_set & training))


def recoded(crops: LabelledCrops) -> LabelledCrops:
    """Return the crops of the seven expressions, their codes being those of the predictors."""
    table = np.array(
        [EXPRESSIONS.index(n) if n in EXPRESSIONS else -1 for n in crops.names["expression"]]
    )
    codes = table[crops.label("expression")]
    kept = crops.take(codes >= 0)
    labels = {**kept.labels, "expression": codes[codes >= 0].astype(np.int64)}
    names = {**crops.names, "expression": EXPRESSIONS}
    return LabelledCrops(kept.images, kept.points, labels, names)


def rendered(data: Rendering, seed: int) -> LabelledCrops:
    """Return rendered crops, from their file where they were drawn before.

    Raises
    ------
    DatasetError
        If the file holds another number or size of crops.
    """
    file = None if data.file is None else Path(data.file)
    if file is None or not file.exists():
        crops = rendered_crops(data.count, data.size, seed, data.heads)
        if file is not None:
            save_labelled(file, crops)
        return crops
    crops = load_labelled(file)
    if len(crops) != data.count * len(data.heads) or crops.size != data.size:
        raise DatasetError(f"{file} holds other crops than the recipe asks for: remove it")
    return crops


def set_aside(crops: LabelledCrops, share: float) -> NDArray[np.bool_]:
    """Return bool (N,): whether a picture is for development; a person is on one side only."""
    places = crops.places()
    people = crops.labels.get("identity")
    if people is not None and (people >= 0).any():
        # Of a person whom we know, the first picture's place decides for all.
        _, first, who = np.unique(people, return_index=True, return_inverse=True)
        places = np.where(people >= 0, places[first][who], places)
    chosen: NDArray[np.bool_] = places < share
    return chosen


def class_weights(codes: NDArray[np.int64], power: float) -> NDArray[np.float32]:
    """Return the weight of each example (N,), inverse to its class's frequency; mean 1."""
    counts = np.bincount(codes, minlength=len(EXPRESSIONS)).astype(np.float64)
    weights = np.maximum(counts, 1) ** -power
    each = weights[codes]
    scaled: NDArray[np.float32] = (each / each.mean()).astype(np.float32)
    return scaled
