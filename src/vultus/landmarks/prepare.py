"""Prepare the files that landmark weights are trained from.

``python -m vultus.landmarks renders|photos|labelled`` writes crops with 68 points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vultus.errors import DatasetError
from vultus.geometry import FloatArray, UInt8Array
from vultus.images import find_images, open_image
from vultus.landmarks.crops import (
    DEVELOPMENT,
    LABELLED,
    RENDERED,
    TAUGHT,
    TRAIN,
    PointCrops,
    cut,
    joined,
)
from vultus.landmarks.mesh import Correspondence, MeshTeacher

if TYPE_CHECKING:
    from vultus.worlds import Batch

#: Faces that the teacher must be sure of, and how far its second look may move them.
PRESENCE, MOVED = 0.9, 0.04

_CHUNK = 64

#: Share of the pictures of a set that is kept for development.
DEVELOPED = 0.08

Box = tuple[float, float, float, float]


def rendered(
    head: str,
    count: int,
    seed: int,
    *,
    size: int = 144,
    workers: int = 1,
) -> Iterator[Batch]:
    """Draw heads turned up to 65 degrees, with things in the way of every sixth one.

    Two pictures of each person, who are others for every seed.
    """
    from vultus.worlds import CameraSpec, PoseSpec, WearSpec, WorldSpec, generate

    spec = WorldSpec(
        head=head,
        size=size,
        detail="low",
        population=seed,
        identities=max(count // 2, 2),
        pose=PoseSpec(yaw=(-65, 65), pitch=(-30, 30), roll=(-20, 20)),
        camera=CameraSpec(fill=(0.6, 0.9)),
        wear=WearSpec(glasses=0.2, hat=0.08, makeup=0.2, occluder=0.16),
    )
    return generate(spec, seed, count, batch=_CHUNK, workers=workers)


def render_crops(
    head: str,
    count: int,
    seed: int,
    *,
    field: int = 96,
    hidden: float = 0.5,
    development: float = DEVELOPED,
) -> PointCrops:
    """Return rendered crops whose aligned part has the side ``field``.

    Points that are hidden in the picture weigh ``hidden``. A share of the people are development
    people, who are in no training crop.
    """
    people = max(count // 2, 2)
    first = min(max(round(people * (1 - development)), 1), people - 1)
    parts = []
    for batch in rendered(head, count, seed, size=max(64, field + field // 2)):
        part = cut(zip(batch.colour, batch.landmarks, strict=True), RENDERED).resized(field)
        weights = np.where(batch.visible, 1.0, hidden).astype(np.float32)
        split = np.where(batch.identity >= first, DEVELOPMENT, TRAIN).astype(np.uint8)
        parts.append(replace(part, weights=weights, split=split))
    return joined(parts)


def meshes_of_renders(
    teacher: MeshTeacher, head: str, count: int, seed: int, yaw: float = 45.0
) -> tuple[FloatArray, FloatArray]:
    """Return meshes (N, 478, 2) and true points (N, 68, 2) of rendered heads."""
    meshes, points = [], []
    for batch in rendered(head, count, seed, size=192):
        found = teacher.locate(list(batch.colour), batch.box)
        good = (found.presence > PRESENCE) & (found.moved < MOVED)
        good &= (np.abs(batch.pose[:, 0]) < yaw) & batch.visible[:, 17:].all(1)
        meshes.append(found.points[good])
        points.append(batch.landmarks[good])
    return np.concatenate(meshes), np.concatenate(points)


def share_of_picture(box: Box) -> Callable[[UInt8Array], Box]:
    """Return what gives a picture's box in pixels, from one in shares of its sides."""

    def place(image: UInt8Array) -> Box:
        height, width = image.shape[:2]
        return box[0] * width, box[1] * height, box[2] * width, box[3] * height

    return place


def taught_crops(
    teacher: MeshTeacher,
    files: Sequence[Path],
    box: Callable[[UInt8Array], Box | None],
    correspondence: Correspondence,
) -> tuple[PointCrops, FloatArray]:
    """Label photographs of one face each.

    Parameters
    ----------
    teacher, correspondence
        What labels, and what its mesh means.
    files
        Photographs; every twelfth or so, by its place in the list, is a development crop.
    box
        Where the face is in a picture, or None for leaving it out.

    Returns
    -------
    The crops, weighed by :meth:`Correspondence.trust`, and the meshes (N, 478, 2) in crop pixels.

    Raises
    ------
    DatasetError
        If the teacher finds no face in any of them.
    """
    parts, meshes = [], []
    trust = correspondence.trust()
    for start in range(0, len(files), _CHUNK):
        opened = [open_image(file) for file in files[start : start + _CHUNK]]
        places = [box(image) for image in opened]
        images = [i for i, b in zip(opened, places, strict=True) if b is not None]
        if not images:
            continue
        found = teacher.locate(images, np.array([b for b in places if b is not None]), passes=3)
        good = np.flatnonzero((found.presence > PRESENCE) & (found.moved < MOVED))
        if not len(good):
            continue
        points = correspondence.apply(found.points[good])
        split = DEVELOPMENT if (start // _CHUNK) % round(1 / DEVELOPED) == 0 else TRAIN
        chosen = [images[i] for i in good]
        part = cut(zip(chosen, points, strict=True), TAUGHT, split=split, trust=trust)
        parts.append(part)
        meshes.append(_carried(points, part.points, found.points[good]))
    if not parts:
        raise DatasetError("the teacher found no face in the photographs")
    return joined(parts), np.concatenate(meshes)


def _carried(before: FloatArray, after: FloatArray, mesh: FloatArray) -> FloatArray:
    """Move meshes by the maps that moved the 68 points."""
    from vultus.geometry import similarity_transform, transform_points

    return transform_points(similarity_transform(before, after), mesh)


def labelled_crops(root: Path, sets: Sequence[str], seed: int = 0) -> PointCrops:
    """Return the crops of annotated sets (see ``datasets.points.read_landmark_table``).

    A share of each set, drawn with the seed, is development.

    Raises
    ------
    DatasetError
        If the sets have no picture.
    """
    from vultus.datasets.points import read_landmark_table

    records = [r for r in read_landmark_table(root).records if r.split in sets]
    if not records:
        raise DatasetError(f"{root}: no picture of the sets {', '.join(sets)}")
    kept = np.random.default_rng(seed).random(len(records)) < DEVELOPED
    parts = []
    for split, wanted in ((TRAIN, False), (DEVELOPMENT, True)):
        chosen = [r for r, k in zip(records, kept, strict=True) if k == wanted]
        faces = ((open_image(r.path), r.labels["landmarks"]) for r in chosen)
        parts.append(cut(faces, LABELLED, split=split))
    return joined(parts)


def pictures(folder: Path, every: int = 1) -> list[Path]:
    """Return the pictures of a folder, every n-th of them."""
    return find_images([folder])[::every]
