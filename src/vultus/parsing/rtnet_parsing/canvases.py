"""What a network sees of a face, and how its answer returns to the picture."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vultus.nets import tanh_polar
from vultus.nets.tanh_polar import Mode
from vultus.parsing.classes import BACKGROUND
from vultus.settings import settings

Shape = Literal["polar", "cartesian", "circular", "crop"]


@settings
class Canvas:
    """A way to resample a picture around a box.

    Parameters
    ----------
    geometry
        ``polar`` as published, ``cartesian`` (RoI Tanh), ``circular``, or ``crop``: the square on
        the longer side of the box.
    size
        Rows and columns.
    scale
        Factor on the box, for ``crop``.
    ratio
        Width / height that boxes are brought to, about their centres and keeping their areas;
        None keeps them, as published. The exported file needs one.
    keep_aspect
        Whether lengths along a ray are true to scale.
    """

    geometry: Shape = "polar"
    size: tuple[int, int] = (513, 513)
    scale: float = 1.0
    ratio: float | None = None
    keep_aspect: bool = True

    def __post_init__(self) -> None:
        if min(self.size) < 8 or self.scale <= 0 or (self.ratio is not None and self.ratio <= 0):
            raise ValueError("need size >= 8, scale > 0 and ratio > 0")

    def regions(self, boxes: Tensor) -> Tensor:
        """Return the boxes (N, 4) that the canvas is built on."""
        centre, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
        if self.geometry == "crop":
            half = sides.amax(1, keepdim=True).expand(-1, 2) * (self.scale / 2)
        elif self.ratio is not None:
            height = (sides.prod(1) / self.ratio).sqrt()
            half = torch.stack([height * self.ratio, height], 1) / 2
        else:
            return boxes
        return torch.cat([centre - half, centre + half], 1)

    def ratios(self, boxes: Tensor) -> Tensor:
        """Return width / height (N,) of the regions."""
        sides = self.regions(boxes)
        return (sides[:, 2] - sides[:, 0]) / (sides[:, 3] - sides[:, 1])

    def warp(
        self, images: Tensor, boxes: Tensor, angles: Tensor | None = None, mode: Mode = "bilinear"
    ) -> Tensor:
        """Return what is seen, (N, C, rows, columns), of pictures (N, C, H, W)."""
        regions = self.regions(boxes)
        if self.geometry == "crop":
            rows = (torch.arange(self.size[0], device=boxes.device) + 0.5) / self.size[0] - 0.5
            columns = (torch.arange(self.size[1], device=boxes.device) + 0.5) / self.size[1] - 0.5
            y, x = torch.meshgrid(rows, columns, indexing="ij")
            sides = (regions[:, 2:] - regions[:, :2])[:, None, None]
            offset = _turned(torch.stack([x, y], -1)[None] * sides, angles, 1)
            centre = (regions[:, :2] + regions[:, 2:])[:, None, None] / 2
            return tanh_polar.sample(images, offset + centre - 0.5, mode)
        return tanh_polar.warp(
            images,
            regions,
            self.size,
            self.geometry,
            angles,
            keep_aspect=self.keep_aspect,
            mode=mode,
        )

    def restore(
        self,
        maps: Tensor,
        boxes: Tensor,
        shape: tuple[int, int],
        angles: Tensor | None = None,
        mode: Mode = "bilinear",
    ) -> Tensor:
        """Return maps (N, C, rows, columns) in pictures of a shape; zero where none reaches."""
        regions = self.regions(boxes)
        if self.geometry == "crop":
            rows = torch.arange(shape[0], device=boxes.device) + 0.5
            columns = torch.arange(shape[1], device=boxes.device) + 0.5
            y, x = torch.meshgrid(rows, columns, indexing="ij")
            centre = (regions[:, :2] + regions[:, 2:])[:, None, None] / 2
            offset = _turned(torch.stack([x, y], -1)[None] - centre, angles, -1)
            share = offset / (regions[:, 2:] - regions[:, :2])[:, None, None] + 0.5
            place = share * share.new_tensor([self.size[1], self.size[0]]) - 0.5
            return tanh_polar.sample(maps, place, mode)
        return tanh_polar.restore(
            maps,
            regions,
            shape,
            self.geometry,
            angles,
            keep_aspect=self.keep_aspect,
            mode=mode,
        )

    def restore_probabilities(
        self, probabilities: Tensor, boxes: Tensor, shape: tuple[int, int]
    ) -> Tensor:
        """Return probabilities (N, C, H, W) in pictures; beyond the canvas all is background."""
        first = probabilities[:, BACKGROUND : BACKGROUND + 1]
        inverted = torch.cat([1 - first, probabilities[:, 1:]], 1)
        back = self.restore(inverted, boxes, shape)
        return torch.cat([1 - back[:, :1], back[:, 1:]], 1)


def _turned(points: Tensor, angles: Tensor | None, sign: int) -> Tensor:
    if angles is None:
        return points
    cosine, sine = angles.cos()[:, None, None], sign * angles.sin()[:, None, None]
    x, y = points.unbind(-1)
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y], -1)
