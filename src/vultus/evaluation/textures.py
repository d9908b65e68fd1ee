"""Photographs to skins that rendered heads can wear, see :mod:`vultus.worlds.projection`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from vultus.datasets.records import Dataset, Record
from vultus.detection import Detector, central
from vultus.errors import ConfigError, DatasetError, ImageError
from vultus.geometry import FloatArray, UInt8Array
from vultus.images import open_image
from vultus.landmarks import LandmarkPredictor
from vultus.worlds import load_head, project_photo, save_texture

#: Distance of the outer eye corners, in pixels, under which a photograph shows no skin.
LEAST = 24.0


def photo_textures(
    data: Dataset,
    out: Path,
    detector: Detector,
    landmarks: LandmarkPredictor,
    *,
    head: str = "procedural",
    size: int = 512,
    progress: Callable[[Record], None] | None = None,
) -> tuple[int, int]:
    """Write the skin of the central face of every picture of a set as ``SET-000012.png``.

    Textures that are there already are kept, so that a run that was stopped goes on.

    Parameters
    ----------
    data
        The photographs.
    out
        Folder for :class:`~vultus.worlds.spec.WorldSpec.textures`, made if missing.
    detector, landmarks
        Find the faces and their 68 points.
    head, size
        Head that is fitted; side of the textures in texels.
    progress
        Called with every record.

    Returns
    -------
    How many textures are there, and how many pictures gave none: they cannot be read, show no
    face, or one that is too small.

    Raises
    ------
    ConfigError
        If the size is out of range.
    DatasetError
        If no picture gave a texture.
    """
    if not 64 <= size <= 2048:
        raise ConfigError(f"the side of a texture must lie in [64, 2048], got {size}")
    model = load_head(head, "low")
    written = missed = 0
    for number, record in enumerate(data):
        path = out / f"{data.name}-{number:06d}.png"
        done = path.exists()
        if not done:
            found = _face(record, detector, landmarks)
            if found is not None:
                save_texture(path, project_photo(model, *found, size=size))
                done = True
        written, missed = written + done, missed + (not done)
        if progress is not None:
            progress(record)
    if not written:
        raise DatasetError(
            f"{data.root}: none of {missed} pictures shows a face of {LEAST:.0f} pixels between "
            "the eyes' outer corners"
        )
    return written, missed


def _face(
    record: Record, detector: Detector, landmarks: LandmarkPredictor
) -> tuple[UInt8Array, FloatArray] | None:
    """Return a picture and the 68 points of its central face, or None."""
    try:
        image = open_image(record.source())
    except ImageError:
        return None
    faces = detector.detect(image)
    if not faces:
        return None
    points = landmarks.locate(image, central(faces, image.shape).keypoints[None])[0]
    wide = float(np.linalg.norm(points[45] - points[36]))
    return (image, points) if wide >= LEAST else None
