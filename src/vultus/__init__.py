"""Vultus: see faces, know them, tell real from fake, and answer for the result.

Names are loaded on first use, so that ``import vultus`` loads no model and no heavy library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_EXPORTS = {
    "Embedding": "vultus.faces",
    "Face": "vultus.faces",
    "Pose": "vultus.faces",
    "VultusError": "vultus.errors",
    "open_image": "vultus.images",
}

__all__ = ["__version__", *sorted(_EXPORTS)]

if TYPE_CHECKING:
    from vultus.errors import VultusError as VultusError
    from vultus.faces import Embedding as Embedding
    from vultus.faces import Face as Face
    from vultus.faces import Pose as Pose
    from vultus.images import open_image as open_image


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'vultus' has no attribute {name!r}")
    value = getattr(importlib.import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
