"""Faces to templates: any ONNX recognition network behind one interface."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vultus.errors import VultusError, WeightsError
from vultus.geometry import Template, UInt8Array, template
from vultus.runtime import Preprocessing, Session, Store
from vultus.runtime.session import Precision

FloatArray = NDArray[np.float32]

#: Crops that are prepared at a time, so that memory does not grow with the number of faces.
CHUNK = 32


@dataclass(frozen=True, slots=True)
class EmbedderSpec:
    """A recognition network and what it wants.

    Parameters
    ----------
    id
        Name, the first part of the embedding space.
    model
        ONNX file with one input for crops and, as its first output, (N, D) embeddings.
    template
        Name of the alignment template, for example ``arcface112``.
    input
        How crops are prepared.
    digest
        12 hex digits that stand for the network in the embedding space; by default those of the
        file's SHA-256. For a converted network, those of the original: converting it again must
        not part a gallery from its network.
    """

    id: str
    model: Path
    template: str
    input: Preprocessing
    digest: str | None = None

    @classmethod
    def from_manifest(
        cls,
        weight_id: str,
        *,
        allow_licenses: Iterable[str] | None = None,
        offline: bool | None = None,
    ) -> EmbedderSpec:
        """Return the specification of a manifest entry, fetching its file if need be.

        Raises
        ------
        WeightsError
            If the weight is unknown, no recognition network, not allowed or not to be had.
        """
        store = Store(offline=offline, allow_licenses=allow_licenses)
        weight = store.weight(weight_id)
        if weight.task != "recognition" or weight.template is None or weight.input is None:
            known = sorted(w.id for w in store.weights.values() if w.task == "recognition")
            raise WeightsError(f"{weight_id} is no recognition network; known: {', '.join(known)}")
        return cls(
            weight.id, store.resolve(weight_id), weight.template, weight.input, weight.digest
        )


class Embedder:
    """A recognition network. Thread safe; keeps no state between calls.

    Parameters
    ----------
    name
        A recognition network of the manifest, or an :class:`EmbedderSpec` for any ONNX file.
    provider
        Where it runs; see :class:`~vultus.runtime.Session`.
    threads
        Threads of one run; None lets the runtime choose.
    precision
        Of the arithmetic; see :class:`~vultus.runtime.Session`.
    allow_licenses, offline
        See :func:`~vultus.runtime.resolve`.

    Attributes
    ----------
    name : str
        Identifier of the network.
    template : Template
        Alignment that crops must have.
    dim : int
        Length D of an embedding.
    space : str
        ``ID@DIGEST/TEMPLATE``: embeddings of equal spaces may be compared.

    Raises
    ------
    WeightsError
        If the network cannot be had, or does not fit its specification.
    ProviderError
        If the provider is not there.
    """

    def __init__(
        self,
        name: str | EmbedderSpec = "dlib-resnet29",
        provider: str = "cpu",
        threads: int | None = None,
        *,
        precision: Precision = "f32",
        allow_licenses: Iterable[str] | None = None,
        offline: bool | None = None,
    ) -> None:
        spec = name
        if isinstance(spec, str):
            spec = EmbedderSpec.from_manifest(spec, allow_licenses=allow_licenses, offline=offline)
        self.spec = spec
        self.name = spec.id
        self.template: Template = template(spec.template)
        self._session = Session(spec.model, provider=provider, threads=threads, precision=precision)
        self.space = f"{spec.id}@{spec.digest or self._session.digest}/{spec.template}"
        self.dim = self._check_network()

    def predict(self, crops: UInt8Array) -> FloatArray:
        """Return embeddings, float32 (N, D) of unit length.

        Parameters
        ----------
        crops
            uint8 RGB (N, S, S, 3), aligned to :attr:`template`, whose size is S.

        Raises
        ------
        VultusError
            If the crops have another shape or type, or the network gives no usable vector.
        """
        raw = self.predict_raw(crops)
        norms = np.linalg.norm(raw, axis=1, keepdims=True)
        if not (norms > 0).all():
            raise VultusError(f"{self.name} gave a zero vector for crop {int(norms.argmin())}")
        unit: FloatArray = raw / norms
        return unit

    def predict_raw(self, crops: UInt8Array) -> FloatArray:
        """Return embeddings as the network gives them, float32 (N, D), all finite.

        The arguments and errors are those of :meth:`predict`.
        """
        self._check_crops(crops)
        chunks = [
            self._session.run(self._prepare(crops[start : start + CHUNK]))[0]
            for start in range(0, max(len(crops), 1), CHUNK)
        ]
        raw: FloatArray = np.concatenate(chunks).astype(np.float32, copy=False)
        if raw.ndim != 2:
            raise VultusError(f"the first output of {self.name} is not (N, D) but {raw.shape}")
        finite = np.isfinite(raw).all(axis=1)
        if not finite.all():
            raise VultusError(f"{self.name} gave no finite vector for crop {int(finite.argmin())}")
        return raw

    def _check_crops(self, crops: UInt8Array) -> None:
        side = self.template.size
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (side, side, 3):
            raise VultusError(
                f"{self.name} takes uint8 RGB crops (N, {side}, {side}, 3) aligned to "
                f"{self.template.name}, got {crops.dtype} {crops.shape}"
            )

    def _prepare(self, crops: UInt8Array) -> NDArray[Any]:
        wants = self.spec.input
        batch: NDArray[Any] = crops if wants.order == "rgb" else crops[..., ::-1]
        if wants.dtype == "float32":
            batch = batch.astype(np.float32)
            batch -= np.array(wants.mean, np.float32)
            batch /= np.array(wants.std, np.float32)
        return batch if wants.layout == "nhwc" else batch.transpose(0, 3, 1, 2)

    def _check_network(self) -> int:
        """Return the embedding's length; raise :class:`WeightsError` on a network that misfits."""
        side = self.template.size
        try:
            probe = self.predict_raw(np.zeros((1, side, side, 3), np.uint8))
        except VultusError as error:
            raise WeightsError(
                f"{self.spec.model} does not fit its specification: {error}"
            ) from error
        return int(probe.shape[1])
