"""Trained networks on pictures: points from a box, projected points from visible ones, depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from vultus.errors import VultusError
from vultus.geometry import FloatArray, UInt8Array, invert_affine, transform_points
from vultus.landmarks.fan.faces import Convention
from vultus.landmarks.fan.heatmaps import gaussian_maps
from vultus.landmarks.heatmaps import REFERENCE, cut_boxes, decode, to_crop, unflipped
from vultus.nets.backbones import to_input
from vultus.points68 import mirrored

_CHUNK = 32


@dataclass(frozen=True, slots=True, eq=False)
class Aligner:
    """A network of hourglasses with what it has to be fed.

    Parameters
    ----------
    network
        float (N, 3 or 71, S, S) -> heat maps per stack.
    size
        S.
    convention
        Of the points that it gives.
    name
        For reports.
    reference
        See :func:`~vultus.landmarks.heatmaps.crop_maps`.
    guide
        Deviation in crop pixels of the maps of the visible points that guide it; None for a
        network that sees the picture alone.
    """

    network: nn.Module
    size: int
    convention: Convention
    name: str = "fan-alignment"
    reference: float = REFERENCE
    guide: float | None = None

    def predict(
        self, crops: UInt8Array, guides: ArrayLike | None = None, *, flip: bool = False
    ) -> tuple[FloatArray, FloatArray]:
        """Return points (N, 68, 2) in crop pixels and the heights of their peaks (N, 68).

        Parameters
        ----------
        crops
            uint8 RGB (N, S, S, 3).
        guides
            (N, 68, 2) visible points in crop pixels, for a guided network.
        flip
            Add the maps of the mirror images; peaks then reach 2.

        Raises
        ------
        VultusError
            If a guided network gets no points, or another one gets some.
        """
        if (guides is None) != (self.guide is None):
            wanted = "needs" if guides is None else "takes no"
            raise VultusError(f"{self.name} {wanted} points that guide it")
        maps = self._maps(crops, guides)
        if flip:
            turned = np.ascontiguousarray(crops[:, :, ::-1])
            other = None if guides is None else mirrored(guides, self.size)
            maps = maps + unflipped(self._maps(turned, other))
        places, peaks = decode(maps)
        return to_crop(places, self.size, maps.shape[-1]), peaks

    def locate(
        self,
        images: Sequence[UInt8Array],
        boxes: ArrayLike,
        guides: ArrayLike | None = None,
        *,
        flip: bool = False,
    ) -> FloatArray:
        """Return points (N, 68, 2) in picture pixels, of one face in each picture.

        Parameters
        ----------
        images
            uint8 RGB (H, W, 3) each.
        boxes
            xyxy (N, 4), ear to ear and chin to hairline.
        guides
            (N, 68, 2) visible points in picture pixels, for a guided network.
        flip
            As in :meth:`predict`.
        """
        crops, maps = cut_boxes(images, boxes, self.size, self.reference)
        inside = None if guides is None else transform_points(maps, guides)
        return transform_points(invert_affine(maps), self.predict(crops, inside, flip=flip)[0])

    @torch.no_grad()
    def _maps(self, crops: UInt8Array, guides: ArrayLike | None) -> FloatArray:
        device = next(self.network.parameters()).device
        self.network.eval()
        parts = []
        for start in range(0, len(crops), _CHUNK):
            rows = slice(start, start + _CHUNK)
            x = to_input(torch.from_numpy(np.ascontiguousarray(crops[rows])).to(device))
            if guides is not None and self.guide is not None:
                points = torch.from_numpy(np.asarray(guides, np.float32)[rows]).to(device)
                x = guided(x, points, self.guide)
            parts.append(self.network(x)[-1].float().cpu().numpy())
        if not parts:
            return np.empty((0, 68, self.size // 4, self.size // 4), np.float32)
        return np.concatenate(parts)


@dataclass(frozen=True, slots=True, eq=False)
class DepthEstimator:
    """A depth network with what it has to be fed.

    Parameters
    ----------
    network
        float (N, 71, S, S) -> depth (N, 68) in crop pixels.
    size
        S.
    reference
        See :func:`~vultus.landmarks.heatmaps.crop_maps`.
    guide
        Deviation of the maps in crop pixels.
    """

    network: nn.Module
    size: int
    reference: float = REFERENCE
    guide: float = 2.0

    @torch.no_grad()
    def predict(self, crops: UInt8Array, points: ArrayLike) -> FloatArray:
        """Return depth (N, 68) in crop pixels, of crops and their projected points (N, 68, 2)."""
        device = next(self.network.parameters()).device
        self.network.eval()
        known = torch.from_numpy(np.asarray(points, np.float32))
        parts = []
        for start in range(0, len(crops), _CHUNK):
            rows = slice(start, start + _CHUNK)
            x = to_input(torch.from_numpy(np.ascontiguousarray(crops[rows])).to(device))
            x = guided(x, known[rows].to(device), self.guide)
            parts.append(self.network(x).float().cpu().numpy())
        return np.concatenate(parts) if parts else np.empty((0, 68), np.float32)

    def lift(self, images: Sequence[UInt8Array], boxes: ArrayLike, points: ArrayLike) -> FloatArray:
        """Return points (N, 68, 3): the projected points given, and depth in picture pixels.

        Depth is relative to the mean of the points, and positive towards the camera.
        """
        crops, maps = cut_boxes(images, boxes, self.size, self.reference)
        flat = np.asarray(points, np.float32)
        depth = self.predict(crops, transform_points(maps, flat)) / maps[:, 0, :1]
        return np.concatenate([flat, depth[..., None]], -1).astype(np.float32)


def guided(x: Tensor, points: Tensor, sigma: float) -> Tensor:
    """Return pictures (N, 3, S, S) with the maps of points (N, 68, 2), as (N, 71, S, S)."""
    return torch.cat([x, gaussian_maps(points, x.shape[-1], sigma).to(x.dtype)], 1)
