"""Weights of trained networks to start another training from."""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor

from vultus.errors import ConfigError


def network_weights(path: str, prefix: str = "net.") -> dict[str, Tensor]:
    """Return the weights of one network of a checkpoint, averaged ones where there are some.

    Parameters
    ----------
    path
        A run's folder, a checkpoint's, or one ``.safetensors`` file.
    prefix
        How the names of the network's weights begin in the learner. It is taken off; a file in
        which no name begins so is taken to hold this network alone.

    Raises
    ------
    ConfigError
        If there is no checkpoint.
    """
    from safetensors.torch import load_file

    weights: dict[str, Tensor] = {}
    for file in _files(Path(path)):
        weights |= load_file(file)
    own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    return own or weights


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    result = path / "result.json"
    if result.is_file():
        path = path / str(json.loads(result.read_text(encoding="utf-8"))["checkpoint"])
    found = [path / name for name in ("model.safetensors", "average.safetensors")]
    found = [file for file in found if file.is_file()]
    if not found:
        raise ConfigError(f"{path}: holds no trained network; give a run's folder or a checkpoint")
    return found
