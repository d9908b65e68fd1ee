"""Faces to liveness scores: any ONNX network that gives a map of the face."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import VultusError, WeightsError
from vultus.liveness.masks import ellipse_mask
from vultus.liveness.scoring import clip_scores, frame_scores
from vultus.runtime import Preprocessing, Session, Store

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]

#: Crop that a map network wants: the detector's box, squared and enlarged by 1.3.
TEMPLATE = "box1.3"

#: Crops that are prepared at a time, so that memory does not grow with the number of faces.
CHUNK = 32


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
    """

    id: str
    model: Path
    input: Preprocessing

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
        weight = store.weight(weight_id)
        if weight.task != "liveness" or weight.template != TEMPLATE or weight.input is None:
            known = sorted(w.id for w in store.weights.values() if w.task == "liveness")
            raise WeightsError(f"{weight_id} is no liveness network; known: {', '.join(known)}")
        return cls(weight.id, store.resolve(weight_id), weight.input)

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
        if fields.get("task") != "liveness" or fields.get("template") != TEMPLATE:
            raise WeightsError(
                f"{entry}: does not describe a liveness network for {TEMPLATE} crops"
            )
        if fields.get("sha256") != digest:
            raise WeightsError(f"{file}: is not the network that {entry.name} describes")
        wanted = dict(fields["input"])
        for name in ("mean", "std"):
            wanted[name] = tuple(wanted[name])
        return cls(weight_id, file, Preprocessing(**wanted))


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
    allow_licenses, offline
        See :func:`~vultus.runtime.resolve`.

    Attributes
    ----------
    name : str
        Identifier of the network.
    template : str
        Crop that it wants, :data:`TEMPLATE`.
    size : int
        Side of the crops.

    Raises
    ------
    WeightsError
        If the network cannot be had, or does not fit its specification.
    """

    template = TEMPLATE

    def __init__(
        self,
        network: str | LivenessSpec,
        provider: str = "cpu",
        threads: int | None = None,
        *,
        allow_licenses: Iterable[str] | None = None,
        offline: bool | None = None,
    ) -> None:
        spec = network
        if isinstance(spec, str):
            spec = LivenessSpec.from_manifest(spec, allow_licenses=allow_licenses, offline=offline)
        self.spec, self.name = spec, spec.id
        self._session = Session(spec.model, provider=provider, threads=threads)
        self.size = self._side()
        self._face = ellipse_mask(self.size)

    def predict(self, crops: UInt8Array, masks: ArrayLike | None = None) -> FloatArray:
        """Return scores, float32 (N,), higher for what looks more like bona fide.

        Parameters
        ----------
        crops
            uint8 RGB (N, S, S, 3): boxes enlarged by 1.3, see
            :func:`vultus.geometry.crop_boxes`; S is :attr:`size`.
        masks
            bool (N, H, W), where the face lies in each crop; the ellipse in the box by default.
            Use the same kind of mask as where the threshold was chosen.

        Raises
        ------
        VultusError
            If the crops do not fit, or a mask is empty.
        """
        maps = self.predict_maps(crops)
        if masks is None:
            masks = np.broadcast_to(self._face, (len(crops), self.size, self.size))
        return frame_scores(maps, masks)

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
        """Return the maps themselves, float32 (N, h, w), all finite."""
        side = self.size
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (side, side, 3):
            raise VultusError(
                f"{self.name} takes uint8 RGB crops (N, {side}, {side}, 3) of {self.template}, "
                f"got {crops.dtype} {crops.shape}"
            )
        chunks = [
            self._session.run(self._prepare(crops[start : start + CHUNK]))[0]
            for start in range(0, max(len(crops), 1), CHUNK)
        ]
        maps: FloatArray = np.concatenate(chunks).astype(np.float32, copy=False)
        if maps.ndim != 3:
            raise VultusError(f"the first output of {self.name} is not (N, h, w) but {maps.shape}")
        finite = np.isfinite(maps).all(axis=(1, 2))
        if not finite.all():
            raise VultusError(f"{self.name} gave no finite map for crop {int(finite.argmin())}")
        return maps

    def _prepare(self, crops: UInt8Array) -> NDArray[Any]:
        wants = self.spec.input
        batch: NDArray[Any] = crops if wants.order == "rgb" else crops[..., ::-1]
        if wants.dtype == "float32":
            batch = batch.astype(np.float32)
            batch -= np.array(wants.mean, np.float32)
            batch /= np.array(wants.std, np.float32)
        return batch if wants.layout == "nhwc" else batch.transpose(0, 3, 1, 2)

    def _side(self) -> int:
        shape = self._session.inputs[0].shape
        sides = shape[1:3] if self.spec.input.layout == "nhwc" else shape[2:4]
        if len(shape) != 4 or sides[0] is None or sides[0] != sides[1]:
            raise WeightsError(f"{self.spec.model} does not take square crops but {shape}")
        return int(sides[0])
