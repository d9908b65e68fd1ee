"""Running an ONNX network with OpenVINO on the CPU."""

from __future__ import annotations

import queue
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vultus.errors import ProviderError, VultusError, WeightsError
from vultus.runtime.session import Precision, TensorInfo

Array = NDArray[Any]

_CAPABILITIES = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}


class OpenVino:
    """A network in OpenVINO.

    A batch of one runs in a network compiled for that size, which is a fifth to a quarter faster
    than one compiled for any size; larger batches run in the latter, compiled when first needed.
    """

    def __init__(self, data: bytes, name: str, threads: int | None, precision: Precision) -> None:
        try:
            import openvino as ov
        except ImportError as error:
            raise ProviderError(
                "provider 'openvino' needs the openvino package: pip install 'vultus[openvino]'"
            ) from error
        core = ov.Core()
        capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if _CAPABILITIES[precision] not in capabilities:
            raise ProviderError(
                f"this CPU does not compute in {precision} under openvino; it has {capabilities}"
            )
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            # Left to itself OpenVINO takes bf16 where the CPU has it, so that the same face
            # would get another template on another machine.
            "INFERENCE_PRECISION_HINT": precision,
        }
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            model = core.read_model(data, b"")
        except RuntimeError as error:
            raise WeightsError(f"{name}: openvino cannot load it: {error}") from error
        self.inputs = tuple(_info(port) for port in model.inputs)
        self.outputs = tuple(_info(port) for port in model.outputs)
        self._any = _Compiled(core, model, name, settings)
        self._single = self._any
        if len(self.inputs) == 1 and self.inputs[0].shape[:1] == (None,):
            shape = self.inputs[0].shape
            single = model.clone()
            single.reshape([1, *(-1 if size is None else size for size in shape[1:])])
            self._single = _Compiled(core, single, name, settings)
        self._single.compile()

    def run(self, batch: Array) -> list[Array]:
        """Return the outputs for one batch; raise :class:`VultusError` if the network fails."""
        return (self._single if len(batch) == 1 else self._any).run(batch)


class _Compiled:
    """A network compiled when first needed, with one inference request per concurrent caller."""

    def __init__(self, core: Any, model: Any, name: str, settings: dict[str, Any]) -> None:
        self._core, self._model, self._name, self._settings = core, model, name, settings
        self._lock = threading.Lock()
        self._compiled: Any = None
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def compile(self) -> Any:
        with self._lock:
            if self._compiled is None:
                try:
                    self._compiled = self._core.compile_model(self._model, "CPU", self._settings)
                except RuntimeError as error:
                    raise ProviderError(
                        f"{self._name}: openvino cannot compile it: {error}"
                    ) from error
            return self._compiled

    def run(self, batch: Array) -> list[Array]:
        try:
            request = self._idle.get_nowait()
        except queue.Empty:
            request = self.compile().create_infer_request()
        try:
            results = request.infer([batch], share_inputs=True, share_outputs=False)
            return [results[i] for i in range(len(results))]
        except RuntimeError as error:
            raise VultusError(f"the network failed on a batch {batch.shape}: {error}") from error
        finally:
            self._idle.put(request)


def _info(port: Any) -> TensorInfo:
    shape = tuple(
        size.get_length() if size.is_static else None for size in port.get_partial_shape()
    )
    return TensorInfo(port.get_any_name(), shape, np.dtype(port.get_element_type().to_dtype()))
