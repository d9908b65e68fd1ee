"""What another recognition network says of aligned crops, computed once and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vultus.errors import ConfigError
from vultus.geometry import template
from vultus.writing import replacing

UInt8 = NDArray[np.uint8]
Float = NDArray[np.float32]

#: Crops whose embeddings are kept in one file of the cache.
PART = 1024


class Teacher(Protocol):
    """What teaches."""

    dim: int
    space: str

    def predict(self, crops: UInt8) -> Float:
        """Return unit embeddings, float32 (N, dim), of RGB crops uint8 (N, S, S, 3)."""


class RetailEmbedder:
    """face-reidentification-retail-0095 of the Open Model Zoo (Apache-2.0), run by OpenVINO.

    Parameters
    ----------
    model
        The network's ``.xml``, its ``.bin`` beside it.
    threads
        Threads of one run.

    Raises
    ------
    ConfigError
        If the file cannot be read or OpenVINO is not installed.
    """

    template = template("retail128")
    dim = 256

    def __init__(self, model: Path | str, threads: int = 1) -> None:
        try:
            import openvino as ov

            core, side = ov.Core(), self.template.size
            network = core.read_model(str(model))
            network.reshape({network.inputs[0]: [-1, 3, side, side]})
            settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
            self._network = core.compile_model(network, "CPU", settings)
        except ImportError as error:
            raise ConfigError(
                "this teacher needs the openvino package: pip install 'vultus[openvino]'"
            ) from error
        except RuntimeError as error:
            raise ConfigError(f"{model}: not a network that openvino reads: {error}") from error
        data = Path(model).with_suffix(".bin").read_bytes()
        self.space = f"retail-0095@{hashlib.sha256(data).hexdigest()[:12]}/{self.template.name}"

    def predict(self, crops: UInt8) -> Float:
        """Return unit embeddings, float32 (N, 256), of RGB crops uint8 (N, 128, 128, 3)."""
        batch = np.ascontiguousarray(crops[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32))
        raw = self._network(batch)[0].reshape(len(crops), -1)
        return np.asarray(raw / np.linalg.norm(raw, axis=1, keepdims=True), np.float32)


def taught(images: UInt8, teacher: Teacher, cache: Path, *, part: int = PART) -> Float:
    """Return the teacher's unit embeddings of crops, float32 (N, D), a target for another network.

    Each is the mean of those of the crop and of its mirror image. What is computed is kept after
    every ``part`` crops and never computed again, whatever else a later call asks for beside it: an
    interrupted call goes on.

    Parameters
    ----------
    images
        uint8 RGB (N, S, S, 3), as the teacher wants them.
    teacher
        Whose embeddings.
    cache
        Folder; there is one folder in it for each space.
    part
        Crops per file.
    """
    folder = cache / hashlib.sha256(f"{teacher.space}, mirrored".encode()).hexdigest()[:16]
    digests = [hashlib.sha256(image.tobytes()).digest() for image in images]
    known = _kept(folder)
    missing = [i for i, digest in enumerate(digests) if digest not in known]
    for start in range(0, len(missing), part):
        rows = missing[start : start + part]
        vectors = _embedded(images[rows], teacher)
        chosen = [digests[i] for i in rows]
        _keep(folder, chosen, vectors)
        known.update(zip(chosen, vectors, strict=True))
    if not digests:
        return np.zeros((0, teacher.dim), np.float32)
    return np.stack([known[digest] for digest in digests])


def _kept(folder: Path) -> dict[bytes, Float]:
    """Return every vector of the cache by the digest of its crop."""
    found: dict[bytes, Float] = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as saved:
            found.update(zip(map(bytes, saved["digests"]), saved["vectors"], strict=True))
    return found


def _keep(folder: Path, digests: Sequence[bytes], vectors: Float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    codes = np.frombuffer(b"".join(digests), np.uint8).reshape(len(digests), -1)
    name = hashlib.sha256(codes.tobytes()).hexdigest()[:24]
    with replacing(folder / f"{name}.npz") as part, part.open("wb") as file:
        np.savez(file, digests=codes, vectors=vectors)


def _embedded(images: UInt8, teacher: Teacher) -> Float:
    step = 32
    parts = []
    for i in range(0, len(images), step):
        crops = images[i : i + step]
        parts.append(teacher.predict(crops) + teacher.predict(crops[:, :, ::-1]))
    both = np.concatenate(parts)
    return np.asarray(both / np.linalg.norm(both, axis=1, keepdims=True), np.float32)
