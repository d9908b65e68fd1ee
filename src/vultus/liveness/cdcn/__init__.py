"""Central difference convolutional networks for face anti-spoofing.

Yu et al., "Searching Central Difference Convolutional Networks for Face Anti-Spoofing" (CVPR 2020).
"""

from __future__ import annotations

import numpy as np
import torch

from vultus.errors import ConfigError
from vultus.liveness.cdcn.augmentation import MEAN, STD, ClipExamples
from vultus.liveness.cdcn.cells import CDCN_PLUS_PLUS, Genotype
from vultus.liveness.cdcn.convolution import CentralDifferenceConv2d, fused
from vultus.liveness.cdcn.learners import (
    ARCHITECTURE,
    CDCNLearner,
    CDCNSettings,
    SearchLearner,
    load_data,
    predict_maps,
    presentations_of,
)
from vultus.liveness.cdcn.networks import STRIDE, build_cdcn, build_from_genotype
from vultus.liveness.cdcn.presentations import PadCrops
from vultus.liveness.cdcn.window_learner import WindowLearner
from vultus.liveness.windows import BOX, WINDOW
from vultus.measure.bootstrap import Resampling
from vultus.measure.pad import pad_eer, pad_rates
from vultus.nets.learning import Data, Export
from vultus.nets.streams import Strata, Stream
from vultus.registry import system

__all__ = [
    "ARCHITECTURE",
    "CDCN",
    "CDCN_PLUS_PLUS",
    "CDCNSettings",
    "CentralDifferenceConv2d",
    "Genotype",
    "build_cdcn",
    "build_from_genotype",
    "fused",
]

AnyLearner = CDCNLearner | SearchLearner | WindowLearner


@system("cdcn", paper=28, task="liveness")
class CDCN:
    """Tells living faces from attacks by a depth map, with central difference convolutions."""

    settings = CDCNSettings

    @staticmethod
    def build(config: CDCNSettings) -> AnyLearner:
        """Return a network before training, or the supernet of a search."""
        if config.window is not None:
            return WindowLearner(config, config.window)
        if config.search is not None:
            return SearchLearner(config, config.search)
        return CDCNLearner(config)

    @staticmethod
    def data(config: CDCNSettings, seed: int) -> Data:
        """Return batches with as many bona fide as attack clips, and development people.

        A search divides the training people: half of them move the weights, the others the
        architecture. The development people decide neither.

        Raises
        ------
        ConfigError
            If a search has one training person only, or there are no attacks or nothing but them.
        """
        found = load_data(config, seed)
        train, development = found.split("train"), found.split("development")
        if config.search is None:
            return Data({"faces": _stream(train, config, seed)}, development)
        people = np.random.default_rng((seed, 28)).permutation(np.unique(train.people))
        if len(people) < 2:
            raise ConfigError("a search needs two training people or more")
        first = np.isin(train.people, people[: len(people) // 2])
        streams = {
            "faces": _stream(train.take(first), config, seed),
            "validation": _stream(train.take(~first), config, seed + 1),
        }
        return Data(streams, development)

    @staticmethod
    def evaluate(learner: AnyLearner, development: PadCrops) -> dict[str, float]:
        """Return error rates on development clips, at the threshold of their equal error rate."""
        crops, _, masks = development.crops(learner.config.data.size)
        maps = predict_maps(learner.network, crops)
        scored = presentations_of(maps, masks, development)
        equal = pad_eer(scored, Resampling(1))
        rates = pad_rates(scored, equal.threshold)
        levels = maps.mean((1, 2))
        return {
            "eer": equal.estimate.value,
            "acer": rates.acer.value,
            "max_apcer": rates.max_apcer.value,
            "bpcer": rates.bpcer.value,
            "threshold": equal.threshold,
            "live_level": float(levels[development.live].mean()),
            "attack_level": float(levels[~development.live].mean()),
        }

    @staticmethod
    def export(learner: AnyLearner) -> dict[str, Export]:
        """Return the network with fused kernels; a supernet is not shipped."""
        if isinstance(learner, SearchLearner):
            return {}
        size = learner.config.data.size
        generator = torch.Generator().manual_seed(0)
        example = torch.rand(2, 3, size, size, generator=generator) * 2 - 1
        manifest = {
            "task": "liveness",
            "template": WINDOW if isinstance(learner, WindowLearner) else BOX,
            "input": {"layout": "nchw", "order": "rgb", "mean": [MEAN], "std": [STD]},
        }
        return {"liveness": Export(fused(learner.network), example, ("map",), manifest)}


def _stream(data: PadCrops, config: CDCNSettings, seed: int) -> Stream:
    examples = ClipExamples(data, config.data.size, STRIDE, config.augmentation)
    groups = [np.flatnonzero(examples.live), np.flatnonzero(~examples.live)]
    if not all(map(len, groups)):
        raise ConfigError("training needs bona fide presentations and attacks")
    half = config.batch // 2
    return Stream(examples, Strata(groups, [half, config.batch - half], seed))
