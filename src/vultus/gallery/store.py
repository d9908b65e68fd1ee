"""The table of a gallery on disk: LanceDB, one writer at a time, errors in our own words."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vultus.errors import GalleryError, GalleryFullError
from vultus.gallery import header as headers
from vultus.gallery.header import Header

FloatArray = NDArray[np.float32]

LOCK = ".lock"
#: What to do when stored data cannot be used.
RESTORE = "restore the folder from a backup, or import an export"
_TABLE = re.compile(r"faces-\d{6,}\.lance")
_ROWS = 4096
# Small files slow every read down, and merging them costs a pass over the gallery.
_MAX_FRAGMENTS = 100
_ROWS_PER_FRAGMENT = 5000


def schema(dim: int) -> pa.Schema:
    """Return the columns of a gallery's table.

    ``change`` numbers the commit that wrote the row last; readers ask for what is newer than what
    they know.
    """
    return pa.schema(
        [
            pa.field("face_id", pa.string(), nullable=False),
            pa.field("person", pa.string(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("source_digest", pa.string(), nullable=False),
            pa.field("box", pa.list_(pa.float32(), 4)),
            pa.field("quality", pa.float32()),
            pa.field("metadata", pa.string(), nullable=False),
            pa.field("enrolled", pa.timestamp("us", "UTC"), nullable=False),
            pa.field("change", pa.int64(), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), dim), nullable=False),
        ]
    )


class LockedError(GalleryError):
    """Another process is writing to the gallery."""


class Store:
    """One generation of a gallery's table, pinned to the version it last looked at.

    Every failure of the storage layer comes out as a :class:`GalleryError`.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self.header = header
        with _own_words(path, "open"):
            self._table = _connect(path).open_table(header.table)
            found = self._table.schema
        if found != schema(header.dim):
            raise GalleryError(f"{path}: the table's columns are not a gallery's; {RESTORE}")

    @classmethod
    def create(cls, path: Path, header: Header, batches: Iterable[pa.RecordBatch] = ()) -> Store:
        """Write a generation's table; it counts only once the header names it."""
        columns = schema(header.dim)
        with _own_words(path, "write"):
            data = pa.RecordBatchReader.from_batches(columns, batches)
            _connect(path).create_table(header.table, data=data, schema=columns)
            # The old table is deleted next: the disk must have the new one by then.
            for entry in (path / f"{header.table}.lance").rglob("*"):
                headers.flush(entry)
        return cls(path, header)

    @property
    def columns(self) -> list[str]:
        """Names of all columns."""
        return list(schema(self.header.dim).names)

    def refresh(self) -> None:
        """Move on to the newest version."""
        with _own_words(self.path, "read"):
            self._table.checkout_latest()

    @property
    def change(self) -> int:
        """Number of the version looked at; it grows with every commit, also across rewrites."""
        with _own_words(self.path, "read"):
            return (self.header.generation << 40) + int(self._table.version)

    def count(self) -> int:
        """Return the number of rows."""
        with _own_words(self.path, "read"):
            return int(self._table.count_rows())

    def scan(self, columns: Sequence[str], where: str | None = None) -> Iterator[pa.RecordBatch]:
        """Yield some columns of the rows for which an SQL condition holds."""
        with _own_words(self.path, "read"):
            query = self._table.search().select(list(columns))
            if where is not None:
                query = query.where(where)
            yield from query.to_batches(_ROWS)

    def table(self, columns: Sequence[str], where: str | None = None) -> pa.Table:
        """Return what :meth:`scan` yields in one piece."""
        wanted = pa.schema([schema(self.header.dim).field(name) for name in columns])
        return pa.Table.from_batches(
            [batch.select(list(columns)).cast(wanted) for batch in self.scan(columns, where)],
            wanted,
        )

    def append(self, rows: pa.Table) -> None:
        """Add rows, all or none."""
        with _own_words(self.path, "write"):
            self._table.add(rows)

    def update(self, where: str, values: dict[str, Any]) -> int:
        """Set columns of the rows for which a condition holds, all or none; return how many."""
        with _own_words(self.path, "write"):
            return int(self._table.update(where, values).rows_updated)

    def overwrite(self, rows: pa.Table) -> None:
        """Replace the rows that have the same face identifiers, all or none."""
        with _own_words(self.path, "write"):
            self._table.merge_insert("face_id").when_matched_update_all().execute(rows)

    def tidy(self, *, force: bool = False) -> None:
        """Merge small files and drop old versions, when there are enough of them to matter."""
        with _own_words(self.path, "write"):
            fragments = self._table.stats()["fragment_stats"]["num_small_fragments"]
            limit = max(_MAX_FRAGMENTS, self._table.count_rows() // _ROWS_PER_FRAGMENT)
            if force or fragments > limit:
                self._table.optimize(
                    cleanup_older_than=timedelta(milliseconds=1), delete_unverified=True
                )


def vectors(batch: pa.RecordBatch | pa.Table) -> FloatArray:
    """Return the templates of some rows, float32 (N, D), read-only where possible."""
    column = batch.column("vector")
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    values: FloatArray = column.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(batch), column.type.list_size)


def vector_column(values: FloatArray) -> pa.FixedSizeListArray:
    """Return templates, float32 (N, D), as a column."""
    flat = pa.array(np.ascontiguousarray(values, np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def one_of(column: str, values: Iterable[str]) -> str:
    """Return the SQL condition that a text column has one of some values."""
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"{column} IN ({quoted})"


@contextmanager
def writing(path: Path, timeout: float) -> Iterator[None]:
    """Hold the gallery's lock: one writer at a time, among threads and processes.

    The operating system releases it when the holder dies.

    Raises
    ------
    LockedError
        If another writer holds it for longer than ``timeout`` seconds.
    GalleryError
        If the disk refuses.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path / LOCK, timeout=timeout, poll_interval=0.005)
    try:
        lock.acquire()
    except Timeout:
        raise LockedError(
            f"{path}: another process is writing to this gallery and did not finish within "
            f"{timeout:g} s; try again, or find out what holds {path / LOCK}"
        ) from None
    except OSError as error:
        kind = GalleryFullError if headers.is_full(error) else GalleryError
        raise kind(f"{path / LOCK}: cannot be held: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()


def sweep(path: Path, header: Header) -> None:
    """Delete what interrupted rewrites left behind; call with the lock held."""
    for entry in _stale(path, header):
        if entry.is_dir():
            # Windows refuses while a reader has a file open; the next writer tries again.
            shutil.rmtree(entry, ignore_errors=os.name == "nt")
        else:
            entry.unlink(missing_ok=True)


def has_stale(path: Path, header: Header) -> bool:
    """Return whether :meth:`sweep` would find something to delete."""
    return next(_stale(path, header), None) is not None


def other_files(path: Path) -> list[str]:
    """Return the names of what a folder holds beside the lock and unfinished pieces."""
    return sorted(
        entry.name
        for entry in path.iterdir()
        if entry.name != LOCK
        and not entry.name.startswith(headers.TEMPORARY)
        and not _TABLE.fullmatch(entry.name)
    )


def size_on_disk(path: Path) -> int:
    """Return the bytes of all files in a folder; files that vanish meanwhile count as nothing."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += os.stat(os.path.join(folder, name)).st_size
    return total


def _stale(path: Path, header: Header) -> Iterator[Path]:
    for entry in path.iterdir():
        table = _TABLE.fullmatch(entry.name)
        if (table and entry.stem != header.table) or entry.name.startswith(headers.TEMPORARY):
            yield entry


def _connect(path: Path) -> Any:
    import lancedb

    return lancedb.connect(path)


@contextmanager
def _own_words(path: Path, doing: str) -> Iterator[None]:
    try:
        yield
    except (GalleryError, GeneratorExit, KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:
        # The storage layer raises built-in errors, and panics that derive from BaseException.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        if headers.is_full(error):
            raise GalleryFullError(
                f"{path}: no room to {doing} the stored faces; the gallery is as it was: free some "
                "space, or raise the quota or limit, and try again"
            ) from None
        reason = re.sub(r"\s+", " ", str(error)).split(", /")[0][:200]
        raise GalleryError(
            f"{path}: cannot {doing} the stored faces ({type(error).__name__}: {reason}); "
            f"if this stays so, the gallery is damaged: {RESTORE}"
        ) from None
