"""From the public OBJ files of ICT-FaceKit Light to the one file that the head is read from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vultus.errors import DatasetError

Arrays = Mapping[str, NDArray[Any]]

NEUTRAL = "generic_neutral_mesh.obj"
INDICES = "vertex_indices.json"


def pack(folder: Path) -> dict[str, NDArray[Any]]:
    """Read the OBJ files of a folder.

    Returns
    -------
    By name: ``neutral`` float32 (V, 3) in centimetres; ``triangles`` and ``triangle_uv`` int32
    (T, 3); ``uv`` float32 (U, 2); ``identity`` and ``expression``, offsets per unit weight as
    int16 (N, V, 3) times ``identity_scale`` and ``expression_scale`` float32 (N,);
    ``expression_names``; ``landmarks68`` int32 (68,).

    Raises
    ------
    DatasetError
        If a file is missing or of another shape.
    """
    try:
        vertices, uv, corners = _read_mesh(folder / NEUTRAL)
        marks = json.loads((folder / INDICES).read_text("utf-8"))["idx_to_landmark_verts"]
        shapes = sorted(p for p in folder.glob("*.obj") if p.name != NEUTRAL)
        people = [p for p in shapes if p.name.startswith("identity")]
        moves = [p for p in shapes if not p.name.startswith("identity")]
        identity, identity_scale = _offsets(people, vertices)
        expression, expression_scale = _offsets(moves, vertices)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise DatasetError(f"{folder}: not the files of ICT-FaceKit Light: {error}") from error
    return {
        "neutral": vertices,
        "triangles": corners[..., 0].astype(np.int32),
        "triangle_uv": corners[..., 1].astype(np.int32),
        "uv": uv,
        "identity": identity,
        "identity_scale": identity_scale,
        "expression": expression,
        "expression_scale": expression_scale,
        "expression_names": np.array([p.stem for p in moves]),
        "landmarks68": np.array(marks, np.int32),
    }


def content_sha256(arrays: Arrays) -> str:
    """Return a SHA-256 of names, types, shapes and values, whatever file they lie in."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _read_mesh(
    path: Path,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Return vertices (V, 3), texture coordinates (U, 2), and corners (T, 3, 2) of triangles."""
    lines = path.read_bytes().splitlines()
    rows = (line[2:].split() for line in lines if line.startswith(b"f "))
    faces = [[tuple(int(i) - 1 for i in corner.split(b"/")) for corner in row] for row in rows]
    fans = [(face[0], face[i], face[i + 1]) for face in faces for i in range(1, len(face) - 1)]
    return (
        _numbers(lines, b"v ", 3),
        _numbers(lines, b"vt ", 2),
        np.array(fans, np.int64).reshape(-1, 3, 2),
    )


def _numbers(lines: list[bytes], start: bytes, columns: int) -> NDArray[np.float32]:
    found = b" ".join(line[len(start) :] for line in lines if line.startswith(start)).split()
    return np.array(found, np.float64).reshape(-1, columns).astype(np.float32)


def _offsets(
    paths: list[Path], neutral: NDArray[np.float32]
) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Return offsets from the neutral mesh in 16 bits, and the factor of each mesh."""
    packed = np.empty((len(paths), *neutral.shape), np.int16)
    scales = np.empty(len(paths), np.float32)
    for i, path in enumerate(paths):
        shift = _numbers(path.read_bytes().splitlines(), b"v ", 3) - neutral
        scales[i] = np.abs(shift).max() / np.iinfo(np.int16).max
        packed[i] = np.round(shift / scales[i]) if scales[i] else 0
    return packed, scales
