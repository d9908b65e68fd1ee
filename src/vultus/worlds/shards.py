"""Generated data sets on disk: tar shards of PNG, NPZ and JSON members, resumable after a kill.

The layout is WebDataset's: members of one sample share a key and follow one another,
``000000012.png``, ``000000012.npz``, ``000000012.json``. A shard appears under its final name only
when it is whole; an interrupted run starts again at the first missing shard. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vultus.errors import ConfigError, DatasetError
from vultus.worlds.batches import stream
from vultus.worlds.samples import Sample
from vultus.worlds.spec import WorldSpec
from vultus.worlds.world import World

#: Bumped whenever the pictures or labels of an unchanged spec change.
VERSION = 2

_MAPS = ("parts", "occluded", "infrared", "thermal")


def write_shards(
    spec: WorldSpec,
    seed: int,
    count: int,
    folder: Path,
    *,
    shard: int = 1000,
    workers: int = 1,
    geometry: bool = True,
) -> list[Path]:
    """Write samples 0 to ``count - 1`` as shards, skipping those that are already whole.

    Parameters
    ----------
    spec, seed, count, workers
        As in :func:`~vultus.worlds.batches.stream`.
    folder
        Created if missing. Its ``world.json`` states spec, seed and sizes.
    shard
        Samples per shard.
    geometry
        Whether to store depth (millimetres, uint16, 0 for background) and normals (int8, 127
        for 1).

    Returns
    -------
    Paths of all shards, in order.

    Raises
    ------
    DatasetError
        If the folder holds another world, or the same one with another seed or sizes, or cannot be
        made.
    ConfigError
        If a size is not positive.
    """
    if count < 1 or shard < 1:
        raise ConfigError(f"cannot write {count} samples in shards of {shard}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be made a folder: {error.strerror}") from error
    about = {
        "version": VERSION,
        "spec": spec.to_dict(),
        "seed": seed,
        "count": count,
        "shard": shard,
        "geometry": geometry,
    }
    _claim(folder, about)
    paths = [folder / f"shard-{k:05d}.tar" for k in range(-(-count // shard))]
    world: World | None = None
    for k, path in enumerate(paths):
        if path.exists():
            continue
        world = world or World(spec)
        start, end = k * shard, min((k + 1) * shard, count)
        _write(path, stream(world, seed, end, start=start, workers=workers), geometry)
    return paths


def read_shards(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the samples of a folder in order.

    Yields
    ------
    The facts of :meth:`~vultus.worlds.samples.Sample.facts`, with ``colour`` (uint8 (S, S, 3)) and
    the stored arrays by name; depth comes back as float32 centimetres, infinite on the background.

    Raises
    ------
    DatasetError
        If the folder is no generated data set, or a shard is missing or damaged.
    """
    about = _about(folder)
    for k in range(-(-about["count"] // about["shard"])):
        path = folder / f"shard-{k:05d}.tar"
        if not path.exists():
            raise DatasetError(f"{path} is missing: run the generation again to complete it")
        expected = min(about["shard"], about["count"] - k * about["shard"])
        found = 0
        for sample in _read(path):
            found += 1
            yield sample
        if found != expected:
            raise DatasetError(
                f"{path} holds {found} of {expected} samples: remove it and run the "
                "generation again"
            )


def digest(folder: Path) -> str:
    """Return the SHA-256 over all shards of a folder in order."""
    total = hashlib.sha256()
    for path in sorted(folder.glob("shard-*.tar")):
        total.update(path.read_bytes())
    return total.hexdigest()


def _claim(folder: Path, about: dict[str, Any]) -> None:
    path = folder / "world.json"
    if path.exists():
        before = _about(folder)
        # Settings that are younger than the folder have their defaults there.
        known = before | {"spec": WorldSpec.from_dict(before.get("spec", {})).to_dict()}
        if json.loads(json.dumps(known)) != json.loads(json.dumps(about)):
            raise DatasetError(
                f"{folder} holds another world, seed or size: choose another folder, or empty it"
            )
        return
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(about, indent=1, sort_keys=True))
    os.replace(temporary, path)


def _about(folder: Path) -> dict[str, Any]:
    path = folder / "world.json"
    try:
        return json.loads(path.read_text())  # type: ignore[no-any-return]
    except (OSError, ValueError) as error:
        raise DatasetError(f"{folder} is no generated data set: {path}: {error}") from error


def _write(path: Path, samples: Iterator[Sample], geometry: bool) -> None:
    # One writer per folder: a killed run leaves only this file behind, and it is overwritten.
    temporary = path.with_suffix(".part")
    with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for sample in samples:
            key = f"{sample.index:09d}"
            _add(tar, f"{key}.png", _png(sample))
            _add(tar, f"{key}.npz", _npz(sample, geometry))
            _add(tar, f"{key}.json", json.dumps(sample.facts(), sort_keys=True).encode())
    os.replace(temporary, path)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    # Owner, mode and time stay at fixed values: equal samples make equal bytes.
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _png(sample: Sample) -> bytes:
    ok, data = cv2.imencode(".png", sample.colour[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 4])
    if not ok or data is None:
        raise DatasetError(f"cannot encode sample {sample.index}")
    return data.tobytes()


def _npz(sample: Sample, geometry: bool) -> bytes:
    arrays = {name: getattr(sample, name) for name in _MAPS if getattr(sample, name) is not None}
    if geometry:
        depth = np.where(np.isfinite(sample.depth), sample.depth * 10, 0)
        arrays["depth"] = np.clip(np.round(depth), 0, 65535).astype(np.uint16)
        arrays["normals"] = np.round(sample.normals * 127).astype(np.int8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _read(path: Path) -> Iterator[dict[str, Any]]:
    try:
        yield from _members(path)
    except (tarfile.TarError, zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise DatasetError(
            f"{path} is damaged ({error}): remove it and run the generation again"
        ) from error


def _members(path: Path) -> Iterator[dict[str, Any]]:
    with tarfile.open(path, "r:") as tar:
        held: dict[str, Any] = {}
        for member in tar:
            file = tar.extractfile(member)
            if file is None:
                raise DatasetError(f"{path}: {member.name} is not a file")
            data, kind = file.read(), member.name.rsplit(".", 1)[-1]
            if kind == "png":
                picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
                if picture is None:
                    raise DatasetError(f"{path}: {member.name} is damaged")
                held["colour"] = np.ascontiguousarray(picture[..., ::-1])
            elif kind == "npz":
                with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                    held.update({name: archive[name] for name in archive.files})
            else:
                held.update(json.loads(data))
                yield _decoded(held)
                held = {}


def _decoded(sample: dict[str, Any]) -> dict[str, Any]:
    if "depth" in sample:
        depth = sample["depth"].astype(np.float32) / 10
        sample["depth"] = np.where(depth > 0, depth, np.inf).astype(np.float32)
        sample["normals"] = sample["normals"].astype(np.float32) / 127
    return sample
