"""Vultus: see faces, know them, tell real from fake, and answer for the result.

Names are loaded on first use, so that ``import vultus`` loads no model and no heavy library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_EXPORTS = {
    "Analyzer": "vultus.analysis",
    "Embedding": "vultus.faces",
    "Face": "vultus.faces",
    "Gallery": "vultus.gallery",
    "Key": "vultus.gallery",
    "Pose": "vultus.faces",
    "VultusError": "vultus.errors",
    "analyze": "vultus.verbs",
    "cluster": "vultus.people",
    "detect": "vultus.verbs",
    "embed": "vultus.verbs",
    "enroll": "vultus.people",
    "identify": "vultus.people",
    "open_image": "vultus.images",
    "verify": "vultus.verbs",
}

__all__ = ["__version__", *sorted(_EXPORTS)]

if TYPE_CHECKING:
    from vultus.analysis import Analyzer as Analyzer
    from vultus.errors import VultusError as VultusError
    from vultus.faces import Embedding as Embedding
    from vultus.faces import Face as Face
    from vultus.faces import Pose as Pose
    from vultus.gallery import Gallery as Gallery
    from vultus.gallery import Key as Key
    from vultus.images import open_image as open_image
    from vultus.people import cluster as cluster
    from vultus.people import enroll as enroll
    from vultus.people import identify as identify
    from vultus.verbs import analyze as analyze
    from vultus.verbs import detect as detect
    from vultus.verbs import embed as embed
    from vultus.verbs import verify as verify


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'vultus' has no attribute {name!r}")
    value = getattr(importlib.import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
