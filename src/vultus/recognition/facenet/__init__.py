"""FaceNet: unit vectors whose squared distance is the difference between faces.

Schroff, Kalenichenko and Philbin, "FaceNet: A Unified Embedding for Face Recognition and
Clustering" (2015).
"""

from __future__ import annotations

from vultus.nets.learning import Data, Export, Learner
from vultus.nets.streams import ByClass, Stream
from vultus.recognition.crops import CropExamples, Crops, load_split
from vultus.recognition.facenet.learners import (
    FaceNetLearner,
    FaceNetSettings,
    Harmonic,
    HarmonicLearner,
)
from vultus.recognition.shipping import embedding_export
from vultus.recognition.verification import embed, figures
from vultus.registry import system

__all__ = ["FaceNet", "FaceNetSettings", "Harmonic"]


@system("facenet", paper=6, task="recognition")
class FaceNet:
    """Embeds faces by triplets with semi-hard negatives, compatible with older versions."""

    settings = FaceNetSettings

    @staticmethod
    def build(config: FaceNetSettings) -> Learner:
        """Return an untrained network, or one to be made comparable with an older one."""
        if config.harmonic is not None:
            return HarmonicLearner(config, config.harmonic)
        return FaceNetLearner(config)

    @staticmethod
    def data(config: FaceNetSettings, seed: int) -> Data:
        """Return batches of several pictures per person, and other people for development."""
        train, development = load_split(config.data, seed)
        sampler = ByClass(train.people, config.people, config.each, seed, config.extra)
        return Data({"faces": Stream(CropExamples(train), sampler)}, development)

    @staticmethod
    def evaluate(learner: FaceNetLearner | HarmonicLearner, development: Crops) -> dict[str, float]:
        """Return verification figures on unseen people."""
        return figures(embed(learner.network, development.images), development.people)

    @staticmethod
    def export(learner: FaceNetLearner | HarmonicLearner) -> dict[str, Export]:
        """Return the network with unit-length output."""
        config = learner.config
        return {"embedding": embedding_export(learner.network, config.data.size, config.dim)}
