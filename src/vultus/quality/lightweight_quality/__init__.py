"""Lightweight quality gate (paper 23): a random forest on normalised landmarks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from vultus.nets.learning import Data, Export
from vultus.quality.features import FeatureSet
from vultus.quality.lightweight_quality.decisions import EVEN
from vultus.quality.lightweight_quality.forest import Forest, grown
from vultus.quality.lightweight_quality.probes import Probes, load_probes, rendered_probes
from vultus.registry import system
from vultus.settings import settings


@settings
class RenderedData:
    """Heads to draw where no file is given: exact labels from pose and size."""

    people: int = 200
    each: int = 10
    head: Literal["procedural", "ict"] = "procedural"


@settings
class QualitySettings:
    """Settings of the forest.

    Parameters
    ----------
    data
        File of probes (``vultus data probes``), or None to draw heads as ``renders`` says.
    points, normalisation, confidence, components
        See :class:`~vultus.quality.features.FeatureSet`.
    trees, max_features, min_samples_leaf, max_leaves, max_depth
        Of the forest. The last two bound its size; the paper says nothing of them.
    development
        Share of the people on whom the forest is scored.
    """

    data: str | None = None
    renders: RenderedData = RenderedData()
    points: Literal["five", "dense"] = "dense"
    normalisation: Literal["box", "similarity", "none"] = "box"
    confidence: bool = True
    components: tuple[str, ...] = ()
    trees: int = 200
    max_features: float = 1 / 3
    min_samples_leaf: int = 3
    max_leaves: int = 128
    max_depth: int = 12
    development: float = 0.25

    def __post_init__(self) -> None:
        if min(self.trees, self.min_samples_leaf, self.max_depth) < 1 or self.max_leaves < 2:
            raise ValueError("a forest needs trees, leaves and depth")
        if not 0 < self.max_features <= 1 or not 0 < self.development < 1:
            raise ValueError("max_features must lie in (0, 1], development in (0, 1)")

    @property
    def features(self) -> FeatureSet:
        """The features of the forest."""
        return FeatureSet(self.points, self.normalisation, self.confidence, self.components)


@dataclass(frozen=True, slots=True)
class Fitting:
    """Training probes and what to do with them."""

    probes: Probes
    config: QualitySettings


class QualityLearner(nn.Module):
    """The forest, its features, and its out-of-bag coefficient of determination."""

    oob: Tensor

    def __init__(self, config: QualitySettings) -> None:
        super().__init__()
        self.features = config.features
        self.forest = Forest(config.trees, config.max_leaves, config.max_depth)
        self.register_buffer("oob", torch.tensor(float("nan")))

    def scores(self, probes: Probes) -> np.ndarray:
        """Return quality in [0, 1], float32 (N,)."""
        with torch.no_grad():
            found = self.forest(torch.from_numpy(probes.features(self.features)))
        return np.asarray(found.numpy(), np.float32)


@system("lightweight-quality", paper=23, task="quality")
class LightweightQuality:
    """A forest on normalised landmarks says whether a face is worth comparing."""

    settings = QualitySettings

    @staticmethod
    def build(config: QualitySettings) -> QualityLearner:
        """Return a forest that is not yet grown."""
        return QualityLearner(config)

    @staticmethod
    def data(config: QualitySettings, seed: int) -> Data:
        """Return probes of some people to grow on, and those of others."""
        if config.data is None:
            r = config.renders
            probes = rendered_probes(r.people, r.each, seed, r.head)
        else:
            probes = load_probes(Path(config.data))
        development, training = probes.split(config.development, seed)
        return Data({}, development, Fitting(training, config))

    @staticmethod
    def fit(learner: QualityLearner, whole: Fitting, seed: int) -> Mapping[str, float]:
        """Grow the forest, and return what its out-of-bag samples say."""
        config, probes = whole.config, whole.probes
        regressor = grown(
            probes.features(learner.features),
            probes.label,
            seed,
            n_estimators=config.trees,
            max_features=config.max_features,
            min_samples_leaf=config.min_samples_leaf,
            max_leaf_nodes=config.max_leaves,
            max_depth=config.max_depth,
        )
        learner.forest.grow(regressor)
        learner.oob.fill_(float(regressor.oob_score_))
        good = probes.label >= EVEN
        return {
            "oob_r2": float(regressor.oob_score_),
            "oob_balanced_accuracy": balanced_accuracy(regressor.oob_prediction_, good),
        }

    @staticmethod
    def evaluate(learner: QualityLearner, development: Probes) -> dict[str, float]:
        """Return accuracies of accept and reject at 0.5, and the ranking, on unseen people."""
        from sklearn.metrics import roc_auc_score

        found, good = learner.scores(development), development.label >= EVEN
        both = 0 < good.sum() < len(good)
        return {
            "accuracy": float(((found >= EVEN) == good).mean()),
            "balanced_accuracy": balanced_accuracy(found, good),
            "auc": float(roc_auc_score(good, found)) if both else float("nan"),
            "squared_error": float(np.square(found - development.label).mean()),
        }

    @staticmethod
    def export(learner: QualityLearner) -> dict[str, Export]:
        """Return the forest; the names of its features travel in the file."""
        names = learner.features.names
        example = torch.randn(4, len(names), generator=torch.Generator().manual_seed(0)) * 20
        about = {
            "features": json.dumps(names),
            "feature_set": json.dumps(asdict(learner.features)),
        }
        manifest = {"task": "quality", "template": "dlib150"}
        return {"quality": Export(learner.forest, example, ("quality",), manifest, about)}


def balanced_accuracy(scores: Any, good: Any, threshold: float = EVEN) -> float:
    """Return the mean of the shares of good and of bad pictures that are decided rightly."""
    accepted, truth = np.asarray(scores) >= threshold, np.asarray(good, np.bool_)
    rates = [accepted[truth].mean() if truth.any() else np.nan]
    rates.append((~accepted[~truth]).mean() if (~truth).any() else np.nan)
    return float(np.mean(rates))


def importance(
    learner: QualityLearner, probes: Probes, seed: int, repeats: int = 5
) -> dict[str, float]:
    """Return by how much the squared error grows when each group of features is shuffled.

    The coordinates of all landmarks are one group, since each alone is replaced by its neighbours.
    """
    rng = np.random.default_rng(seed)
    names = learner.features.names
    x = probes.features(learner.features)
    groups: dict[str, list[int]] = {}
    for column, name in enumerate(names):
        is_point = name[0] in "xy" and name[1:].isdigit()
        groups.setdefault("landmarks" if is_point else name, []).append(column)

    def error(values: np.ndarray) -> float:
        with torch.no_grad():
            found = learner.forest(torch.from_numpy(values)).numpy()
        return float(np.square(found - probes.label).mean())

    base, out = error(x), {}
    for name, columns in groups.items():
        losses = []
        for _ in range(repeats):
            shuffled = x.copy()
            shuffled[:, columns] = x[rng.permutation(len(x))][:, columns]
            losses.append(error(shuffled))
        out[name] = float(np.mean(losses)) - base
    return out
