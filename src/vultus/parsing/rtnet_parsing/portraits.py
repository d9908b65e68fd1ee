"""Photographs as training examples: labels from a face mesh, and from a plain backdrop.

A mesh of 468 or 478 points (Kartynnik et al., 2019) gives brows, eyes, nose, lips and the oval of
the face. It says nothing of hair and ears. Where a portrait has a backdrop of one colour, that
colour gives the outline of the sitter, and within it hair is what does not look like the skin of
the face. What is in doubt stays unlabelled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.errors import DatasetError
from vultus.geometry import expand_box, transform_points, warp
from vultus.images import open_image
from vultus.parsing.classes import BACKGROUND, HAIR, IGNORE
from vultus.settings import settings
from vultus.worlds.backgrounds import procedural_background
from vultus.worlds.noise import srgb
from vultus.writing import replacing

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]
Points = Sequence[int]

#: What a face mesh says of a picture: points (K, 2) and box (4,) in pixels, or None.
Finder = Callable[[UInt8Array], tuple[FloatArray, FloatArray] | None]

#: Side of the picture that is kept, in heights of the box.
CONTEXT = 2.0

OVAL: Points = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
BROWS: tuple[Points, Points] = (
    (46, 53, 52, 65, 55, 107, 66, 105, 63, 70),
    (276, 283, 282, 295, 285, 336, 296, 334, 293, 300),
)
EYES: tuple[Points, Points] = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    (362, 382, 381, 380, 374, 373, 390, 249, 263, 466, 388, 387, 386, 385, 384, 398),
)
NOSE: Points = (
    168, 193, 122, 196, 198, 209, 49, 129, 64, 98, 97, 2, 326, 327, 294, 358, 279, 429, 420,
    419, 351, 417,
)  # fmt: skip
UPPER_LIP: Points = (
    61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 308, 415, 310, 311, 312, 13, 82, 81, 80,
    191, 78,
)  # fmt: skip
LOWER_LIP: Points = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 308, 324, 318, 402, 317, 14, 87, 178, 88,
    95, 78,
)  # fmt: skip
INNER_MOUTH: Points = (
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191,
)  # fmt: skip
_CHIN = 152

#: Distance from the skin of the face, in its own units of light and colour, up to which a pixel is
#: skin, and from which it is not.
_SKIN, _OTHER = 0.9, 1.6
#: A step of each of L, a and b that counts as one.
_STEP = np.array([32.0, 8.0, 8.0], np.float32)
#: Chroma distance from the backdrop where the sitter begins, and where it no longer shines through.
_KEY = (14.0, 40.0)
#: A backdrop is plain if its chroma differs by less, and its chroma is stronger than this.
_PLAIN, _STRONG = 7.0, 25.0


@settings
class Portraits:
    """Photographs to learn from beside renders.

    Parameters
    ----------
    file
        Written by :func:`write_sitters`.
    share
        Share of the training pictures that shows a photograph.
    exchange
        Probability that a plain backdrop is exchanged for another one.
    """

    file: str
    share: float = 0.3
    exchange: float = 0.7

    def __post_init__(self) -> None:
        if not 0 < self.share < 1 or not 0 <= self.exchange <= 1:
            raise ValueError("need share in (0, 1) and exchange in [0, 1]")


class Backdrops:
    """A store of drawn backdrops.

    Parameters
    ----------
    size
        Side in pixels.
    seed
        Of the pictures.
    count
        How many are kept.
    """

    def __init__(self, size: int, seed: int, count: int = 200) -> None:
        rng = np.random.default_rng((seed, 43))
        drawn = [procedural_background(rng, size) for _ in range(count)]
        lit = [np.clip(srgb(light * np.float32(rng.uniform(0.5, 2.0))), 0, 1) for light in drawn]
        self.images: UInt8Array = (np.stack(lit) * 255).astype(np.uint8)

    def draw(self, rng: np.random.Generator) -> UInt8Array:
        """Return one, as it is or mirrored, uint8 (S, S, 3)."""
        image: UInt8Array = self.images[int(rng.integers(len(self.images)))]
        return image[:, ::-1] if rng.random() < 0.5 else image


@dataclass(frozen=True, slots=True, eq=False)
class Sitters:
    """Photographs with weak labels.

    Parameters
    ----------
    images
        uint8 RGB (N, S, S, 3).
    fore
        uint8 RGB (N, S, S, 3): the sitter without the backdrop's colour along the outline.
    alpha
        uint8 (N, S, S): how much of a pixel is the sitter; 255 everywhere without a plain backdrop.
    parts
        uint8 (N, S, S): classes, ``IGNORE`` where unknown.
    boxes
        float32 (N, 4).
    exchange
        Probability that a plain backdrop is exchanged.
    """

    images: UInt8Array
    fore: UInt8Array
    alpha: UInt8Array
    parts: UInt8Array
    boxes: FloatArray
    exchange: float

    def __len__(self) -> int:
        return len(self.images)

    def picture(
        self, index: int, backdrops: Backdrops, rng: np.random.Generator
    ) -> tuple[UInt8Array, UInt8Array, FloatArray]:
        """Return picture (S, S, 3), mask (S, S) and box (4,), perhaps before another backdrop."""
        image, alpha = self.images[index], self.alpha[index]
        if alpha.min() == 0 and rng.random() < self.exchange:
            cover = alpha[..., None].astype(np.float32) / 255
            behind = backdrops.draw(rng).astype(np.float32)
            image = (behind + (self.fore[index] - behind) * cover + 0.5).astype(np.uint8)
        return image, self.parts[index], self.boxes[index]


def write_sitters(paths: Sequence[Path], file: Path, find: Finder, size: int) -> int:
    """Label photographs, and keep them as arrays; return how many show a face.

    Parameters
    ----------
    paths
        Photographs of one person each.
    file
        Where to, ``.npz``.
    find
        The teacher.
    size
        Side of the pictures that are kept.

    Raises
    ------
    DatasetError
        If the teacher finds no face in any photograph.
    """
    rows = []
    for path in paths:
        image = open_image(path)
        found = find(image)
        if found is not None:
            rows.append(_sitter(image, *found, size))
    if not rows:
        raise DatasetError(f"the teacher finds no face in {len(paths)} photographs")
    columns = [np.stack(column) for column in zip(*rows, strict=True)]
    file.parent.mkdir(parents=True, exist_ok=True)
    names = ("images", "fore", "alpha", "parts", "boxes")
    with replacing(file) as part, part.open("wb") as stream:
        np.savez(stream, **dict(zip(names, columns, strict=True)))  # type: ignore[arg-type]
    return len(rows)


def read_sitters(config: Portraits, size: int) -> Sitters:
    """Read what :func:`write_sitters` wrote.

    Raises
    ------
    DatasetError
        If the file is missing, or holds pictures of another size.
    """
    try:
        with np.load(config.file, allow_pickle=False) as stored:
            images, fore, alpha = stored["images"], stored["fore"], stored["alpha"]
            parts, boxes = stored["parts"], stored["boxes"]
    except (OSError, KeyError, ValueError) as error:
        raise DatasetError(
            f"{config.file}: no labelled portraits ({error}); write them with write_sitters"
        ) from error
    if images.shape[1] != size:
        raise DatasetError(f"{config.file} has pictures of {images.shape[1]} pixels, not {size}")
    return Sitters(images, fore, alpha, parts, boxes, config.exchange)


def _sitter(
    image: UInt8Array, points: FloatArray, box: FloatArray, size: int
) -> tuple[UInt8Array, UInt8Array, UInt8Array, UInt8Array, FloatArray]:
    square = expand_box(box, CONTEXT)
    scale = size / float(square[2] - square[0])
    affine = np.array([[scale, 0, 0], [0, scale, 0]], np.float32)
    affine[:, 2] = -square[:2] * scale + (scale - 1) / 2
    crop = warp(image, affine, size)[0]
    on_crop = transform_points(affine, points)
    inside = warp(np.full_like(image, 255), affine, size)[0, ..., 0] == 255
    place = ((box.reshape(2, 2) - square[:2]) * scale).reshape(4).astype(np.float32)
    alpha, fore = keyed(crop, inside)
    parts = weak_labels(crop, on_crop, place, alpha)
    parts[~inside] = IGNORE
    return crop, fore, alpha, parts, place


def keyed(image: UInt8Array, inside: BoolArray) -> tuple[UInt8Array, UInt8Array]:
    """Separate a sitter from a backdrop of one colour.

    Parameters
    ----------
    image
        uint8 RGB (S, S, 3).
    inside
        bool (S, S): pixels that the photograph covers.

    Returns
    -------
    alpha
        uint8 (S, S): 0 where the backdrop is; 255 everywhere if it is not plain.
    fore
        uint8 (S, S, 3): colours of the sitter, continued beyond the outline.
    """
    lab = _lab(image)
    size = len(image)
    corner = np.zeros_like(inside)
    corner[: size // 4, : size // 6] = corner[: size // 4, -size // 6 :] = True
    sample = lab[corner & inside][:, 1:]
    opaque = np.full(inside.shape, 255, np.uint8)
    if len(sample) < size:
        return opaque, image
    colour = np.median(sample, axis=0)
    spread = np.percentile(np.linalg.norm(sample - colour, axis=1), 90)
    if spread > _PLAIN or np.linalg.norm(colour) < _STRONG:
        return opaque, image
    distance = np.linalg.norm(lab[..., 1:] - colour, axis=2)
    alpha = np.clip((distance - _KEY[0]) / (_KEY[1] - _KEY[0]), 0, 1).astype(np.float32)
    alpha[~inside] = 0
    pure = (alpha > 0.98).astype(np.float32)
    spread_pure = cv2.GaussianBlur(image * pure[..., None], (0, 0), 2.0)
    weight = cv2.GaussianBlur(pure, (0, 0), 2.0)[..., None]
    beyond = spread_pure / np.maximum(weight, 1e-3)
    fore = np.where(pure[..., None] > 0, image, np.clip(beyond, 0, 255))
    return (alpha * 255 + 0.5).astype(np.uint8), fore.astype(np.uint8)


def weak_labels(
    image: UInt8Array, points: FloatArray, box: FloatArray, alpha: UInt8Array
) -> UInt8Array:
    """Return what mesh and outline tell, uint8 (S, S), ``IGNORE`` elsewhere.

    Parameters
    ----------
    image
        uint8 RGB (S, S, 3).
    points
        (K, 2) of the mesh, in pixels.
    box
        (4,) of the face.
    alpha
        As :func:`keyed` gives it.
    """
    oval = _filled(image, points, OVAL)
    features = _features(image, points)
    distance = _from_skin(image, (oval > 0) & (features == IGNORE))
    parts = np.full(image.shape[:2], IGNORE, np.uint8)
    if alpha.min() == 0:
        parts = _around(parts, points, box, alpha, oval, distance)
    # The edge of the oval is uncertain, and hair may fall over the forehead.
    sure = cv2.erode(oval, np.ones((3, 3), np.uint8)) > 0
    parts[(oval > 0) & ~sure] = IGNORE
    parts[sure] = np.where(distance[sure] < _OTHER, 1, IGNORE)
    near_brows = cv2.dilate(np.isin(features, (2, 3)).astype(np.uint8), np.ones((5, 5), np.uint8))
    parts[(near_brows > 0) & sure] = IGNORE
    parts[features != IGNORE] = features[features != IGNORE]
    return parts


def _around(
    parts: UInt8Array,
    points: FloatArray,
    box: FloatArray,
    alpha: UInt8Array,
    oval: UInt8Array,
    distance: FloatArray,
) -> UInt8Array:
    """Label backdrop, hair, ears and neck around the oval of a face."""
    rows, columns = np.mgrid[: len(parts), : len(parts)].astype(np.float32)
    width = float(box[2] - box[0])
    chin, middle = points[_CHIN, 1], float(box[0] + box[2]) / 2
    eyes = float(np.mean([points[list(e), 1].mean() for e in EYES]))
    head = (alpha >= 128) & (oval == 0)
    above = head & (rows < chin - 0.08 * width) & (np.abs(columns - middle) < 1.1 * width)
    parts[above & (distance < _SKIN)] = 1
    # The shadows of an ear are dark like hair.
    reach = cv2.dilate(oval, np.ones((1, 2 * int(0.16 * width) + 1), np.uint8)) > 0
    ears = reach & (rows > eyes - 0.1 * width)
    parts[above & (distance > _OTHER) & ~ears] = HAIR
    below = head & (rows > chin + 0.03 * width)
    parts[below & ((distance < _SKIN) | (np.abs(columns - middle) < 0.3 * width))] = BACKGROUND
    parts[alpha < 128] = BACKGROUND
    return parts


def _features(image: UInt8Array, points: FloatArray) -> UInt8Array:
    parts = np.full(image.shape[:2], IGNORE, np.uint8)
    outlines = (
        (6, NOSE),
        (2, BROWS[0]),
        (3, BROWS[1]),
        (4, EYES[0]),
        (5, EYES[1]),
        (8, INNER_MOUTH),
        (7, UPPER_LIP),
        (9, LOWER_LIP),
    )
    for part, outline in outlines:
        parts[_filled(image, points, outline) > 0] = part
    return parts


def _filled(image: UInt8Array, points: FloatArray, outline: Points) -> UInt8Array:
    # Drawn four times as large: small parts are a pixel or two high.
    side = 4 * len(image)
    mask = np.zeros((side, side), np.uint8)
    corners = np.round((points[list(outline)] * 4 + 1.5) * 16).astype(np.int32)
    cv2.fillPoly(mask, [corners], 255, shift=4)
    small = cv2.resize(mask, (side // 4, side // 4), interpolation=cv2.INTER_AREA)
    return np.asarray(np.where(small >= 128, 255, 0), np.uint8)


def _from_skin(image: UInt8Array, skin: BoolArray) -> FloatArray:
    lab = _lab(image)
    if not skin.any():
        return np.full(image.shape[:2], np.inf, np.float32)
    centre = np.median(lab[skin], axis=0)
    distance: FloatArray = np.linalg.norm((lab - centre) / _STEP, axis=2).astype(np.float32)
    return distance


def _lab(image: UInt8Array) -> FloatArray:
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2Lab), np.float32)
