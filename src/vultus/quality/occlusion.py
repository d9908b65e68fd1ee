"""Whether eyes and mouth can be seen, and eyes are open: logistic regression on their places.

The places are fixed in the aligned crop. Each is told by how much the luminance of its nine cells
differs among them and from the cheeks, by the difference of its colour from theirs, and by its
texture; an open eye by the range of its luminance and by its profile from top to bottom: the face
mesh does not follow the lids well enough for that. The weights were fitted by
``python benchmarks/quality.py curves`` on rendered heads and on portraits of the US Congress, whose
eyes or mouths are painted over with light, dark, coloured and skin-like patches, and on rendered
heads with closed eyes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.geometry import UInt8Array

FloatArray = NDArray[np.float32]
Place = tuple[slice, slice]

LEFT_EYE: Place = (slice(33, 57), slice(29, 65))
RIGHT_EYE: Place = (slice(33, 57), slice(84, 120))
MOUTH: Place = (slice(90, 120), slice(45, 105))
_CHEEKS: tuple[Place, Place] = ((slice(66, 86), slice(30, 54)), (slice(66, 86), slice(95, 119)))

#: Bias, then the weights of the features of :func:`place_features`.
EYE_WEIGHTS: tuple[float, ...] = (
    *(1.79, 1.57, 4.78, 3.28, 1.19, 7.65, 1.56),
    *(1.46, 5.55, 2.27, -2.82, -3.7, -2.22, 0.75),
)
MOUTH_WEIGHTS: tuple[float, ...] = (
    *(2.51, 0.35, 3.38, 1.0, 2.14, 3.52, 2.42),
    *(1.23, 3.71, 0.89, -3.31, -4.13, -3.12, 0.69),
)
#: Bias, then the weights of the features of :func:`lid_features`.
OPEN_WEIGHTS: tuple[float, ...] = (
    *(-2.679, -4.54, 0.399, 3.726, 1.171),
    *(-0.964, -0.243, 2.983, 1.03, -0.945),
)


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """Luminance (N, H, W) in [0, 255], and the two colour differences of the same shape."""

    luminance: FloatArray
    blue: FloatArray
    red: FloatArray

    @classmethod
    def of(cls, crops: UInt8Array) -> Planes:
        """Split RGB crops (N, H, W, 3), after ITU-R BT.601."""
        r, g, b = (crops[..., i].astype(np.float32) for i in range(3))
        y = 0.299 * r + 0.587 * g + 0.114 * b
        return cls(y, 0.564 * (b - y), 0.713 * (r - y))


def visibility(planes: Planes) -> tuple[FloatArray, FloatArray]:
    """Return how likely it is that both eyes, and the mouth, are not covered: two (N,)."""
    left = _logistic(place_features(planes, LEFT_EYE), EYE_WEIGHTS)
    right = _logistic(place_features(planes, RIGHT_EYE, mirrored=True), EYE_WEIGHTS)
    mouth = _logistic(place_features(planes, MOUTH), MOUTH_WEIGHTS)
    return np.minimum(left, right), mouth


def place_features(planes: Planes, place: Place, *, mirrored: bool = False) -> FloatArray:
    """Return what a place of the crop looks like, float32 (N, 13).

    Of nine cells' log luminance over that of the cheeks: absolute differences from their mean, and
    the absolute mean; then the colour's distance from the cheeks', its red part, and the log of
    the mean slope.

    Parameters
    ----------
    planes, place
        The crops, and rows and columns in them.
    mirrored
        Whether to look at it in the mirror, so that both eyes share their weights.
    """
    step = -1 if mirrored else 1
    tone = planes.luminance[:, place[0], place[1]][:, :, ::step]
    skin = _cheeks(planes.luminance) + 8
    n, height, width = tone.shape
    cells = tone[:, : height // 3 * 3, : width // 3 * 3]
    cells = cells.reshape(n, 3, height // 3, 3, width // 3).mean((2, 4)).reshape(n, 9)
    relative = np.log((cells + 8) / skin[:, None])
    mean = relative.mean(1, keepdims=True)
    blue, red = (
        (plane[:, place[0], place[1]].mean((1, 2)) - _cheeks(plane)) / skin
        for plane in (planes.blue, planes.red)
    )
    slope = np.abs(np.diff(tone, axis=1)).mean((1, 2)) + np.abs(np.diff(tone, axis=2)).mean((1, 2))
    single = np.stack([np.hypot(blue, red), np.abs(red), np.log((slope + 0.5) / skin)], 1)
    columns = [np.abs(relative - mean), np.abs(mean), single]
    return np.concatenate(columns, 1).astype(np.float32)


def openness(planes: Planes) -> FloatArray:
    """Return how likely it is that the eye that is less open is open, (N,)."""
    left = _logistic(lid_features(planes, LEFT_EYE), OPEN_WEIGHTS)
    return np.minimum(left, _logistic(lid_features(planes, RIGHT_EYE), OPEN_WEIGHTS))


def lid_features(planes: Planes, place: Place) -> FloatArray:
    """Return what the middle of an eye's place looks like, float32 (N, 9).

    Logs of luminance over that of the cheeks: quantiles 0.05, 0.5 and 0.95, and the means of six
    stripes from top to bottom.
    """
    tone = planes.luminance[:, place[0], place[1]]
    width = tone.shape[2]
    middle = tone[:, :, width // 4 : width - width // 4]
    skin = _cheeks(planes.luminance) + 8
    ranges = np.quantile(middle.reshape(len(middle), -1), (0.05, 0.5, 0.95), axis=1).T
    stripes = middle.mean(2).reshape(len(middle), 6, -1).mean(2)
    values = np.concatenate([ranges, stripes], 1)
    return np.log((values + 8) / skin[:, None]).astype(np.float32)


def _cheeks(plane: FloatArray) -> FloatArray:
    return np.asarray(np.mean([plane[:, r, c].mean((1, 2)) for r, c in _CHEEKS], 0), np.float32)


def _logistic(features: FloatArray, weights: ArrayLike) -> FloatArray:
    w = np.asarray(weights, np.float64)
    z = np.clip(features @ w[1:] + w[0], -60, 60)
    return np.asarray(1 / (1 + np.exp(-z)), np.float32)
