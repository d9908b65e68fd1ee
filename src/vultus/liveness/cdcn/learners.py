"""Training CDCN, CDCN++ and the architecture search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vultus.liveness.cdcn.augmentation import Augmentation, pixels
from vultus.liveness.cdcn.cells import CDCN_PLUS_PLUS, Genotype
from vultus.liveness.cdcn.losses import contrastive_depth_loss, depth_loss
from vultus.liveness.cdcn.minifasnet import SIDE
from vultus.liveness.cdcn.networks import (
    STRIDE,
    DepthNet,
    LabelHead,
    build_cdcn,
    build_from_genotype,
)
from vultus.liveness.cdcn.presentations import PadCrops, load_presentations, mask_depth
from vultus.liveness.cdcn.search import SearchNet
from vultus.liveness.cdcn.simulation import Simulation, simulate
from vultus.liveness.scoring import clip_scores, frame_scores
from vultus.measure.pad import Presentations
from vultus.nets.learning import MAIN, Learner, Losses, ParameterGroup, Progress
from vultus.settings import settings

FloatArray = NDArray[np.float32]

#: The player of the search that learns from validation data.
ARCHITECTURE = "architecture"


@settings
class PadData:
    """Where presentations come from: a file, or the simulator.

    Parameters
    ----------
    size
        Side of the crops that the network sees, a multiple of 8; a file of another size is
        resized.
    file
        What :func:`~vultus.liveness.cdcn.presentations.save_presentations` wrote, with splits
        ``train`` and ``development``.
    simulation
        Drawn anew with the run's seed, in place of a file.
    """

    size: int
    file: str | None = None
    simulation: Simulation | None = None

    def __post_init__(self) -> None:
        if self.size % STRIDE or self.size < 3 * STRIDE:
            raise ValueError("size must be a multiple of 8, at least 24")
        if (self.file is None) == (self.simulation is None):
            raise ValueError("give either file or simulation")


@settings
class Search:
    """How an architecture is searched.

    Parameters
    ----------
    nodes
        Intermediate nodes of a cell.
    share
        1 / share of the channels goes through the operations.
    frozen
        Share of the run in which only the weights learn.
    """

    nodes: int = 4
    share: int = 4
    frozen: float = 1 / 6

    def __post_init__(self) -> None:
        if self.nodes < 1 or self.share < 1 or not 0 <= self.frozen < 1:
            raise ValueError("need nodes and share of at least 1 and frozen in [0, 1)")


@settings
class Window:
    """How MiniFASNet is trained further in windows.

    Parameters
    ----------
    start
        ONNX file of MiniFASNet V2 to begin with; random weights without one.
    distil
        Weight of the answers that the network gave at the start, where they were right.
    rate
        Factor on the learning rate of the trunk; the map head takes all of it.
    hidden
        Channels of the map head.
    share
        Weight of the map in the score.
    """

    start: str | None = None
    distil: float = 1.0
    rate: float = 0.3
    hidden: int = 32
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.distil < 0 or self.rate <= 0 or self.hidden < 1 or not 0 <= self.share <= 1:
            raise ValueError("need distil >= 0, rate > 0, hidden >= 1 and share in [0, 1]")
        if self.distil and self.start is None:
            raise ValueError("distil needs a start; without one set it to 0")


@settings
class CDCNSettings:
    """Training of a central difference network.

    Parameters
    ----------
    data, batch
        Presentations, and clips per step, half of them bona fide.
    network
        ``cdcn``, ``cdcn++`` (searched cells with attention), ``search`` for the supernet, or
        ``minifasnet`` for windows of 80 pixels, see
        :class:`~vultus.liveness.cdcn.minifasnet.WindowNet`.
    genotype
        Of ``cdcn++``; the released one if not given.
    theta, width
        Share of the central difference; factor on all channels.
    supervision
        ``depth`` maps, or one binary ``label`` per crop (the baseline of claim 2).
    labels
        ``depth`` as stored, or the face's ``mask``.
    contrast
        Weight of the contrastive depth loss.
    augmentation
        Of training crops.
    search
        Of ``network: search``.
    window
        Of ``network: minifasnet``.
    """

    data: PadData
    batch: int
    network: Literal["cdcn", "cdcn++", "search", "minifasnet"] = "cdcn++"
    genotype: Genotype | None = None
    theta: float = 0.7
    width: float = 1.0
    supervision: Literal["depth", "label"] = "depth"
    labels: Literal["depth", "mask"] = "depth"
    contrast: float = 1.0
    augmentation: Augmentation = Augmentation()
    search: Search | None = None
    window: Window | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.theta <= 1 or self.width <= 0 or self.contrast < 0 or self.batch < 2:
            raise ValueError("need theta in [0, 1], width > 0, contrast >= 0, batch >= 2")
        if (self.network == "search") != (self.search is not None):
            raise ValueError("search must be given exactly where network is 'search'")
        if (self.network == "minifasnet") != (self.window is not None):
            raise ValueError("window must be given exactly where network is 'minifasnet'")
        if self.window is not None and (self.data.size != SIDE or self.theta == 1):
            raise ValueError(f"network 'minifasnet' needs size {SIDE} and theta below 1")
        if self.genotype is not None and self.network != "cdcn++":
            raise ValueError("genotype goes with network 'cdcn++'")
        if self.network in ("search", "minifasnet") and self.supervision == "label":
            raise ValueError(f"network {self.network!r} is supervised by depth")


def network_of(config: CDCNSettings) -> DepthNet:
    """Return the untrained network that the settings name."""
    label_head = config.supervision == "label"
    if config.network == "cdcn":
        return build_cdcn(config.theta, config.width, label_head=label_head)
    genotype = config.genotype or CDCN_PLUS_PLUS
    return build_from_genotype(genotype, config.theta, config.width, label_head=label_head)


class CDCNLearner(Learner):
    """One network under depth supervision, or under binary labels."""

    def __init__(self, config: CDCNSettings) -> None:
        super().__init__()
        self.config = config
        self.network = network_of(config)

    def losses(self, batch: Mapping[str, Any], progress: Progress, player: str = MAIN) -> Losses:
        """Return squared error and contrastive loss of the maps, or the binary cross-entropy."""
        faces = batch["faces"]
        if self.config.supervision == "label":
            return self._label_losses(faces)
        return map_losses(self.network(laid_out(faces["image"])), faces, self.config.contrast)

    def _label_losses(self, faces: Mapping[str, Tensor]) -> Losses:
        head = self.network.head
        assert isinstance(head, LabelHead)
        logits = head.logits(self.network.features(laid_out(faces["image"]))).float()
        target = faces["live"].float()
        loss = functional.binary_cross_entropy_with_logits(logits, target)
        right = ((logits.detach() > 0) == (target > 0.5)).float().mean()
        return Losses({"label": loss}, {"right": right})


class SearchLearner(Learner):
    """The supernet: training data moves its weights, validation data its architecture."""

    def __init__(self, config: CDCNSettings, search: Search) -> None:
        super().__init__()
        self.config, self.frozen = config, search.frozen
        self.network = SearchNet(config.theta, config.width, search.nodes, search.share)

    def players(self) -> Mapping[str, list[ParameterGroup]]:
        """Return weights and architecture, which move one after the other in every step."""
        return {
            MAIN: [ParameterGroup(self.network.weights())],
            ARCHITECTURE: [ParameterGroup(self.network.architecture())],
        }

    def losses(self, batch: Mapping[str, Any], progress: Progress, player: str = MAIN) -> Losses:
        """Return the same losses on training faces or, for the architecture, on others."""
        if player == ARCHITECTURE and progress.fraction < self.frozen:
            nothing = torch.stack([p.sum() for p in self.network.architecture()]).sum() * 0
            return Losses({"depth": nothing})
        faces = batch["faces" if player == MAIN else "validation"]
        given = map_losses(self.network(laid_out(faces["image"])), faces, self.config.contrast)
        if player == MAIN:
            return given
        return Losses(given.terms, {**given.monitors, "entropy": self.network.entropy().detach()})


def map_losses(maps: Tensor, faces: Mapping[str, Tensor], contrast: float) -> Losses:
    """Return the losses of maps (N, h, w), in float32, and the levels that tell of dead maps."""
    labels, live = faces["depth"], faces["live"].bool()
    terms = {"depth": depth_loss(maps, labels)}
    if contrast:
        terms["contrast"] = contrast * contrastive_depth_loss(maps, labels)
    levels = maps.detach().float().mean((1, 2))
    monitors = {"live_level": levels[live].mean(), "attack_level": levels[~live].mean()}
    return Losses(terms, monitors)


def laid_out(images: Tensor) -> Tensor:
    """Return images with channels last in memory, on which convolutions of few channels gain."""
    return images.contiguous(memory_format=torch.channels_last)


def load_data(config: CDCNSettings, seed: int) -> PadCrops:
    """Return the presentations of the settings, with the labels they ask for."""
    data = config.data
    if data.file is not None:
        found = load_presentations(Path(data.file))
    else:
        assert data.simulation is not None
        found = simulate(data.simulation, data.size, seed)
    return found if config.labels == "depth" else masked(found)


def masked(data: PadCrops) -> PadCrops:
    """Return presentations whose depth label is the face's mask, zero for attacks."""
    return replace(data, depth=mask_depth(data.masks, data.species))


@torch.no_grad()
def predict_maps(network: nn.Module, crops: NDArray[np.uint8], batch: int = 32) -> FloatArray:
    """Return maps, float32 (N, h, w), of box1.3 crops, uint8 (N, S, S, 3).

    The network must be in evaluation mode.
    """
    device = next(network.parameters()).device
    parts = [
        network(laid_out(torch.from_numpy(pixels(crops[i : i + batch])).to(device))).float().cpu()
        for i in range(0, len(crops), batch)
    ]
    return np.asarray(torch.cat(parts).numpy(), np.float32)


def presentations_of(maps: FloatArray, masks: NDArray[Any], data: PadCrops) -> Presentations:
    """Return the scores of clips with their species and subjects, for the metrics.

    Parameters
    ----------
    maps
        float32 (N, h, w), one per frame of ``data``.
    masks
        Of the frames, see :func:`~vultus.liveness.scoring.frame_scores`.
    """
    scores = frame_scores(maps, np.asarray(masks, np.float32) / 255)
    clips, means = clip_scores(scores, data.clips)
    first = np.array([int(np.argmax(data.clips == c)) for c in clips])
    return Presentations(means.astype(np.float64), data.species[first], data.people[first])
