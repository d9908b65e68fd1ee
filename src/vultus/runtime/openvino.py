"""Running an ONNX network with OpenVINO on the CPU."""

from __future__ import annotations

import queue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vultus.errors import ProviderError, VultusError, WeightsError
from vultus.runtime.session import Precision, TensorInfo

Array = NDArray[Any]


class OpenVino:
    """A network in OpenVINO, with one inference request per concurrent caller."""

    def __init__(self, data: bytes, name: str, threads: int | None, precision: Precision) -> None:
        try:
            import openvino as ov
        except ImportError as error:
            raise ProviderError(
                "provider 'openvino' needs the openvino package: pip install 'vultus[openvino]'"
            ) from error
        core = ov.Core()
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            # Left to itself OpenVINO takes bf16 where the CPU has it, so that the same face
            # would get another template on another machine.
            "INFERENCE_PRECISION_HINT": precision,
        }
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            network = core.read_model(data, b"")
        except RuntimeError as error:
            raise WeightsError(f"{name}: openvino cannot load it: {error}") from error
        try:
            self._compiled = core.compile_model(network, "CPU", settings)
        except RuntimeError as error:
            raise ProviderError(f"{name}: openvino cannot compile it: {error}") from error
        used = self._compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if used != precision:
            raise ProviderError(
                f"openvino would compute in {used} where {precision} was asked for: this CPU "
                f"does not support {precision}"
            )
        self.inputs = tuple(_info(port) for port in self._compiled.inputs)
        self.outputs = tuple(_info(port) for port in self._compiled.outputs)
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def run(self, batch: Array) -> list[Array]:
        """Return the outputs for one batch; raise :class:`VultusError` if the network fails."""
        try:
            request = self._idle.get_nowait()
        except queue.Empty:
            request = self._compiled.create_infer_request()
        try:
            results = request.infer([batch], share_inputs=True)
            return [np.array(results[i]) for i in range(len(self.outputs))]
        except RuntimeError as error:
            raise VultusError(f"the network failed on a batch {batch.shape}: {error}") from error
        finally:
            self._idle.put(request)


def _info(port: Any) -> TensorInfo:
    shape = tuple(
        size.get_length() if size.is_static else None for size in port.get_partial_shape()
    )
    return TensorInfo(port.get_any_name(), shape, np.dtype(port.get_element_type().to_dtype()))
