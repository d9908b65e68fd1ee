"""The way in: a detector by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from vultus.errors import ConfigError, ImageError
from vultus.faces import Face
from vultus.geometry import UInt8Array

#: Used where no name is given; benchmarks/detection.py is the ground for the choice.
DEFAULT = "blazeface"

#: Known detectors: where the class is, which is loaded when it is first asked for.
DETECTORS: Mapping[str, tuple[str, str]] = {
    "blazeface": ("vultus.detection.blazeface_mesh", "BlazeFaceMesh"),
    "dlib-frontal": ("vultus.detection.dlib_frontal", "DlibFrontal"),
    "mos": ("vultus.detection.mos.finder", "MosFinder"),
    "mos-mesh": ("vultus.detection.mos.meshed", "MosMesh"),
}


class Finder(Protocol):
    """What a detector offers to :class:`Detector`. ``find`` may be called from many threads."""

    default_min_score: float
    weights: tuple[str, ...]

    def find(self, images: Sequence[UInt8Array], min_score: float) -> list[list[Face]]:
        """Return each picture's faces, best first, with scores of at least ``min_score``."""


class Detector:
    """Finds faces in pictures. Thread safe; keeps no state between calls.

    Boxes follow WIDER FACE: from the hairline to the chin, without the ears, and may reach over
    the picture's edge.

    Parameters
    ----------
    name
        One of :data:`DETECTORS`; None for the default. ``blazeface`` finds faces of any pose and
        size; ``dlib-frontal`` finds near-frontal, upright ones and needs the extra ``dlib``;
        ``mos`` finds fewer than the default, and fills their pose; ``mos-mesh`` does too, with
        keypoints that are fit for recognition.
    provider
        Where networks run: ``cpu``, ``cuda``, ``openvino`` and others of
        :class:`vultus.runtime.Session`.
    threads
        Threads per network; None lets the runtime choose.
    min_score
        Faces with a lower score are dropped; None for the detector's own threshold.
    max_faces
        Keep at most this many of the best; None keeps all.

    Raises
    ------
    ConfigError
        If an argument is out of range, or the detector's package is not installed.
    WeightsError
        If its weights cannot be had.
    ProviderError
        If the provider is not there.
    """

    def __init__(
        self,
        name: str | None = None,
        provider: str = "cpu",
        threads: int | None = None,
        min_score: float | None = None,
        max_faces: int | None = None,
    ) -> None:
        self.name = DEFAULT if name is None else name
        if self.name not in DETECTORS:
            raise ConfigError(f"unknown detector {name!r}; known: {', '.join(DETECTORS)}")
        if min_score is not None and not 0 <= min_score <= 1:
            raise ConfigError(f"min_score must be in 0..1, got {min_score}")
        if max_faces is not None and max_faces < 1:
            raise ConfigError(f"max_faces must be 1 or more, got {max_faces}")
        module, attribute = DETECTORS[self.name]
        build = getattr(importlib.import_module(module), attribute)
        self._finder: Finder = build(provider=provider, threads=threads)
        self.min_score = self._finder.default_min_score if min_score is None else min_score
        self.max_faces = max_faces

    @property
    def weights(self) -> tuple[str, ...]:
        """Ids of the weight files that it uses."""
        return self._finder.weights

    def detect(self, image: UInt8Array) -> list[Face]:
        """Return the faces of one picture, uint8 RGB (H, W, 3), best first.

        Raises
        ------
        ImageError
            If the array is not such a picture.
        """
        return self.detect_many([image])[0]

    def detect_many(self, images: Sequence[UInt8Array]) -> list[list[Face]]:
        """Return the faces of each picture, as :meth:`detect` does, run in batches.

        Raises
        ------
        ImageError
            If an array is not a picture; the message says which.
        """
        pictures = [_checked(image, f"images[{i}]") for i, image in enumerate(images)]
        found = self._finder.find(pictures, self.min_score)
        return [faces[: self.max_faces] for faces in found]


def _checked(image: Any, where: str) -> UInt8Array:
    if not isinstance(image, np.ndarray):
        raise ImageError(
            where, f"must be an array, got {type(image).__name__}; open files with open_image"
        )
    if image.dtype != np.uint8:
        raise ImageError(where, f"must be uint8, got {image.dtype}")
    if image.ndim != 3 or image.shape[2] != 3:
        raise ImageError(where, f"must be RGB with shape (H, W, 3), got {image.shape}")
    if not image.size:
        raise ImageError(where, f"has no pixels: shape {image.shape}")
    return np.ascontiguousarray(image)
