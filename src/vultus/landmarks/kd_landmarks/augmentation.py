"""Views of a crop: turned, scaled, shifted, mirrored, recoloured, degraded and partly covered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.geometry import FloatArray, UInt8Array, transform_points
from vultus.landmarks.crops import PointCrops
from vultus.landmarks.kd_landmarks.shapes import ShapeModel
from vultus.points68 import MIRROR, mirrored
from vultus.settings import settings


@settings
class Augmentation:
    """How far training views depart from the aligned crop.

    Parameters
    ----------
    rotation
        Deviation in degrees, cut at three times that.
    scale, stretch
        Deviation of the log of the size, and of the ratio of width to height.
    shift
        Deviation per axis, as a share of the side.
    flip
        Probability of a mirror image.
    colour
        Strength of gain, contrast, tint and gamma, 0 for none.
    degrade
        Probability of each of blur, low resolution, noise and JPEG.
    cover
        Probability of a patch over part of the face.
    """

    rotation: float = 12.0
    scale: float = 0.09
    stretch: float = 0.03
    shift: float = 0.035
    flip: float = 0.5
    colour: float = 1.0
    degrade: float = 0.12
    cover: float = 0.15

    def __post_init__(self) -> None:
        shares = (self.flip, self.degrade, self.cover)
        if min(self.rotation, self.scale, self.stretch, self.shift, self.colour) < 0:
            raise ValueError("rotation, scale, stretch, shift and colour must not be negative")
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError("flip, degrade and cover are probabilities")


def view_map(config: Augmentation, margin: int, size: int, rng: np.random.Generator) -> FloatArray:
    """Return a random map (2, 3) from a crop with a margin to the network's input."""
    bounded = np.clip(rng.standard_normal(5), -3, 3)
    angle = np.radians(config.rotation) * bounded[0]
    scale = np.exp(config.scale * bounded[1])
    stretch = np.exp(config.stretch * bounded[2] * np.array([0.5, -0.5]))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = scale * stretch[:, None] * turn
    middle = (size - 1) / 2
    offset = middle + config.shift * size * bounded[3:] - linear @ np.full(2, middle + margin)
    return np.concatenate([linear, offset[:, None]], 1).astype(np.float32)


def recoloured(image: UInt8Array, strength: float, rng: np.random.Generator) -> UInt8Array:
    """Change exposure, contrast, tint, gamma of uint8 (S, S, 3), table by table; some to grey."""
    values = np.arange(256, dtype=np.float32) / 255
    gamma = np.exp(0.25 * strength * rng.standard_normal())
    contrast, gain = np.exp(strength * np.array([0.2, 0.15]) * rng.standard_normal(2))
    tint = np.exp(0.06 * strength * rng.standard_normal(3))
    curve = ((values**gamma - 0.45) * contrast + 0.45) * gain
    table = np.clip(curve[:, None] * tint * 255, 0, 255).astype(np.uint8)
    out = np.asarray(cv2.LUT(image, table[:, None].transpose(1, 0, 2)), np.uint8)
    if rng.random() < 0.12 * min(strength, 1):
        out = np.repeat(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    return out


def degraded(image: UInt8Array, share: float, rng: np.random.Generator) -> UInt8Array:
    """Blur, shrink, add noise to, compress uint8 (S, S, 3): each with probability ``share``."""
    blurs, shrinks, noisy, coded = rng.random(4) < share
    side = image.shape[0]
    if blurs:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.5, 1.8))), np.uint8)
    if shrinks:
        small = int(side * rng.uniform(0.3, 0.8))
        tiny = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        image = np.asarray(cv2.resize(tiny, (side, side)), np.uint8)
    if noisy:
        noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(2, 14))
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if coded:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 70))]
        image = np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], 1), np.uint8)
    return image


def covered(image: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """Put a patch over a part of uint8 (S, S, 3): a colour, noise, or another part of the crop."""
    side = image.shape[0]
    height, width = (int(v) for v in side * rng.uniform(0.12, 0.42, 2))
    top, left = int(rng.integers(0, side - height)), int(rng.integers(0, side - width))
    kind = rng.integers(3)
    out = image.copy()
    if kind == 0:
        patch: NDArray[Any] = rng.integers(0, 256, 3, np.uint8)
    elif kind == 1:
        patch = rng.integers(0, 256, (height, width, 3), np.uint8)
    else:
        y, x = int(rng.integers(0, side - height)), int(rng.integers(0, side - width))
        patch = image[y : y + height, x : x + width]
    out[top : top + height, left : left + width] = patch
    return out


class PointExamples:
    """Training views of crops with points.

    Parameters
    ----------
    crops
        Faces with a margin around the network's field of view.
    config
        Of the views.
    shapes
        Also gives the soft points of every view, computed in that view.
    """

    def __init__(
        self, crops: PointCrops, config: Augmentation, shapes: ShapeModel | None = None
    ) -> None:
        self.crops, self.size, self.config = crops, crops.field, config
        self.shapes = shapes

    def __len__(self) -> int:
        return len(self.crops)

    def example(self, index: int, rng: np.random.Generator) -> Mapping[str, Any]:
        """Return ``image`` uint8 (S, S, 3), ``points`` (68, 2) in pixels, ``weight`` (68,).

        With a shape model also ``soft`` (68, 2).
        """
        image, points = self.crops.images[index], self.crops.points[index]
        weight = self.crops.weights[index]
        config = self.config
        affine = view_map(config, self.crops.margin, self.size, rng)
        border = tuple(int(v) for v in rng.integers(0, 256, 3)) if rng.random() < 0.3 else (0,) * 3
        view = np.asarray(
            cv2.warpAffine(
                image,
                affine,
                (self.size, self.size),
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=border,
            ),
            np.uint8,
        )
        moved = transform_points(affine, points)
        if rng.random() < config.flip:
            view, moved = view[:, ::-1], mirrored(moved, self.size)
            weight = weight[list(MIRROR)]
        if rng.random() < config.cover:
            view = covered(np.ascontiguousarray(view), rng)
        view = recoloured(np.ascontiguousarray(view), config.colour, rng)
        view = degraded(view, config.degrade, rng)
        fields = {"image": np.ascontiguousarray(view), "points": moved, "weight": weight}
        if self.shapes is not None:
            fields["soft"] = self.shapes.soften(moved)
        return fields


def view_points(examples: PointExamples, count: int, seed: int) -> FloatArray:
    """Return the points (count, 68, 2) of random views, for fitting a shape model."""
    rng = np.random.default_rng((seed, 68))
    config, crops = examples.config, examples.crops
    drawn = []
    for index in rng.integers(0, len(crops), count):
        moved = transform_points(
            view_map(config, crops.margin, examples.size, rng), crops.points[index]
        )
        drawn.append(mirrored(moved, examples.size) if rng.random() < config.flip else moved)
    return np.stack(drawn)
