"""From a checkpoint to ONNX files, with the text of their manifest entries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vultus.errors import ConfigError, TrainingError
from vultus.nets.onnx import Parity, export_onnx
from vultus.training.checkpoints import checkpoint_folders
from vultus.training.run import load_checkpoint


@dataclass(frozen=True, slots=True)
class Exported:
    """One written network.

    Parameters
    ----------
    path, sha256, bytes
        The ONNX file.
    parity
        Difference between ONNX Runtime and PyTorch.
    manifest
        TOML table for ``runtime/weights.toml``; what cannot be known here (``licence``,
        ``commercial``, ``source``) has to be added by whoever publishes the file.
    """

    path: Path
    sha256: str
    bytes: int
    parity: Parity
    manifest: str


def export(
    checkpoint: Path | str,
    out: Path | str,
    *,
    network: str | None = None,
    weight_id: str | None = None,
    tolerance: float = 1e-4,
    half: bool = False,
) -> Exported:
    """Write a trained network as ONNX and its manifest entry as ``out`` with suffix ``.toml``.

    Parameters
    ----------
    checkpoint
        Folder of a checkpoint, or of a run, whose chosen checkpoint is then taken.
    out
        The .onnx file.
    network
        Which of the system's networks, where it ships several.
    weight_id
        Key of the manifest table; the system's slug if not given.
    tolerance, half
        See :func:`~vultus.nets.onnx.export_onnx`.

    Raises
    ------
    ConfigError
        If ``out`` is no .onnx file, or the system ships no network, or several and none was named.
    TrainingError
        If the checkpoint is damaged or the export differs from the network.
    """
    folder, path = chosen_checkpoint(Path(checkpoint)), Path(out)
    if path.suffix.lower() != ".onnx":
        raise ConfigError(f"{path}: name the file to write, ending in .onnx")
    system, learner, state = load_checkpoint(folder)
    networks = system.export(learner)
    if not networks:
        raise ConfigError(f"{folder}: {state['recipe']['system']} ships no network")
    name = network or (next(iter(networks)) if len(networks) == 1 else "")
    if name not in networks:
        raise ConfigError(f"{folder}: choose a network to export, one of {sorted(networks)}")
    shipped = networks[name]
    parity = export_onnx(
        shipped.module,
        shipped.example,
        path,
        outputs=shipped.outputs,
        tolerance=tolerance,
        half=half,
        metadata=shipped.metadata,
    )
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    slug = state["recipe"]["system"]
    text = _entry(weight_id or slug, digest, len(data), shipped.manifest, state)
    path.with_suffix(".toml").write_text(text, encoding="utf-8")
    return Exported(path, digest, len(data), parity, text)


def chosen_checkpoint(folder: Path) -> Path:
    """Return the checkpoint that a run chose, or the folder itself where it is one."""
    result = folder / "result.json"
    if result.exists():
        try:
            return folder / str(json.loads(result.read_text(encoding="utf-8"))["checkpoint"])
        except (ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"{result}: is damaged: name a checkpoint's folder") from error
    unfinished = checkpoint_folders(folder)
    if unfinished:
        raise TrainingError(
            f"{folder}: this run is not finished: go on with it (--resume), or name one of its "
            f"checkpoints, such as {unfinished[-1]}"
        )
    return folder


def _entry(
    key: str, digest: str, size: int, fields: Mapping[str, Any], state: Mapping[str, Any]
) -> str:
    recipe = state["recipe"]
    origin = f"vultus {recipe['system']}, step {state['step']}, seed {recipe['seed']}"
    rows: dict[str, Any] = {"sha256": digest, "bytes": size, "origin": origin, **fields}
    lines = [f"[{key}]"]
    lines += [f"{name} = {_toml(value)}" for name, value in rows.items()]
    for name, value in state["metrics"].items():
        lines.append(f"# development {name}: {value:.6g}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """Write a value in the part of TOML that JSON shares, and inline tables."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return json.dumps(value)
