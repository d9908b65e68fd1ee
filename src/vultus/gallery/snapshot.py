"""What a process knows of a gallery: names and templates in memory, brought up to date by parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vultus.errors import GalleryError
from vultus.gallery.rows import problems_of
from vultus.gallery.scan import ExactIndex
from vultus.gallery.store import RESTORE, Store, vectors

Codes = NDArray[np.int32]
BoolArray = NDArray[np.bool_]

_MAX_CHUNKS = 64


class _Names:
    """Numbers for people's names; only ever added to, so older snapshots stay valid."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.codes: dict[str, int] = {}

    def encode(self, column: pa.Array) -> Codes:
        encoded = column.dictionary_encode()
        numbers = np.empty(len(encoded.dictionary), np.int32)
        for i, name in enumerate(encoded.dictionary.to_pylist()):
            if name not in self.codes:
                self.codes[name] = len(self.names)
                self.names.append(name)
            numbers[i] = self.codes[name]
        codes: Codes = numbers[encoded.indices.to_numpy(zero_copy_only=False)]
        return codes


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The rows of one version of a gallery: identifiers, people, sources, and their index.

    ``index`` is None in a process that has only written so far. Rows have the same number in all
    of ``ids``, ``people``, ``sources`` and ``index``.
    """

    change: int
    ids: pa.ChunkedArray
    people: Codes
    sources: pa.ChunkedArray
    index: ExactIndex | None
    _names: _Names

    def __len__(self) -> int:
        return len(self.people)

    def person(self, row: int) -> str:
        """Return the name of the person of a row."""
        name: str = self._names.names[self.people[row]]
        return name

    def of_people(self, persons: Iterable[str]) -> BoolArray:
        """Return which rows, bool (N,), belong to one of these people."""
        codes = [self._names.codes[name] for name in set(persons) if name in self._names.codes]
        return np.isin(self.people, np.array(codes, np.int32))

    def find(self, ids: pa.Array) -> dict[str, str]:
        """Return the people of those of the given face identifiers that are present."""
        position = pc.index_in(self.ids, value_set=ids).combine_chunks()
        rows = np.flatnonzero(position.is_valid().to_numpy(zero_copy_only=False))
        return {self.ids[int(row)].as_py(): self.person(int(row)) for row in rows}


def load(store: Store, *, index: bool) -> Snapshot:
    """Read a whole gallery, with its templates if ``index`` is true."""
    empty = pa.chunked_array([], pa.string())
    nobody = np.empty(0, np.int32)
    start = ExactIndex(store.header.dim) if index else None
    return _extended(Snapshot(store.change, empty, nobody, empty, start, _Names()), store, None)


def refreshed(old: Snapshot, store: Store) -> Snapshot:
    """Return the snapshot of the store's version, reading only what changed since the old one."""
    change = store.change
    if change == old.change:
        return old
    count = store.count()
    newer = f"change > {old.change}"
    changed = store.table(["face_id", "person"], newer)
    if count - len(old) == len(changed):
        # No row disappeared and none was altered: all changed rows are new.
        return replace(_extended(old, store, newer), change=change)
    position = pc.index_in(old.ids, value_set=changed["face_id"].combine_chunks())
    found = position.combine_chunks().fill_null(-1).to_numpy(zero_copy_only=False)
    altered = np.flatnonzero(found >= 0)
    people = old.people.copy()
    people[altered] = old._names.encode(changed["person"].combine_chunks())[found[altered]]
    now = replace(old, people=people)
    if count != len(old) + len(changed) - len(altered):
        now = _without_removed(now, store)
    if len(altered) < len(changed):
        known = pc.is_in(changed["face_id"], value_set=now.ids.combine_chunks())
        wanted = changed["face_id"].filter(pc.invert(known))
        now = _extended(now, store, newer, only=wanted.combine_chunks())
    if len(now) != count:
        # Only where writers ran without a working lock; start afresh.
        return load(store, index=old.index is not None)
    return replace(now, change=change)


def _without_removed(old: Snapshot, store: Store) -> Snapshot:
    present = store.table(["face_id"])["face_id"].combine_chunks()
    mask = pc.is_in(old.ids, value_set=present)
    kept: BoolArray = mask.combine_chunks().to_numpy(zero_copy_only=False)
    return replace(
        old,
        ids=old.ids.filter(mask),
        people=old.people[kept],
        sources=old.sources.filter(mask),
        index=old.index.keep(kept) if old.index is not None else None,
    )


def _extended(
    old: Snapshot, store: Store, where: str | None, only: pa.Array | None = None
) -> Snapshot:
    """Return the snapshot with the rows for which a condition holds appended."""
    index = old.index
    columns = ["face_id", "person", "source"] + (["vector"] if index is not None else [])
    ids: list[Any] = []
    people: list[Codes] = [old.people]
    sources: list[Any] = []
    for batch in store.scan(columns, where):
        if only is not None:
            batch = batch.filter(pc.is_in(batch.column("face_id"), value_set=only))
        ids.append(_copied(batch.column("face_id")))
        people.append(old._names.encode(batch.column("person")))
        sources.append(_copied(batch.column("source")))
        if index is not None:
            if damage := problems_of(batch):
                raise GalleryError(f"{store.path}: {damage[0]}; verify() lists all, then {RESTORE}")
            index = index.append(vectors(batch))
    return replace(
        old,
        ids=_joined(old.ids, ids),
        people=np.concatenate(people),
        sources=_joined(old.sources, sources),
        index=index,
    )


def _copied(column: pa.Array) -> pa.Array:
    """Return a text column in memory of its own: a batch's columns keep its templates alive."""
    return pa.concat_arrays([column, pa.array([], pa.string())])


def _joined(old: pa.ChunkedArray, new: list[Any]) -> pa.ChunkedArray:
    joined = pa.chunked_array([*old.chunks, *new], pa.string())
    if joined.num_chunks > _MAX_CHUNKS:
        joined = pa.chunked_array([joined.combine_chunks()], pa.string())
    return joined
