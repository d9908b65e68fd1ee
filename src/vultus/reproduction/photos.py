"""Real photographs for reproductions: found under ``VULTUS_DATA``, aligned once, then cached."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.datasets import catalogue
from vultus.datasets.records import Dataset
from vultus.detection import Detector, central
from vultus.errors import ConfigError, DatasetError
from vultus.images import open_image
from vultus.places import default_home
from vultus.recognition.crops import Crops, collect, load_crops, save_crops
from vultus.writing import replacing

#: Degrees of azimuth up to which a light counts as frontal.
FRONTAL_LIGHT = 25

#: Side of the cached crops.
SIZE = 64

#: Sets of photographs of known people, by their keys in the catalogue.
SETS = ("lfw", "orl", "yale-b")


def photo_dataset(name: str) -> Dataset:
    """Return a listed set that lies under ``VULTUS_DATA``: ``lfw``, ``orl`` or ``yale-b``.

    Raises
    ------
    ConfigError
        If the set is another one, or there is no data folder.
    """
    if name not in SETS:
        raise ConfigError(f"unknown set of photographs {name!r}; known: {sorted(SETS)}")
    return catalogue.read(name)


def photo_crops(name: str) -> Path:
    """Return a file of the aligned crops of a set, 64 pixels wide, made on first use.

    Faces are found with the default detector; the one nearest the picture's centre is meant.
    People with one picture only are left out.
    """
    path = default_home() / "crops" / f"{name}-{SIZE}.safetensors"
    if not path.exists():
        records = photo_dataset(name)
        codes, _ = records.identities()
        kept = records.take(np.flatnonzero(np.bincount(codes)[codes] > 1))
        crops, _ = collect(_pictures(kept), _locate, SIZE)
        with replacing(path) as part:
            save_crops(part, crops)
    return path


def _pictures(records: Dataset) -> Iterator[tuple[NDArray[np.uint8], str]]:
    for record in records:
        yield open_image(record.source()), str(record.identity)


def _locate(image: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    faces = _detector().detect(image)
    return central(faces, image.shape).keypoints if faces else None


@lru_cache(maxsize=1)
def _detector() -> Detector:
    return Detector(threads=1)


def lit_crops() -> tuple[Crops, NDArray[np.float64]]:
    """Return Extended Yale B crops and the azimuth of each light in degrees (NaN: ambient).

    The head does not move between lights, so a person's keypoints are the medians of those found
    under frontal light: side light would otherwise move them, and the alignment with them.
    """
    path = default_home() / "crops" / f"yale-b-{SIZE}.safetensors"
    records = photo_dataset("yale-b")
    azimuths = np.array([record.labels["azimuth"] for record in records], np.float64)
    if not path.exists():
        crops = _align_lit(records, azimuths)
        with replacing(path) as part:
            save_crops(part, crops)
    return load_crops(path), azimuths


def _align_lit(records: Dataset, azimuths: NDArray[np.float64]) -> Crops:
    # The cropped version of the set ends at the chin and the brows.
    pictures = [(np.pad(i, ((40, 40), (40, 40), (0, 0))), who) for i, who in _pictures(records)]
    frontal: dict[str, list[NDArray[np.float32]]] = {}
    for (image, who), azimuth in zip(pictures, azimuths, strict=True):
        points = _locate(image) if abs(azimuth) <= FRONTAL_LIGHT else None
        if points is not None:
            frontal.setdefault(who, []).append(points)
    missing = {who for _, who in pictures} - frontal.keys()
    if missing:
        raise DatasetError(f"{records.root}: no face was found for {sorted(missing)}")
    medians = {who: np.median(p, axis=0).astype(np.float32) for who, p in frontal.items()}
    places = iter([medians[who] for _, who in pictures])
    return collect(pictures, lambda _: next(places), SIZE)[0]


def jpeg(crops: Crops, quality: int) -> Crops:
    """Return crops after JPEG compression at a quality of 1 to 100."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    images = np.empty_like(crops.images)
    for i, image in enumerate(crops.images):
        _, data = cv2.imencode(".jpg", image[..., ::-1], options)
        images[i] = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]
    return Crops(images, crops.people, crops.points)
