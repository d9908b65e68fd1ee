"""The system: what the trainer builds, feeds, evaluates and exports."""

from __future__ import annotations

import torch

from vultus.detection.mos.canvases import Canvases, CanvasExamples, Picture
from vultus.detection.mos.decoding import MEAN
from vultus.detection.mos.learner import MosLearner, MosSettings
from vultus.detection.mos.networks import Shipped
from vultus.detection.mos.sampling import FeedbackSampler
from vultus.detection.mos.scoring import draw, figures
from vultus.nets.learning import Data, Export
from vultus.nets.streams import Stream
from vultus.registry import system

#: Names of the exported outputs, see :class:`~vultus.detection.mos.networks.Shipped`.
OUTPUTS = ("scores", "boxes", "points", "bins")


@system("mos", paper=14, task="detection")
class Mos:
    """Finds faces with five points and head pose in one pass of a light network."""

    settings = MosSettings

    @staticmethod
    def build(config: MosSettings) -> MosLearner:
        """Return an untrained network with its losses."""
        return MosLearner(config)

    @staticmethod
    def data(config: MosSettings, seed: int) -> Data:
        """Return pictures that follow the losses, and drawn pictures of other people."""
        train = Canvases(config.data, "train", seed, config.data.train)
        sampler = FeedbackSampler(len(train), config.batch, seed, config.feedback)
        development = Canvases(config.data, "development", seed, config.data.development)
        return Data({"canvases": Stream(CanvasExamples(train), sampler)}, draw(development))

    @staticmethod
    def evaluate(learner: MosLearner, development: list[Picture]) -> dict[str, float]:
        """Return AP, NME and pose error on development pictures."""
        return figures(learner.net, development, learner.config.data.small)

    @staticmethod
    def export(learner: MosLearner) -> dict[str, Export]:
        """Return the network for one size of input."""
        config = learner.config
        height, width = config.export_size or (config.data.size, config.data.size)
        device = next(learner.parameters()).device
        generator = torch.Generator().manual_seed(14)
        example = 50 * torch.randn(2, 3, height, width, generator=generator)
        count = len(OUTPUTS) if config.network.pose else 3
        manifest = {
            "task": "detection",
            "input": f"BGR less {MEAN}, float32 (N, 3, {height}, {width})",
        }
        return {"mos": Export(Shipped(learner.net), example.to(device), OUTPUTS[:count], manifest)}
