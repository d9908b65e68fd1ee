"""Landmarks by stacked hourglasses, under two conventions, and their depth.

Bulat and Tzimiropoulos, "How far are we from solving the 2D & 3D face alignment problem?" (2017).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vultus.errors import DatasetError
from vultus.landmarks.crop_networks import points_export
from vultus.landmarks.crops import DEVELOPMENT, TRAIN
from vultus.landmarks.fan.aligned import AlignedLearner, Points, aligned_data, aligned_figures
from vultus.landmarks.fan.faces import Faces, joined, load_faces, render_faces
from vultus.landmarks.fan.learners import (
    FaceData,
    FanLearner,
    FanSettings,
    align_errors,
    depth_figures,
    error_figures,
)
from vultus.landmarks.fan.views import FaceViews
from vultus.nets.learning import Data, Export
from vultus.nets.streams import Shuffled, Stream
from vultus.registry import system

#: Side of rendered pictures over that of the crop.
_DRAWN = 1.5


@system("fan-alignment", paper=37, task="landmarks")
class FanAlignment:
    """Finds 68 points by stacked hourglasses, on the visible outline or projected from 3D."""

    settings = FanSettings

    @staticmethod
    def build(config: FanSettings) -> FanLearner | AlignedLearner:
        """Return the network of the task."""
        if config.aligned is not None:
            return AlignedLearner(config, config.aligned)
        return FanLearner(config)

    @staticmethod
    def data(config: FanSettings, seed: int) -> Data:
        """Return views of the faces that have the points of the task, and development faces."""
        if config.aligned is not None:
            return aligned_data(config, config.aligned, seed)
        faces = wanted(load(config.data, seed), config)
        train = faces.take(faces.split == TRAIN)
        views = FaceViews(train, config.data.size, config.data.views, config.data.reference)
        stream = Stream(views, Shuffled(len(views), config.batch, seed))
        return Data({"faces": stream}, faces.take(faces.split == DEVELOPMENT))

    @staticmethod
    def evaluate(learner: FanLearner | AlignedLearner, development: Any) -> dict[str, float]:
        """Return NME by the box's size and AUC up to 7 %, all and by yaw; or errors of depth.

        Of aligned crops: NME by the outer eye corners, and failures.
        """
        if isinstance(learner, AlignedLearner):
            return aligned_figures(learner, development)
        if learner.config.task == "depth":
            return depth_figures(learner.estimator(), development)
        errors = align_errors(learner.aligner(), development)
        return error_figures(errors, development.yaw)

    @staticmethod
    def export(learner: FanLearner | AlignedLearner) -> dict[str, Export]:
        """Return the network: crop, or crop with 68 maps, in; the last heat maps, or depth, out.

        Of aligned crops: points in crop pixels out.
        """
        if isinstance(learner, AlignedLearner):
            return {"align": _aligned_export(learner)}
        config = learner.config
        data, depth = config.data, config.task == "depth"
        channels = 3 if config.task == "align" else 71
        generator = torch.Generator().manual_seed(37)
        example = torch.randn(2, channels, data.size, data.size, generator=generator) / 2
        manifest = {
            "task": "landmarks",
            "template": "box",
            "input": {"mean": [127.5], "std": [127.5]},
        }
        about = {
            "system": "fan-alignment",
            "task": config.task,
            "convention": config.convention,
            "reference": str(data.reference),
            "guide": str(config.guide) if channels == 71 else "",
        }
        module = learner.net if depth else Shipped(learner.net)
        example = example.to(next(learner.parameters()).device)
        outputs = ("depth",) if depth else ("maps",)
        return {config.task: Export(module, example, outputs, manifest, about)}


def _aligned_export(learner: AlignedLearner) -> Export:
    about = {"system": "fan-alignment", "task": "align", "convention": learner.config.convention}
    return points_export(Points(learner.net), learner.config.data.size, 37, about)


class Shipped(nn.Module):
    """The network as it is exported: the heat maps of the last stack alone."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return maps (N, 68, S / 4, S / 4)."""
        return self.network(x)[-1]  # type: ignore[no-any-return]


def load(data: FaceData, seed: int) -> Faces:
    """Return the faces of the files, or rendered ones."""
    if data.renders is not None:
        plan = data.renders
        size = max(round(_DRAWN * data.size), 32)
        return render_faces(plan.head, plan.count, seed, size=size, development=plan.share)
    return joined([load_faces(file) for file in data.files])


def wanted(faces: Faces, config: FanSettings) -> Faces:
    """Return the faces whose points are known under the conventions that the task needs.

    Raises
    ------
    DatasetError
        If none is left for training or for development.
    """
    kept = faces.known("contour" if config.task == "lift" else config.convention)
    if config.task != "align":
        kept = kept.known("projected")
    if config.task == "depth":
        kept = kept.take(np.isfinite(kept.projected[..., 2]).all(1))
    counts = [int((kept.split == split).sum()) for split in (TRAIN, DEVELOPMENT)]
    if not all(counts):
        raise DatasetError(
            f"no faces for task {config.task}, convention {config.convention}: "
            f"{counts[0]} to train on, {counts[1]} for development, of {len(faces)}"
        )
    return kept
