"""Landmarks by a small student and two teachers.

Fard and Mahoor, "Facial Landmark Points Detection Using Knowledge Distillation-Based Neural
Networks" (2021).
"""

from __future__ import annotations

from pathlib import Path

from vultus.geometry import FloatArray
from vultus.landmarks.crop_networks import figures_by_file, points_export
from vultus.landmarks.crops import DEVELOPMENT, TRAIN, PointCrops, joined
from vultus.landmarks.kd_landmarks.augmentation import PointExamples, view_points
from vultus.landmarks.kd_landmarks.learners import KDLearner, KDSettings, figures
from vultus.landmarks.kd_landmarks.networks import Shipped
from vultus.landmarks.kd_landmarks.shapes import ShapeModel, fit_shapes
from vultus.landmarks.renders import aligned_crops
from vultus.nets.learning import Data, Export
from vultus.nets.streams import Shuffled, Strata, Stream, mixed
from vultus.registry import system

#: Views that a shape model is fitted on.
SHAPES = 2000


@system("kd-landmarks", paper=16, task="landmarks")
class KDLandmarks:
    """Places 68 points with a small network that a tough and a tolerant teacher assist."""

    settings = KDSettings

    @staticmethod
    def build(config: KDSettings) -> KDLearner:
        """Return the networks of the stage."""
        return KDLearner(config)

    @staticmethod
    def data(config: KDSettings, seed: int) -> Data:
        """Return views of faces, and plain development crops by file."""
        files = aligned_crops(config.data, seed)
        train = [part.take(part.split == TRAIN) for part in files]
        wanted = config.data.development or range(len(files))
        development = [files[i].take(files[i].split == DEVELOPMENT) for i in wanted]
        examples = PointExamples(joined(train), config.data.augmentation)
        shapes = None
        if config.wants_soft:
            shapes = shape_model(examples, config, seed)
            examples = PointExamples(examples.crops, config.data.augmentation, shapes)
        sampler: Shuffled | Strata = Shuffled(len(examples), config.batch, seed)
        if config.data.shares is not None:
            sizes = [len(part) for part in train]
            sampler = mixed(sizes, config.data.shares, config.batch, seed)
        scored = [part for part in development if len(part)]
        soft = shapes if config.stage == "tolerant" else None
        return Data({"faces": Stream(examples, sampler)}, (scored, soft))

    @staticmethod
    def evaluate(
        learner: KDLearner, development: tuple[list[PointCrops], ShapeModel | None]
    ) -> dict[str, float]:
        """Return NME and failure rate of the trained network, on the last file and on each."""
        parts, shapes = development

        def targets(crops: PointCrops) -> FloatArray | None:
            return None if shapes is None else shapes.soften(crops.plain()[1])

        return figures_by_file(figures(learner.net, crops, targets(crops)) for crops in parts)

    @staticmethod
    def export(learner: KDLearner) -> dict[str, Export]:
        """Return the network of the stage: crop in, points in crop pixels out."""
        return {"landmarks": points_export(Shipped(learner.net), learner.config.data.size, 16)}


def shape_model(examples: PointExamples, config: KDSettings, seed: int) -> ShapeModel:
    """Return the shape model of the training views, from its file if there is one."""
    if config.shapes is not None and Path(config.shapes).exists():
        return ShapeModel.load(config.shapes)
    model = fit_shapes(view_points(examples, SHAPES, seed), config.variance)
    if config.shapes is not None:
        model.save(Path(config.shapes))
    return model
