"""Boxes, similarity alignment with named templates, and batched warps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import ConfigError, VultusError

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """Where the five keypoints lie in an aligned crop.

    Parameters
    ----------
    name
        Identifier stored with every embedding, for example ``arcface112``.
    size
        Side of the square crop in pixels.
    points
        float32 (5, 2): image-left eye, image-right eye, nose, mouth corners, in crop pixels.
    """

    name: str
    size: int
    points: FloatArray


def _template(name: str, size: int, points: Sequence[tuple[float, float]]) -> Template:
    array = np.array(points, np.float32)
    array.flags.writeable = False
    return Template(name, size, array)


#: ``arcface112``: the usual 112x112 recognition crop (InsightFace convention).
#: ``landmarks96``: the whole face with a margin, for 68 points.
#: ``dlib150``: the mean place of five keypoints in dlib's 150x150 face chip (padding 0.25).
#: ``retail128``: what face-reidentification-retail-0095 wants, from its page in the Open Model Zoo.
TEMPLATES: Mapping[str, Template] = {
    t.name: t
    for t in (
        _template(
            "arcface112",
            112,
            [
                (38.2946, 51.6963),
                (73.5318, 51.5014),
                (56.0252, 71.7366),
                (41.5493, 92.3655),
                (70.7299, 92.2041),
            ],
        ),
        _template(
            "landmarks96",
            96,
            [(32.5, 26.0), (62.5, 26.0), (47.5, 43.2), (35.0, 60.6), (60.0, 60.6)],
        ),
        _template(
            "dlib150",
            150,
            [(46.93, 45.44), (101.38, 45.37), (74.02, 77.76), (51.79, 103.65), (97.15, 103.66)],
        ),
        _template(
            "retail128",
            128,
            [
                (40.3928, 59.0815),
                (87.3758, 59.0815),
                (64.0336, 81.9847),
                (44.7324, 105.561),
                (83.6398, 105.561),
            ],
        ),
    )
}


def template(name: str) -> Template:
    """Return a named template; raise :class:`ConfigError` naming the known ones."""
    try:
        return TEMPLATES[name]
    except KeyError:
        raise ConfigError(
            f"unknown alignment template {name!r}; known: {sorted(TEMPLATES)}"
        ) from None


def box_area(boxes: ArrayLike) -> FloatArray:
    """Return the areas, float32 (N,), of xyxy boxes (N, 4); degenerate boxes have area 0."""
    b = np.asarray(boxes, np.float32).reshape(-1, 4)
    sides: FloatArray = np.maximum(b[:, 2:] - b[:, :2], 0)
    return sides[:, 0] * sides[:, 1]


def box_iou(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Return the intersection over union, float32 (N, M), of xyxy boxes (N, 4) and (M, 4)."""
    one = np.asarray(a, np.float32).reshape(-1, 1, 4)
    two = np.asarray(b, np.float32).reshape(1, -1, 4)
    top_left = np.maximum(one[..., :2], two[..., :2])
    bottom_right = np.minimum(one[..., 2:], two[..., 2:])
    overlap: FloatArray = np.prod(np.maximum(bottom_right - top_left, 0), axis=2)
    union = box_area(one)[:, None] + box_area(two)[None] - overlap
    iou: FloatArray = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    return iou


def nms(boxes: ArrayLike, scores: ArrayLike, iou: float = 0.4) -> NDArray[np.intp]:
    """Greedy non-maximum suppression.

    Parameters
    ----------
    boxes
        xyxy (N, 4).
    scores
        (N,).
    iou
        A box that overlaps a better one by more than this is dropped.

    Returns
    -------
    Indices of the kept boxes, best score first.
    """
    b = np.asarray(boxes, np.float32).reshape(-1, 4)
    order = np.argsort(-np.asarray(scores, np.float32), kind="stable")
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        order = rest[box_iou(b[best], b[rest])[0] <= iou]
    return np.array(kept, np.intp)


def expand_box(box: ArrayLike, factor: float, *, square: bool = True) -> FloatArray:
    """Return the box scaled about its centre, made square on its longer side if asked."""
    x1, y1, x2, y2 = np.asarray(box, np.float32)
    half = np.array([x2 - x1, y2 - y1], np.float32) * (factor / 2)
    if square:
        half[:] = half.max()
    centre = np.array([x1 + x2, y1 + y2], np.float32) / 2
    return np.concatenate([centre - half, centre + half])


def similarity_transform(source: ArrayLike, target: ArrayLike) -> FloatArray:
    """Return the least-squares similarity maps (no reflection) that take source to target.

    Umeyama (1991), in closed form for the plane.

    Parameters
    ----------
    source
        (K, 2) or (N, K, 2), K >= 2.
    target
        (K, 2) or (N, K, 2).

    Returns
    -------
    float32 (2, 3) or (N, 2, 3): ``target ~ M[:, :2] @ source + M[:, 2]``.

    Raises
    ------
    VultusError
        If the source points of some set all coincide.
    """
    src = np.asarray(source, np.float64)
    single = src.ndim == 2
    src = src[None] if single else src
    dst = np.broadcast_to(np.asarray(target, np.float64), src.shape)
    src_mean, dst_mean = src.mean(1, keepdims=True), dst.mean(1, keepdims=True)
    s, d = src - src_mean, dst - dst_mean
    power = (s**2).sum((1, 2))
    if not np.isfinite(power).all() or (power <= 0).any():
        raise VultusError("similarity_transform: the source points coincide or are not finite")
    # In complex numbers the map is d = c * s with c = <s, d> / <s, s>.
    real = (s * d).sum((1, 2)) / power
    imag = (s[..., 0] * d[..., 1] - s[..., 1] * d[..., 0]).sum(1) / power
    linear = np.stack([np.stack([real, -imag], -1), np.stack([imag, real], -1)], -2)
    offset = dst_mean[:, 0] - np.einsum("nij,nj->ni", linear, src_mean[:, 0])
    maps = np.concatenate([linear, offset[..., None]], 2).astype(np.float32)
    return maps[0] if single else maps


def invert_affine(maps: ArrayLike) -> FloatArray:
    """Return the inverses of affine maps (2, 3) or (N, 2, 3); raise VultusError if singular."""
    m = np.asarray(maps, np.float64)
    try:
        inverse = np.linalg.inv(m[..., :2])
    except np.linalg.LinAlgError:
        raise VultusError("invert_affine: a map collapses the plane and has no inverse") from None
    offset = -np.einsum("...ij,...j->...i", inverse, m[..., 2])
    return np.concatenate([inverse, offset[..., None]], -1).astype(np.float32)


def transform_points(maps: ArrayLike, points: ArrayLike) -> FloatArray:
    """Apply affine maps (2, 3) or (N, 2, 3) to points (K, 2) or (N, K, 2)."""
    m, p = np.asarray(maps, np.float32), np.asarray(points, np.float32)
    moved: FloatArray = np.einsum("...ij,...kj->...ki", m[..., :2], p) + m[..., None, :, 2]
    return moved


def head_rotation(yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """Return the rotation of a head as a float64 (3, 3) matrix.

    Its columns are the head's own axes (towards the image-right ear, down the face, into the
    head) in camera coordinates: x to the right, y down, z away from the camera. The order is that
    of the 300W-LP annotations (Zhu et al., CVPR 2016): pitch after yaw after roll. The nose points
    along minus the last column.

    Parameters
    ----------
    yaw, pitch, roll
        Degrees, signs as in :mod:`vultus.faces`.
    """
    about_y, about_x, about_z = _turns(np.array([(yaw, pitch, roll)], np.float64))
    return np.asarray((about_x @ about_y @ about_z)[0], np.float64)


def head_angles(rotations: ArrayLike) -> FloatArray:
    """Return yaw, pitch and roll of rotations (N, 3, 3) of heads, float32 (N, 3) degrees.

    The inverse of :func:`head_rotation` for yaw strictly between -90 and 90 degrees; a head that
    looks away comes out as the equivalent rotation with its yaw in that range.
    """
    m = np.asarray(rotations, np.float64)
    yaw = np.arcsin(np.clip(-m[:, 0, 2], -1, 1))
    pitch = np.arctan2(m[:, 1, 2], m[:, 2, 2])
    roll = np.arctan2(-m[:, 0, 1], m[:, 0, 0])
    return np.asarray(np.degrees(np.stack([yaw, pitch, roll], 1)), np.float32)


def restated_angles(angles: ArrayLike) -> FloatArray:
    """Return the angles of :func:`head_rotation` for heads whose roll is stated last.

    Rendered heads, and what learned from them, are pitched, turned and then rolled, so that a
    picture turned in its plane changes the roll alone.

    Parameters
    ----------
    angles
        (N, 3) degrees: yaw, pitch and roll for that order of turns, signs as in
        :mod:`vultus.faces`.

    Returns
    -------
    float32 (N, 3): of the two statements of a rotation the one that is closer to ``angles``.
    """
    given = np.asarray(angles, np.float64).reshape(-1, 3)
    about_y, about_x, about_z = _turns(given)
    near = head_angles(about_z @ about_y @ about_x).astype(np.float64)
    far = np.array([180, 180, 180]) + near * [-1, 1, 1]
    both = np.stack([near, far])
    both -= 360 * np.round((both - given) / 360)
    chosen = np.abs(both - given).max(-1).argmin(0)
    return np.asarray(both[chosen, np.arange(len(given))], np.float32)


def _turns(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rotations (3, N, 3, 3) about y, x and z by yaw, pitch and roll (N, 3) in degrees."""
    (sy, sp, sr), (cy, cp, cr) = (f(np.radians(angles)).T for f in (np.sin, np.cos))
    turns = np.zeros((3, len(angles), 3, 3))
    turns[:] = np.eye(3)
    for turn, first, second, sine, cosine in (
        (turns[0], 2, 0, sy, cy),
        (turns[1], 1, 2, sp, cp),
        (turns[2], 1, 0, sr, cr),
    ):
        turn[:, first, first] = turn[:, second, second] = cosine
        turn[:, first, second], turn[:, second, first] = sine, -sine
    return turns


def warp(image: UInt8Array, maps: ArrayLike, size: int) -> UInt8Array:
    """Cut square crops out of one picture.

    Parameters
    ----------
    image
        uint8 (H, W, 3).
    maps
        (N, 2, 3) affine maps from picture to crop pixels.
    size
        Side of the crops.

    Returns
    -------
    uint8 (N, size, size, 3); black outside the picture. Where a crop shrinks the picture by more
    than the square root of 2, its part of the picture is first reduced by area averaging to that
    ratio, which holds down the aliasing of fine texture.

    Raises
    ------
    VultusError
        If the image is not uint8 (H, W, 3), or a map is not finite and invertible.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise VultusError(f"warp needs uint8 (H, W, 3), got {image.dtype} {image.shape}")
    m = np.asarray(maps, np.float64).reshape(-1, 2, 3)
    areas = np.abs(m[:, 0, 0] * m[:, 1, 1] - m[:, 0, 1] * m[:, 1, 0])
    if not (np.isfinite(m).all() and (areas > 0).all()):
        raise VultusError("warp: a map is not finite or collapses the picture")
    crops = np.empty((len(m), size, size, 3), np.uint8)
    for crop, local, area in zip(crops, m, areas, strict=True):
        part, local = _reduced(image, local, size, 1 / np.sqrt(2 * area))
        cv2.warpAffine(part, local, (size, size), dst=crop, flags=cv2.INTER_LINEAR)
    return crops


def _reduced(
    image: UInt8Array, affine: NDArray[np.float64], size: int, ratio: float
) -> tuple[UInt8Array, NDArray[np.float64]]:
    """Return the part of the picture under a crop, reduced by a ratio, and the map from it.

    Averaging down to sqrt(2) picture pixels per crop pixel, and interpolating the rest, came
    nearest to an 8x8 supersampled reference among the ratios tried (1, 1.25, 1.41, 1.6, 2).
    """
    if ratio <= 1:
        return image, affine
    height, width = image.shape[:2]
    corners = np.array([(-1, -1), (size, -1), (-1, size), (size, size)], np.float64)
    reach = transform_points(invert_affine(affine), corners).astype(np.float64)
    limit = np.array([width, height])
    # One reduced pixel of margin, so that interpolation never meets a cut edge.
    low = np.floor(reach.min(0) - ratio).clip(0, limit - 1).astype(int)
    high = np.ceil(reach.max(0) + ratio + 1).clip(low + 1, limit).astype(int)
    new = np.maximum(np.round((high - low) / ratio), 1).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    small = cv2.resize(part, (int(new[0]), int(new[1])), interpolation=cv2.INTER_AREA)
    # Pixel centres: x = low + (x_small + 0.5) * step - 0.5, per axis.
    step = (high - low) / new
    local = affine.copy()
    local[:, 2] += affine[:, :2] @ (low + 0.5 * step - 0.5)
    local[:, :2] *= step
    return small, local  # type: ignore[return-value]


def align(image: UInt8Array, keypoints: ArrayLike, template: Template) -> UInt8Array:
    """Return aligned crops, uint8 (N, S, S, 3), of faces with keypoints (N, 5, 2)."""
    points = np.asarray(keypoints, np.float32).reshape(-1, 5, 2)
    if not len(points):
        return np.empty((0, template.size, template.size, 3), np.uint8)
    return warp(image, similarity_transform(points, template.points), template.size)


def crop_boxes(image: UInt8Array, boxes: ArrayLike, factor: float, size: int) -> UInt8Array:
    """Return square crops, uint8 (N, size, size, 3), of xyxy boxes (N, 4) scaled by a factor.

    Raises
    ------
    VultusError
        If a box is empty or not finite, or the factor is not positive.
    """
    squares = np.array(
        [expand_box(b, factor) for b in np.asarray(boxes, np.float32).reshape(-1, 4)],
        np.float32,
    ).reshape(-1, 4)
    if not np.isfinite(squares).all() or (squares[:, 2] <= squares[:, 0]).any():
        raise VultusError(f"crop_boxes: a box is empty or not finite, or factor {factor} <= 0")
    scale = size / (squares[:, 2] - squares[:, 0])
    maps = np.zeros((len(squares), 2, 3), np.float32)
    maps[:, 0, 0] = maps[:, 1, 1] = scale
    # The box spans pixel edges: its left edge lands on the crop's left edge.
    maps[:, :, 2] = -(squares[:, :2] * scale[:, None]) + (scale[:, None] - 1) / 2
    return warp(image, maps, size)
