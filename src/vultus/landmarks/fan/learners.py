"""What is trained: points from a picture, projected points with guidance, or depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vultus.geometry import transform_points
from vultus.landmarks.fan.aligned import Aligned
from vultus.landmarks.fan.aligner import Aligner, DepthEstimator, guided
from vultus.landmarks.fan.faces import Convention, Faces
from vultus.landmarks.fan.heatmaps import gaussian_maps, to_map
from vultus.landmarks.fan.networks import STRIDE, DepthNet, DepthNetwork, Fan, Network
from vultus.landmarks.fan.views import Views
from vultus.landmarks.heatmaps import REFERENCE, cut_boxes
from vultus.landmarks.renders import Renders
from vultus.measure.landmarks import area_under_curve, nme, normalisers
from vultus.nets.backbones import to_input
from vultus.nets.learning import MAIN, Learner, Losses, Progress
from vultus.points68 import COUNT
from vultus.settings import settings

Task = Literal["align", "lift", "depth"]

#: The error up to which the AUC counts, and the thresholds at which its curve is read.
LIMIT, STEPS = 0.07, 70

#: Degrees of yaw that LS3D-W's bands end at.
BANDS = (30.0, 60.0, 90.0)


@settings
class FaceData:
    """Where faces with points come from, and how the network sees them.

    Parameters
    ----------
    size
        Side of the crops; the heat maps have a quarter of it.
    files
        What ``python -m vultus.landmarks faces`` and ``faces-labelled`` wrote.
    renders
        Heads to draw where there are no files.
    reference
        See :func:`~vultus.landmarks.heatmaps.crop_maps`.
    views
        Of training.
    """

    size: int = 256
    files: tuple[str, ...] = ()
    renders: Renders | None = None
    reference: float = REFERENCE
    views: Views = field(default_factory=Views)

    def __post_init__(self) -> None:
        if bool(self.files) == (self.renders is not None):
            raise ValueError("give either files or renders")
        if self.renders is not None and self.renders.development < 2:
            raise ValueError("need two pictures of each split")
        if self.size % STRIDE or self.size < 16 or not self.reference > 0:
            raise ValueError("size must be a multiple of 4 from 16 on, reference above 0")


@settings
class FanSettings:
    """Task, network and data.

    Parameters
    ----------
    data, batch
        Faces; views per step.
    task
        ``align``: picture to points. ``lift``: picture and visible points to projected points.
        ``depth``: picture and projected points to the depth of each.
    convention
        Of what ``align`` learns: ``contour`` (2D-FAN) or ``projected`` (3D-FAN).
    network, depth
        Of ``align`` and ``lift``; of ``depth``.
    sigma
        Deviation of the targets in heat-map pixels.
    guide
        Deviation of the guiding maps in crop pixels.
    snap
        Centre the targets on whole pixels, as the released code does.
    aligned
        In place of the crop of a box, of ``align``: crops aligned by points, whose maps are
        distributions (see :mod:`~vultus.landmarks.fan.aligned`). The files are then those of
        ``python -m vultus.landmarks renders``, ``photos`` and ``labelled``.
    """

    data: FaceData
    batch: int = 10
    task: Task = "align"
    convention: Convention = "projected"
    network: Network = field(default_factory=Network)
    depth: DepthNetwork = field(default_factory=DepthNetwork)
    sigma: float = 1.0
    guide: float = 2.0
    snap: bool = False
    aligned: Aligned | None = None

    def __post_init__(self) -> None:
        if self.batch < 1 or not self.sigma > 0 or not self.guide > 0:
            raise ValueError("need batch >= 1, sigma > 0 and guide > 0")
        halvings = STRIDE * 2**self.network.depth
        if self.task != "depth" and self.data.size % halvings:
            raise ValueError(
                f"size must be a multiple of {halvings}: hourglasses halve {self.network.depth} "
                "times"
            )
        if self.task == "lift" and self.convention != "projected":
            raise ValueError("lifting gives projected points")
        if self.aligned is not None:
            if self.task != "align":
                raise ValueError("aligned crops are for task align")
            shares = self.aligned.shares
            if shares is not None and len(shares) != len(self.data.files):
                raise ValueError("give one share per file")


class FanLearner(Learner):
    """The network of one task."""

    def __init__(self, config: FanSettings) -> None:
        super().__init__()
        self.config = config
        self.net: nn.Module
        if config.task == "depth":
            self.net = DepthNet(config.depth)
        else:
            self.net = Fan(config.network, 3 if config.task == "align" else 3 + COUNT)

    def losses(self, batch: Mapping[str, Any], progress: Progress, player: str = MAIN) -> Losses:
        """Return a squared error of every stack, or that of the depth in sides of the crop."""
        faces, config = batch["faces"], self.config
        size = config.data.size
        x = to_input(faces["image"])
        projected = faces["projected"]
        if config.task == "depth":
            depth = self.net(guided(x, projected[..., :2], config.guide))
            aim = projected[..., 2]
            known = torch.isfinite(aim)
            off = torch.where(known, (depth - torch.nan_to_num(aim)) / size, 0.0)
            return Losses({"depth": off.square().sum() / known.sum().clamp(min=1)})
        points = projected[..., :2]
        if config.task == "lift":
            x = guided(x, faces["contour"], config.guide)
        elif config.convention == "contour":
            points = faces["contour"]
        return heatmap_losses(self.net(x), points, size, config.sigma, snap=config.snap)

    def aligner(self) -> Aligner:
        """Return the network as it is used on pictures; of ``align`` and ``lift``."""
        data = self.config.data
        guide = self.config.guide if self.config.task == "lift" else None
        name = f"fan-alignment, {self.config.task}"
        return Aligner(self.net, data.size, self.config.convention, name, data.reference, guide)

    def estimator(self) -> DepthEstimator:
        """Return the network as it is used on pictures; of ``depth``."""
        data = self.config.data
        return DepthEstimator(self.net, data.size, data.reference, self.config.guide)


def heatmap_losses(
    stacks: list[Tensor], points: Tensor, size: int, sigma: float = 1.0, *, snap: bool = False
) -> Losses:
    """Return the mean squared error of every stack's maps (N, 68, M, M).

    Parameters
    ----------
    stacks
        What the network gave.
    points
        (N, 68, 2) in crop pixels; a point that is not finite gets an empty map.
    size, sigma, snap
        Side of the crop; of the targets.
    """
    side = stacks[0].shape[-1]
    target = gaussian_maps(to_map(points, size, side), side, sigma, snap=snap)
    terms = {f"stack_{i}": (maps.float() - target).square().mean() for i, maps in enumerate(stacks)}
    # A network that gives zero everywhere has a small error too: its peaks tell.
    peak = stacks[-1].detach().float().flatten(2).amax(-1).mean()
    return Losses(terms, {"peak": peak})


def align_errors(aligner: Aligner, faces: Faces, *, flip: bool = False) -> NDArray[np.float64]:
    """Return each face's error by the size of its points' box, cropped by its own box."""
    guides = None if aligner.guide is None else faces.contour
    found = aligner.locate(list(faces.images), faces.boxes, guides, flip=flip)
    return nme(found, faces.points(aligner.convention), "box-size")


def error_figures(errors: NDArray[np.float64], yaw: NDArray[Any] | None = None) -> dict[str, float]:
    """Return NME and AUC up to 7 %, and both by bands of yaw where it is known."""
    out = {"nme": float(errors.mean()), "auc": auc(errors)}
    low = 0.0
    turned = np.zeros(0) if yaw is None else np.abs(yaw)
    for high in BANDS if len(turned) else ():
        inside = (turned >= low) & (turned < high + (high == BANDS[-1]))
        if inside.any():
            out[f"nme_{low:.0f}_{high:.0f}"] = float(errors[inside].mean())
            out[f"auc_{low:.0f}_{high:.0f}"] = auc(errors[inside])
        low = high
    return out


def auc(errors: NDArray[np.float64]) -> float:
    """Return the area under the cumulative error curve up to 7 %, read at 70 thresholds."""
    return float(area_under_curve(errors, LIMIT, steps=STEPS).mean())


def depth_figures(estimator: DepthEstimator, faces: Faces) -> dict[str, float]:
    """Return the mean error of depth by the size of the points' box, and its correlation."""
    crops, maps = cut_boxes(list(faces.images), faces.boxes, estimator.size, estimator.reference)
    flat = faces.points("projected")
    found = estimator.predict(crops, transform_points(maps, flat)) / maps[:, 0, :1]
    aim = faces.projected[..., 2]
    off = np.abs(found - aim).mean(1) / normalisers(flat, "box-size")
    together = np.corrcoef(found.ravel(), aim.ravel())[0, 1] if found.std() > 0 else 0.0
    return {"depth": float(off.mean()), "correlation": float(together)}
