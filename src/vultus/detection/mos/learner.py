"""What is trained: network, weights of the tasks, and the feedback to the sampler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from vultus.detection.mos.anchors import anchors, decode_boxes
from vultus.detection.mos.canvases import MosData
from vultus.detection.mos.decoding import MEAN
from vultus.detection.mos.losses import Uncertainty, task_losses
from vultus.detection.mos.networks import MosNet, MosNetwork, Outputs
from vultus.detection.mos.sampling import PLAIN, Choice, Feedback, region
from vultus.errors import TrainingError
from vultus.nets.learning import MAIN, Learner, Losses, ParameterGroup, Progress
from vultus.nets.starts import network_weights
from vultus.settings import settings

#: Score from which an anchor without a face counts as a false detection, and how many of one
#: picture are remembered.
FALSE, WORST = 0.5, 2


@settings
class MosSettings:
    """MOS on any of its trunks.

    Parameters
    ----------
    network, data, feedback
        What is trained, on what, and how losses choose pictures.
    batch
        Pictures per step.
    weighting
        Weights of the tasks learned from their uncertainty, or all one.
    negatives
        Hard negatives per positive.
    alpha
        Factor on the squared error of an angle beside the cross-entropy of its bins.
    offset_rate
        Factor on the learning rate of the convolutions that place deformable taps.
    export_size
        Height and width of the exported network's input; the picture's size if not given.
    start
        A run, checkpoint or file of a network of the same widths: its trunk, pyramid and context
        modules are what training starts from, as from weights learned on ImageNet in the paper;
        stitching units and heads are new.
    """

    network: MosNetwork = field(default_factory=MosNetwork)
    data: MosData = field(default_factory=MosData)
    feedback: Feedback = field(default_factory=Feedback)
    batch: int = 32
    weighting: Literal["uncertainty", "equal"] = "uncertainty"
    negatives: int = 7
    alpha: float = 0.005
    offset_rate: float = 0.1
    export_size: tuple[int, int] | None = None
    start: str | None = None

    def __post_init__(self) -> None:
        if self.batch < 1 or self.negatives < 1 or self.alpha < 0 or self.offset_rate <= 0:
            raise ValueError("need batch and negatives >= 1, alpha >= 0, offset_rate > 0")
        if self.export_size is not None and (
            min(self.export_size) < 32 or any(side % 32 for side in self.export_size)
        ):
            raise ValueError("export_size must be two multiples of 32")


class MosLearner(Learner):
    """The network and its losses."""

    def __init__(self, config: MosSettings) -> None:
        super().__init__()
        self.config = config
        self.net = MosNet(config.network)
        self.weights = None
        if config.weighting == "uncertainty":
            self.weights = Uncertainty(config.network.tasks)
        self.grid = anchors(config.data.size, config.data.size)

    def players(self) -> Mapping[str, Sequence[ParameterGroup]]:
        """Return one player: offsets move slowly, weights of tasks without decay or clipping."""
        named = [(n, p) for n, p in self.net.named_parameters() if p.requires_grad]
        places = [p for n, p in named if ".places." in n]
        groups = [ParameterGroup([p for n, p in named if ".places." not in n])]
        if places:
            groups.append(ParameterGroup(places, lr_scale=self.config.offset_rate))
        if self.weights is not None:
            own = list(self.weights.parameters())
            groups.append(ParameterGroup(own, weight_decay=0.0, clip=False))
        return {MAIN: groups}

    def losses(self, batch: Mapping[str, Any], progress: Progress, player: str = MAIN) -> Losses:
        """Return the weighted losses of the tasks, and what the sampler learns from them."""
        if progress.step == 0 and self.config.start is not None:
            load_features(self.net, self.config.start)
        shown = batch["canvases"]
        outputs: Outputs = self.net(network_input(shown["image"]))
        found = task_losses(outputs, shown, ratio=self.config.negatives, alpha=self.config.alpha)
        terms = found.terms if self.weights is None else self.weights(found.terms)
        monitors: dict[str, Any] = {f"{n}_loss": t.detach() for n, t in found.terms.items()}
        if self.weights is not None:
            values = self.weights.log_variance.detach()
            monitors |= {
                f"{n}_log_variance": v for n, v in zip(self.weights.tasks, values, strict=True)
            }
        feedback = {
            "choice": shown["choice"].cpu().numpy(),
            "loss": found.total.float().cpu().numpy(),
            "small": found.small.float().cpu().numpy(),
            "regions": self._false_detections(outputs, shown),
        }
        return Losses(terms, monitors, {"canvases": feedback})

    @torch.no_grad()
    def _false_detections(self, outputs: Outputs, shown: Mapping[str, Tensor]) -> list[int]:
        """Return the regions of the worst false detections on plain pictures, packed."""
        scores = outputs.logits.float().softmax(-1)[..., 1]
        scores = torch.where(shown["label"] == 0, scores, 0.0)
        size = self.config.data.size
        top = scores.topk(min(WORST, scores.shape[1]), 1)
        values, places = top.values.cpu().numpy(), top.indices.cpu().numpy()
        rows, columns = np.nonzero(values >= FALSE)
        regions = []
        for row, column in zip(rows, columns, strict=True):
            choice = Choice.unpacked(int(shown["choice"][row]))
            if choice.mode != PLAIN:
                continue
            at = int(places[row, column])
            codes = outputs.boxes[row, at].float().cpu().numpy()
            box = decode_boxes(codes[None], self.grid[at : at + 1])[0].clip(0, size)
            if bool(shown["flipped"][row]):
                box[[0, 2]] = size - box[[2, 0]]
            if (box[2:] - box[:2]).min() >= 1:
                regions.append(region(choice.canvas, box, size).packed())
        return regions


def load_features(net: MosNet, path: str) -> None:
    """Load what lies below the heads from a trained network; its heads may be others.

    Raises
    ------
    ConfigError
        If there is no checkpoint.
    TrainingError
        If trunk, pyramid or context modules are of another size.
    """
    weights = {k: v for k, v in network_weights(path).items() if not k.startswith("heads.")}
    heads = {k: v for k, v in net.state_dict().items() if k.startswith("heads.")}
    try:
        net.load_state_dict(weights | heads)
    except RuntimeError as error:
        raise TrainingError(f"{path}: does not fit the network: {error}") from error


def network_input(images: Tensor) -> Tensor:
    """Return float32 BGR (N, 3, H, W) less the mean of uint8 RGB (N, H, W, 3)."""
    mean = torch.tensor(MEAN, dtype=torch.float32, device=images.device)
    return (images.flip(-1).float() - mean).permute(0, 3, 1, 2).contiguous()
