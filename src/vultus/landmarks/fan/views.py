"""Training views: the crop of a box, scaled, turned, mirrored and recoloured in one warp."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vultus.geometry import FloatArray, UInt8Array, transform_points, warp
from vultus.landmarks.fan.faces import Faces
from vultus.landmarks.heatmaps import REFERENCE, crop_maps
from vultus.points68 import mirrored
from vultus.settings import settings


@settings
class Views:
    """How far training views depart from the crop of the box.

    Parameters
    ----------
    scale
        The size is 1 plus this times a normal number, at most this far from 1.
    rotation
        Deviation in degrees, cut at twice that.
    turned
        Share of the views that are turned.
    flip
        Probability of a mirror image.
    gain
        Each channel is multiplied by 1 minus to 1 plus this.
    """

    scale: float = 0.3
    rotation: float = 30.0
    turned: float = 0.4
    flip: float = 0.5
    gain: float = 0.3

    def __post_init__(self) -> None:
        if not 0 <= self.scale < 1 or not 0 <= self.gain < 1 or self.rotation < 0:
            raise ValueError("need scale and gain in [0, 1), rotation >= 0")
        if not (0 <= self.turned <= 1 and 0 <= self.flip <= 1):
            raise ValueError("turned and flip are probabilities")


def view_map(crop: FloatArray, size: int, config: Views, rng: np.random.Generator) -> FloatArray:
    """Return the map (2, 3) of a random view, from the map of the plain crop."""
    scale = 1 + np.clip(config.scale * rng.standard_normal(), -config.scale, config.scale)
    turn = config.rotation * np.clip(rng.standard_normal(), -2, 2)
    angle = np.radians(turn) if rng.random() < config.turned else 0.0
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]])
    middle = np.full(2, (size - 1) / 2)
    about = np.column_stack([linear, middle - linear @ middle])
    out = about[:, :2] @ crop
    out[:, 2] += about[:, 2]
    return np.asarray(out, np.float32)


class FaceViews:
    """Views of faces, for training.

    Parameters
    ----------
    faces
        Pictures with points.
    size
        Side of the views.
    config
        Of the views.
    reference
        See :func:`~vultus.landmarks.heatmaps.crop_maps`.
    """

    def __init__(
        self, faces: Faces, size: int, config: Views, reference: float = REFERENCE
    ) -> None:
        self.faces, self.size, self.config = faces, size, config
        self.crops = crop_maps(faces.boxes, size, reference)

    def __len__(self) -> int:
        return len(self.faces)

    def example(self, index: int, rng: np.random.Generator) -> Mapping[str, Any]:
        """Return ``image`` (S, S, 3), and ``contour`` (68, 2), ``projected`` (68, 3) in pixels."""
        faces, config = self.faces, self.config
        affine = view_map(self.crops[index], self.size, config, rng)
        image = warp(faces.images[index], affine[None], self.size)[0]
        contour = transform_points(affine, faces.contour[index])
        space = faces.projected[index]
        depth = space[:, 2:] * np.float32(np.sqrt(np.linalg.det(affine[:, :2].astype(np.float64))))
        projected = np.concatenate([transform_points(affine, space[:, :2]), depth], 1)
        if rng.random() < config.flip:
            image = image[:, ::-1]
            contour, projected = (mirrored(p, self.size) for p in (contour, projected))
        gain = rng.uniform(1 - config.gain, 1 + config.gain, 3)
        return {"image": gained(image, gain), "contour": contour, "projected": projected}


def gained(image: UInt8Array, gain: FloatArray | Any) -> UInt8Array:
    """Multiply the channels of a picture, uint8 (H, W, 3), by gains (3,), and cut at white."""
    return np.clip(image * np.asarray(gain, np.float32), 0, 255).astype(np.uint8)
