"""Export to ONNX, with a check that ONNX Runtime gives what PyTorch gave."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vultus.errors import TrainingError
from vultus.onnx_runtime import load_onnxruntime

OPSET = 18


@dataclass(frozen=True, slots=True)
class Parity:
    """How far ONNX Runtime is from PyTorch.

    Parameters
    ----------
    absolute
        Largest absolute difference over all outputs.
    relative
        The same, divided by the largest absolute value of that output.
    """

    absolute: float
    relative: float


def export_onnx(
    module: nn.Module,
    example: Tensor,
    path: Path,
    *,
    outputs: Sequence[str] = ("output",),
    tolerance: float = 1e-4,
    metadata: Mapping[str, str] | None = None,
    half: bool = False,
) -> Parity:
    """Write a module as ONNX, checked and atomically.

    Parameters
    ----------
    module
        One tensor in, one tensor or a tuple of tensors out. It is exported in evaluation mode.
    example
        (N, ...) with N >= 2; the first axis is exported as free, the others as fixed.
    path
        The .onnx file; written only if the check passes.
    outputs
        Names of the outputs, in order.
    tolerance
        Largest relative difference, see :class:`Parity`, at two batch sizes.
    metadata
        Text by key to store inside the file.
    half
        Store weights as float16, half the size; see :func:`store_half`. The tolerance is then
        taken fifty times as large.

    Raises
    ------
    TrainingError
        If the module cannot be exported, or ONNX Runtime disagrees by more than the tolerance.
    """
    if len(example) < 2:
        raise TrainingError(f"{path}: export needs an example batch of two or more")
    was_training = module.training
    module.eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        file = Path(folder) / "model.onnx"
        try:
            _write(module, example, file, outputs)
            _describe(file, metadata or {})
            if half:
                tolerance *= 50
                store_half(file)
            parity = check_parity(module, example, file)
        except TrainingError:
            raise
        except Exception as error:
            raise TrainingError(
                f"{path}: {type(module).__name__} cannot be exported: {error}"
            ) from error
        finally:
            module.train(was_training)
        if not parity.relative <= tolerance:
            raise TrainingError(
                f"{path}: ONNX Runtime differs from PyTorch by {parity.relative:.2e} of the "
                f"output's range, more than {tolerance:.0e}; nothing was written"
            )
        os.replace(file, path)
    return parity


def _write(module: nn.Module, example: Tensor, file: Path, outputs: Sequence[str]) -> None:
    batch = torch.export.Dim("batch", min=1, max=4096)
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            torch.onnx.export(
                module,
                (example,),
                str(file),
                dynamo=True,
                external_data=False,
                input_names=["input"],
                output_names=list(outputs),
                opset_version=OPSET,
                dynamic_shapes=({0: batch},),
                verbose=False,
            )
        finally:
            logger.setLevel(level)


def _describe(file: Path, metadata: Mapping[str, str]) -> None:
    """Store metadata in place of what the exporter notes, such as the paths of source files."""
    import onnx

    model = onnx.load_model(file)
    strip_notes(model)
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.save_model(model, file)


#: Weights of fewer numbers stay as they are: biases and slopes weigh nothing.
_SMALL = 1024


def store_half(file: Path) -> None:
    """Store the large float32 weights of an ONNX file as float16, and widen them on loading.

    The arithmetic stays float32: runtimes fold the widening when they load the network.

    Raises
    ------
    TrainingError
        If a weight is too large for float16.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load_model(file)
    graph = model.graph
    widened = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _SMALL:
            continue
        with np.errstate(over="ignore"):
            narrow = values.astype(np.float16)
        if not np.isfinite(narrow).all():
            raise TrainingError(f"{file}: weight {tensor.name!r} does not fit into float16")
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(narrow, f"{name}_half"))
        cast = helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT)
        widened.append(cast)
    kept = list(graph.node)
    del graph.node[:]
    graph.node.extend([*widened, *kept])
    onnx.checker.check_model(model)
    onnx.save_model(model, file)


def strip_notes(message: Any) -> None:
    """Remove every doc string and every note of an ONNX model or a part of it, at any depth.

    Nodes, values, weights, functions and the graphs inside of control flow can all carry some; the
    exporter leaves stack traces there, which name the folders of the machine.
    """
    for name in ("metadata_props", "doc_string"):
        if name in message.DESCRIPTOR.fields_by_name:
            message.ClearField(name)
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for part in value if field.is_repeated else (value,):
            strip_notes(part)


def check_parity(module: nn.Module, example: Tensor, file: Path) -> Parity:
    """Compare a module in evaluation mode with its ONNX file at the whole batch and at one."""
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    absolute, relative = [], []
    for batch in (example, example[:1]):
        with torch.no_grad():
            expected = module(batch)
        expected = expected if isinstance(expected, tuple) else (expected,)
        found = session.run(None, {session.get_inputs()[0].name: batch.cpu().numpy()})
        for want, got in zip(expected, found, strict=True):
            reference = want.float().cpu().numpy()
            gap = float(np.abs(reference - got).max())
            absolute.append(gap)
            relative.append(gap / max(float(np.abs(reference).max()), 1e-6))
    # Unlike the built-in max, NumPy's lets a NaN through, which then fails the tolerance.
    return Parity(float(np.max(absolute)), float(np.max(relative)))
