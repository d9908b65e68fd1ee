"""What other recognition networks say of aligned crops, computed once and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vultus.errors import ConfigError
from vultus.geometry import Template, align
from vultus.recognition.predictor import Embedder

UInt8 = NDArray[np.uint8]
Float = NDArray[np.float32]

#: Crops whose embeddings are kept in one file of the cache.
PART = 1024

_RETAIL_POINTS = np.array(
    [(0.31556875, 0.46157411), (0.68262292, 0.46157411), (0.5002625, 0.64050536),
     (0.34947187, 0.82469196), (0.65343646, 0.82469196)], np.float32
)  # fmt: skip
_RETAIL_POINTS.flags.writeable = False

#: The crop that face-reidentification-retail-0095 wants, from its page in the Open Model Zoo.
RETAIL = Template("retail128", 128, _RETAIL_POINTS * 128)


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

    template = RETAIL
    dim = 256

    def __init__(self, model: Path | str, threads: int = 1) -> None:
        try:
            import openvino as ov

            core = ov.Core()
            network = core.read_model(str(model))
            network.reshape({network.inputs[0]: [-1, 3, RETAIL.size, RETAIL.size]})
            settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
            self._network = core.compile_model(network, "CPU", settings)
        except ImportError as error:
            raise ConfigError(
                "this teacher needs the openvino package: pip install 'vultus[openvino]'"
            ) from error
        except RuntimeError as error:
            raise ConfigError(f"{model}: not a network that openvino reads: {error}") from error
        data = Path(model).with_suffix(".bin").read_bytes()
        self.space = f"retail-0095@{hashlib.sha256(data).hexdigest()[:12]}/{RETAIL.name}"

    def predict(self, crops: UInt8) -> Float:
        """Return unit embeddings, float32 (N, 256), of RGB crops uint8 (N, 128, 128, 3)."""
        batch = np.ascontiguousarray(crops[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32))
        raw = self._network(batch)[0].reshape(len(crops), -1)
        return np.asarray(raw / np.linalg.norm(raw, axis=1, keepdims=True), np.float32)


def taught(
    images: UInt8,
    points: Float,
    teacher: Embedder | RetailEmbedder,
    cache: Path,
    *,
    part: int = PART,
) -> Float:
    """Return the teacher's unit embeddings of crops, float32 (N, D).

    Crops of another template are cut anew out of those given, by their keypoints. What is computed
    is kept after every ``part`` crops and never computed again, whatever else a later call asks for
    beside it: an interrupted call goes on.

    Parameters
    ----------
    images
        uint8 RGB (N, S, S, 3).
    points
        float32 (N, 5, 2), keypoints in crop pixels.
    teacher
        Whose embeddings.
    cache
        Folder; there is one folder in it for each space.
    part
        Crops per file.
    """
    folder = cache / hashlib.sha256(teacher.space.encode()).hexdigest()[:16]
    digests = [hashlib.sha256(image.tobytes()).digest() for image in images]
    known = _kept(folder)
    missing = [i for i, digest in enumerate(digests) if digest not in known]
    for start in range(0, len(missing), part):
        rows = missing[start : start + part]
        vectors = _embedded(images[rows], points[rows], teacher)
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
    partial = folder / f".{name}.part"
    with partial.open("wb") as file:
        np.savez(file, digests=codes, vectors=vectors)
    partial.replace(folder / f"{name}.npz")


def _embedded(images: UInt8, points: Float, teacher: Embedder | RetailEmbedder) -> Float:
    target = teacher.template
    step = 32
    parts = []
    for i in range(0, len(images), step):
        crops = [
            align(image, place[None], target)[0]
            for image, place in zip(images[i : i + step], points[i : i + step], strict=True)
        ]
        parts.append(teacher.predict(np.stack(crops)))
    return np.concatenate(parts)


def fused(
    embeddings: Sequence[Float],
    rows: NDArray[np.intp],
    dim: int,
    weights: Sequence[float] | None = None,
) -> Float:
    """Return one target for all teachers together, unit float32 (N, dim).

    Each teacher's embeddings are centred on ``rows``, made unit length, weighted and put side by
    side, so that a cosine is the weighted mean of the teachers' cosines; then rotated onto the
    ``dim`` directions of largest variance. Centring takes away what all faces share: uncentred,
    dlib's cosines of different people lie near 0.8.

    Parameters
    ----------
    embeddings
        float32 (N, D_i) of each teacher.
    rows
        Which items are trained on: mean and directions come from them alone.
    dim
        At most the sum of the D_i.
    weights
        Positive, of each teacher; equal if not given.
    """
    sides = []
    for vectors, weight in zip(embeddings, weights or [1.0] * len(embeddings), strict=True):
        centred = vectors - vectors[rows].mean(0)
        length = np.linalg.norm(centred, axis=1, keepdims=True).clip(1e-6)
        sides.append(centred / length * np.float32(weight**0.5))
    joined = np.concatenate(sides, 1)
    if dim > joined.shape[1]:
        raise ConfigError(f"the teachers have {joined.shape[1]} dimensions, {dim} were asked for")
    moments = (joined[rows].T @ joined[rows]).astype(np.float64)
    _, directions = np.linalg.eigh(moments)
    reduced = joined @ directions[:, ::-1][:, :dim].astype(np.float32)
    length = np.linalg.norm(reduced, axis=1, keepdims=True).clip(1e-6)
    return np.asarray(reduced / length, np.float32)
