"""Faces to quality: an overall score, components, and reasons in words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import VultusError, WeightsError
from vultus.faces import Face
from vultus.geometry import Template, UInt8Array, template
from vultus.quality.components import NAMES, TEMPLATE, measure
from vultus.quality.features import FeatureSet, Geometry
from vultus.quality.reasons import reasons
from vultus.runtime import Session, resolve

FloatArray = NDArray[np.float32]

#: The forest used where none is named.
DEFAULT = "lightweight-quality"

#: Faces that are looked at together, so that memory does not grow with their number.
CHUNK = 64


@dataclass(frozen=True, slots=True)
class Quality:
    """Quality of one face.

    Parameters
    ----------
    overall
        In [0, 1]: how surely the default recogniser would know the face again.
    components
        In [0, 1] by name, see :data:`vultus.quality.components.NAMES`; higher is better.
    reasons
        What is wrong and what to do, the worst first; empty for a good picture.
    """

    overall: float
    components: Mapping[str, float]
    reasons: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the values of ``Face.quality``."""
        return {"overall": self.overall, **self.components, "reasons": list(self.reasons)}


class QualityPredictor:
    """The forest and the components on batches of faces. Thread safe; keeps no state.

    Parameters
    ----------
    name
        A quality forest of the manifest, or an ONNX file that ``vultus export`` wrote.
    provider, threads
        See :class:`~vultus.runtime.Session`.
    allow_licenses, offline
        See :func:`~vultus.runtime.resolve`.

    Attributes
    ----------
    template : Template
        Alignment of the crops.
    features : FeatureSet
        What the forest looks at, as stored in its file.

    Raises
    ------
    WeightsError
        If the forest cannot be had, or its features are not those of this version.
    """

    def __init__(
        self,
        name: str | Path = DEFAULT,
        provider: str = "cpu",
        threads: int | None = None,
        *,
        allow_licenses: Iterable[str] | None = None,
        offline: bool | None = None,
    ) -> None:
        model = name
        if isinstance(model, str):
            model = resolve(model, allow_licenses=allow_licenses, offline=offline)
        self.template: Template = template(TEMPLATE)
        self.features = read_feature_set(model)
        # Trees are branches, which accelerators do badly; there is little to compute.
        self._session = Session(model, provider="cpu", threads=threads)
        shape = self._session.inputs[0].shape
        if shape[1:] != (len(self.features.names),):
            raise WeightsError(f"{model}: takes {shape}, not {len(self.features.names)} features")

    def predict(self, crops: UInt8Array, faces: Sequence[Face], sizes: ArrayLike) -> list[Quality]:
        """Return the quality of faces.

        Parameters
        ----------
        crops
            uint8 RGB (N, S, S, 3), aligned to :attr:`template`.
        faces
            The same faces, with ``landmarks`` and ``pose``.
        sizes
            (N, 2) width and height of each face's picture.

        Raises
        ------
        NotComputedError
            If a face lacks landmarks or pose.
        VultusError
            If the shapes do not fit.
        """
        wanted = np.asarray(sizes, np.float32)
        if wanted.shape != (len(faces), 2) or len(crops) != len(faces):
            raise VultusError(f"{len(faces)} faces need as many crops and sizes")
        found: list[Quality] = []
        for start in range(0, len(faces), CHUNK):
            rows = slice(start, start + CHUNK)
            geometry = Geometry.of(faces[rows])
            parts = measure(crops[rows], geometry, wanted[rows])
            overall = self.score(geometry, parts)
            found += [_quality(o, p) for o, p in zip(overall, parts, strict=True)]
        return found

    def score(self, geometry: Geometry, components: FloatArray) -> FloatArray:
        """Return overall scores, float32 (N,) in [0, 1].

        Parameters
        ----------
        geometry
            N faces.
        components
            float32 (N, 15), see :func:`vultus.quality.components.measure`.
        """
        columns = [NAMES.index(name) for name in self.features.components]
        rows = self.features.compute(geometry, components[:, columns] if columns else None)
        if not len(rows):
            return np.empty(0, np.float32)
        return np.clip(self._session.run(rows)[0], 0, 1)


def read_feature_set(model: Path) -> FeatureSet:
    """Return the features of an exported forest; raise :class:`WeightsError` if it has none."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        about = {p.key: p.value for p in onnx.load_model(model).metadata_props}
        if not about:
            raise ValueError("its file names none")
        chosen = FeatureSet.from_dict(json.loads(about["feature_set"]))
        names = tuple(json.loads(about["features"]))
    except (OSError, KeyError, ValueError, TypeError, DecodeError, VultusError) as error:
        raise WeightsError(f"{model}: is no quality forest with named features: {error}") from error
    if names != chosen.names or not set(chosen.components) <= set(NAMES):
        raise WeightsError(f"{model}: was grown on other features than this version computes")
    return chosen


def _quality(overall: np.float32, parts: FloatArray) -> Quality:
    named = {name: float(value) for name, value in zip(NAMES, parts, strict=True)}
    return Quality(float(overall), MappingProxyType(named), reasons(named))
