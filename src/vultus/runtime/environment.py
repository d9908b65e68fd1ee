"""What this machine has to run networks with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vultus.errors import VultusError
from vultus.places import default_home
from vultus.runtime.cache import default_offline
from vultus.runtime.session import PROVIDERS, Session

_PACKAGES = (
    "vultus",
    "numpy",
    "opencv-python-headless",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "dlib-bin",
    "lancedb",
    "torch",
)

_PROBE_SIDE = 64
_PROBE_CHANNELS = 32


@dataclass(frozen=True, slots=True)
class Probe:
    """A provider's answer to a small network.

    Parameters
    ----------
    milliseconds
        Median time of one run, or None where it does not run.
    error
        Why it does not run, or None.
    """

    milliseconds: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Environment:
    """Versions, processors and providers.

    Parameters
    ----------
    python, system, processor
        Version, operating system and processor model.
    cpus
        Processors that this process may use.
    packages
        Version of each installed package that matters.
    providers
        Every provider that ``provider=`` accepts, run on one thread.
    home, offline
        Where weights are kept, and whether the network is off.
    """

    python: str
    system: str
    processor: str
    cpus: int
    packages: dict[str, str]
    providers: dict[str, Probe]
    home: str
    offline: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


def environment() -> Environment:
    """Return what this machine has, timing a small network on every provider."""
    model = probe_model()
    return Environment(
        python=platform.python_version(),
        system=platform.platform(),
        processor=processor_name(),
        cpus=_usable_cpus(),
        packages=_versions(),
        providers={name: _probe(model, name) for name in PROVIDERS},
        home=str(default_home()),
        offline=default_offline(),
    )


def processor_name() -> str:
    """Return the processor's model name where the system tells it, else its architecture."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def probe_model() -> bytes:
    """Return a network of two 3x3 convolutions on (N, 32, 64, 64): 75 million multiplications."""
    from onnx import TensorProto, helper, numpy_helper

    channels = _PROBE_CHANNELS
    shape = ["N", channels, _PROBE_SIDE, _PROBE_SIDE]
    filters = np.full((channels, channels, 3, 3), 1 / (9 * channels), np.float32)
    attributes = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["h"], **attributes),
            helper.make_node("Conv", ["h", "w"], ["y"], **attributes),
        ],
        "probe",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(filters, "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    model: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return model


def _probe(model: bytes, provider: str, repeats: int = 10) -> Probe:
    batch = np.ones((1, _PROBE_CHANNELS, _PROBE_SIDE, _PROBE_SIDE), np.float32)
    try:
        session = Session(model, provider=provider, threads=1)
        session.run(batch)
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            session.run(batch)
            times.append(time.perf_counter() - start)
    except VultusError as error:
        return Probe(None, str(error))
    return Probe(round(statistics.median(times) * 1e3, 3), None)


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
