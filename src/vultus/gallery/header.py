"""``gallery.json``: what a gallery holds, which key opens it, and which table is current."""

from __future__ import annotations

import errno
import hmac
import json
import os
import re
import secrets
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vultus.errors import GalleryError, GalleryFullError
from vultus.gallery.keys import Key

FILE = "gallery.json"
FORMAT = 1
#: How the names of headers that are still being written begin.
TEMPORARY = ".header-"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class Header:
    """The facts that a gallery must agree with before anything is read from it.

    Parameters
    ----------
    space
        Embedding space of every template.
    dim
        Length of the templates.
    salt
        32 hexadecimal digits, drawn when the gallery was created or re-keyed.
    key
        Fingerprint of the key.
    generation
        Number of the current table. A rewrite fills the next table and then replaces this file:
        that replacement is the one moment at which the gallery changes.
    format
        Version of the layout.
    """

    space: str
    dim: int
    salt: str
    key: str
    generation: int = 1
    format: int = FORMAT

    @classmethod
    def new(cls, space: str, dim: int, key: Key) -> Header:
        """Return the header of an empty gallery with a fresh salt."""
        return cls(space, dim, secrets.token_hex(16), key.fingerprint)

    def next(self, **changes: Any) -> Header:
        """Return the header of the next generation."""
        return replace(self, generation=self.generation + 1, **changes)

    @property
    def table(self) -> str:
        """Name of the current table."""
        return f"faces-{self.generation:06d}"

    def check(self, path: Path, key: Key, space: str | None) -> None:
        """Raise :class:`GalleryError` unless the gallery can be opened like this."""
        if self.key != key.fingerprint:
            raise GalleryError(
                f"{path}: wrong key: the gallery was made with key {self.key}, this one is "
                f"{key.fingerprint}; use the other key, or the one it was re-keyed to"
            )
        if space is not None and space != self.space:
            raise GalleryError(
                f"{path}: holds templates of {self.space!r}, not of {space!r}; open it with that "
                "model, or create another gallery and enrol the pictures again"
            )


def write(path: Path, header: Header, key: Key) -> None:
    """Put the header in its place in one step, durably.

    Raises
    ------
    GalleryError
        If the disk refuses; the header is then the old one or, at the very last, the new one.
    """
    fields = asdict(header)
    text = json.dumps(fields | {"mac": _mac(fields, key)}, indent=1) + "\n"
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=path, prefix=TEMPORARY)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path / FILE)
        flush(path)
    except OSError as error:
        kind = GalleryFullError if is_full(error) else GalleryError
        raise kind(f"{path / FILE}: cannot be written: {error.strerror}") from None
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def is_full(error: BaseException) -> bool:
    """Return whether an error says that there is no room: disk, quota, or size of one file."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    # The storage layer passes on what the system said as text.
    found = re.search(r"\(os error (\d+)\)", str(error))
    return found is not None and int(found[1]) in _FULL


def flush(path: Path) -> None:
    """Have the disk keep a file's bytes, or a folder's entries, through a loss of power."""
    if path.is_dir():
        if os.name != "posix":
            return
        handle = os.open(path, os.O_RDONLY)
    else:
        handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read(path: Path, key: Key, space: str | None = None) -> Header:
    """Return the header after checking it against the key and the wanted space.

    Raises
    ------
    GalleryError
        If there is no gallery, if the header is damaged or was altered, if the layout is newer
        than this version of Vultus, or if key or space differ.
    """
    file = path / FILE
    try:
        fields = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise GalleryError(
            f"{path}: no gallery here ({FILE} is missing); create one with Gallery.create"
        ) from None
    except (OSError, ValueError) as error:
        raise GalleryError(f"{file}: {_DAMAGED} ({type(error).__name__})") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("format"), int):
        raise GalleryError(f"{file}: {_DAMAGED}")
    if fields["format"] != FORMAT:
        raise GalleryError(
            f"{file}: layout {fields['format']}, but this version of Vultus reads layout "
            f"{FORMAT}; use the version that wrote it to export, and import the export here"
        )
    mac = fields.pop("mac", None)
    try:
        header = Header(**fields)
    except TypeError:
        raise GalleryError(f"{file}: {_DAMAGED}") from None
    header.check(path, key, None)
    if not isinstance(mac, str) or not hmac.compare_digest(mac, _mac(fields, key)):
        raise GalleryError(f"{file}: was altered: its seal does not fit; restore it from a backup")
    header.check(path, key, space)
    return header


_DAMAGED = "the gallery's header is damaged; restore this file from a backup of the gallery"


def _mac(fields: dict[str, Any], key: Key) -> str:
    return key.derive("header", json.dumps(fields, sort_keys=True).encode()).hex()
