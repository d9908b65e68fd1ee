"""Turning source files into what is loaded, by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass

from vultus.errors import WeightsError


@dataclass(frozen=True, slots=True)
class Converter:
    """A function ``bytes -> bytes``, loaded when it is first needed.

    Parameters
    ----------
    module, function
        Where it is.
    suffix
        Suffix of the file that it writes.
    version
        Part of the cached file's name: raise it when the output changes.
    """

    module: str
    function: str
    suffix: str
    version: int = 1

    def __call__(self, data: bytes) -> bytes:
        """Convert; raise :class:`WeightsError` on malformed data."""
        converted: bytes = getattr(importlib.import_module(self.module), self.function)(data)
        return converted


CONVERTERS: Mapping[str, Converter] = {
    "dlib-metric-network": Converter("vultus.runtime.dlib_onnx", "convert_metric_network", ".onnx"),
    "dlib-shape-predictor": Converter(
        "vultus.runtime.dlib_shape", "convert_shape_predictor", ".npz"
    ),
    "tflite": Converter("vultus.runtime.tflite_onnx", "convert", ".onnx"),
    "tflite-free-size": Converter("vultus.runtime.tflite_onnx", "convert_free_size", ".onnx"),
}


def converter(name: str) -> Converter:
    """Return a converter; raise :class:`WeightsError` naming the known ones."""
    try:
        return CONVERTERS[name]
    except KeyError:
        raise WeightsError(f"unknown converter {name!r}; known: {sorted(CONVERTERS)}") from None
