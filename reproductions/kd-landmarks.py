"""KD-Loss (paper 16): do two teachers and the signs of their loss help a small student?

Rendered heads with exact points; every seed draws other people, views and initial weights. The
views of a training face are fixed, as in the paper's offline augmentation, so what the frozen
teachers say of each view is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vultus.landmarks.crops import DEVELOPMENT, TRAIN
from vultus.landmarks.kd_landmarks.augmentation import Augmentation, PointExamples
from vultus.landmarks.kd_landmarks.learners import KDSettings, Loss, PointData, kd_terms
from vultus.landmarks.kd_landmarks.losses import TOLERANT, TOUGH
from vultus.landmarks.kd_landmarks.networks import Network, Regressor, to_coordinates, to_pixels
from vultus.landmarks.kd_landmarks.shapes import ShapeModel, fit_shapes
from vultus.landmarks.prepare import render_crops
from vultus.landmarks.renders import Renders
from vultus.measure.landmarks import nme
from vultus.nets.backbones import to_input
from vultus.nets.streams import Shuffled
from vultus.reproduction import Claim, Measurement

_NME = "NME by the outer eye corners, unseen people"

claims = [
    Claim("kd-below-mse", "KD-Loss gives a better student than squared error", _NME, "lower"),
    Claim("main-below-mse", "So does the main loss without teachers' assistance", _NME, "lower"),
    Claim("kd-below-main", "Assistance improves on the main loss alone", _NME, "lower"),
    Claim("kd-below-l1", "KD-Loss gives a better student than absolute error", _NME, "lower"),
    Claim("both-below-tough", "Both teachers help more than the tough one alone", _NME, "lower"),
    Claim("both-below-tolerant", "And more than the tolerant one alone", _NME, "lower"),
    Claim(
        "soft-easier",
        "The tolerant teacher comes closer to its soft points than the tough one to the hard ones",
        "NME to the own targets, unseen people",
        "lower",
    ),
    Claim(
        "soft-sooner",
        "And so it is after a third of the steps",
        "NME to the own targets after a third of the steps, unseen people",
        "lower",
    ),
    Claim(
        "repulsion-helps",
        "Pushing beyond worse teachers (alpha- < 0) helps over attraction alone (alpha- = 0)",
        _NME,
        "lower",
    ),
    Claim(
        "reflection-helps",
        "Reflecting the teachers to the student's side of the truth helps",
        _NME,
        "lower",
    ),
]

STUDENT = Network(trunk="mobilenet-v2", width=0.25)
TEACHER = Network(trunk="efficientnet-b0", width=0.5, dropout=0.2)
#: Peak of the learning rate, warmed up and cooled down within a run.
RATE = 3e-3
VIEWS = Augmentation(flip=0.0, cover=0.1)

budgets = {
    "smoke": {"size": 32, "train": 12, "test": 8, "views": 2, "steps": 3, "batch": 8},
    "cpu": {"size": 48, "train": 800, "test": 400, "views": 3, "steps": 500, "batch": 32},
    "gpu": {"size": 112, "train": 4000, "test": 1000, "views": 4, "steps": 4000, "batch": 70},
}


class Views(NamedTuple):
    """Fixed views: uint8 images, and float32 coordinates (N, 68, 2), hard and soft."""

    images: NDArray[np.uint8]
    hard: Tensor
    soft: Tensor


def run(seed: int, budget: dict[str, int]) -> dict[str, Measurement]:
    """Train two teachers and eight students on one draw, and measure every claim."""
    bench = Bench(seed, budget)
    tough, early_tough = bench.teach("hard", 1)
    tolerant, early_tolerant = bench.teach("soft", 2)
    said = bench.say(tough), bench.say(tolerant)
    still = replace(TOUGH, negative=0.0), replace(TOLERANT, negative=0.0)
    plain = replace(TOUGH, reflect=False), replace(TOLERANT, reflect=False)
    students = {
        "mse": bench.study("mse", said),
        "l1": bench.study("l1", said),
        "main": bench.study("main", said),
        "tough": bench.study("kd", said, factors=(2.0, 1.0, 0.0)),
        "tolerant": bench.study("kd", said, factors=(2.0, 0.0, 1.0)),
        "both": bench.study("kd", said),
        "attract": bench.study("kd", said, tough=still[0], tolerant=still[1]),
        "unreflected": bench.study("kd", said, tough=plain[0], tolerant=plain[1]),
    }
    teachers = {
        "tough_hard": bench.score(tough, bench.test.hard),
        "tolerant_hard": bench.score(tolerant, bench.test.hard),
        "tolerant_soft": bench.score(tolerant, bench.test.soft),
    }
    n = len(bench.test.images)

    def below(method: str, baseline: str) -> Measurement:
        return Measurement(students[method], students[baseline], n)

    return {
        "kd-below-mse": Measurement(
            students["both"], students["mse"], n, details={"students": students, **teachers}
        ),
        "main-below-mse": below("main", "mse"),
        "kd-below-main": below("both", "main"),
        "kd-below-l1": below("both", "l1"),
        "both-below-tough": below("both", "tough"),
        "both-below-tolerant": below("both", "tolerant"),
        "soft-easier": Measurement(teachers["tolerant_soft"], teachers["tough_hard"], n),
        "soft-sooner": Measurement(early_tolerant, early_tough, n),
        "repulsion-helps": below("both", "attract"),
        "reflection-helps": below("both", "unreflected"),
    }


class Bench:
    """Data and training loop of one seed."""

    def __init__(self, seed: int, budget: dict[str, int]) -> None:
        self.seed, self.budget, self.size = seed, budget, budget["size"]
        count = budget["train"] + budget["test"]
        share = budget["test"] / count
        crops = render_crops("procedural", count, seed, field=self.size, development=share)
        train, test = crops.take(crops.split == TRAIN), crops.take(crops.split == DEVELOPMENT)
        rng = np.random.default_rng((seed, 16))
        examples = PointExamples(train, VIEWS)
        rows = [examples.example(i, rng) for _ in range(budget["views"]) for i in range(len(train))]
        shapes = fit_shapes(np.stack([row["points"] for row in rows]), 0.9)
        images, points = test.plain()
        self.train = self._views(
            np.stack([r["image"] for r in rows]), np.stack([r["points"] for r in rows]), shapes
        )
        self.test = self._views(images, points, shapes)
        self.truth = points

    def _views(
        self, images: NDArray[np.uint8], points: NDArray[np.float32], shapes: ShapeModel
    ) -> Views:
        hard = to_coordinates(torch.from_numpy(points), self.size)
        soft = to_coordinates(torch.from_numpy(shapes.soften(points)), self.size)
        return Views(np.ascontiguousarray(images), hard, soft)

    def teach(self, kind: Literal["hard", "soft"], number: int) -> tuple[Regressor, float]:
        """Train a teacher with squared error on its targets.

        Returns it with its NME to the own targets on the test people after a third of the steps.
        """
        goals = getattr(self.train, kind)
        aims = getattr(self.test, kind)
        early = 0.0

        def loss(network: Regressor, rows: Tensor, x: Tensor) -> Tensor:
            return (network(x) - goals[rows]).square().mean()

        def at(step: int, network: Regressor) -> None:
            nonlocal early
            if step == self.budget["steps"] // 3:
                early = self.score(network, aims)

        network = self._fit(TEACHER, number, loss, at)
        return network, early

    @torch.no_grad()
    def say(self, teacher: Regressor) -> Tensor:
        """Return what a teacher, without dropout, says of every training view."""
        return torch.cat([teacher(x) for x in self._chunks(self.train.images)])

    def study(self, loss: Loss, said: tuple[Tensor, Tensor], **options: Any) -> float:
        """Train a student and return its NME on the test people."""
        truth = self.train.hard
        simple = {"mse": torch.square, "l1": torch.abs}
        config = KDSettings(
            data=PointData(size=self.size, renders=Renders(train=2, development=1)),
            loss="main" if loss == "main" else "kd",
            **options,
        )

        def student(network: Regressor, rows: Tensor, x: Tensor) -> Tensor:
            points, goals = network(x), truth[rows]
            if loss in simple:
                return simple[loss](points - goals).mean()
            everywhere = torch.ones_like(points[..., :1])
            tough, tolerant = (teacher[rows] for teacher in said)
            terms = kd_terms(points, goals, tough, tolerant, everywhere, config)
            return torch.stack(list(terms.values())).sum()

        # All students start from the same weights and see the same batches.
        return self.score(self._fit(STUDENT, 3, student), self.test.hard)

    def _fit(
        self,
        config: Network,
        number: int,
        loss: Callable[[Regressor, Tensor, Tensor], Tensor],
        at: Callable[[int, Regressor], None] = lambda step, network: None,
    ) -> Regressor:
        torch.manual_seed(1000 * self.seed + number)
        network = Regressor(config, self.size)
        steps, batch = self.budget["steps"], self.budget["batch"]
        mover = torch.optim.Adam(network.parameters(), lr=RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(mover, RATE, total_steps=steps)
        order = Shuffled(len(self.train.images), batch, self.seed)
        for step in range(steps):
            rows = torch.from_numpy(order.batch(step))
            x = to_input(torch.from_numpy(self.train.images[rows.numpy()]))
            loss(network.train(), rows, x).backward()  # type: ignore[no-untyped-call]
            mover.step()
            mover.zero_grad()
            schedule.step()
            at(step, network)
        return network.eval()

    @torch.no_grad()
    def score(self, network: Regressor, aims: Tensor) -> float:
        """Return the NME on the test people, over the distance of the true outer eye corners."""
        network.eval()
        found = torch.cat([network(x) for x in self._chunks(self.test.images)])
        lengths = np.linalg.norm(self.truth[:, 36] - self.truth[:, 45], axis=1)
        pair = (to_pixels(points, self.size).numpy() for points in (found, aims))
        # Turned away the corners meet: no face counts by less than a tenth of the side.
        return float(nme(*pair, np.maximum(lengths, self.size / 10)).mean())

    @staticmethod
    def _chunks(images: NDArray[np.uint8]) -> Iterator[Tensor]:
        for start in range(0, len(images), 200):
            yield to_input(torch.from_numpy(images[start : start + 200]))
