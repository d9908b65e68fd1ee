"""Anchors, the codes of boxes and points relative to them, and which anchor answers for a face.

Coordinates here span pixel edges: the top-left pixel covers [0, 1] x [0, 1]. A point of
:mod:`vultus.faces`, which counts from pixel centres, is larger by one half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vultus.errors import ConfigError
from vultus.geometry import FloatArray, box_iou

STRIDES = (8, 16, 32)
#: Sides of the square anchors of each stride, in pixels.
SIDES = ((16, 32), (64, 128), (256, 512))
PER_CELL = 2
#: Factors of the codes: of centres and points, and of log sizes.
VARIANCES = (0.1, 0.2)
#: Overlap from which an anchor answers for a face (RetinaFace).
POSITIVE = 0.35

NEGATIVE, IGNORED = -1, -2

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """The true faces of one picture.

    Parameters
    ----------
    boxes, points
        float32 (G, 4) xyxy and (G, 5, 2), between pixel edges.
    poses
        float32 (G, 3) yaw, pitch, roll in degrees.
    posed
        bool (G,), whether the pose is known.
    ignored
        bool (G,), faces that neither teach nor count.
    """

    boxes: FloatArray
    points: FloatArray
    poses: FloatArray
    posed: BoolArray
    ignored: BoolArray

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def sides(self) -> FloatArray:
        """Root of the area of each box in pixels, float32 (G,)."""
        spans = self.boxes[:, 2:] - self.boxes[:, :2]
        return np.asarray(np.sqrt(spans.prod(1)), np.float32)

    def take(self, which: NDArray[np.intp] | BoolArray) -> Faces:
        """Return some of them, by index or mask."""
        return Faces(
            self.boxes[which],
            self.points[which],
            self.poses[which],
            self.posed[which],
            self.ignored[which],
        )

    def moved(self, scale: float, x: float = 0.0, y: float = 0.0) -> Faces:
        """Return the faces scaled about the corner of the picture, then shifted."""
        shift = np.array([x, y], np.float32)
        boxes = self.boxes * np.float32(scale) + np.tile(shift, 2)
        return Faces(
            boxes, self.points * np.float32(scale) + shift, self.poses, self.posed, self.ignored
        )

    def mirrored(self, width: float) -> Faces:
        """Return the faces of the mirrored picture: left and right points change places."""
        boxes = self.boxes.copy()
        boxes[:, [0, 2]] = width - self.boxes[:, [2, 0]]
        points = self.points[:, [1, 0, 2, 4, 3]].copy()
        points[..., 0] = width - points[..., 0]
        poses = self.poses * np.array([-1, 1, -1], np.float32)
        return Faces(boxes, points, poses, self.posed, self.ignored)

    @classmethod
    def none(cls) -> Faces:
        """Return no faces."""
        boxes, points, poses = (np.empty(s, np.float32) for s in ((0, 4), (0, 5, 2), (0, 3)))
        return cls(boxes, points, poses, np.empty(0, np.bool_), np.empty(0, np.bool_))

    @classmethod
    def joined(cls, parts: list[Faces]) -> Faces:
        """Return the faces of all parts."""
        if not parts:
            return cls.none()
        names = ("boxes", "points", "poses", "posed", "ignored")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def anchors(height: int, width: int) -> FloatArray:
    """Return the anchors of an input, float32 (A, 3): centre x, centre y, side.

    Ordered by level, row, column and side.

    Raises
    ------
    ConfigError
        If a side of the input is no multiple of the largest stride.
    """
    if height < 1 or width < 1 or height % STRIDES[-1] or width % STRIDES[-1]:
        raise ConfigError(f"inputs have sides that are multiples of 32, got {height} x {width}")
    levels = []
    for stride, sides in zip(STRIDES, SIDES, strict=True):
        y, x = np.mgrid[: height // stride, : width // stride].astype(np.float32)
        cells = (np.stack([x, y], -1)[:, :, None] + 0.5) * stride
        both = np.broadcast_to(cells, (*cells.shape[:2], PER_CELL, 2))
        side = np.broadcast_to(np.array(sides, np.float32)[:, None], (*both.shape[:3], 1))
        levels.append(np.concatenate([both, side], -1).reshape(-1, 3))
    return np.concatenate(levels).astype(np.float32)


def anchor_boxes(grid: FloatArray) -> FloatArray:
    """Return anchors (A, 3) as xyxy boxes (A, 4)."""
    half = grid[:, 2:] / 2
    return np.concatenate([grid[:, :2] - half, grid[:, :2] + half], 1)


def encode_boxes(boxes: FloatArray, grid: FloatArray) -> FloatArray:
    """Return the codes (A, 4) of xyxy boxes (A, 4) relative to anchors (A, 3)."""
    middle, spans = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    shift = (middle - grid[:, :2]) / (VARIANCES[0] * grid[:, 2:])
    growth = np.log(np.maximum(spans, 1e-3) / grid[:, 2:]) / VARIANCES[1]
    return np.concatenate([shift, growth], 1).astype(np.float32)


def decode_boxes(codes: FloatArray, grid: FloatArray) -> FloatArray:
    """Return the boxes of codes; the inverse of :func:`encode_boxes`."""
    middle = grid[:, :2] + codes[:, :2] * VARIANCES[0] * grid[:, 2:]
    # The bound keeps an untrained network's boxes finite.
    half = grid[:, 2:] * np.exp(np.clip(codes[:, 2:] * VARIANCES[1], -8, 8)) / 2
    return np.concatenate([middle - half, middle + half], 1).astype(np.float32)


def encode_points(points: FloatArray, grid: FloatArray) -> FloatArray:
    """Return the codes (A, 10) of points (A, 5, 2) relative to anchors (A, 3)."""
    codes = (points - grid[:, None, :2]) / (VARIANCES[0] * grid[:, None, 2:])
    return codes.reshape(len(grid), -1).astype(np.float32)


def decode_points(codes: FloatArray, grid: FloatArray) -> FloatArray:
    """Return the points (A, 5, 2) of codes (A, 10); the inverse of :func:`encode_points`."""
    pairs = codes.reshape(len(codes), 5, 2)
    points = grid[:, None, :2] + pairs * VARIANCES[0] * grid[:, None, 2:]
    return np.asarray(points, np.float32)


def match(faces: Faces, grid: FloatArray) -> NDArray[np.int64]:
    """Return which face each anchor answers for, int64 (A,).

    An anchor answers for the face that it overlaps most, from :data:`POSITIVE` on; each face also
    has the anchor that overlaps it most, so that none is left out, however small it is. The rest
    is :data:`NEGATIVE`, or :data:`IGNORED` where it overlaps an ignored face that much.
    """
    found = np.full(len(grid), NEGATIVE, np.int64)
    if not len(faces):
        return found
    overlap = box_iou(anchor_boxes(grid), faces.boxes)
    near = overlap.argmax(1)
    found = np.where(overlap[np.arange(len(grid)), near] >= POSITIVE, near, NEGATIVE)
    # The largest face comes last: where two faces share a best anchor, it has others to use.
    taken: set[int] = set()
    for face in np.argsort(faces.sides, kind="stable"):
        best = next(int(a) for a in np.argsort(-overlap[:, face], kind="stable") if a not in taken)
        taken.add(best)
        found[best] = face
    found[(found >= 0) & faces.ignored[np.maximum(found, 0)]] = IGNORED
    return found


def targets(faces: Faces, grid: FloatArray, small: float) -> dict[str, NDArray[np.generic]]:
    """Return what the network should say at each anchor.

    Parameters
    ----------
    faces
        Of the picture.
    grid
        Anchors (A, 3).
    small
        Faces with a side below this many pixels are marked.

    Returns
    -------
    ``label`` int64 (A,): 1 face, 0 none, -1 ignored; ``box`` (A, 4) and ``points`` (A, 10) codes
    and ``pose`` (A, 3) degrees, zero where there is no face; ``posed`` and ``small`` bool (A,).
    """
    found = match(faces, grid)
    label = np.where(found >= 0, 1, np.where(found == IGNORED, -1, 0)).astype(np.int64)
    out: dict[str, NDArray[np.generic]] = {
        "label": label,
        "box": np.zeros((len(grid), 4), np.float32),
        "points": np.zeros((len(grid), 10), np.float32),
        "pose": np.zeros((len(grid), 3), np.float32),
        "posed": np.zeros(len(grid), np.bool_),
        "small": np.zeros(len(grid), np.bool_),
    }
    at = np.flatnonzero(found >= 0)
    if len(at):
        owner = found[at]
        out["box"][at] = encode_boxes(faces.boxes[owner], grid[at])
        out["points"][at] = encode_points(faces.points[owner], grid[at])
        out["pose"][at] = faces.poses[owner]
        out["posed"][at] = faces.posed[owner]
        out["small"][at] = faces.sides[owner] < small
    return out
