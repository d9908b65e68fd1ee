"""One contract for every source of head geometry: a linear model with labels.

The head frame is right-handed, in centimetres: x to the image's right for a frontal face, y up,
z out of the face. "Left" and "right" are the image's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import ConfigError
from vultus.points68 import MIRROR

if TYPE_CHECKING:
    from pathlib import Path

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]
UInt8Array = NDArray[np.uint8]

#: The mirror image of each of the 68 iBUG points.
MIRROR_68 = MIRROR


@dataclass(frozen=True, slots=True, eq=False)
class Eyeball:
    """An eyeball: its centre in the head frame, radius, both in centimetres, and its vertices."""

    centre: tuple[float, float, float]
    radius: float
    vertices: slice


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A linear head model: mean + identity offsets + expression offsets.

    Parameters
    ----------
    name
        Source and level of detail, for example ``procedural/low``.
    neutral
        float32 (V, 3) mean head, centimetres.
    triangles
        int32 (F, 3), counter-clockwise seen from outside.
    uv
        float32 (V, 2) atlas coordinates, see :mod:`vultus.worlds.chart`.
    material
        uint8 (F,) :class:`~vultus.worlds.chart.Material` per triangle.
    parts
        uint8 (V,) :class:`~vultus.worlds.chart.Part` per vertex.
    identity_basis
        float32 (I, V, 3), offset per unit coefficient; coefficients are standard normal.
    expression_basis
        float32 (E, V, 3), offset at full weight; weights in [0, 1].
    expression_names
        E names, ARKit style; ``_L`` and ``_R`` are the person's sides: ``_L`` moves the image's
        right.
    landmarks
        int32 (68,) vertex of each iBUG point.
    mirror
        int32 (V,) the vertex that is each one's mirror image.
    occlusion
        float32 (V,) share of the sky that each vertex sees, in [0, 1].
    symmetric
        How many leading identity directions are mirror symmetric; the others are asymmetries.
    """

    name: str
    neutral: FloatArray
    triangles: IntArray
    uv: FloatArray
    material: UInt8Array
    parts: UInt8Array
    identity_basis: FloatArray
    expression_basis: FloatArray
    expression_names: tuple[str, ...]
    landmarks: IntArray
    mirror: IntArray
    occlusion: FloatArray
    symmetric: int

    @property
    def identities(self) -> int:
        """Number of identity coefficients."""
        return len(self.identity_basis)

    def weights(self, expression: Mapping[str, float]) -> FloatArray:
        """Return expression weights, float32 (E,), from names; others are zero.

        A name without side, such as ``mouthSmile``, sets both sides.

        Raises
        ------
        ConfigError
            On an unknown name, or a weight outside [0, 1].
        """
        out = np.zeros(len(self.expression_names), np.float32)
        for name, weight in expression.items():
            if not 0 <= weight <= 1:
                raise ConfigError(f"expression weight {name}={weight} must lie in [0, 1]")
            found = [
                i
                for i, known in enumerate(self.expression_names)
                if known == name or (known[:-2] == name and known[-2:] in ("_L", "_R"))
            ]
            if not found:
                raise ConfigError(
                    f"{self.name} has no expression {name!r}; known: {list(self.expression_names)}"
                )
            out[found] = weight
        return out

    def vertices(self, identity: ArrayLike, expression: ArrayLike) -> FloatArray:
        """Return vertices, float32 (B, V, 3), in the head frame.

        Parameters
        ----------
        identity
            (B, K) coefficients with K <= I; missing ones are zero.
        expression
            (B, E) weights in the order of ``expression_names``.
        """
        coefficients = np.atleast_2d(np.asarray(identity, np.float32))
        weights = np.atleast_2d(np.asarray(expression, np.float32))
        if coefficients.shape[1] > self.identities or weights.shape[1] != len(
            self.expression_basis
        ):
            raise ConfigError(
                f"{self.name} takes up to {self.identities} identity coefficients and "
                f"{len(self.expression_basis)} expression weights, got "
                f"{coefficients.shape[1]} and {weights.shape[1]}"
            )
        # One row at a time: a batched product may add in another order for another batch size.
        out = np.empty((len(coefficients), *self.neutral.shape), np.float32)
        for row, c, w in zip(out, coefficients, weights, strict=True):
            row[:] = self.neutral
            row += _combine(c, self.identity_basis[: len(c)])
            row += _combine(w, self.expression_basis)
        return out


def _combine(weights: FloatArray, basis: FloatArray) -> FloatArray:
    used = np.flatnonzero(weights)
    if not used.size:
        return np.zeros(basis.shape[1:], np.float32)
    rows = basis if used.size == len(basis) else basis[used]
    flat = weights[used] @ rows.reshape(len(rows), -1)
    return np.asarray(flat, np.float32).reshape(basis.shape[1:])


def load_head(source: str = "procedural", detail: str = "low", *, data: Path | None = None) -> Head:
    """Return a head model.

    Parameters
    ----------
    source
        ``procedural`` (authored here, needs no file) or ``ict`` (ICT-FaceKit from a data folder).
    detail
        ``low`` for pictures up to about 160 pixels, ``high`` beyond.
    data
        Folder that holds ``ict_facekit/``; by default ``VULTUS_DATA``, then ``VULTUS_HOME``.

    Raises
    ------
    ConfigError
        On an unknown source or detail.
    DatasetError
        If the ICT file cannot be found.
    """
    if detail not in ("low", "high"):
        raise ConfigError(f"unknown detail {detail!r}; known: low, high")
    if source == "procedural":
        from vultus.worlds.procedural import procedural_head

        return procedural_head(detail)
    if source == "ict":
        from vultus.worlds.ict import ict_head

        return ict_head(detail, data)
    raise ConfigError(f"unknown head {source!r}; known: procedural, ict")


def mirrored(points: FloatArray) -> FloatArray:
    """Return points (..., 3) reflected in the plane x = 0."""
    return points * np.array([-1, 1, 1], np.float32)


def mirror_of(points: FloatArray, tolerance: float = 0.06) -> IntArray:
    """Return, int32 (V,), the vertex nearest to each one's reflection.

    Raises
    ------
    ConfigError
        If some vertex has no partner within the tolerance, in centimetres.
    """
    from scipy.spatial import cKDTree

    distance, partner = cKDTree(points).query(mirrored(points))
    if distance.max() > tolerance:
        raise ConfigError(
            f"the head is not symmetric: vertex {int(distance.argmax())} lies "
            f"{distance.max():.3f} cm from the nearest mirror image"
        )
    return np.asarray(partner, np.int32)


def asymmetries(basis: FloatArray, neutral: FloatArray) -> FloatArray:
    """Turn symmetric directions into antisymmetric ones, float32 (A, V, 3).

    Each pushes the two sides in opposite senses, and fades at the midline so that nothing tears.
    """
    side = np.tanh(neutral[:, 0] / 1.5).astype(np.float32)
    out = np.asarray(0.45 * basis * side[None, :, None], np.float32)
    # A feature of the midline has no sides to differ.
    return np.asarray(out[np.abs(out).max((1, 2)) > 0.04], np.float32)


def parity(basis: FloatArray, mirror: IntArray) -> tuple[FloatArray, FloatArray]:
    """Split directions (I, V, 3) into symmetric ones (S, V, 3) and antisymmetric ones (A, V, 3).

    Parts of less than 0.4 millimetres are dropped.
    """
    reflected = mirrored(basis[:, mirror])
    even, odd = 0.5 * (basis + reflected), 0.5 * (basis - reflected)
    kept = [part[np.abs(part).max((1, 2)) > 0.04] for part in (even, odd)]
    return np.asarray(kept[0]), np.asarray(kept[1])


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names as a tuple; raise :class:`ConfigError` on repeats."""
    if len(set(names)) != len(names):
        raise ConfigError("expression names repeat")
    return tuple(names)
