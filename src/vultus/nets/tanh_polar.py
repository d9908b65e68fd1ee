"""RoI tanh warps in PyTorch: batched, differentiable, with exact inverses.

Lin et al., "RoI Tanh-polar Transformer Network for Face Parsing in the Wild" (2021). Three
geometries of the same idea, an infinite plane around a box brought into a finite picture:

- ``polar``: rows are the angle, columns the tanh of the radius (:mod:`vultus.tanh_polar`);
- ``cartesian``: tanh of x and of y, each in units of half the box (Lin et al., 2019);
- ``circular``: the polar radius drawn as a disc, so that the picture stays upright.

Boxes are xyxy in picture coordinates that count from the outer edge of the first pixel. Sampling
follows pixel centres (``align_corners=True`` on indices).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from vultus.errors import ConfigError

Geometry = Literal["polar", "cartesian", "circular"]
Mode = Literal["bilinear", "nearest"]

#: Shortest distance from the centre, in units of the ellipse: directions stay defined there.
_NEAREST = 1e-9
#: Tanh radius that still has a finite point.
_FURTHEST = 1 - 1e-6


def warp_points(
    boxes: Tensor,
    size: tuple[int, int],
    geometry: Geometry = "polar",
    angles: Tensor | None = None,
    *,
    keep_aspect: bool = True,
) -> Tensor:
    """Return the points of the picture that the pixels of warped pictures show, (N, H, W, 2).

    Parameters
    ----------
    boxes
        (N, 4) xyxy.
    size
        Rows and columns.
    geometry
        ``polar``, ``cartesian`` or ``circular``.
    angles
        (N,) angular offset in radians; 0 if not given.
    keep_aspect
        For ``polar`` and ``circular``: whether lengths along a ray are true to scale.
    """
    u, v = _cells(size, boxes)
    x, y = _plane(u, v, boxes, size, geometry, keep_aspect)
    if angles is not None:
        cosine, sine = angles.cos()[:, None, None], angles.sin()[:, None, None]
        x, y = cosine * x - sine * y, sine * x + cosine * y
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    return torch.stack([x + centre[:, 0, None, None], y + centre[:, 1, None, None]], -1)


def warp_indices(
    points: Tensor,
    boxes: Tensor,
    size: tuple[int, int],
    geometry: Geometry = "polar",
    angles: Tensor | None = None,
    *,
    keep_aspect: bool = True,
) -> Tensor:
    """Return column and row, (N, H', W', 2), of points in warped pictures of a size.

    The inverse of :func:`warp_points`; parameters as there.
    """
    offset = points - ((boxes[:, :2] + boxes[:, 2:]) / 2)[:, None, None]
    x, y = offset.unbind(-1)
    if angles is not None:
        cosine, sine = angles.cos()[:, None, None], angles.sin()[:, None, None]
        x, y = cosine * x + sine * y, cosine * y - sine * x
    return _indices(x, y, boxes, size, geometry, keep_aspect)


def warp(
    images: Tensor,
    boxes: Tensor,
    size: tuple[int, int],
    geometry: Geometry = "polar",
    angles: Tensor | None = None,
    *,
    keep_aspect: bool = True,
    mode: Mode = "bilinear",
) -> Tensor:
    """Resample pictures (N, C, H', W') around one box each, (N, C, H, W); zero outside.

    ``mode="nearest"`` is for labels, as floats. Other parameters as in :func:`warp_points`.
    """
    points = warp_points(boxes, size, geometry, angles, keep_aspect=keep_aspect)
    return sample(images, points - 0.5, mode)


def restore(
    maps: Tensor,
    boxes: Tensor,
    shape: tuple[int, int],
    geometry: Geometry = "polar",
    angles: Tensor | None = None,
    *,
    keep_aspect: bool = True,
    mode: Mode = "bilinear",
) -> Tensor:
    """Bring warped maps (N, C, H, W) back into pictures of a shape, (N, C, H', W').

    Zero where a map does not reach. Parameters as in :func:`warp`.
    """
    rows = torch.arange(shape[0], device=boxes.device, dtype=boxes.dtype) + 0.5
    columns = torch.arange(shape[1], device=boxes.device, dtype=boxes.dtype) + 0.5
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    points = torch.stack([x, y], -1)[None].expand(len(boxes), -1, -1, -1)
    size = (maps.shape[2], maps.shape[3])
    place = warp_indices(points, boxes, size, geometry, angles, keep_aspect=keep_aspect)
    if geometry == "polar":
        return sample(pad_polar(maps), place + 1, mode)
    return sample(maps, place, mode)


def conversion(
    ratios: Tensor,
    size: tuple[int, int],
    to: Literal["polar", "cartesian"],
    keep_aspect: bool = True,
) -> Tensor:
    """Return the grid that turns polar maps into Cartesian ones of the same size, or back.

    Only the ratio of the box counts: both geometries scale with it.

    Parameters
    ----------
    ratios
        (N,) width / height of the boxes.
    size
        Rows and columns of the maps.
    to
        Geometry to arrive at.

    Returns
    -------
    (N, H, W, 2) in [-1, 1] for :func:`convert`.
    """
    half_w, half_h = ratios.sqrt() / 2, ratios.rsqrt() / 2
    boxes = torch.stack([-half_w, -half_h, half_w, half_h], 1)
    u, v = _cells(size, boxes)
    source: Geometry = "cartesian" if to == "polar" else "polar"
    x, y = _plane(u, v, boxes, size, to, keep_aspect)
    place = _indices(x, y, boxes, size, source, keep_aspect)
    height, width = size
    if source == "polar":
        place, height, width = place + 1, height + 2, width + 1
    return _normalised(place, height, width)


def convert(maps: Tensor, grid: Tensor, to: Literal["polar", "cartesian"]) -> Tensor:
    """Resample maps (N, C, H, W) into the other geometry with a grid of :func:`conversion`.

    Beyond the last cell its value goes on, as features have no natural zero.
    """
    given = pad_polar(maps) if to == "cartesian" else maps
    return F.grid_sample(given, grid, "bilinear", "border", align_corners=True)


def pad_polar(maps: Tensor) -> Tensor:
    """Add a row on both sides, as the angle goes round, and repeat the column at the centre."""
    rows = torch.cat([maps[:, :, -1:], maps, maps[:, :, :1]], 2)
    return torch.cat([rows[..., :1], rows], 3)


def sample(maps: Tensor, place: Tensor, mode: Mode = "bilinear") -> Tensor:
    """Sample maps (N, C, H, W) at indices (N, H', W', 2), column and row; zero outside."""
    grid = _normalised(place, maps.shape[2], maps.shape[3])
    return F.grid_sample(maps, grid.to(maps.dtype), mode, "zeros", align_corners=True)


def _normalised(place: Tensor, height: int, width: int) -> Tensor:
    last = place.new_tensor([max(width - 1, 1), max(height - 1, 1)])
    return 2 * place / last - 1


def _cells(size: tuple[int, int], like: Tensor) -> tuple[Tensor, Tensor]:
    rows = torch.arange(size[0], device=like.device, dtype=like.dtype)
    columns = torch.arange(size[1], device=like.device, dtype=like.dtype)
    v, u = torch.meshgrid(rows, columns, indexing="ij")
    return u[None], v[None]


def _axes(boxes: Tensor) -> tuple[Tensor, Tensor]:
    sides = (boxes[:, 2:] - boxes[:, :2])[:, :, None, None]
    return sides[:, 0], sides[:, 1]


def _plane(
    u: Tensor, v: Tensor, boxes: Tensor, size: tuple[int, int], geometry: str, keep_aspect: bool
) -> tuple[Tensor, Tensor]:
    """Return x and y, relative to the centres of the boxes, of cells of warped pictures."""
    w, h = _axes(boxes)
    height, width = size
    if geometry == "polar":
        theta, radius = 2 * math.pi / height * v, u / width
    else:
        s, t = (2 * u + 1) / width - 1, (2 * v + 1) / height - 1
        if geometry == "cartesian":
            return w / 2 * torch.atanh(s), h / 2 * torch.atanh(t)
        if geometry != "circular":
            raise ConfigError(f"unknown geometry {geometry!r}: use polar, cartesian or circular")
        theta, radius = torch.atan2(t, s), torch.hypot(s, t)
    reach = torch.atanh(radius.clamp(max=_FURTHEST))
    a, b = w / math.sqrt(math.pi), h / math.sqrt(math.pi)
    if not keep_aspect:
        return a * reach * theta.cos(), b * reach * theta.sin()
    length = reach * a * b / ((b * theta.cos()) ** 2 + (a * theta.sin()) ** 2).sqrt()
    return length * theta.cos(), length * theta.sin()


def _indices(
    x: Tensor, y: Tensor, boxes: Tensor, size: tuple[int, int], geometry: str, keep_aspect: bool
) -> Tensor:
    """Return column and row of points relative to the centres of the boxes."""
    w, h = _axes(boxes)
    height, width = size
    if geometry == "cartesian":
        s, t = torch.tanh(2 * x / w), torch.tanh(2 * y / h)
        return torch.stack([(s + 1) * (width / 2) - 0.5, (t + 1) * (height / 2) - 0.5], -1)
    a, b = w / math.sqrt(math.pi), h / math.sqrt(math.pi)
    across, down = x / a, y / b
    # Along a ray the ellipse ends at length 1 of this norm, whatever the direction.
    squared = across**2 + down**2
    radius = torch.tanh(squared.clamp(min=_NEAREST**2).sqrt())
    theta = torch.atan2(y, x) if keep_aspect else torch.atan2(down, across)
    if geometry == "polar":
        row = torch.remainder(theta / (2 * math.pi), 1.0) * height
        return torch.stack([radius * width, row], -1)
    if geometry != "circular":
        raise ConfigError(f"unknown geometry {geometry!r}: use polar, cartesian or circular")
    s, t = radius * theta.cos(), radius * theta.sin()
    return torch.stack([(s + 1) * (width / 2) - 0.5, (t + 1) * (height / 2) - 0.5], -1)
