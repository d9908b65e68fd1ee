"""FAN (paper 37): block, size, robustness of stacked hourglasses, and what 2D points add in 3D.

Rendered heads from profile to profile with exact points; every seed draws other people, views and
initial weights. All networks of a seed see the same views in the same order and differ in what
their claim names alone; all predict projected points (the 3D convention), and the network with
guidance is shown the visible-contour points, which are never what is measured. The people of the
test are in no training picture.

Heads are turned by up to 90 degrees of yaw, and little otherwise, so that small networks learn them
within minutes. Rate, batch and number of steps were chosen with the network of one stack on a draw
that is not measured (seed 1000), by what it learned within the time a seed may cost.

Pose, box and resolution are measured on one network, that with two stacks. The claim about the
released networks on photographs is stated and measured only where ``VULTUS_FAN`` names a folder
with their files (2DFAN4*.zip or .pth and 3DFAN4*) and ``VULTUS_DATA`` has photographs with points;
elsewhere it is not run, and the details of the first claim say so.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vultus.landmarks.crops import DEVELOPMENT, TRAIN
from vultus.landmarks.fan.aligner import Aligner
from vultus.landmarks.fan.faces import render_faces
from vultus.landmarks.fan.learners import (
    FaceData,
    FanLearner,
    FanSettings,
    Task,
    auc,
    error_figures,
)
from vultus.landmarks.fan.networks import Fan, Network, matched_inner, parameters
from vultus.landmarks.fan.released import find_released, load_released
from vultus.landmarks.fan.views import FaceViews, Views
from vultus.landmarks.heatmaps import coarse, face_boxes, jittered
from vultus.landmarks.renders import Renders
from vultus.measure.landmarks import nme
from vultus.nets.learning import Progress
from vultus.nets.streams import Shuffled
from vultus.reproduction import Claim, Measurement

_AUC = "AUC up to 7 % of the box's size, unseen people"
_NME = "NME by the box's size, unseen people"

#: What counts as flat or small, in points of AUC and of NME.
FLAT, SMALL = 0.03, 0.01

claims = [
    Claim(
        "hierarchical-block",
        "The hierarchical block beats the bottleneck with as many parameters (within 5 %)",
        _AUC,
        "higher",
    ),
    Claim("two-stacks", "Two stacks are better than one", _AUC, "higher"),
    Claim("four-stacks", "Four stacks are better than two", _AUC, "higher"),
    Claim(
        "size-mild",
        "Four stacks in place of one change the AUC by less than 10 points",
        _AUC,
        "equal",
        margin=0.1,
    ),
    Claim(
        "middle-yaw",
        "Yaw of 30 to 60 degrees costs less than 1 % NME over 0 to 30 degrees",
        _NME,
        "equal",
        margin=SMALL,
    ),
    Claim(
        "profile",
        "Yaw of 60 to 90 degrees costs less than 1 % NME over 0 to 30 degrees",
        _NME,
        "equal",
        margin=SMALL,
    ),
    Claim("box-10", "Boxes off by 10 % cost less than 3 points", _AUC, "equal", margin=FLAT),
    Claim("box-20", "Boxes off by 20 % cost less than 3 points", _AUC, "equal", margin=FLAT),
    Claim("box-30", "Boxes off by 30 % are worse than boxes off by 20 %", _AUC, "lower"),
    Claim("face-32", "Faces of 32 pixels lose less than 3 points", _AUC, "equal", margin=FLAT),
    Claim("face-16", "Faces of 16 pixels are worse than faces of 32", _AUC, "lower"),
    Claim("guidance", "Visible points as guidance help to place projected points", _NME, "lower"),
    Claim(
        "guidance-profile",
        "And they help more at yaw of 60 to 90 degrees than at 0 to 30",
        "NME saved by guidance, unseen people",
        "higher",
    ),
]

_RELEASED = Claim(
    "released-consistent",
    "Released networks agree with themselves under flips and boxes off by 10 % within 2 % NME",
    "NME between two outputs, photographs",
    "lower",
)

budgets: dict[str, dict[str, float]] = {
    "smoke": {
        "size": 32, "depth": 2, "channels": 16, "drawn": 48, "train": 12, "test": 60,
        "steps": 2, "batch": 4, "rate": 2e-2, "pitch": 12, "roll": 8, "photos": 4,
    },
    "cpu": {
        "size": 64, "depth": 3, "channels": 32, "drawn": 96, "train": 750, "test": 300,
        "steps": 1300, "batch": 4, "rate": 2e-2, "pitch": 12, "roll": 8, "photos": 100,
    },
    "gpu": {
        "size": 256, "depth": 4, "channels": 128, "drawn": 256, "train": 20000, "test": 2000,
        "steps": 12000, "batch": 24, "rate": 1e-3, "pitch": 25, "roll": 20, "photos": 330,
    },
}  # fmt: skip

#: A tighter crop than the published 195, so that a face has some ten pixels on a map of 16.
REFERENCE = 240.0
#: Published turns and sizes are for a hundred thousand steps.
VIEWS = Views(scale=0.1, rotation=0.0, flip=0.0)

JITTERS = (0.1, 0.2, 0.3)
FACES = (16, 24, 32, 48)

#: Released networks are asked for on photographs where this names their folder.
_FOLDER = os.environ.get("VULTUS_FAN")
_FILES = find_released(Path(_FOLDER)) if _FOLDER else {}
if "contour" in _FILES:
    claims.append(_RELEASED)


def run(seed: int, budget: dict[str, float]) -> dict[str, Measurement]:
    """Train five networks on one draw, and measure every claim."""
    bench = Bench(seed, budget)
    plain = Network(stacks=1, channels=int(budget["channels"]), depth=int(budget["depth"]))
    narrow = replace(plain, block="bottleneck", inner=matched_inner(plain))
    one = bench.fit(plain)
    bottleneck = bench.fit(narrow)
    two = bench.fit(replace(plain, stacks=2))
    four = bench.fit(replace(plain, stacks=4))
    lifted = bench.fit(plain, "lift")

    errors = {
        "one": bench.errors(one),
        "bottleneck": bench.errors(bottleneck),
        "two": bench.errors(two),
        "four": bench.errors(four),
        "lifted": bench.errors(lifted),
    }
    jitter = {share: bench.errors(two, share=share) for share in JITTERS}
    small = {face: bench.errors(two, face=face) for face in FACES}
    area = {name: auc(values) for name, values in errors.items()}
    counts = {
        "hierarchical": parameters(Fan(plain)),
        "bottleneck": parameters(Fan(narrow)),
    }
    ratio = counts["bottleneck"] / counts["hierarchical"]
    details: dict[str, Any] = {
        "figures": {name: error_figures(e, bench.yaw) for name, e in errors.items()},
        "parameters": counts,
        "parameter_ratio": ratio,
        "peaks": bench.peaks,
        "box": {f"{share:.0%}": error_figures(e) for share, e in jitter.items()},
        "face": {str(face): error_figures(e) for face, e in small.items()},
        "face_pixels_median": bench.face_pixels,
        "released": "run" if _RELEASED in claims else "not run: no released files (VULTUS_FAN)",
    }
    n = len(bench.yaw)
    out = {
        "hierarchical-block": Measurement(area["one"], area["bottleneck"], n, details=details),
        "two-stacks": Measurement(area["two"], area["one"], n),
        "four-stacks": Measurement(area["four"], area["two"], n),
        "size-mild": Measurement(area["four"], area["one"], n),
        "middle-yaw": bench.bands(errors["two"], 1),
        "profile": bench.bands(errors["two"], 2),
        "box-10": Measurement(auc(jitter[0.1]), area["two"], n),
        "box-20": Measurement(auc(jitter[0.2]), area["two"], n),
        "box-30": Measurement(auc(jitter[0.3]), auc(jitter[0.2]), n),
        "face-32": Measurement(auc(small[32]), area["two"], n),
        "face-16": Measurement(auc(small[16]), auc(small[32]), n),
        "guidance": Measurement(float(errors["lifted"].mean()), float(errors["one"].mean()), n),
        "guidance-profile": bench.bands(errors["one"] - errors["lifted"], 2),
    }
    if _RELEASED in claims:
        out[_RELEASED.id] = consistency(int(budget["photos"]), seed)
    return out


class Bench:
    """Data and training loop of one seed."""

    def __init__(self, seed: int, budget: dict[str, float]) -> None:
        self.seed, self.steps, self.size = seed, int(budget["steps"]), int(budget["size"])
        self.batch, self.rate = int(budget["batch"]), float(budget["rate"])
        train, test = int(budget["train"]), int(budget["test"])
        share = test / (train + test)
        faces = render_faces(
            "procedural",
            train + test,
            seed,
            size=int(budget["drawn"]),
            development=share,
            pitch=float(budget["pitch"]),
            roll=float(budget["roll"]),
            worn=False,
        )
        self.test = faces.take(faces.split == DEVELOPMENT)
        self.yaw = self.test.yaw
        sides = self.test.boxes[:, 2:] - self.test.boxes[:, :2]
        self.face_pixels = float(np.median(np.sqrt(sides.prod(1))))
        known = faces.take(faces.split == TRAIN)
        self.views = FaceViews(known, self.size, VIEWS, REFERENCE)
        self.peaks: dict[str, float] = {}

    def fit(self, network: Network, task: Task = "align") -> Aligner:
        """Train a network; every one gets the same views in the same order."""
        config = FanSettings(
            data=FaceData(
                size=self.size, renders=Renders(train=2, development=2), reference=REFERENCE
            ),
            task=task,
            network=network,
            guide=1.0,
        )
        device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.manual_seed(1000 * self.seed + 37)
        learner: FanLearner = FanLearner(config).to(device)
        learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        mover = torch.optim.RMSprop(learner.parameters(), lr=self.rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            mover, self.rate, total_steps=self.steps, pct_start=0.1, cycle_momentum=False
        )
        order = Shuffled(len(self.views), self.batch, self.seed)
        learner.train()
        for step in range(self.steps):
            rng = np.random.default_rng((self.seed, 37, step))
            rows = [self.views.example(int(i), rng) for i in order.batch(step)]
            faces = {
                key: torch.from_numpy(np.stack([row[key] for row in rows])).to(device)
                for key in rows[0]
            }
            losses = learner.losses({"faces": faces}, Progress(step, self.steps))
            torch.stack(list(losses.terms.values())).sum().backward()  # type: ignore[no-untyped-call]
            mover.step()
            mover.zero_grad()
            schedule.step()
            name = f"{task}, {network.block}, {network.stacks}"
            self.peaks[name] = float(losses.monitors["peak"])
        return learner.aligner()

    def errors(
        self, aligner: Aligner, *, share: float = 0.0, face: int | None = None
    ) -> NDArray[np.float64]:
        """Return the NME of every test face, boxes off by a share, faces shrunk to some pixels."""
        test, images = self.test, list(self.test.images)
        rng = np.random.default_rng((self.seed, 370))
        boxes = jittered(test.boxes, share, rng) if share else test.boxes
        if face is not None:
            images = [coarse(i, box, face) for i, box in zip(images, test.boxes, strict=True)]
        guides = None if aligner.guide is None else test.contour
        found = aligner.locate(images, boxes, guides)
        return nme(found, test.points("projected"), "box-size")

    def bands(self, values: NDArray[np.float64], band: int) -> Measurement:
        """Compare a mean within a band of 30 degrees of yaw with that of 0 to 30 degrees."""
        number = np.minimum(np.abs(self.yaw) // 30, 2)
        there, front = values[number == band], values[number == 0]
        return Measurement(float(there.mean()), float(front.mean()), len(there) + len(front))


def consistency(count: int, seed: int) -> Measurement:
    """Return how far a released network's points move under a flip and boxes off by 10 %."""
    from vultus.datasets.catalogue import read
    from vultus.images import open_image

    network = load_released(_FILES["contour"])
    rng = np.random.default_rng((seed, 5))
    records = list(read("landmarks68"))
    chosen = [records[i] for i in rng.choice(len(records), count, replace=False)]
    images = [open_image(record.source()) for record in chosen]
    boxes = face_boxes(np.stack([record.labels["landmarks"] for record in chosen]))
    first = network.locate(images, boxes)
    flipped = network.locate(images, boxes, mirror=True)
    moved = network.locate(images, jittered(boxes, 0.1, rng))
    off = [float(nme(other, first, "box-size").mean()) for other in (flipped, moved)]
    return Measurement(max(off), 0.02, count, details={"flip": off[0], "box": off[1]})
