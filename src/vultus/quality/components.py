"""Components of face picture quality, named after ISO/IEC 29794-5.

Each is a number in [0, 1], higher is better; the standard's 0 to 100 is a hundred times that. Image
measures look at the aligned crop of :data:`TEMPLATE`, geometric ones at the 68 landmarks and at the
pose. A raw measure becomes a component by the logistic curve of :data:`CURVES`, the function of the
standard; its parameters are ours, fitted by ``python benchmarks/quality.py curves`` on rendered
heads under known changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import VultusError
from vultus.geometry import UInt8Array, similarity_transform, template, transform_points
from vultus.quality.features import Geometry
from vultus.quality.occlusion import Planes, openness, visibility

FloatArray = NDArray[np.float32]

#: Alignment of the crops; the default recogniser's, so that one crop serves both.
TEMPLATE = "dlib150"

#: Luminance up to which a pixel is underexposed, and from which it is overexposed (the standard's).
DARK, BRIGHT = 25, 247

#: Rows and columns of the crop that show skin, eyes and mouth on faces of any turn.
_FACE = (slice(28, 128), slice(30, 120))

#: Names of all components, in the order of the arrays.
NAMES: tuple[str, ...] = (
    "pose_yaw",
    "pose_pitch",
    "pose_roll",
    "sharpness",
    "under_exposure",
    "over_exposure",
    "dynamic_range",
    "illumination_uniformity",
    "eyes_visible",
    "mouth_visible",
    "eyes_open",
    "mouth_closed",
    "expression_neutrality",
    "inter_eye_distance",
    "head_in_frame",
)


@dataclass(frozen=True, slots=True)
class Curve:
    """Logistic curve ``1 / (1 + exp((centre - x) / width))``; a negative width makes it fall."""

    centre: float
    width: float

    def __call__(self, x: ArrayLike) -> FloatArray:
        """Return values in [0, 1]."""
        z = np.clip((np.asarray(x, np.float64) - self.centre) / self.width, -60, 60)
        return np.asarray(1 / (1 + np.exp(-z)), np.float32)

    @classmethod
    def through(cls, bad: float, good: float) -> Curve:
        """Return the curve that is 0.1 at one raw value and 0.9 at another."""
        return cls((bad + good) / 2, (good - bad) / (2 * np.log(9)))


#: Parameters of the components with a fitted curve.
CURVES: Mapping[str, Curve] = {
    "sharpness": Curve(-1.976, 0.331),
    "illumination_uniformity": Curve(0.439, 0.137),
    "mouth_closed": Curve(0.086, -0.0307),
    "expression_neutrality": Curve(1.30, -0.21),
    "inter_eye_distance": Curve(20.0, 5.0),
}

#: Ratios of a neutral face seen from the front: mean and standard deviation over rendered heads.
NEUTRAL: Mapping[str, tuple[float, float]] = {
    "mouth_width": (0.555, 0.0315),
    "mouth_opening": (0.0219, 0.0150),
    "corner_lift": (-0.0037, 0.0147),
    "brow_height": (0.238, 0.0209),
}


def measure(
    crops: UInt8Array, geometry: Geometry, sizes: ArrayLike, curves: Mapping[str, Curve] = CURVES
) -> FloatArray:
    """Return all components, float32 (N, 15) in [0, 1], columns as in :data:`NAMES`.

    Parameters
    ----------
    crops
        uint8 RGB (N, 150, 150, 3), aligned to :data:`TEMPLATE`.
    geometry
        The same faces in their pictures.
    sizes
        (N, 2) width and height of the picture of each face.
    curves
        In place of the package's own.

    Raises
    ------
    VultusError
        If the crops do not fit the faces.
    """
    raw = raw_measures(crops, geometry, sizes)
    columns = []
    for name in NAMES:
        curve = curves.get(name)
        columns.append(raw[name] if curve is None else curve(raw[name]))
    return np.clip(np.stack(columns, 1), 0, 1).astype(np.float32)


def raw_measures(crops: UInt8Array, geometry: Geometry, sizes: ArrayLike) -> dict[str, FloatArray]:
    """Return every measure (N,) before its curve; arguments as in :func:`measure`.

    Raises
    ------
    VultusError
        If the crops do not fit.
    """
    side = template(TEMPLATE).size
    if crops.dtype != np.uint8 or crops.shape != (len(geometry), side, side, 3):
        raise VultusError(
            f"quality takes uint8 crops ({len(geometry)}, {side}, {side}, 3) of {TEMPLATE}, "
            f"got {crops.dtype} {crops.shape}"
        )
    planes = Planes.of(crops)
    eyes, mouth = visibility(planes)
    ratios = face_ratios(in_crop(geometry))
    turned = np.maximum(np.cos(np.radians(geometry.pose[:, 0])), 0.25).astype(np.float32)
    return {
        **_angles(geometry.pose),
        **exposure(planes.luminance),
        "sharpness": sharpness(planes.luminance),
        "illumination_uniformity": uniformity(planes.luminance),
        "eyes_visible": eyes,
        "mouth_visible": mouth,
        "eyes_open": openness(planes),
        "mouth_closed": ratios["mouth_opening"],
        "expression_neutrality": strangeness(ratios),
        "inter_eye_distance": geometry.eye_distance / turned,
        "head_in_frame": in_frame(geometry.box, sizes),
    }


def _angles(pose: FloatArray) -> dict[str, FloatArray]:
    """Return the squared cosines of yaw, pitch and roll, the standard's quality of an angle."""
    cosine = np.asarray(np.maximum(np.cos(np.radians(pose)), 0) ** 2, np.float32)
    return {name: cosine[:, i] for i, name in enumerate(("pose_yaw", "pose_pitch", "pose_roll"))}


def sharpness(luminance: FloatArray) -> FloatArray:
    """Return the decimal log of the Laplacian's power over the picture's own variance, (N,).

    The picture is smoothed lightly before, or noise would pass for detail; dividing by the
    variance keeps contrast out of it. A face enlarged to the crop's size counts as blurred.
    """
    smooth = _binomial(luminance)
    laplacian = (
        smooth[:, :-2, 1:-1]
        + smooth[:, 2:, 1:-1]
        + smooth[:, 1:-1, :-2]
        + smooth[:, 1:-1, 2:]
        - 4 * smooth[:, 1:-1, 1:-1]
    )
    rows, columns = _FACE
    power = (laplacian[:, rows, columns] ** 2).mean((1, 2))
    variance = luminance[:, rows, columns].var((1, 2))
    return np.asarray(np.log10((power + 1e-2) / (variance + 25)), np.float32)


def exposure(luminance: FloatArray) -> dict[str, FloatArray]:
    """Return shares of the face that are not too dark and not too bright, and entropy over 8 bits.

    The entropy is that of the luminance's histogram of 256 values (dynamic range in the standard).
    """
    rows, columns = _FACE
    face = luminance[:, rows, columns].reshape(len(luminance), -1)
    share = _histograms(face, 256)
    log = np.log2(share, out=np.zeros_like(share), where=share > 0)
    return {
        "under_exposure": (face > DARK).mean(1, dtype=np.float32),
        "over_exposure": (face < BRIGHT).mean(1, dtype=np.float32),
        "dynamic_range": (-(share * log).sum(1) / 8).astype(np.float32),
    }


def uniformity(luminance: FloatArray, bins: int = 32) -> FloatArray:
    """Return how far the luminance histograms of the face's two halves overlap, (N,) in [0, 1]."""
    rows, columns = _FACE
    middle = (columns.start + columns.stop) // 2
    left = luminance[:, rows, columns.start : middle].reshape(len(luminance), -1)
    right = luminance[:, rows, middle : columns.stop].reshape(len(luminance), -1)
    overlap = np.minimum(_histograms(left, bins), _histograms(right, bins)).sum(1)
    return np.asarray(overlap, np.float32)


def in_crop(geometry: Geometry) -> FloatArray:
    """Return the landmarks (N, 68, 2) in pixels of the aligned crop."""
    if not len(geometry):
        return geometry.landmarks
    maps = similarity_transform(geometry.keypoints, template(TEMPLATE).points)
    return transform_points(maps, geometry.landmarks)


def face_ratios(points: FloatArray) -> dict[str, FloatArray]:
    """Return ratios of the face from landmarks (N, 68, 2) with a level eye line.

    Lengths are over the distance from the eyes' middle to the chin, except the mouth's width,
    which is over the distance of the outer eye corners.
    """

    def gap(upper: int, lower: int) -> FloatArray:
        return np.asarray(np.linalg.norm(points[:, lower] - points[:, upper], axis=1), np.float32)

    eyes = (points[:, 36:42].mean(1) + points[:, 42:48].mean(1)) / 2
    length = np.maximum(np.linalg.norm(points[:, 8] - eyes, axis=1), 1e-3)
    across = np.maximum(gap(36, 45), 1e-3)
    brows = points[:, 17:27, 1].mean(1)
    corners = points[:, [48, 54], 1].mean(1)
    return {
        "mouth_width": gap(48, 54) / across,
        "mouth_opening": np.maximum.reduce([gap(61, 67), gap(62, 66), gap(63, 65)]) / length,
        "corner_lift": (points[:, 62, 1] - corners) / length,
        "brow_height": (eyes[:, 1] - brows) / length,
    }


def strangeness(ratios: Mapping[str, FloatArray]) -> FloatArray:
    """Return the root mean squared deviation of ratios from a neutral face, in deviations (N,)."""
    z = [(ratios[name] - mean) / deviation for name, (mean, deviation) in NEUTRAL.items()]
    return np.asarray(np.sqrt(np.mean(np.square(z), 0)), np.float32)


def in_frame(boxes: ArrayLike, sizes: ArrayLike) -> FloatArray:
    """Return the share of each box (N, 4) that lies within its picture of width and height."""
    b, size = np.asarray(boxes, np.float32), np.asarray(sizes, np.float32).reshape(-1, 2)
    low, high = np.maximum(b[:, :2], 0), np.minimum(b[:, 2:], size)
    whole = np.maximum((b[:, 2:] - b[:, :2]).prod(1), 1e-3)
    return np.asarray(np.maximum(high - low, 0).prod(1) / whole, np.float32)


def _binomial(planes: FloatArray) -> FloatArray:
    """Smooth (N, H, W) by 1 2 1 in both directions; edges are repeated."""
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)), "edge")
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    smooth = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / np.float32(16)
    return np.asarray(smooth, np.float32)


def _histograms(values: FloatArray, bins: int) -> NDArray[np.float64]:
    """Return the histogram of each row of values in [0, 256), as shares (N, bins)."""
    n, count = values.shape
    cell = np.minimum(values * (bins / 256), bins - 1).astype(np.int64)
    cell += np.arange(n)[:, None] * bins
    found = np.bincount(cell.ravel(), minlength=n * bins).reshape(n, bins)
    return np.asarray(found / max(count, 1), np.float64)
