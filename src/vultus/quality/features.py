"""What the forest sees of a face: landmarks without position and scale, size, confidence.

Two normalisations. ``box``: each point in parts of the detector's box, so that geometry carries
pose. ``similarity``: the eye line level and of length 1, with the ratios that change when a head
turns. ``none`` keeps picture pixels, the baseline that overfits the position in the frame. Size in
pixels is a feature of its own in each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import VultusError
from vultus.faces import Face

FloatArray = NDArray[np.float32]
Normalisation: TypeAlias = Literal["box", "similarity", "none"]
Points: TypeAlias = Literal["five", "dense"]

_SIZE = ("box_width", "box_height", "eye_distance")
_RATIOS = ("nose_offset", "eye_mouth_ratio", "eye_nose_ratio", "roll")


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Where N faces and their points lie, in picture pixels.

    Parameters
    ----------
    box
        float32 (N, 4) xyxy.
    score
        float32 (N,) detection confidence.
    keypoints
        float32 (N, 5, 2).
    landmarks
        float32 (N, 68, 2).
    pose
        float32 (N, 3) yaw, pitch, roll in degrees.
    """

    box: FloatArray
    score: FloatArray
    keypoints: FloatArray
    landmarks: FloatArray
    pose: FloatArray

    def __post_init__(self) -> None:
        shapes = {"box": (4,), "score": (), "keypoints": (5, 2), "landmarks": (68, 2), "pose": (3,)}
        n = len(self.box)
        for name, shape in shapes.items():
            value = np.asarray(getattr(self, name), np.float32)
            if value.shape != (n, *shape) or not np.isfinite(value).all():
                raise VultusError(f"{name} must be finite, {(n, *shape)}, got {value.shape}")
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.box)

    def take(self, rows: ArrayLike | slice) -> Geometry:
        """Return the faces of a mask (N,), of indices or of a slice."""
        keep = rows if isinstance(rows, slice) else np.asarray(rows)
        return Geometry(**{f.name: getattr(self, f.name)[keep] for f in fields(self)})

    @classmethod
    def of(cls, faces: Sequence[Face]) -> Geometry:
        """Return the geometry of faces with ``landmarks`` and ``pose``.

        Raises
        ------
        NotComputedError
            If a face lacks one of them.
        """
        pose = [(f.pose.yaw, f.pose.pitch, f.pose.roll) for f in faces]
        return cls(
            np.array([f.box for f in faces], np.float32).reshape(-1, 4),
            np.array([f.score for f in faces], np.float32),
            np.array([f.keypoints for f in faces], np.float32).reshape(-1, 5, 2),
            np.array([f.landmarks for f in faces], np.float32).reshape(-1, 68, 2),
            np.array(pose, np.float32).reshape(-1, 3),
        )

    @property
    def eye_distance(self) -> FloatArray:
        """Distance of the eye centres in pixels, (N,)."""
        across = self.keypoints[:, 1] - self.keypoints[:, 0]
        return np.asarray(np.linalg.norm(across, axis=1), np.float32)


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Which features a forest takes; stored beside it.

    Parameters
    ----------
    points
        ``five`` keypoints or the ``dense`` 68 landmarks.
    normalisation
        ``box``, ``similarity`` or ``none``.
    confidence
        Whether the detection score is a feature.
    components
        Names of quality components that are features too; beyond the paper, which has none.
    """

    points: Points = "dense"
    normalisation: Normalisation = "box"
    confidence: bool = True
    components: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.points not in ("five", "dense"):
            raise VultusError(f"points must be five or dense, not {self.points!r}")
        if self.normalisation not in ("box", "similarity", "none"):
            raise VultusError(f"unknown normalisation {self.normalisation!r}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FeatureSet:
        """Read what :func:`dataclasses.asdict` wrote."""
        return cls(**(values | {"components": tuple(values.get("components", ()))}))

    @property
    def names(self) -> tuple[str, ...]:
        """Name of every feature, in order."""
        count = 5 if self.points == "five" else 68
        names = [f"{axis}{i}" for i in range(count) for axis in "xy"]
        names += _SIZE
        names += _RATIOS if self.normalisation == "similarity" else ()
        names += ("confidence",) if self.confidence else ()
        return (*names, *self.components)

    def compute(self, geometry: Geometry, components: FloatArray | None = None) -> FloatArray:
        """Return the features, float32 (N, F).

        Parameters
        ----------
        geometry
            The faces.
        components
            (N, C) values of :attr:`components`, in that order.

        Raises
        ------
        VultusError
            If components are wanted and not given, or of another number.
        """
        points = geometry.keypoints if self.points == "five" else geometry.landmarks
        flat = self._normalised(geometry, points).reshape(len(geometry), points.shape[1] * 2)
        box = geometry.box
        size = np.stack([box[:, 2] - box[:, 0], box[:, 3] - box[:, 1], geometry.eye_distance], 1)
        parts = [flat, size]
        if self.normalisation == "similarity":
            parts.append(pose_ratios(geometry.keypoints))
        if self.confidence:
            parts.append(geometry.score[:, None])
        if self.components:
            wanted = (len(geometry), len(self.components))
            if components is None or components.shape != wanted:
                got = None if components is None else components.shape
                raise VultusError(f"the forest wants components {wanted}, got {got}")
            parts.append(components)
        return np.concatenate(parts, 1).astype(np.float32)

    def _normalised(self, geometry: Geometry, points: FloatArray) -> FloatArray:
        if self.normalisation == "none":
            return points
        if self.normalisation == "box":
            sides = geometry.box[:, 2:] - geometry.box[:, :2]
            return np.asarray(
                (points - geometry.box[:, None, :2]) / np.maximum(sides, 1e-3)[:, None], np.float32
            )
        left, right = geometry.keypoints[:, 0], geometry.keypoints[:, 1]
        across = right - left
        power = np.maximum((across**2).sum(1), 1e-6)[:, None]
        moved = points - (left + right)[:, None] / 2
        x = np.einsum("nkc,nc->nk", moved, across) / power
        y = (moved[..., 1] * across[:, :1] - moved[..., 0] * across[:, 1:]) / power
        return np.stack([x, y], -1).astype(np.float32)


def pose_ratios(keypoints: ArrayLike) -> FloatArray:
    """Return what five points (N, 5, 2) say of a head's turn, float32 (N, 4).

    Nose offset from the eyes' middle along the eye line and distance from eyes to mouth, both in
    eye distances; left over right distance from eye to nose; roll in degrees.
    """
    p = np.asarray(keypoints, np.float32)
    across = p[:, 1] - p[:, 0]
    length = np.maximum(np.linalg.norm(across, axis=1), 1e-3)
    middle = (p[:, 0] + p[:, 1]) / 2
    offset = ((p[:, 2] - middle) * across).sum(1) / length**2
    mouth = np.linalg.norm((p[:, 3] + p[:, 4]) / 2 - middle, axis=1) / length
    to_nose = np.maximum(np.linalg.norm(p[:, :2] - p[:, 2:3], axis=2), 1e-3)
    roll = np.degrees(np.arctan2(across[:, 1], across[:, 0]))
    ratios = [offset, mouth, np.log(to_nose[:, 0] / to_nose[:, 1]), roll]
    return np.stack(ratios, 1).astype(np.float32)
