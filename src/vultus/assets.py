"""Data that Vultus fetches on demand, besides weights: verified, resumable, kept in its home."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import BadZipFile

import numpy as np

from vultus.errors import ConfigError, DatasetError, WeightsError
from vultus.places import default_home
from vultus.runtime import cache
from vultus.runtime.download import download
from vultus.runtime.sources import Progress


@dataclass(frozen=True, slots=True)
class File:
    """One file of an asset: its path at the source, size in bytes, and SHA-256."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Asset:
    """Data under one licence, pinned to one version.

    Parameters
    ----------
    key, title
        Name on the command line; name in full.
    licence, homepage
        SPDX name; where it is published.
    source
        Address that the files' paths are added to.
    listed
        Package and file of the list of files: SHA-256, bytes and path in columns.
    target
        Folder and file under the home that programs read.
    pack
        Makes the target, given the folder of the files and the path to write.
    content
        Reads a target and returns the digest of what is in it, whatever made the file.
    sha256
        What ``content`` must give.
    """

    key: str
    title: str
    licence: str
    homepage: str
    source: str
    listed: tuple[str, str]
    target: PurePosixPath
    pack: Callable[[Path, Path], None]
    content: Callable[[Path], str]
    sha256: str

    def files(self) -> tuple[File, ...]:
        """Return the files to fetch."""
        package, name = self.listed
        rows = resources.files(package).joinpath(name).read_text("ascii").splitlines()
        columns = (row.split("\t") for row in rows)
        return tuple(File(path, int(size), digest) for digest, size, path in columns)

    @property
    def bytes(self) -> int:
        """Size of the download."""
        return sum(file.bytes for file in self.files())


def _pack_ict(files: Path, target: Path) -> None:
    from vultus.worlds.ict_pack import pack

    arrays: dict[str, Any] = pack(files)
    with target.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _content_of_arrays(target: Path) -> str:
    from vultus.worlds.ict_pack import content_sha256

    with np.load(target, allow_pickle=False) as archive:
        return content_sha256({name: archive[name] for name in archive.files})


ICT_FACEKIT = Asset(
    key="ict-facekit",
    title="ICT-FaceKit Light, a morphable head of the USC Institute for Creative Technologies",
    licence="MIT",
    homepage="https://github.com/ICT-VGL/ICT-FaceKit",
    source=(
        "https://raw.githubusercontent.com/ICT-VGL/ICT-FaceKit/"
        "da5f95a607f5e6b37755b38d3385d7f2853732e5/"
    ),
    listed=("vultus.worlds", "ict_facekit.tsv"),
    target=PurePosixPath("ict_facekit/ict_facekit.npz"),
    pack=_pack_ict,
    content=_content_of_arrays,
    sha256="048278cedda8900650d68a2eefbe9cd8e5de01af983e7fb3b70be866e38b2c4c",
)

ASSETS: tuple[Asset, ...] = (ICT_FACEKIT,)


def asset(key: str) -> Asset:
    """Return a known asset; raise :class:`ConfigError` naming the known ones."""
    for known in ASSETS:
        if known.key == key:
            return known
    raise ConfigError(f"nothing called {key!r} to fetch; known: {', '.join(a.key for a in ASSETS)}")


def is_whole(wanted: Asset, target: Path) -> bool:
    """Return whether a target is there and has the content that it must have."""
    try:
        return wanted.content(target) == wanted.sha256
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error):
        return False


def fetch_asset(
    wanted: Asset,
    *,
    home: Path | None = None,
    source: str | None = None,
    offline: bool | None = None,
    progress: Progress | None = None,
) -> Path:
    """Return the target of an asset, fetching and packing its files where it is not there.

    Every file is verified as it arrives, and what has arrived stays until all is packed, so that a
    call after a broken one goes on at the byte where that ended.

    Parameters
    ----------
    wanted
        What to fetch.
    home
        Folder of Vultus; ``VULTUS_HOME`` or the user's cache folder if not given.
    source
        Address of a mirror with the same files, https, or http on this machine.
    offline
        Never touch the network; by default ``VULTUS_OFFLINE``.
    progress
        Called with the bytes so far and the size of the whole download.

    Raises
    ------
    DatasetError
        If the network is off or fails, a file is not the one listed, or nothing can be written.
    """
    root = default_home() if home is None else home
    target = root / wanted.target
    offline = cache.default_offline() if offline is None else offline
    try:
        with cache.locked(root, wanted.key):
            if is_whole(wanted, target):
                return target
            if offline:
                raise DatasetError(
                    f"{wanted.title} is not in {target.parent} and the network is off "
                    f"(VULTUS_OFFLINE); with a network run: vultus data get {wanted.key}"
                )
            folder = root / "partial" / wanted.key
            with cache.writing(folder, wanted.key):
                folder.mkdir(parents=True, exist_ok=True)
            _fetch_files(wanted.files(), source or wanted.source, folder, progress)
            _pack(wanted, folder, target)
            shutil.rmtree(folder)
    except WeightsError as error:
        raise DatasetError(str(error)) from error
    return target


def _fetch_files(
    files: Sequence[File], source: str, folder: Path, progress: Progress | None
) -> None:
    total, done = sum(file.bytes for file in files), 0
    for file in files:
        place = folder / PurePosixPath(file.path).name
        before = done

        def step(here: int, _: int | None, before: int = before) -> None:
            if progress is not None:
                progress(before + here, total)

        if not place.exists():
            partial = place.with_name(f"{place.name}.part")
            url = source.rstrip("/") + "/" + file.path
            download(url, partial, file.bytes, step)
            found = cache.file_sha256(partial)
            if found != file.sha256:
                partial.unlink()
                raise DatasetError(
                    f"{url}: the SHA-256 is {found}, but must be {file.sha256}: the source or a "
                    "proxy on the way gives another file; nothing of it was kept"
                )
            cache.replace(partial, place)
        done += file.bytes
        step(file.bytes, None)


def _pack(wanted: Asset, folder: Path, target: Path) -> None:
    with cache.writing(target.parent, wanted.key):
        target.parent.mkdir(parents=True, exist_ok=True)
    with cache.temporary_file(target) as temporary:
        with cache.writing(target.parent, wanted.key):
            wanted.pack(folder, temporary)
        if not is_whole(wanted, temporary):
            raise DatasetError(
                f"{wanted.title}: the files are those listed, but their packed form is not; "
                f"remove {folder} and run the command again"
            )
        for notice in folder.glob("LICENSE*"):
            cache.write_bytes(target.with_name(notice.name), notice.read_bytes())
        cache.replace(temporary, target)
