"""Faces to liveness scores: any ONNX network that gives a map of the face."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import VultusError, WeightsError
from vultus.liveness.masks import ellipse_mask
from vultus.liveness.scoring import clip_scores, frame_scores
from vultus.liveness.windows import BOX, TEMPLATES, crop_faces
from vultus.runtime import CropNetwork, Preprocessing, Store
from vultus.runtime.crops import CropFile, crop_file

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]

#: The network used where none is named.
DEFAULT = "cdcn-light"

#: Threshold of each network of the manifest, from its development people.
THRESHOLDS: Mapping[str, float] = MappingProxyType({"cdcn-light": 0.349})

#: What has to be said wherever a decision is shown.
WARNING = "What it lets pass has to be measured on real attacks: not a security control."

#: The same of networks that deserve a stronger word.
WARNINGS: Mapping[str, str] = MappingProxyType(
    {
        "cdcn-light": "Learned from simulated attacks alone, and took nearly all of the few real "
        "ones it was tried on for bona fide: not a security control."
    }
)


@dataclass(frozen=True, slots=True)
class LivenessSpec:
    """A liveness network and what it wants.

    Parameters
    ----------
    id
        Name.
    model
        ONNX file with one input for square crops and, as its first output, maps (N, h, w) that are
        higher where the face is alive.
    input
        How crops are prepared.
    template
        Crop that it wants, one of :data:`~vultus.liveness.windows.TEMPLATES`.
    """

    id: str
    model: Path
    input: Preprocessing
    template: str = BOX

    @classmethod
    def from_manifest(
        cls,
        weight_id: str,
        *,
        allow_licenses: Iterable[str] | None = None,
        offline: bool | None = None,
    ) -> LivenessSpec:
        """Return the specification of a manifest entry, fetching its file if need be.

        Raises
        ------
        WeightsError
            If the weight is unknown, no liveness network, not allowed or not to be had.
        """
        store = Store(offline=offline, allow_licenses=allow_licenses)
        file = crop_file(weight_id, "liveness", store)
        if file.template not in TEMPLATES:
            raise WeightsError(f"{weight_id} takes {file.template}, not {' or '.join(TEMPLATES)}")
        return cls(file.id, file.path, file.input, file.template)

    @classmethod
    def from_export(cls, model: Path | str) -> LivenessSpec:
        """Return the specification of a network that ``vultus export`` wrote, with its draft entry.

        Parameters
        ----------
        model
            The ``.onnx`` file; the entry lies beside it with the suffix ``.toml``.

        Raises
        ------
        WeightsError
            If the entry is missing, belongs to another file, or describes no liveness network.
        """
        file = Path(model)
        entry = file.with_suffix(".toml")
        try:
            tables = tomllib.loads(entry.read_text(encoding="utf-8"))
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise WeightsError(
                f"{file}: no network with its entry {entry.name}: {error}"
            ) from error
        nothing: dict[str, Any] = {}
        weight_id, fields = next(iter(tables.items()), ("", nothing))
        template = fields.get("template")
        if fields.get("task") != "liveness" or template not in TEMPLATES:
            raise WeightsError(
                f"{entry}: does not describe a liveness network for {' or '.join(TEMPLATES)} crops"
            )
        if fields.get("sha256") != digest:
            raise WeightsError(f"{file}: is not the network that {entry.name} describes")
        wanted = dict(fields["input"])
        for name in ("mean", "std"):
            wanted[name] = tuple(wanted[name])
        return cls(weight_id, file, Preprocessing(**wanted), template)


@dataclass(frozen=True, slots=True)
class LivenessAnswer:
    """What the network says of one face, and the decision at a threshold.

    Parameters
    ----------
    score
        Higher looks more like bona fide: no probability.
    threshold
        Scores from here on are taken for bona fide.
    warning
        What has to be said beside the decision.
    """

    score: float
    threshold: float
    warning: str = WARNING

    @property
    def bona_fide(self) -> bool:
        """Whether the presentation is taken for bona fide."""
        return self.score >= self.threshold

    def to_dict(self) -> dict[str, Any]:
        """Return the values of ``Face.liveness``."""
        return {
            "decision": "bona fide" if self.bona_fide else "attack",
            "score": self.score,
            "threshold": self.threshold,
            "warning": self.warning,
        }


class LivenessPredictor:
    """A liveness network. Thread safe; keeps no state between calls.

    A score says how much a face looks like a bona fide presentation to this network. It becomes a
    decision by a threshold that was chosen on a development set of the cameras and attacks at
    hand, see :func:`vultus.measure.pad.threshold_at_eer`.

    Parameters
    ----------
    network
        A liveness network of the manifest, or a :class:`LivenessSpec` for any ONNX file.
    provider, threads
        See :class:`~vultus.runtime.Session`.
    threshold
        For :meth:`decide`; that of :data:`THRESHOLDS` if not given.
    allow_licenses, offline
        See :func:`~vultus.runtime.resolve`.

    Attributes
    ----------
    name : str
        Identifier of the network.
    template : str
        Crop that it wants, one of :data:`~vultus.liveness.windows.TEMPLATES`.
    size : int
        Side of the crops.

    Raises
    ------
    WeightsError
        If the network cannot be had, or does not fit its specification.
    """

    def __init__(
        self,
        network: str | LivenessSpec = DEFAULT,
        provider: str = "cpu",
        threads: int | None = None,
        *,
        threshold: float | None = None,
        allow_licenses: Iterable[str] | None = None,
        offline: bool | None = None,
    ) -> None:
        spec = network
        if isinstance(spec, str):
            spec = LivenessSpec.from_manifest(spec, allow_licenses=allow_licenses, offline=offline)
        self.spec, self.name, self.template = spec, spec.id, spec.template
        self.threshold = THRESHOLDS.get(spec.id) if threshold is None else threshold
        file = CropFile(spec.id, spec.model, spec.template, spec.input)
        self._network = CropNetwork(file, "liveness", provider=provider, threads=threads)
        self.size = self._network.size
        self._face = ellipse_mask(self.size)

    def crop(self, image: UInt8Array, boxes: ArrayLike) -> UInt8Array:
        """Return the crops of faces, uint8 RGB (N, S, S, 3), of xyxy boxes (N, 4) in a picture."""
        return crop_faces(image, boxes, self.template, self.size)

    def predict(self, crops: UInt8Array, masks: ArrayLike | None = None) -> FloatArray:
        """Return scores, float32 (N,), higher for what looks more like bona fide.

        Parameters
        ----------
        crops
            uint8 RGB (N, S, S, 3), see :meth:`crop`; S is :attr:`size`.
        masks
            bool (N, H, W), where the face lies in each crop; the ellipse in the box by default.
            Use the same kind of mask as where the threshold was chosen. A network that gives one
            score for the whole crop needs none.

        Raises
        ------
        VultusError
            If the crops do not fit, or a mask is empty.
        """
        maps = self.predict_maps(crops)
        if masks is None:
            masks = np.broadcast_to(self._face, (len(crops), self.size, self.size))
        return frame_scores(maps, masks)

    def decide(self, crops: UInt8Array) -> list[LivenessAnswer]:
        """Return scores with their decision.

        Parameters
        ----------
        crops
            See :meth:`predict`.

        Raises
        ------
        VultusError
            If the crops do not fit, or nobody has chosen a threshold for this network.
        """
        if self.threshold is None:
            raise VultusError(
                f"{self.name} has no threshold; choose one on a development set and give it as "
                "threshold="
            )
        warning = WARNINGS.get(self.name, WARNING)
        scores = self.predict(crops)
        return [LivenessAnswer(float(score), self.threshold, warning) for score in scores]

    def predict_clips(
        self, crops: UInt8Array, clips: ArrayLike, masks: ArrayLike | None = None
    ) -> tuple[NDArray[np.int64], FloatArray]:
        """Return the clips' numbers and the mean scores of their frames.

        Parameters
        ----------
        crops, masks
            See :meth:`predict`; :func:`~vultus.liveness.scoring.uniform_frames` chooses frames.
        clips
            int (N,), the clip of each frame.
        """
        return clip_scores(self.predict(crops, masks), clips)

    def predict_maps(self, crops: UInt8Array) -> FloatArray:
        """Return the maps themselves, float32 (N, h, w), all finite.

        Raises
        ------
        VultusError
            If the crops do not fit, or the network gives something else.
        """
        maps = self._network.run(crops)[0]
        if maps.ndim != 3:
            raise VultusError(f"the first output of {self.name} is not (N, h, w) but {maps.shape}")
        return maps
