"""One trainer for every recipe.

``train`` runs a recipe, ``export`` turns its checkpoint into an ONNX file.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_EXPORTS = {
    "Exported": "vultus.training.exporting",
    "LoadedRecipe": "vultus.training.recipes",
    "Recipe": "vultus.training.recipes",
    "TrainingResult": "vultus.training.run",
    "export": "vultus.training.exporting",
    "load_checkpoint": "vultus.training.run",
    "load_recipe": "vultus.training.recipes",
    "read_recipe": "vultus.training.recipes",
    "train": "vultus.training.run",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from vultus.training.exporting import Exported as Exported
    from vultus.training.exporting import export as export
    from vultus.training.recipes import LoadedRecipe as LoadedRecipe
    from vultus.training.recipes import Recipe as Recipe
    from vultus.training.recipes import load_recipe as load_recipe
    from vultus.training.recipes import read_recipe as read_recipe
    from vultus.training.run import TrainingResult as TrainingResult
    from vultus.training.run import load_checkpoint as load_checkpoint
    from vultus.training.run import train as train


def __getattr__(name: str) -> Any:
    # The trainer is loaded on first use, so that reading a recipe needs no Lightning.
    if name not in _EXPORTS:
        raise AttributeError(f"module 'vultus.training' has no attribute {name!r}")
    return getattr(importlib.import_module(_EXPORTS[name]), name)
