"""The one renderer of Gaussian maps: targets, guidance of 2D-to-3D, and guidance of depth."""

from __future__ import annotations

import torch
from torch import Tensor


def gaussian_maps(points: Tensor, side: int, sigma: float = 1.0, *, snap: bool = False) -> Tensor:
    """Draw a Gaussian of height 1 around every point.

    Parameters
    ----------
    points
        (..., 2) x and y in map pixels; a point that is not finite gives an empty map.
    side
        Of the maps.
    sigma
        Deviation in map pixels; beyond three of them, counted from the point's pixel, the map is 0
        (a patch of 7 x 7 for 1). Borders cut a patch off without moving its centre.
    snap
        Centre it on the nearest pixel, as the released code does, in place of the point itself.

    Returns
    -------
    (..., side, side) of the points' dtype.
    """
    known = torch.isfinite(points).all(-1, keepdim=True)
    nearest = torch.where(known, points, torch.full_like(points, -1e4)).round()
    centre = nearest if snap else torch.where(known, points, nearest)
    places = torch.arange(side, device=points.device, dtype=points.dtype)
    falls = torch.exp(-((places - centre[..., None]) ** 2) / (2 * sigma**2))
    falls = falls * ((places - nearest[..., None]).abs() <= int(3 * sigma))
    return falls[..., 1, :, None] * falls[..., 0, None, :]


def to_map(points: Tensor, size: int, side: int) -> Tensor:
    """Return map pixels (..., 2) of crop pixels; ``side`` and ``size`` are theirs, in pixels."""
    return (points + 0.5) * (side / size) - 0.5
