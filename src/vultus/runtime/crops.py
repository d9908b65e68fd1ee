"""A network of the manifest that looks at square crops: the part that predictors share."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.errors import VultusError, WeightsError
from vultus.runtime.manifest import Preprocessing
from vultus.runtime.session import Session
from vultus.runtime.store import Store

#: Crops that are prepared at a time, so that memory does not grow with the number of faces.
CHUNK = 32


class CropNetwork:
    """Crops in, raw outputs out. Thread safe; keeps no state between calls.

    Parameters
    ----------
    name
        A weight of the manifest.
    task
        What it must be for.
    side
        Side of the crops that callers give, or None for that of the network's own input. Crops are
        reduced or enlarged to the network's input.
    provider, threads
        See :class:`~vultus.runtime.Session`.
    allow_licenses, offline
        See :func:`~vultus.runtime.resolve`.

    Attributes
    ----------
    name, template : str
        Identifier of the weight, and the crop that it wants.
    size : int
        Side of the network's input.

    Raises
    ------
    WeightsError
        If the weight cannot be had, is for another task, or does not take square crops.
    """

    def __init__(
        self,
        name: str,
        task: str,
        *,
        side: int | None = None,
        provider: str = "cpu",
        threads: int | None = None,
        allow_licenses: Iterable[str] | None = None,
        offline: bool | None = None,
    ) -> None:
        store = Store(offline=offline, allow_licenses=allow_licenses)
        weight = store.weight(name)
        if weight.task != task or weight.template is None or weight.input is None:
            known = sorted(w.id for w in store.weights.values() if w.task == task and w.input)
            raise WeightsError(f"{name} is no network for {task}; known: {', '.join(known)}")
        self.name, self.template = weight.id, weight.template
        self._wants: Preprocessing = weight.input
        self._session = Session(store.resolve(name), provider=provider, threads=threads)
        shape = self._session.inputs[0].shape
        sides = shape[1:3] if self._wants.layout == "nhwc" else shape[2:4]
        if len(shape) != 4 or sides[0] is None or sides[0] != sides[1]:
            raise WeightsError(f"{name} does not take square crops but {shape}")
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
                f"{self.name} takes uint8 RGB crops (N, {side}, {side}, 3) of {self.template}, "
                f"got {crops.dtype} {crops.shape}"
            )
        chunks = [
            self._session.run(self._prepare(crops[start : start + CHUNK]))
            for start in range(0, max(len(crops), 1), CHUNK)
        ]
        outputs = [np.concatenate(parts).astype(np.float32) for parts in zip(*chunks, strict=True)]
        if not all(np.isfinite(output).all() for output in outputs):
            raise VultusError(f"{self.name} gave a value that is not finite")
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
