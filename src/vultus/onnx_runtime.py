"""Loading ONNX Runtime without its telemetry."""

from __future__ import annotations

import os
from typing import Any


def load_onnxruntime() -> Any:
    """Import and return ``onnxruntime`` with its telemetry off.

    From version 1.32 on, the library writes a device identifier and an event store into the user's
    cache folder as soon as it is imported, unless this variable is set before. ``import
    onnxruntime`` elsewhere in the process, before Vultus loads it, is not reached by this.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    return onnxruntime
