"""Importing the room is cheap: nothing is compiled, and no training package comes along."""

from __future__ import annotations

import subprocess
import sys


def test_importing_worlds_loads_no_compiler_and_no_torch() -> None:
    code = (
        "import sys, vultus.worlds; "
        "print([m for m in ('torch', 'numba', 'scipy', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
