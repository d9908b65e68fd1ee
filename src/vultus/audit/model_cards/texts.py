"""What can be said of a network from its task alone."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any


def task_texts(task: str) -> dict[str, Any]:
    """Return the sections that follow from a task, as plain values of a description.

    Those of a task that is not known are the texts that hold for every task.
    """
    file = resources.files("vultus.audit.model_cards") / "tasks.toml"
    texts = tomllib.loads(file.read_text(encoding="utf-8"))
    own = texts.get(task, {})
    return {name: section | own.get(name, {}) for name, section in texts["default"].items()}
