"""Mosaics: one canvas cut into cells that each show another picture, labels moved along.

A network small enough to train on a processor sees few pictures; cells give each of them several
faces of many sizes, and edges between unrelated scenes that no face follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vultus.detection.mos.anchors import Faces
from vultus.geometry import FloatArray, UInt8Array, box_iou, transform_points
from vultus.nets.augmentation import Augmentation
from vultus.settings import settings

#: Share of a face that has to be seen for it to teach; less is ignored.
_SEEN = 0.6
#: Sides below which a cell is not cut.
_CELL = 48
#: Light, colour and what cameras and files do, on the whole canvas; places are chosen per cell.
_FINISH = Augmentation(rotation=0, scale=0, shift=0, flip=0, blur=0.2, noise=0.05, cover=0)


@settings
class Mosaic:
    """How cells are cut and filled.

    Parameters
    ----------
    share
        Share of the training pictures that are mosaics.
    cut
        Probability that a cell is cut in two.
    aside
        Probability that a cell shows a drawn part of its picture, in place of a chosen face.
    rotation, steep
        Most degrees that a cell is turned; half of that for all but ``steep`` of the cells.
    cover
        Probability that a part of a face is covered.
    scenes
        Rendered scenes that are drawn once and shown in cells.
    rendered
        Share of the cells that show one.
    longest
        Photographs are kept in memory with their longer side at most this.
    """

    share: float = 0.8
    cut: float = 0.85
    aside: float = 0.2
    rotation: float = 40.0
    steep: float = 0.3
    cover: float = 0.15
    scenes: int = 1000
    rendered: float = 0.25
    longest: int = 192

    def __post_init__(self) -> None:
        shares = (self.share, self.cut, self.aside, self.steep, self.cover, self.rendered)
        if not all(0 <= value <= 1 for value in shares):
            raise ValueError("share, cut, aside, steep, cover and rendered lie in [0, 1]")
        if not 0 <= self.rotation <= 90 or self.scenes < 1 or self.longest < 32:
            raise ValueError("need rotation in [0, 90], scenes >= 1 and longest >= 32")


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A picture, uint8 RGB (H, W, 3), at full, half, quarter ... size, and its faces."""

    levels: tuple[UInt8Array, ...]
    faces: Faces


def entry(image: UInt8Array, faces: Faces, longest: int) -> Entry:
    """Return a picture ready to be shown small without aliasing."""
    scale = min(longest / max(image.shape[:2]), 1.0)
    if scale < 1:
        size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    levels = [image]
    while min(levels[-1].shape[:2]) >= 32:
        height, width = (side // 2 for side in levels[-1].shape[:2])
        smaller = cv2.resize(levels[-1], (width, height), interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(smaller, np.uint8))
    return Entry(tuple(levels), faces.moved(scale))


def cells(size: int, cut: float, rng: np.random.Generator) -> list[tuple[int, int, int, int]]:
    """Return x, y, width and height of cells that tile a square of ``size`` pixels."""
    todo, done = [(0, 0, size, size)], []
    while todo:
        x, y, width, height = todo.pop()
        longer = max(width, height)
        if longer < 2 * _CELL or rng.random() >= cut:
            done.append((x, y, width, height))
            continue
        first = int(np.clip(longer * rng.uniform(0.3, 0.7), _CELL, longer - _CELL))
        if width >= height:
            todo += [(x, y, first, height), (x + first, y, width - first, height)]
        else:
            todo += [(x, y, width, first), (x, y + first, width, height - first)]
    return done


def mosaic(
    photos: Sequence[Entry],
    scenes: Sequence[Entry],
    config: Mosaic,
    size: int,
    sides: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[UInt8Array, Faces]:
    """Return a canvas uint8 (S, S, 3) and its faces.

    Parameters
    ----------
    photos, scenes
        Pictures to show; either may be empty, not both.
    config
        How.
    size
        Side of the canvas in pixels.
    sides
        Range of face sides in pixels.
    """
    canvas = np.empty((size, size, 3), np.uint8)
    parts: list[Faces] = []
    for x, y, width, height in cells(size, config.cut, rng):
        pool = scenes if not photos or (scenes and rng.random() < config.rendered) else photos
        shown, faces = _cell(pool[int(rng.integers(len(pool)))], width, height, config, sides, rng)
        canvas[y : y + height, x : x + width] = shown
        parts.append(faces.moved(1.0, x, y))
    finished, _ = _FINISH.crop(canvas, size, rng)
    return finished, Faces.joined(parts)


def _cell(
    entry: Entry,
    width: int,
    height: int,
    config: Mosaic,
    sides: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[UInt8Array, Faces]:
    """Show a picture so that one of its sure faces gets a drawn side, angle and place."""
    faces = entry.faces
    chosen = int(rng.choice(np.flatnonzero(~faces.ignored)))
    room = min(width, height)
    high = max(min(sides[1], 0.95 * room), sides[0] + 1)
    scale = float(np.exp(rng.uniform(np.log(sides[0]), np.log(high))) / faces.sides[chosen])
    scale = min(scale, 2.5)
    most = config.rotation if rng.random() < config.steep else config.rotation / 2
    angle = float(rng.uniform(-most, most))
    half = 0.4 * float(faces.sides[chosen]) * scale
    place = np.array([_between(half, side - half, rng) for side in (width, height)])
    middle = (faces.boxes[chosen, :2] + faces.boxes[chosen, 2:]) / 2
    if rng.random() < config.aside:
        middle = rng.uniform(0, 1, 2) * np.array(entry.levels[0].shape[1::-1])
    turn = np.deg2rad(angle)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    affine = np.concatenate([linear, (place - linear @ middle)[:, None]], 1)
    shown = _warped(entry, affine, scale, width, height)
    turned = rotated(faces, affine, scale, angle)
    if rng.random() < config.cover:
        _cover(shown, turned.boxes[chosen], rng)
    return shown, _seen(turned, width, height)


def _between(low: float, high: float, rng: np.random.Generator) -> float:
    return float(rng.uniform(low, high)) if low < high else (low + high) / 2


def _warped(entry: Entry, affine: FloatArray, scale: float, width: int, height: int) -> UInt8Array:
    """Warp with ``affine`` (2, 3), which maps points between pixel edges."""
    level = min(max(int(np.floor(-np.log2(scale) + 0.25)), 0), len(entry.levels) - 1)
    image = entry.levels[level]
    shrunk = np.array(entry.levels[0].shape[1::-1]) / np.array(image.shape[1::-1])
    matrix = affine.copy()
    matrix[:, :2] *= shrunk
    # From pixel edges to pixel centres, half a pixel further on either side.
    matrix[:, 2] += matrix[:, :2] @ np.full(2, 0.5) - 0.5
    warped = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)


def rotated(faces: Faces, affine: FloatArray, scale: float, angle: float) -> Faces:
    """Return faces of a picture that was turned by ``angle`` degrees and scaled.

    A box becomes that of the ellipse it holds, turned. Roll comes last, after pitch and yaw
    (:func:`vultus.worlds.camera.rotation`), so it alone changes.
    """
    points = transform_points(affine, faces.points.reshape(-1, 2)).reshape(faces.points.shape)
    middle = transform_points(affine, (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2)
    spans = (faces.boxes[:, 2:] - faces.boxes[:, :2]) / 2 * scale
    cosine, sine = np.cos(np.deg2rad(angle)) ** 2, np.sin(np.deg2rad(angle)) ** 2
    half = np.sqrt(spans**2 * cosine + spans[:, ::-1] ** 2 * sine)
    boxes = np.concatenate([middle - half, middle + half], 1).astype(np.float32)
    poses = faces.poses + np.array([0, 0, angle], np.float32)
    return Faces(boxes, points.astype(np.float32), poses, faces.posed, faces.ignored)


def _seen(faces: Faces, width: int, height: int) -> Faces:
    """Return the faces in view; those cut by its edge are ignored, or cut to what is seen."""
    low, high = np.zeros(2, np.float32), np.array([width, height], np.float32)
    cut = np.concatenate(
        [faces.boxes[:, :2].clip(low, high), faces.boxes[:, 2:].clip(low, high)], 1
    )
    areas = [(b[:, 2:] - b[:, :2]).prod(1) for b in (cut, faces.boxes)]
    share = areas[0] / areas[1]
    hidden = share < _SEEN
    boxes = np.where(hidden[:, None], cut, faces.boxes)
    moved = Faces(boxes, faces.points, faces.poses, faces.posed, faces.ignored | hidden)
    return moved.take(areas[0] > 0)


def _cover(image: UInt8Array, box: FloatArray, rng: np.random.Generator) -> None:
    """Cover up to half of a side of a face with one colour or another part, in place."""
    height, width = image.shape[:2]
    spans = (box[2:] - box[:2]) * rng.uniform(0.2, 0.5, 2)
    corner = box[:2] + rng.uniform(0, 1, 2) * (box[2:] - box[:2] - spans)
    left, top = (int(v) for v in np.clip(corner, 0, [width - 1, height - 1]))
    right, bottom = (int(v) for v in np.clip(corner + spans, [left + 1, top + 1], [width, height]))
    if rng.random() < 0.5:
        image[top:bottom, left:right] = rng.integers(0, 256, 3)
        return
    y, x = (int(rng.integers(0, n + 1)) for n in (height - bottom + top, width - right + left))
    there = np.array([x, y, x + right - left, y + bottom - top], np.float32)
    if float(box_iou(there[None], box[None])[0, 0]) == 0:
        image[top:bottom, left:right] = image[y : y + bottom - top, x : x + right - left].copy()


__all__ = ["Entry", "Mosaic", "cells", "entry", "mosaic", "rotated"]
