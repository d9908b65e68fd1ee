"""A network of the manifest that looks at square crops: the part that predictors share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.errors import VultusError, WeightsError
from vultus.runtime.manifest import Preprocessing
from vultus.runtime.session import Precision, Session
from vultus.runtime.store import Store

#: Crops that are prepared at a time, so that memory does not grow with the number of faces.
CHUNK = 32


@dataclass(frozen=True, slots=True)
class CropFile:
    """An ONNX file that looks at crops, of the manifest or not.

    Parameters
    ----------
    id
        Its name in messages.
    path
        The file.
    template
        The crop that it wants.
    input
        How crops are prepared.
    """

    id: str
    path: Path
    template: str
    input: Preprocessing


class CropNetwork:
    """Crops in, raw outputs out. Thread safe; keeps no state between calls.

    Parameters
    ----------
    name
        A weight of the manifest, or a file.
    task
        What a weight of the manifest must be for.
    side
        Side of the crops that callers give, or None for that of the network's own input. Crops are
        reduced or enlarged to the network's input.
    provider, threads, precision
        See :class:`~vultus.runtime.Session`.
    allow_licenses, offline
        See :func:`~vultus.runtime.resolve`.

    Attributes
    ----------
    name, template : str
        Identifier of the weight, and the crop that it wants.
    size : int
        Side of the network's input; ``side`` where the network takes any.
    digest : str
        12 hex digits of the file's SHA-256.

    Raises
    ------
    WeightsError
        If the weight cannot be had, is for another task, or does not take square crops.
    """

    def __init__(
        self,
        name: str | CropFile,
        task: str,
        *,
        side: int | None = None,
        provider: str = "cpu",
        threads: int | None = None,
        precision: Precision = "f32",
        allow_licenses: Iterable[str] | None = None,
        offline: bool | None = None,
    ) -> None:
        if isinstance(name, str):
            name = crop_file(name, task, Store(offline=offline, allow_licenses=allow_licenses))
        self.name, self.template = name.id, name.template
        self._wants = name.input
        self._session = Session(name.path, provider=provider, threads=threads, precision=precision)
        self.digest = self._session.digest
        shape = self._session.inputs[0].shape
        sides = shape[1:3] if self._wants.layout == "nhwc" else shape[2:4]
        if len(shape) == 4 and sides == (None, None):
            sides = (side, side)
        if len(shape) != 4 or sides[0] is None or sides[0] != sides[1]:
            raise WeightsError(f"{self.name} does not take square crops but {shape}")
        self.size = int(sides[0])
        self.side = side or self.size

    def run(self, crops: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Return every output for crops, uint8 RGB (N, side, side, 3), as float32 (N, ...).

        Raises
        ------
        VultusError
            If the crops do not fit, or an output is not finite.
        """
        side = self.side
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (side, side, 3):
            raise VultusError(
                f"{self.name} takes uint8 RGB crops (N, {side}, {side}, 3) aligned to "
                f"{self.template}, "
                f"got {crops.dtype} {crops.shape}"
            )
        chunks = [
            self._session.run(self._prepare(crops[start : start + CHUNK]))
            for start in range(0, max(len(crops), 1), CHUNK)
        ]
        outputs = [np.concatenate(parts).astype(np.float32) for parts in zip(*chunks, strict=True)]
        for output in outputs:
            finite = np.isfinite(output).all(axis=tuple(range(1, output.ndim)))
            if not finite.all():
                crop = int(finite.argmin())
                raise VultusError(f"{self.name} gave a value that is not finite for crop {crop}")
        return outputs

    def _prepare(self, crops: NDArray[np.uint8]) -> NDArray[np.float32] | NDArray[np.uint8]:
        wants = self._wants
        batch = self._resized(crops)
        if wants.order == "bgr":
            batch = batch[..., ::-1]
        if wants.dtype == "uint8":
            return batch if wants.layout == "nhwc" else batch.transpose(0, 3, 1, 2)
        scaled = batch.astype(np.float32)
        scaled -= np.array(wants.mean, np.float32)
        scaled /= np.array(wants.std, np.float32)
        return scaled if wants.layout == "nhwc" else scaled.transpose(0, 3, 1, 2)

    def _resized(self, crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.side == self.size:
            return crops
        if not len(crops):
            return np.zeros((0, self.size, self.size, 3), np.uint8)
        way = cv2.INTER_AREA if self.size < self.side else cv2.INTER_LINEAR
        target = (self.size, self.size)
        small = [cv2.resize(crop, target, interpolation=way) for crop in crops]
        return np.stack(small).astype(np.uint8)


def crop_file(name: str, task: str, store: Store) -> CropFile:
    """Return a weight of the manifest that looks at crops, fetching its file if need be.

    Raises
    ------
    WeightsError
        If it cannot be had, or is for another task.
    """
    weight = store.weight(name)
    if weight.task != task or weight.template is None or weight.input is None:
        known = sorted(w.id for w in store.weights.values() if w.task == task and w.input)
        raise WeightsError(f"{name} is no network for {task}; known: {', '.join(known)}")
    return CropFile(weight.id, store.resolve(name), weight.template, weight.input)
