"""Pictures as quality sees them: geometry, aligned crop and template of each picture's subject."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.analysis import Analysis, Analyzer
from vultus.errors import DatasetError
from vultus.faces import Face
from vultus.geometry import UInt8Array, align, template
from vultus.quality.components import TEMPLATE, measure
from vultus.quality.features import Geometry

FloatArray = NDArray[np.float32]

Progress = Callable[[Analysis], None]


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """The subjects of those of N pictures that show a face.

    Parameters
    ----------
    rows
        int64 (M,), the number of the picture of each.
    geometry
        Of the M faces.
    crops
        uint8 (M, 150, 150, 3), aligned for the components.
    sizes
        float32 (M, 2), width and height of the pictures.
    vectors
        float32 (M, D) templates.
    """

    rows: NDArray[np.int64]
    geometry: Geometry
    crops: UInt8Array
    sizes: FloatArray
    vectors: FloatArray

    def __len__(self) -> int:
        return len(self.rows)

    def components(self) -> FloatArray:
        """Return the quality components, float32 (M, C)."""
        step = 64
        parts = [
            measure(
                self.crops[i : i + step],
                self.geometry.take(slice(i, i + step)),
                self.sizes[i : i + step],
            )
            for i in range(0, len(self), step)
        ]
        return np.concatenate(parts)


def observe(
    pictures: Iterable[Any], analyzer: Analyzer, progress: Progress | None = None
) -> Observed:
    """Look at the most central face of every picture.

    Parameters
    ----------
    pictures
        What :meth:`~vultus.analysis.Analyzer.open` takes; read once, in order.
    analyzer, progress
        Finds and describes the faces; called with each picture's result.

    Raises
    ------
    DatasetError
        If there is no face in any picture.
    """
    form = template(TEMPLATE)
    rows: list[int] = []
    faces: list[Face] = []
    crops, sizes = [], []
    stream = analyzer.stream(
        pictures, fields=("landmarks", "pose"), subject="central", keep_images=True
    )
    for row, found in enumerate(stream):
        if progress:
            progress(found)
        if found.error is not None or found.image is None:
            continue
        face = found.faces[0]
        rows.append(row)
        faces.append(face)
        crops.append(align(found.image, face.keypoints, form)[0])
        sizes.append((found.width, found.height))
    if not rows:
        raise DatasetError("no face was found in any of the pictures")
    return Observed(
        np.array(rows, np.int64),
        Geometry.of(faces),
        np.stack(crops),
        np.array(sizes, np.float32),
        np.stack([face.embedding.vector for face in faces]),
    )


#: Changes that :func:`degraded` makes, and what their strength in [0, 1] runs up to.
DEGRADATIONS: tuple[str, ...] = (
    "small",
    "blur",
    "motion",
    "noise",
    "dark",
    "bright",
    "side_light",
    "jpeg",
    "covered",
)


def degraded(
    image: UInt8Array, change: str, strength: float, rng: np.random.Generator, face: float
) -> UInt8Array:
    """Return a picture that is worse in a known way.

    Parameters
    ----------
    image
        uint8 RGB (H, W, 3) whose face is in the middle.
    change
        One of :data:`DEGRADATIONS`.
    strength
        In [0, 1]; 0 changes little, 1 leaves hardly anything to recognise.
    rng
        Directions, colours, noise.
    face
        Width of the face in pixels, by which blurs and covers are scaled.

    Raises
    ------
    DatasetError
        If the change is unknown.
    """
    height, width = image.shape[:2]
    if change == "small":
        # From 80 pixels of face width down to 8.
        scale = min(1.0, 80 * 0.1**strength / face)
        new = max(round(width * scale), 4), max(round(height * scale), 4)
        return np.asarray(cv2.resize(image, new, interpolation=cv2.INTER_AREA), np.uint8)
    if change == "blur":
        sigma = face * (0.004 + 0.096 * strength)
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)
    if change == "motion":
        return _smeared(image, face * (0.02 + 0.48 * strength), float(rng.uniform(0, np.pi)))
    if change == "jpeg":
        quality = round(40 * 0.025**strength)
        _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.ascontiguousarray(np.asarray(cv2.imdecode(data, 1), np.uint8)[..., ::-1])
    if change == "covered":
        return _covered(image, strength, rng, face)
    if change not in DEGRADATIONS:
        raise DatasetError(f"no degradation {change!r}; known: {', '.join(DEGRADATIONS)}")
    linear = np.asarray((image.astype(np.float32) / 255) ** 2.2, np.float32)
    light = _relit(linear, change, strength, rng, face)
    return np.round(255 * np.clip(light, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def _relit(
    light: FloatArray, change: str, strength: float, rng: np.random.Generator, face: float
) -> FloatArray:
    """Return linear light (H, W, 3) with noise, less or more of it, or from one side."""
    if change == "noise":
        return light + rng.normal(0, 0.005 + 0.2 * strength, light.shape).astype(np.float32)
    if change == "dark":
        light = light * 10 ** (-0.2 - 2.3 * strength)
        return light + rng.normal(0, 0.002, light.shape).astype(np.float32)
    if change == "bright":
        return light * 10 ** (0.1 + 1.4 * strength)
    width = light.shape[1]
    ramp = np.linspace(-1, 1, width, dtype=np.float32) * width / face * rng.choice([-1, 1])
    least = 10 ** (-3 * strength)
    side = 1 / (1 + np.exp(-8 * ramp)) * (1 - least) + least
    return np.asarray(light * side[None, :, None].astype(np.float32), np.float32)


def _covered(
    image: UInt8Array, strength: float, rng: np.random.Generator, face: float
) -> UInt8Array:
    height, width = image.shape[:2]
    centre = (np.array([width, height]) / 2 + rng.uniform(-0.3, 0.3, 2) * face).astype(int)
    axes = (face * (0.1 + 0.35 * strength) * rng.uniform(0.7, 1.3, 2)).astype(int)
    colour = rng.integers(0, 256, 3).tolist()
    angle = float(rng.uniform(0, 180))
    out = image.copy()
    cv2.ellipse(out, centre.tolist(), axes.tolist(), angle, 0, 360, colour, -1, cv2.LINE_AA)
    return out


def _smeared(image: UInt8Array, length: float, turn: float) -> UInt8Array:
    side = 2 * int(np.ceil(length / 2)) + 1
    kernel = np.zeros((side, side), np.float32)
    for t in np.linspace(-0.5, 0.5, 4 * side):
        place = side // 2 + t * length * np.array([np.cos(turn), np.sin(turn)])
        column, row = np.clip(np.round(place).astype(int), 0, side - 1)
        kernel[row, column] += 1
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)


def any_degradation(
    image: UInt8Array, rng: np.random.Generator, face: float, *, untouched: float = 0.3
) -> tuple[UInt8Array, str]:
    """Return a picture after one or two random changes, or as it is, and what was done.

    Parameters
    ----------
    image, rng, face
        As in :func:`degraded`; the picture may come back smaller.
    untouched
        Probability of no change.
    """
    if rng.random() < untouched:
        return image, "none"
    count = 1 + int(rng.random() < 0.25)
    chosen = rng.choice(DEGRADATIONS, count, replace=False)
    for change in chosen:
        before = image.shape[1]
        image = degraded(image, str(change), float(rng.random()), rng, face)
        face *= image.shape[1] / before
    return image, "+".join(map(str, chosen))


def fields_of(observed: Observed) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield every array of an observation by name, for storing it."""
    for name in ("box", "score", "keypoints", "landmarks", "pose"):
        yield name, getattr(observed.geometry, name)
    for name in ("rows", "crops", "sizes", "vectors"):
        yield name, getattr(observed, name)
