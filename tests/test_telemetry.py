"""Nothing of the machine is recorded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import numpy as np
from vultus.runtime import Session
from vultus.runtime.environment import probe_model
Session(probe_model(), threads=1).run(np.ones((1, 32, 64, 64), np.float32))
"""


def test_a_session_leaves_no_file_in_the_home_folder(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "ORT_"))}
    subprocess.run(
        [sys.executable, "-c", CODE], env=environment | {"HOME": str(tmp_path)}, check=True
    )
    assert list(tmp_path.rglob("*")) == []
