"""What can be asked of a gallery besides search; every answer is of one version."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vultus.gallery import rows
from vultus.gallery import store as stores
from vultus.gallery.records import IntegrityReport, Stats, StoredFace
from vultus.gallery.session import Session
from vultus.gallery.store import Store

FloatArray = NDArray[np.float32]


def persons(session: Session) -> dict[str, int]:
    """Return the number of faces of each person, by name in order."""
    counts = _column(session, "person").value_counts().to_pylist()
    return dict(sorted((item["values"], item["counts"]) for item in counts))


def faces(session: Session, person: str | None) -> list[StoredFace]:
    """Return the stored faces of a person, or of everyone, ordered by identifier."""
    table = session.read(lambda store: store.table(rows.FACE_COLUMNS, _of(person)))
    return sorted(map(rows.to_face, table.to_pylist()), key=lambda face: face.face_id)


def templates(session: Session, person: str | None) -> tuple[list[str], FloatArray]:
    """Return identifiers and plain templates, float32 (N, D), of a person or of everyone."""

    def revealed(store: Store) -> tuple[list[str], FloatArray]:
        table = store.table(["face_id", "vector"], _of(person))
        plain = session.rotation.reveal(stores.vectors(table))
        return table["face_id"].to_pylist(), plain

    return session.read(revealed)


def digests(session: Session) -> frozenset[str]:
    """Return the digests of all pictures with stored faces."""
    return frozenset(_column(session, "source_digest").unique().to_pylist())


def stats(session: Session) -> Stats:
    """Return the gallery's size and nature."""
    names = _column(session, "person")
    return Stats(
        faces=len(names),
        persons=len(names.unique()),
        space=session.header.space,
        dim=session.header.dim,
        key=session.header.key,
        bytes=stores.size_on_disk(session.path),
    )


def verify(session: Session) -> IntegrityReport:
    """Read everything and report what is wrong.

    Raises
    ------
    GalleryError
        If a file cannot be read at all.
    """
    return session.read(_inspected)


def _inspected(store: Store) -> IntegrityReport:
    ids: list[pa.Array] = []
    problems: list[str] = []
    for batch in store.scan(store.columns):
        ids.append(batch.column("face_id"))
        problems += rows.problems_of(batch)
    column = pa.chunked_array(ids, pa.string())
    if len(column) != store.count():
        problems.append(f"{len(column)} rows could be read of {store.count()}")
    counts = column.value_counts().to_pylist()
    problems += [
        f"face {item['values']}: stored {item['counts']} times"
        for item in counts
        if item["counts"] > 1
    ]
    return IntegrityReport(len(column), tuple(problems))


def _column(session: Session, name: str) -> pa.ChunkedArray:
    return session.read(lambda store: store.table([name])[name])


def _of(person: str | None) -> str | None:
    return None if person is None else stores.one_of("person", [person])
