"""One process's connection to a gallery folder: current header, table, and what is in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from vultus.errors import GalleryError, GalleryFullError
from vultus.gallery import header as headers
from vultus.gallery import snapshot as snapshots
from vultus.gallery import store as stores
from vultus.gallery.header import Header
from vultus.gallery.keys import Key
from vultus.gallery.protection import Rotation
from vultus.gallery.snapshot import Snapshot
from vultus.gallery.store import Store

T = TypeVar("T")

_ATTEMPTS = 50


class Session:
    """Reads one version at a time, writes one commit at a time, replaces all or nothing.

    A rewrite (:meth:`replace`) goes to a new table; then ``gallery.json`` is replaced, in one step
    of the file system, by one that names it. Killed before that step, the gallery is the old one;
    after it, the new one. What is left over is deleted by whoever writes or opens next.
    """

    def __init__(self, path: Path, key: Key, header: Header, *, lock_timeout: float) -> None:
        self.path = path
        self.header = header
        self.rotation = _rotation(key, header)
        self._key = key
        self._lock_timeout = lock_timeout
        self._stamp: tuple[int, ...] = ()
        self._reader: Store | None = None
        self._writer: Store | None = None
        self._snapshot: Snapshot | None = None
        # Held while header, reader and snapshot move on; not while vectors are compared.
        self._guard = threading.RLock()

    def read(self, work: Callable[[Store], T]) -> T:
        """Run some work on the newest version, and again if that version was deleted meanwhile.

        Raises
        ------
        GalleryError
            If the work fails, or versions change faster than it can be done.
        """
        with self._guard:
            for _ in range(_ATTEMPTS):
                store = self._synchronised()
                seen = store.change
                try:
                    return work(store)
                except GalleryError:
                    if self._synchronised().change == seen:
                        raise
            raise GalleryError(
                f"{self.path}: changed {_ATTEMPTS} times while it was read; try again when fewer "
                "processes write to it"
            )

    def snapshot(self, *, index: bool) -> tuple[Snapshot, Rotation]:
        """Return the newest version in memory, with templates if asked, and their rotation."""

        def advance(store: Store) -> Snapshot:
            old = self._snapshot
            if old is None or (index and old.index is None):
                return snapshots.load(store, index=index)
            return snapshots.refreshed(old, store)

        with self._guard:
            self._snapshot = self.read(advance)
            return self._snapshot, self.rotation

    @contextmanager
    def writing(self) -> Iterator[Store]:
        """Hold the gallery's lock and give the newest version to write to."""
        with stores.writing(self.path, self._lock_timeout):
            with self._guard:
                self._synchronised()
                header = self.header
            stores.sweep(self.path, header)
            if self._writer is None or self._writer.header != header:
                self._writer = Store(self.path, header)
            else:
                self._writer.refresh()
            yield self._writer

    def replace(
        self, header: Header, rows: Iterable[pa.RecordBatch], key: Key | None = None
    ) -> None:
        """Make the given rows the gallery's content, under another key if one is given.

        Call inside :meth:`writing`.
        """
        Store.create(self.path, header, rows)
        with self._guard:
            headers.write(self.path, header, key or self._key)
            self._key = key or self._key
            self._synchronised()
        # Not after an error: whether the header was replaced is then known by reading it again.
        stores.sweep(self.path, header)

    def rotation_of(self, salt: str) -> Rotation:
        """Return the rotation that the gallery's key gives with another salt."""
        return Rotation(self._key, bytes.fromhex(salt), self.header.dim)

    def finish_interrupted(self) -> None:
        """Delete what an interrupted rewrite left, unless a writer is at work."""
        if stores.has_stale(self.path, self.header):
            try:
                with stores.writing(self.path, 0):
                    stores.sweep(self.path, headers.read(self.path, self._key))
            except GalleryError as error:
                if not isinstance(error, stores.LockedError):
                    raise

    def _synchronised(self) -> Store:
        for _ in range(_ATTEMPTS):
            stamp = self._read_stamp()
            if stamp != self._stamp:
                self._adopt(headers.read(self.path, self._key))
                self._stamp = stamp
            try:
                if self._reader is None:
                    self._reader = Store(self.path, self.header)
                else:
                    self._reader.refresh()
                return self._reader
            except GalleryError:
                self._reader = None
                if self._read_stamp() == stamp:
                    raise
        raise GalleryError(f"{self.path}: is being rewritten all the time; try again")

    def _adopt(self, header: Header) -> None:
        if header.salt != self.header.salt:
            self.rotation = _rotation(self._key, header)
            self._snapshot = None
        if header != self.header:
            self._reader = None
        self.header = header

    def _read_stamp(self) -> tuple[int, ...]:
        try:
            status = (self.path / headers.FILE).stat()
        except OSError as error:
            raise GalleryError(
                f"{self.path}: the gallery is gone ({error.strerror}); open it where it is now"
            ) from None
        return status.st_ino, status.st_mtime_ns, status.st_size


def create(folder: Path, space: str, dim: int, key: Key, lock_timeout: float) -> None:
    """Make the folder, the empty table and the header of a gallery.

    Raises
    ------
    GalleryError
        If the folder is in use or cannot be made, or space or dimension are impossible.
    """
    if not space or not 2 <= dim <= 2048:
        raise GalleryError(f"a gallery needs a space and 2..2048 dimensions, got {dim}")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        kind = GalleryFullError if headers.is_full(error) else GalleryError
        raise kind(f"{folder}: cannot make this folder: {error.strerror}") from None
    with stores.writing(folder, lock_timeout):
        header = Header.new(space, dim, key)
        others = stores.other_files(folder)
        if others:
            raise GalleryError(
                f"{folder}: not empty ({others[0]}); open the gallery with Gallery.open or "
                "choose another folder"
            )
        # An interrupted creation leaves a table that no header names.
        stores.sweep(folder, header.next())
        Store.create(folder, header)
        headers.write(folder, header, key)


def _rotation(key: Key, header: Header) -> Rotation:
    return Rotation(key, bytes.fromhex(header.salt), header.dim)
