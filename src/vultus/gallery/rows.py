"""Between faces as objects and rows as columns: building, checking, and reading back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vultus.errors import GalleryError
from vultus.gallery.records import Enrolment, StoredFace, check_name, to_json
from vultus.gallery.store import schema, vector_column, vectors

FloatArray = NDArray[np.float32]

#: Columns that :func:`to_face` needs.
FACE_COLUMNS = (
    "face_id",
    "person",
    "source",
    "source_digest",
    "box",
    "quality",
    "metadata",
    "enrolled",
)
#: How far a stored template's length may be from 1.
LENGTH_TOLERANCE = 1e-3
_SURROGATE = re.compile("[\ud800-\udfff]")


def from_enrolments(items: Sequence[Enrolment], dim: int, now: datetime) -> pa.Table:
    """Return plain rows, ``change`` 0, for faces to be stored.

    Raises
    ------
    GalleryError
        Naming the first item that cannot be stored, and why.
    """
    for item in items:
        try:
            _check(item, dim)
        except (GalleryError, TypeError, ValueError) as error:
            where = f"face of {item.person!r:.80} in {item.source!r:.120}"
            raise GalleryError(f"{where}: {error}") from None
    columns: dict[str, Any] = {
        "face_id": [item.face_id for item in items],
        "person": [item.person for item in items],
        "source": [item.source for item in items],
        "source_digest": [item.source_digest for item in items],
        "box": [None if item.box is None else [float(v) for v in item.box] for item in items],
        "quality": [item.quality for item in items],
        "metadata": [to_json(item.metadata) for item in items],
        "enrolled": [now] * len(items),
        "change": [0] * len(items),
    }
    columns["vector"] = vector_column(np.stack([item.template.vector for item in items]))
    return pa.table(columns, schema=schema(dim))


def to_face(row: Mapping[str, Any]) -> StoredFace:
    """Return one row, without its template, as an object."""
    return StoredFace(
        face_id=row["face_id"],
        person=row["person"],
        source=row["source"],
        source_digest=row["source_digest"],
        box=None if row["box"] is None else tuple(row["box"]),
        quality=row["quality"],
        metadata=json.loads(row["metadata"]),
        enrolled=row["enrolled"],
    )


def with_column(rows: pa.Table | pa.RecordBatch, name: str, values: Any) -> Any:
    """Return the rows with one column replaced."""
    number = rows.schema.get_field_index(name)
    return rows.set_column(number, rows.schema.field(name), values)


def with_vectors(rows: pa.Table | pa.RecordBatch, values: FloatArray) -> Any:
    """Return the rows with other templates, float32 (N, D), made unit length."""
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return with_column(rows, "vector", vector_column(values / length))


def first_of_each(rows: pa.Table) -> pa.Table:
    """Return the rows with the first of each face identifier."""
    ids = rows["face_id"].to_pylist()
    seen: dict[str, int] = {}
    for number, identifier in enumerate(ids):
        seen.setdefault(identifier, number)
    return rows if len(seen) == len(ids) else rows.take(pa.array(list(seen.values())))


def problems_of(rows: pa.Table | pa.RecordBatch) -> list[str]:
    """Return what is wrong with the templates and texts of some rows, in words."""
    values = vectors(rows)
    length = np.sqrt(np.einsum("nd,nd->n", values, values))
    # Comparing this way round catches NaN too.
    bad = np.flatnonzero(~(np.abs(length - 1) <= LENGTH_TOLERANCE))
    ids = rows.column("face_id")
    found = [f"face {ids[int(i)]}: template of length {length[i]:.4g}, not 1" for i in bad]
    for name in rows.column("person").unique().to_pylist():
        try:
            check_name(name)
        except GalleryError as error:
            found.append(str(error))
    return found


def _check(item: Enrolment, dim: int) -> None:
    check_name(item.person)
    to_json(item.metadata)
    if item.template.vector.shape != (dim,):
        raise GalleryError(
            f"template of length {len(item.template.vector)}, but the gallery's is {dim}"
        )
    if not item.source_digest:
        raise GalleryError("the picture's digest is missing")
    if not _is_text(item.source) or not _is_text(item.source_digest):
        raise GalleryError("source and digest must be text")
    if item.box is not None and not (len(item.box) == 4 and all(map(isfinite, item.box))):
        raise GalleryError(f"a box is four finite numbers x1, y1, x2, y2, got {item.box}")
    if item.quality is not None and not isfinite(item.quality):
        raise GalleryError(f"quality must be a finite number or None, got {item.quality}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and (value.isascii() or not _SURROGATE.search(value))
