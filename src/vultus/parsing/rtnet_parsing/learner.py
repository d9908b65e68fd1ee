"""What is trained, and how a trained network parses pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vultus.nets.learning import MAIN, Learner, Losses, Progress
from vultus.parsing.classes import IGNORE
from vultus.parsing.rtnet_parsing.canvases import Canvas
from vultus.parsing.rtnet_parsing.examples import Faces
from vultus.parsing.rtnet_parsing.networks import Network, RTNet
from vultus.settings import settings

#: Pictures that are parsed together, which bounds memory.
_CHUNK = 32


@settings
class RTNetSettings:
    """RTNet on tanh-polar pictures.

    Parameters
    ----------
    network, canvas, faces
        What is trained, what it sees, and on what.
    batch
        Faces per step.
    """

    network: Network = field(default_factory=Network)
    canvas: Canvas = field(default_factory=Canvas)
    faces: Faces = field(default_factory=Faces)
    batch: int = 16

    def __post_init__(self) -> None:
        if self.batch < 2:
            raise ValueError("batch normalisation needs a batch of 2 or more")
        if (self.canvas.geometry == "polar") != (self.network.space != "cartesian"):
            raise ValueError("a polar canvas needs space hybrid or polar, any other cartesian")


class RTNetLearner(Learner):
    """The network and its loss: cross-entropy on the canvas."""

    def __init__(self, config: RTNetSettings) -> None:
        super().__init__()
        self.config = config
        self.net = RTNet(config.network)

    def losses(self, batch: Mapping[str, Any], progress: Progress, player: str = MAIN) -> Losses:
        """Return the cross-entropy over the known pixels of the canvas."""
        shown = batch["faces"]
        canvas, boxes, angles = self.config.canvas, shown["box"], shown["angle"]
        images = network_input(shown["image"])
        seen = canvas.warp(images, boxes, angles)
        labels = canvas.warp(shown["parts"][:, None].float(), boxes, angles, "nearest")
        logits = self.logits(seen, boxes)
        target = labels[:, 0].round().long()
        loss = F.cross_entropy(logits.float(), target, ignore_index=IGNORE)
        with torch.no_grad():
            known = target != IGNORE
            right = (logits.argmax(1) == target)[known].float().mean()
        return Losses({"cross_entropy": loss}, {"pixel_accuracy": right})

    def logits(self, seen: Tensor, boxes: Tensor) -> Tensor:
        """Return logits (N, classes, rows, columns) of canvases."""
        canvas = self.config.canvas
        # A fixed ratio needs one grid, not one per face.
        ratios = canvas.ratios(boxes[:1] if canvas.ratio is not None else boxes)
        grids = self.net.grids(ratios, canvas.size)
        if canvas.ratio is not None:
            count = len(boxes)
            grids = {
                size: (a.expand(count, -1, -1, -1), b.expand(count, -1, -1, -1))
                for size, (a, b) in grids.items()
            }
        logits: Tensor = self.net(seen, grids)
        return logits

    def probabilities(self, images: Tensor, boxes: Tensor) -> Tensor:
        """Return probabilities (N, classes, H, W) in pictures, uint8 RGB (N, H, W, 3)."""
        canvas = self.config.canvas
        seen = canvas.warp(network_input(images), boxes)
        found = self.logits(seen, boxes).float().softmax(1)
        shape = (int(images.shape[1]), int(images.shape[2]))
        return canvas.restore_probabilities(found, boxes, shape)

    @torch.no_grad()
    def parse(self, images: Any, boxes: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Return masks, uint8 (N, H, W), of pictures, uint8 (N, H, W, 3), one box (N, 4) each."""
        device = next(self.parameters()).device
        out = []
        for start in range(0, len(images), _CHUNK):
            part = torch.from_numpy(np.ascontiguousarray(images[start : start + _CHUNK]))
            where = torch.from_numpy(np.asarray(boxes[start : start + _CHUNK], np.float32))
            found = self.probabilities(part.to(device), where.to(device))
            out.append(found.argmax(1).to(torch.uint8).cpu().numpy())
        return np.concatenate(out)


def network_input(images: Tensor) -> Tensor:
    """Return float32 (N, 3, H, W) in [-1, 1] of uint8 RGB (N, H, W, 3)."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1
