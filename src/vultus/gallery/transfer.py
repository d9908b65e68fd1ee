"""Galleries as single Parquet files: for backups, for moving, for other programs."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vultus.errors import GalleryError
from vultus.gallery.header import Header
from vultus.gallery.rows import problems_of, with_vectors
from vultus.gallery.session import Session
from vultus.gallery.store import Store, schema, vectors

FORMAT = 1
_LABEL = b"vultus.gallery"
_ROWS = 8192


@dataclass(frozen=True, slots=True)
class Label:
    """What an export says of itself: where its templates may be used and how they are protected.

    ``salt`` and ``key`` (a fingerprint) are None where templates are plain.
    """

    space: str
    dim: int
    salt: str | None
    key: str | None
    format: int = FORMAT


def export(session: Session, path: Path, *, plain: bool) -> int:
    """Write a gallery to a new Parquet file and return how many faces it has."""

    def copy(store: Store) -> int:
        header, rotation = session.header, session.rotation
        if not plain:
            mark = Label(header.space, header.dim, header.salt, header.key)
            return write(path, mark, store.scan(store.columns))
        revealed = (
            with_vectors(batch, rotation.reveal(vectors(batch)))
            for batch in store.scan(store.columns)
        )
        return write(path, Label(header.space, header.dim, None, None), revealed)

    return session.read(copy)


def write(path: Path, mark: Label, batches: Iterable[pa.RecordBatch]) -> int:
    """Write rows to a new Parquet file that only its owner may open; return how many.

    Raises
    ------
    GalleryError
        If the file exists or cannot be written; an interrupted export leaves no file.
    """
    if path.exists():
        raise GalleryError(f"{path}: exists already; choose another name")
    columns = schema(mark.dim).with_metadata({_LABEL: json.dumps(_fields(mark)).encode()})
    count, temporary = 0, ""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        with os.fdopen(handle, "wb") as stream, pq.ParquetWriter(stream, columns) as writer:
            for batch in batches:
                writer.write_batch(batch.cast(columns))
                count += len(batch)
        os.replace(temporary, path)
    except OSError as error:
        raise GalleryError(f"{path}: cannot write the export: {error}") from None
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
    return count


def read(session: Session, path: Path) -> Iterator[pa.Table]:
    """Yield the rows of an export with plain templates, after checking them.

    Raises
    ------
    GalleryError
        If the file is not an export, is damaged, is of another space, or was protected with
        another key.
    """
    try:
        with pq.ParquetFile(path) as file:
            mark = _label_of(file.schema_arrow, path)
            _check(mark, path, session.header)
            rotation = None if mark.salt is None else session.rotation_of(mark.salt)
            for batch in file.iter_batches(_ROWS):
                rows = pa.Table.from_batches([batch]).cast(schema(mark.dim))
                rows.validate(full=True)
                if problems := problems_of(rows):
                    raise GalleryError(f"{path}: {problems[0]}; export the gallery again")
                yield with_vectors(rows, rotation.reveal(vectors(rows))) if rotation else rows
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0][:200]
        raise GalleryError(f"{path}: not a readable export of a gallery ({reason})") from None


def _fields(mark: Label) -> dict[str, Any]:
    return {name: getattr(mark, name) for name in ("format", "space", "dim", "salt", "key")}


def _label_of(columns: pa.Schema, path: Path) -> Label:
    try:
        fields = json.loads((columns.metadata or {})[_LABEL])
        mark = Label(**fields)
    except (KeyError, TypeError, ValueError):
        raise GalleryError(f"{path}: not an export of a gallery: its label is missing") from None
    if mark.format != FORMAT:
        raise GalleryError(f"{path}: export layout {mark.format}, this version reads {FORMAT}")
    return mark


def _check(mark: Label, path: Path, header: Header) -> None:
    if (mark.space, mark.dim) != (header.space, header.dim):
        raise GalleryError(
            f"{path}: holds {mark.dim}-d templates of {mark.space!r}, the gallery {header.dim}-d "
            f"ones of {header.space!r}; import it into a gallery of its own space"
        )
    if mark.key is not None and mark.key != header.key:
        raise GalleryError(
            f"{path}: protected with key {mark.key}, the gallery has {header.key}; import it "
            "into a gallery of that key, then re-key, or export it with plain templates"
        )
