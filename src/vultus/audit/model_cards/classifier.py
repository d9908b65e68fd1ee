"""The small yes-or-no classifier of the worked card, and its predictions (PyTorch)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vultus.audit.model_cards.pictures import (
    LabelledPictures,
    UInt8,
    drawn_pictures,
    load_pictures,
)
from vultus.audit.model_cards.recipe import ClassifierSettings
from vultus.errors import ConfigError
from vultus.measure.arrays import Float
from vultus.measure.comparisons import Comparisons
from vultus.measure.verification import roc
from vultus.nets.layers import PoolHead
from vultus.nets.learning import Batch, Data, Export, Learner, Losses, Progress
from vultus.nets.smallnet import SmallNet
from vultus.nets.streams import Shuffled, Stream

_DRAWN = 64


class Classifier(Learner):
    """A small convolutional network with one output, trained by cross-entropy.

    Parameters
    ----------
    size
        Side of the pictures in pixels.
    base
        Channels of the first stage.
    dropout
        Before the last layer.
    """

    def __init__(self, size: int, base: int, dropout: float) -> None:
        super().__init__()
        self.size = size
        trunk = SmallNet(base)
        self.network = nn.Sequential(trunk, PoolHead(trunk.channels, 1, dropout, bn=False))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N,) of pictures, float (N, 3, S, S) in [-1, 1]."""
        y: Tensor = self.network(x)
        return y[:, 0]

    def losses(self, batch: Batch, progress: Progress, player: str) -> Losses:
        """Return the cross-entropy."""
        given = batch["pictures"]
        logits = self(given["picture"])
        label = given["label"]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, label)
        right = ((logits > 0) == (label > 0.5)).float().mean()
        return Losses({"cross_entropy": loss}, {"accuracy": right})


class Examples:
    """Training pictures, mirrored at random, shifted, and lit a little differently."""

    def __init__(self, found: LabelledPictures) -> None:
        self.found = found

    def __len__(self) -> int:
        return len(self.found)

    def example(self, index: int, rng: np.random.Generator) -> Mapping[str, Any]:
        """Return ``picture``, float32 (3, S, S), and ``label``, 0 or 1."""
        picture = self.found.pictures[index]
        if rng.random() < 0.5:
            picture = picture[:, ::-1]
        shift = max(picture.shape[0] // 16, 1)
        dy, dx = rng.integers(-shift, shift + 1, 2)
        padded = np.pad(picture, ((shift, shift), (shift, shift), (0, 0)), mode="edge")
        size = picture.shape[0]
        picture = padded[shift + dy :, shift + dx :][:size, :size]
        values = _normalised(picture) * rng.uniform(0.8, 1.2) + rng.uniform(-0.15, 0.15)
        return {
            "picture": np.ascontiguousarray(values.transpose(2, 0, 1), np.float32),
            "label": np.float32(self.found.label[index]),
        }


def build(config: ClassifierSettings) -> Classifier:
    """Return an untrained classifier."""
    return Classifier(config.size, config.base, config.dropout)


def data(config: ClassifierSettings, seed: int) -> Data:
    """Return the training stream, and the development pictures."""
    if config.file is None:
        found = drawn_pictures(_DRAWN, config.size, seed)
    else:
        found = load_pictures(Path(config.file))
    if found.pictures.shape[1] != config.size:
        raise ConfigError(
            f"{config.file}: holds pictures of side {found.pictures.shape[1]}, "
            f"the recipe says size: {config.size}"
        )
    train = found.part("train")
    stream = Stream(Examples(train), Shuffled(len(train), config.batch, seed))
    return Data({"pictures": stream}, found.part("dev"))


def evaluate(learner: Classifier, development: LabelledPictures) -> Mapping[str, float]:
    """Return accuracy at one half, and the area under the ROC curve."""
    scores = predict(learner, development.pictures)
    curve = roc(Comparisons.from_pairs(scores, development.label))
    right = (scores >= 0.5) == development.label
    return {"accuracy": float(right.mean()), "auc": curve.auc}


def export(learner: Classifier) -> Mapping[str, Export]:
    """Return the network with probabilities as output."""
    module = nn.Sequential(learner.network, nn.Sigmoid())
    example = torch.zeros(2, 3, learner.size, learner.size)
    return {"model-cards": Export(module, example, ("probability",), {"task": "attributes"})}


@torch.no_grad()
def predict(learner: Classifier, pictures: UInt8, batch: int = 256) -> Float:
    """Return the probability of the positive class, float64 (N,).

    Parameters
    ----------
    learner
        Trained; it is left in evaluation mode.
    pictures
        uint8 (N, S, S, 3), RGB.
    batch
        Pictures at a time.
    """
    learner.eval()
    found = []
    for start in range(0, len(pictures), batch):
        x = torch.from_numpy(_normalised(pictures[start : start + batch]))
        found.append(torch.sigmoid(learner(x.permute(0, 3, 1, 2))).double().numpy())
    return np.concatenate(found)


def _normalised(pictures: UInt8) -> np.ndarray[Any, np.dtype[np.float32]]:
    return pictures.astype(np.float32) / np.float32(127.5) - np.float32(1)
