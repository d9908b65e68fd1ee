"""What importing costs: names are loaded on first use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import vultus

HEAVY = {"torch", "lightning", "onnxruntime", "onnx", "cv2", "numpy", "scipy", "sklearn", "pandas"}
HEAVY |= {"PIL", "lancedb", "pyarrow", "matplotlib", "typer", "rich", "pooch", "openvino", "dlib"}


def loaded_by(code: str) -> set[str]:
    """Top-level modules in a fresh interpreter after some code."""
    environment = os.environ | {"PYTHONPATH": str(Path(vultus.__file__).parent.parent)}
    code += "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def test_importing_the_package_loads_no_heavy_module():
    loaded = loaded_by("import vultus")
    assert "vultus" in loaded
    assert not loaded & HEAVY


def test_the_list_of_names_costs_nothing():
    assert not loaded_by("import vultus; dir(vultus); vultus.__all__; vultus.VultusError") & HEAVY


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("errors", set()),
        ("registry", set()),
        ("faces", {"numpy"}),
        ("images", {"numpy", "PIL", "cv2"}),
        ("geometry", {"numpy", "cv2"}),
        ("drawing", {"numpy", "PIL", "cv2"}),
    ],
)
def test_the_first_floor_loads_only_what_it_is_made_of(module, allowed):
    assert loaded_by(f"import vultus.{module}") & HEAVY == allowed


def test_every_exported_name_is_there():
    for name in vultus.__all__:
        assert getattr(vultus, name) is not None
    assert set(dir(vultus)) == set(vultus.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        vultus.nonsense  # noqa: B018
