"""The system: what the trainer builds, feeds, evaluates and exports."""

from __future__ import annotations

import torch

from vultus.nets.learning import Data, Export
from vultus.nets.streams import Shuffled, Stream
from vultus.parsing.rtnet_parsing.examples import FaceExamples
from vultus.parsing.rtnet_parsing.learner import RTNetLearner, RTNetSettings
from vultus.parsing.rtnet_parsing.networks import Shipped
from vultus.parsing.rtnet_parsing.renders import Heads, heads_of
from vultus.parsing.rtnet_parsing.scoring import score
from vultus.registry import system


@system("rtnet-parsing", paper=43, task="parsing")
class RTNetParsing:
    """Parses faces on RoI tanh-polar pictures with blocks in polar and Cartesian space."""

    settings = RTNetSettings

    @staticmethod
    def build(config: RTNetSettings) -> RTNetLearner:
        """Return an untrained network with its loss."""
        return RTNetLearner(config)

    @staticmethod
    def data(config: RTNetSettings, seed: int) -> Data:
        """Return faces to learn from, and rendered heads of other people."""
        train = FaceExamples(config.faces, seed)
        sampler = Shuffled(len(train), config.batch, seed)
        development = heads_of(config.faces.renders, "development", seed)
        return Data({"faces": Stream(train, sampler)}, development)

    @staticmethod
    def evaluate(learner: RTNetLearner, development: Heads) -> dict[str, float]:
        """Return F1 of each class and their means in the frame of the pictures."""
        return score(learner, development)

    @staticmethod
    def export(learner: RTNetLearner) -> dict[str, Export]:
        """Return the network for boxes of one ratio, with the warps inside its blocks.

        The warp from the picture and back stays with the predictor.
        """
        config = learner.config
        height, width = config.canvas.size
        where = next(learner.parameters()).device
        example = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(43))
        ratio = config.canvas.ratio or 1.0
        manifest = {
            "task": "parsing",
            "template": f"tanhpolar-{height}x{width}-{ratio:g}",
            "input": {
                "layout": "nchw",
                "order": "rgb",
                "dtype": "float32",
                "mean": [127.5],
                "std": [127.5],
            },
        }
        module = Shipped(learner.net, ratio, config.canvas.size)
        export = Export(module, (2 * example - 1).to(where), ("probabilities",), manifest)
        return {"rtnet-parsing": export}
