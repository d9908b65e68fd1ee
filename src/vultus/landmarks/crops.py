"""Crops with 68 points: what landmark systems learn from, and one file that holds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import DatasetError
from vultus.geometry import (
    FloatArray,
    Template,
    UInt8Array,
    similarity_transform,
    template,
    transform_points,
    warp,
)
from vultus.points68 import COUNT, keypoints
from vultus.writing import replacing

#: Where points come from; training weighs and mixes by it.
RENDERED, TAUGHT, LABELLED = 0, 1, 2

TRAIN, DEVELOPMENT = 0, 1

#: Template of the crops, and pixels that training crops show beyond each of its sides, so that
#: turned and shifted views find something there.
TEMPLATE = "landmarks96"
MARGIN = 24


@dataclass(frozen=True, slots=True, eq=False)
class PointCrops:
    """Faces aligned by their own points, with a margin.

    Parameters
    ----------
    images
        uint8 RGB (N, S, S, 3).
    points
        float32 (N, 68, 2) crop pixels, 0 the centre of the first pixel.
    weights
        float32 (N, 68): how far each point is to be trusted, 0 for not at all.
    source
        uint8 (N,): :data:`RENDERED`, :data:`TAUGHT` or :data:`LABELLED`.
    split
        uint8 (N,): :data:`TRAIN` or :data:`DEVELOPMENT`.
    """

    images: UInt8Array
    points: FloatArray
    weights: FloatArray
    source: NDArray[np.uint8]
    split: NDArray[np.uint8]

    def __post_init__(self) -> None:
        n, side = len(self.images), self.images.shape[1:]
        fits = (
            len(side) == 3
            and side[0] == side[1]
            and side[2] == 3
            and self.points.shape == (n, COUNT, 2)
            and self.weights.shape == (n, COUNT)
            and self.source.shape == self.split.shape == (n,)
        )
        if not fits:
            shapes = [getattr(self, f.name).shape for f in fields(self)]
            raise DatasetError(
                f"crops must be (N, S, S, 3) with 68 points, weights, source, split; got {shapes}"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Side in pixels."""
        return int(self.images.shape[1])

    @property
    def field(self) -> int:
        """Side of the aligned crop within, without the margin."""
        return self.size - 2 * self.margin

    @property
    def margin(self) -> int:
        """Pixels around the aligned crop: a sixth of the side."""
        return round(self.size * MARGIN / (template(TEMPLATE).size + 2 * MARGIN))

    def resized(self, field: int) -> PointCrops:
        """Return crops whose aligned part has another side.

        Raises
        ------
        DatasetError
            If it is no multiple of 4: the margin would not be whole pixels.
        """
        if field % 4 or field < 8:
            raise DatasetError(
                f"the aligned part needs a side that is a multiple of 4, not {field}"
            )
        if field == self.field:
            return self
        size = field + field // 2
        way = cv2.INTER_AREA if size < self.size else cv2.INTER_LINEAR
        images = np.stack([cv2.resize(i, (size, size), interpolation=way) for i in self.images])
        # Pixel centres: x' + 0.5 = (x + 0.5) * factor.
        points = (self.points + 0.5) * np.float32(size / self.size) - np.float32(0.5)
        return replace(self, images=images.astype(np.uint8), points=points)

    def plain(self) -> tuple[UInt8Array, FloatArray]:
        """Return the aligned crops (N, F, F, 3) and their points, without the margin."""
        m, f = self.margin, self.field
        return self.images[:, m : m + f, m : m + f], self.points - np.float32(m)

    def take(self, rows: ArrayLike) -> PointCrops:
        """Return the crops of a mask (N,) or of indices."""
        keep = np.asarray(rows)
        return PointCrops(*(getattr(self, f.name)[keep] for f in fields(self)))


def joined(parts: Sequence[PointCrops]) -> PointCrops:
    """Put crops of one size side by side.

    Raises
    ------
    DatasetError
        If there are none.
    """
    if not parts:
        raise DatasetError("there are no crops to join")
    return PointCrops(
        *(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(PointCrops))
    )


def crop_maps(points: ArrayLike, layout: Template, margin: int = 0) -> FloatArray:
    """Return the maps (N, 2, 3) from picture to crop pixels for faces with points (N, 68, 2)."""
    five = keypoints(np.asarray(points, np.float32).reshape(-1, COUNT, 2))
    return similarity_transform(five, layout.points + np.float32(margin))


def cut(
    faces: Iterable[tuple[UInt8Array, ArrayLike]],
    source: int,
    *,
    split: int = TRAIN,
    trust: ArrayLike | None = None,
    layout: str = TEMPLATE,
    margin: int = MARGIN,
) -> PointCrops:
    """Cut faces out of pictures, aligned by their points.

    Parameters
    ----------
    faces
        Pictures, uint8 RGB (H, W, 3), each with 68 points in its pixels.
    source, split
        See :class:`PointCrops`.
    trust
        (68,) weights of the points; all 1 if not given.
    layout, margin
        Name of the template; pixels around it.

    Raises
    ------
    DatasetError
        If there is no face.
    """
    form = template(layout)
    images, points = [], []
    for image, face in faces:
        maps = crop_maps(face, form, margin)
        images.append(warp(image, maps, form.size + 2 * margin)[0])
        points.append(transform_points(maps[0], np.asarray(face, np.float32)))
    if not images:
        raise DatasetError("there are no faces to cut")
    count = len(images)
    weights = np.ones(COUNT, np.float32) if trust is None else np.asarray(trust, np.float32)
    return PointCrops(
        np.stack(images),
        np.stack(points).astype(np.float32),
        np.tile(weights, (count, 1)),
        np.full(count, source, np.uint8),
        np.full(count, split, np.uint8),
    )


def save_points(path: Path, crops: PointCrops) -> None:
    """Write crops to a safetensors file, whole or not at all."""
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {f.name: np.ascontiguousarray(getattr(crops, f.name)) for f in fields(crops)}
    with replacing(path) as part:
        save_file(arrays, part)


def load_points(path: Path | str) -> PointCrops:
    """Read what :func:`save_points` wrote; :class:`DatasetError` if it is something else."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
        return PointCrops(*(arrays[f.name] for f in fields(PointCrops)))
    except (OSError, SafetensorError, KeyError) as error:
        raise DatasetError(f"{path}: not a file of crops with points: {error}") from error
