"""A small system for the trainer's tests: points in the plane, two heads, a dropout mask."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from vultus.nets.learning import (
    Data,
    Export,
    Learner,
    Losses,
    ParameterGroup,
    Progress,
)
from vultus.nets.margins import Margin
from vultus.nets.softmax import ShardedMarginSoftmax
from vultus.nets.streams import Shuffled, Stream
from vultus.settings import settings

CENTRES = np.array([[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0]], np.float32)


@settings
class ToySettings:
    batch: int = 8
    noise: float = 0.3
    dropout: float = 0.2
    kill_at: int | None = None
    interrupt_at: int | None = None
    adversary: bool = False
    slow_head: float = 1.0
    sharded: bool = False


class Points:
    """Noisy points around three centres, with their class and their distance from the origin."""

    def __init__(self, count: int, noise: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.labels = rng.integers(0, 3, count)
        self.points = CENTRES[self.labels]
        self.noise = noise

    def __len__(self) -> int:
        return len(self.labels)

    def example(self, index: int, rng: np.random.Generator) -> Mapping[str, Any]:
        jitter = rng.normal(0, self.noise, 2).astype(np.float32)
        point = self.points[index] + jitter
        radius = np.float32(np.linalg.norm(point))
        return {"x": point, "y": int(self.labels[index]), "r": radius, "index": index}


class Remembering(Shuffled):
    """A sampler with feedback and state: it keeps a running total."""

    total = 0.0

    def feedback(self, value: float) -> None:
        self.total += value

    def state(self) -> dict[str, float]:
        return {"total": self.total}

    def restore(self, state: Mapping[str, float]) -> None:
        self.total = state["total"]


class ToyLearner(Learner):
    def __init__(self, config: ToySettings) -> None:
        super().__init__()
        self.config = config
        self.body = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Dropout(config.dropout))
        self.classes = nn.Linear(16, 3)
        self.radius = nn.Linear(16, 1)
        self.critic = nn.Linear(2, 1)
        self.centres = None
        if config.sharded:
            self.centres = ShardedMarginSoftmax(16, 3, Margin(scale=8.0, m=0.1))

    def losses(self, batch: Mapping[str, Any], progress: Progress, player: str) -> Losses:
        if progress.step == self.config.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if progress.step == self.config.interrupt_at:
            signal.raise_signal(signal.SIGINT)
        if player == "critic":
            x = batch["labels"]["x"]
            return Losses({"critic": (self.critic(x) - 1).square().mean()})
        labels, radii = batch["labels"], batch["radii"]
        terms = {
            "class": nn.functional.cross_entropy(self.classes(self.body(labels["x"])), labels["y"]),
            "radius": (self.radius(self.body(radii["x"]))[:, 0] - radii["r"]).square().mean(),
        }
        if self.centres is not None:
            terms["identity"] = self.centres(self.body(labels["x"]), labels["y"])
        if self.config.adversary:
            terms["fooled"] = self.critic(labels["x"]).mean() + 0 * terms["class"]
        first = float(labels["index"][0])
        return Losses(terms, {"first": first}, {"labels": first})

    def players(self) -> Mapping[str, list[ParameterGroup]]:
        main = [
            ParameterGroup([*self.body.parameters(), *self.classes.parameters()]),
            ParameterGroup(list(self.radius.parameters()), lr_scale=self.config.slow_head),
        ]
        if self.centres is not None:
            main.append(ParameterGroup(list(self.centres.parameters())))
        if not self.config.adversary:
            return {"main": main}
        return {"main": main, "critic": [ParameterGroup(list(self.critic.parameters()))]}


class Toy:
    """Classify points and measure their radius."""

    settings = ToySettings

    @staticmethod
    def build(config: ToySettings) -> ToyLearner:
        return ToyLearner(config)

    @staticmethod
    def data(config: ToySettings, seed: int) -> Data:
        streams = {
            "labels": Stream(Points(50, config.noise, seed), Remembering(50, config.batch, seed)),
            "radii": Stream(
                Points(30, config.noise, seed + 1), Shuffled(30, config.batch // 2, seed + 1)
            ),
        }
        return Data(streams, Points(200, 0.0, seed + 2))

    @staticmethod
    def evaluate(learner: ToyLearner, development: Points) -> dict[str, float]:
        # Spends random numbers on purpose: evaluation must not change the training.
        torch.rand(3)
        logits = learner.classes(learner.body(torch.from_numpy(development.points)))
        right = logits.argmax(1).numpy() == development.labels
        return {"accuracy": float(right.mean())}

    @staticmethod
    def export(learner: ToyLearner) -> dict[str, Export]:
        module = nn.Sequential(learner.body, learner.classes)
        manifest = {"task": "toy", "input": {"layout": "nc", "mean": [0.0, 1.0]}}
        return {"classes": Export(module, torch.randn(4, 2), ("logits",), manifest)}
