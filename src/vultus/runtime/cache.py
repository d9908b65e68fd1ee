"""Where weight files are kept, and how they are written: whole, or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from vultus.errors import ConfigError, WeightsError

#: Seconds to wait for another process that fetches the same file.
LOCK_TIMEOUT = 1800.0

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("", "0", "false", "no", "off")


def default_offline() -> bool:
    """Return whether ``VULTUS_OFFLINE`` forbids the network; raise :class:`ConfigError`."""
    value = os.environ.get("VULTUS_OFFLINE", "").strip().lower()
    if value not in (*_TRUE, *_FALSE):
        raise ConfigError(f"VULTUS_OFFLINE must be 1 or 0, got {value!r}")
    return value in _TRUE


def default_licences() -> frozenset[str]:
    """Return the licences listed, with commas between them, in ``VULTUS_ALLOW_LICENSES``."""
    listed = os.environ.get("VULTUS_ALLOW_LICENSES", "").split(",")
    return frozenset(name.strip() for name in listed if name.strip())


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits; raise ``OSError``."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def writing(folder: Path, what: str) -> Iterator[None]:
    """Turn the system's errors while writing ``what`` into a :class:`WeightsError`."""
    try:
        yield
    except OSError as error:
        raise WeightsError(
            f"{what}: cannot be written to {folder}: {error.strerror or error}; free some space, "
            "or set VULTUS_HOME to a folder that can be written"
        ) from error


@contextmanager
def locked(home: Path, name: str) -> Iterator[None]:
    """Hold the lock of one file name, across threads and processes.

    Raises
    ------
    WeightsError
        If the lock cannot be created, or another process keeps it too long.
    """
    folder = home / "locks"
    with writing(folder, name):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{name}.lock", timeout=LOCK_TIMEOUT)
        try:
            lock.acquire()
        except Timeout as error:
            raise WeightsError(
                f"{name}: another process has held {lock.lock_file} for {LOCK_TIMEOUT:.0f} s; "
                "end it, or delete that file"
            ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def temporary_file(target: Path) -> Iterator[Path]:
    """Yield an empty file beside ``target``; it is gone afterwards unless it was moved."""
    with writing(target.parent, target.name):
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        os.close(descriptor)
    path = Path(name)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def replace(source: Path, target: Path) -> None:
    """Move a finished file into place, in one step, readable by others."""
    with writing(target.parent, target.name):
        with source.open("rb") as file:
            os.fsync(file.fileno())
        source.chmod(0o644)
        source.replace(target)


def write_bytes(target: Path, data: bytes) -> None:
    """Write a file atomically; raise :class:`WeightsError` with nothing left behind."""
    with temporary_file(target) as path:
        with writing(target.parent, target.name):
            path.write_bytes(data)
        replace(path, target)
