"""The report on what a machine has."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np

from vultus.runtime import Session, environment
from vultus.runtime.environment import probe_model
from vultus.runtime.session import PROVIDERS


def test_report_names_versions_and_probes_every_provider() -> None:
    report = environment()
    assert report.packages["numpy"] == np.__version__
    assert report.cpus >= 1
    assert report.processor
    assert set(report.providers) == set(PROVIDERS)
    cpu = report.providers["cpu"]
    assert cpu.error is None
    assert cpu.milliseconds is not None
    assert cpu.milliseconds > 0
    for probe in report.providers.values():
        assert (probe.milliseconds is None) == (probe.error is not None)


def test_report_is_json() -> None:
    report = environment().to_dict()
    assert json.loads(json.dumps(report)) == report


def test_probe_averages_twice() -> None:
    session = Session(probe_model(), threads=1)
    (y,) = session.run(np.ones((1, 32, 64, 64), np.float32))
    np.testing.assert_allclose(y[0, :, 2:-2, 2:-2], 1, atol=1e-5)


def test_importing_the_runtime_loads_no_network_library() -> None:
    code = (
        "import sys, vultus.runtime, vultus.recognition; "
        "print([m for m in ('onnxruntime', 'onnx', 'openvino', 'torch') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr
