"""Faces to templates: any ONNX recognition network behind one interface."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vultus.errors import VultusError, WeightsError
from vultus.geometry import Template, UInt8Array, template
from vultus.runtime import CropNetwork, Preprocessing, Store
from vultus.runtime.crops import CropFile, crop_file
from vultus.runtime.session import Precision

FloatArray = NDArray[np.float32]

#: The task of recognition networks in the manifest.
TASK = "recognition"


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
        Name of the alignment template, for example ``arcface112``. A network of another side than
        the template's gets the crops reduced or enlarged.
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
        file = crop_file(weight_id, TASK, store)
        return cls(file.id, file.path, file.template, file.input, store.weight(weight_id).digest)


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
        name: str | EmbedderSpec = "compact-recogniser",
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
        self._network = CropNetwork(
            CropFile(spec.id, spec.model, spec.template, spec.input),
            TASK,
            side=self.template.size,
            provider=provider,
            threads=threads,
            precision=precision,
        )
        self.space = f"{spec.id}@{spec.digest or self._network.digest}/{spec.template}"
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
        raw = self._network.run(crops)[0]
        if raw.ndim != 2:
            raise VultusError(f"the first output of {self.name} is not (N, D) but {raw.shape}")
        return raw

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
