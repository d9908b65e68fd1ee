"""Running an ONNX network on batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vultus.errors import ConfigError, ProviderError, VultusError, WeightsError
from vultus.onnx_runtime import load_onnxruntime

Array = NDArray[Any]
Precision = Literal["f32", "bf16", "f16"]

#: Batch sizes that are run as they are.
BUCKETS = (1, 2, 4, 8, 16, 32)

#: Execution providers of ONNX Runtime, and what brings each.
_ORT_PROVIDERS = {
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu, and no other onnxruntime package"),
    "tensorrt": ("TensorrtExecutionProvider", "onnxruntime-gpu, and no other onnxruntime package"),
    "coreml": ("CoreMLExecutionProvider", "onnxruntime on macOS"),
    "directml": ("DmlExecutionProvider", "onnxruntime-directml on Windows"),
}

#: Names that ``provider=`` accepts.
PROVIDERS = (*_ORT_PROVIDERS, "openvino")

#: How ONNX (protocol buffers: field 1, 8 bytes) spells that a tensor lies in another file.
_EXTERNAL_DATA = b"\x0a\x08location"

#: Microseconds that idle threads stay awake. Between two layers they must, or the second thread
#: gains nothing; with the runtime's own, much longer time, the threads of one network take the
#: processor from whatever runs next.
_SPIN = "100"


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Name, shape and numpy dtype of an input or output; None is a size that may vary."""

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]


class Backend(Protocol):
    """A loaded network. ``run`` may be called from many threads at once."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    def run(self, batch: Array) -> list[Array]:
        """Return the outputs for one batch."""


class Session:
    """An ONNX network with one input, run in batches of a few fixed sizes.

    Fixed sizes bound the memory that accelerators and allocators keep per shape. Thread safe;
    keeps no state between calls.

    Parameters
    ----------
    model
        ONNX file, or its bytes. One that keeps tensors in other files is refused: the digest would
        not cover them.
    provider
        Where it runs, one of :data:`PROVIDERS`. There is no fallback to another one.
    threads
        Threads of one run; None lets the runtime choose.
    buckets
        Batch sizes. A larger batch is split. On the CPU at most one row in eight is padding, on
        other providers up to half. Rows do not depend on the padding. A network whose batch size
        is fixed runs at that size.
    precision
        Of the arithmetic: ``f32``, or with ``openvino`` also ``bf16`` and ``f16`` where the
        device has them (faster, other results in the third digit).

    Raises
    ------
    WeightsError
        If the model cannot be read or does not have one input whose first axis is the batch.
    ProviderError
        If the provider is not there.
    ConfigError
        If an argument is out of range.
    """

    def __init__(
        self,
        model: Path | str | bytes,
        *,
        provider: str = "cpu",
        threads: int | None = None,
        buckets: Sequence[int] = BUCKETS,
        precision: Precision = "f32",
    ) -> None:
        if threads is not None and threads < 1:
            raise ConfigError(f"threads must be 1 or more, got {threads}")
        if not buckets or min(buckets) < 1:
            raise ConfigError(f"buckets must be positive batch sizes, got {tuple(buckets)}")
        name = "model" if isinstance(model, bytes) else str(model)
        data = model if isinstance(model, bytes) else _read(Path(model))
        if _EXTERNAL_DATA in data:
            raise WeightsError(f"{name}: keeps tensors in other files; save it as a single file")
        self.provider = provider
        self.digest = hashlib.sha256(data).hexdigest()[:12]
        self._backend = _load(data, name, provider, threads, precision)
        self.inputs, self.outputs = self._backend.inputs, self._backend.outputs
        if len(self.inputs) != 1 or not self.inputs[0].shape:
            shapes = [(info.name, info.shape) for info in self.inputs]
            raise WeightsError(f"{name}: wanted one input with a batch axis, got {shapes}")
        fixed = self.inputs[0].shape[0]
        self.buckets = tuple(sorted(set(buckets))) if fixed is None else (fixed,)
        self._slack = 8 if provider == "cpu" else 2

    def run(self, batch: Array) -> list[Array]:
        """Return the outputs, each (N, ...), for a batch (N, ...).

        Raises
        ------
        VultusError
            If the batch's dtype or shape is not the input's, or an output has no batch axis.
        """
        wanted = self.inputs[0]
        self._check(batch, wanted)
        parts: list[list[Array]] = []
        for start, count, size in _plan(len(batch), self.buckets, self._slack):
            rows = batch[start : start + count]
            if count < size:
                padding = np.zeros((size - count, *batch.shape[1:]), batch.dtype)
                rows = np.concatenate([rows, padding])
            outputs = self._backend.run(np.ascontiguousarray(rows))
            for info, output in zip(self.outputs, outputs, strict=True):
                if output.shape[:1] != (size,):
                    raise VultusError(
                        f"output {info.name!r} has shape {output.shape} for a batch of {size}: "
                        "its first axis is not the batch"
                    )
            parts.append([output[:count] for output in outputs])
        if len(parts) == 1:
            return parts[0]
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def _check(self, batch: Array, wanted: TensorInfo) -> None:
        shape = (None, *wanted.shape[1:])
        fits = batch.ndim == len(shape) and all(
            size in (None, actual) for size, actual in zip(shape, batch.shape, strict=True)
        )
        if batch.dtype != wanted.dtype or not fits:
            sizes = ", ".join("any" if size is None else str(size) for size in shape)
            raise VultusError(
                f"input {wanted.name!r} takes {wanted.dtype} ({sizes}), "
                f"got {batch.dtype} {batch.shape}"
            )


def _plan(n: int, buckets: Sequence[int], slack: int) -> Iterator[tuple[int, int, int]]:
    """Yield (start, rows, bucket) so that at most 1/slack of a bucket is padding where possible.

    An empty batch is one bucket of padding, so that outputs have their shapes.
    """
    start = 0
    while start < n or start == n == 0:
        left = n - start
        above = min((b for b in buckets if b >= left), default=None)
        below = max((b for b in buckets if b <= left), default=None)
        if above is not None and (below is None or (above - left) * slack <= above):
            yield start, left, above
            return
        assert below is not None
        yield start, below, below
        start += below


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error


def _load(
    data: bytes, name: str, provider: str, threads: int | None, precision: Precision
) -> Backend:
    if provider not in PROVIDERS:
        raise ProviderError(f"unknown provider {provider!r}; known: {', '.join(PROVIDERS)}")
    if precision not in ("f32", "bf16", "f16"):
        raise ConfigError(f"precision must be f32, bf16 or f16, got {precision!r}")
    if provider == "openvino":
        from vultus.runtime.openvino import OpenVino

        return OpenVino(data, name, threads, precision)
    if precision != "f32":
        raise ConfigError(f"precision {precision} needs provider 'openvino', got {provider!r}")
    return OnnxRuntime(data, name, provider, threads)


class OnnxRuntime:
    """A network in ONNX Runtime."""

    def __init__(self, data: bytes, name: str, provider: str, threads: int | None) -> None:
        ort = load_onnxruntime()

        wanted, package = _ORT_PROVIDERS[provider]
        available = ort.get_available_providers()
        if wanted not in available:
            raise ProviderError(
                f"provider {provider!r} is not in this onnxruntime (it has {available}); "
                f"it comes with {package}"
            )
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN)
        try:
            self._session = ort.InferenceSession(data, options, providers=[wanted])
        except Exception as error:  # onnxruntime raises a dozen unrelated types
            raise WeightsError(f"{name}: onnxruntime cannot load it: {error}") from error
        used = self._session.get_providers()
        if used[0] != wanted:
            raise ProviderError(
                f"provider {provider!r} could not start and {used[0]} would be used instead; "
                "check its driver and libraries, or ask for provider='cpu'"
            )
        self._session.disable_fallback()
        self.inputs = tuple(_info(node) for node in self._session.get_inputs())
        self.outputs = tuple(_info(node) for node in self._session.get_outputs())
        self._names = [info.name for info in self.outputs]

    def run(self, batch: Array) -> list[Array]:
        """Return the outputs for one batch; raise :class:`VultusError` if the network fails."""
        try:
            outputs: list[Array] = self._session.run(self._names, {self.inputs[0].name: batch})
        except Exception as error:  # as above
            raise VultusError(f"the network failed on a batch {batch.shape}: {error}") from error
        return outputs


_DTYPES = {
    "float": "float32",
    "float16": "float16",
    "double": "float64",
    "uint8": "uint8",
    "int8": "int8",
    "int32": "int32",
    "int64": "int64",
    "bool": "bool",
}


def _info(node: Any) -> TensorInfo:
    element = node.type.removeprefix("tensor(").removesuffix(")")
    if element not in _DTYPES:
        raise WeightsError(f"tensor {node.name!r} has the unsupported type {node.type}")
    shape = tuple(size if isinstance(size, int) else None for size in node.shape)
    return TensorInfo(node.name, shape, np.dtype(_DTYPES[element]))
