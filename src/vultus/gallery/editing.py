"""Commits and rewrites: each changes the gallery whole or not at all."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from vultus.errors import GalleryError
from vultus.gallery import rows
from vultus.gallery import store as stores
from vultus.gallery.header import Header
from vultus.gallery.keys import Key
from vultus.gallery.protection import Rotation
from vultus.gallery.records import EnrolReport
from vultus.gallery.session import Session
from vultus.gallery.store import Store


def commit(session: Session, offered: pa.Table) -> EnrolReport:
    """Store plain rows in one commit, leaving out those that are stored already."""
    fresh = rows.first_of_each(offered)
    with session.writing() as store:
        snapshot, rotation = session.snapshot(index=False)
        stored = snapshot.find(fresh["face_id"].combine_chunks())
        known = pc.is_in(fresh["face_id"], value_set=pa.array(list(stored), pa.string()))
        new = fresh.filter(pc.invert(known))
        if len(new):
            turned = rows.with_vectors(new, rotation.protect(stores.vectors(new)))
            number = pa.array([store.change + 1] * len(new), pa.int64())
            store.append(rows.with_column(turned, "change", number))
    owner = dict(zip(new["face_id"].to_pylist(), new["person"].to_pylist(), strict=True)) | stored
    pairs = zip(offered["face_id"].to_pylist(), offered["person"].to_pylist(), strict=True)
    conflicts = tuple((face, owner[face], name) for face, name in pairs if owner[face] != name)
    return EnrolReport(len(new), len(offered) - len(new) - len(conflicts), conflicts)


def remove(session: Session, column: str, wanted: set[str]) -> int:
    """Rewrite the gallery without the rows whose column has one of the wanted values."""
    with session.writing() as store:
        return drop(session, store, column, wanted)


def drop(session: Session, store: Store, column: str, wanted: set[str]) -> int:
    """Do what :func:`remove` does; call inside :meth:`Session.writing`."""
    gone = pa.array(sorted(wanted), pa.string())
    present = store.table([column])[column]
    _require(store, wanted, column, present)
    count = pc.sum(pc.is_in(present, value_set=gone)).as_py() or 0
    if count:
        kept = (
            batch.filter(pc.invert(pc.is_in(batch.column(column), value_set=gone)))
            for batch in store.scan(store.columns)
        )
        session.replace(session.header.next(), kept)
    return int(count)


def rename(session: Session, old: str, new: str) -> int:
    """Give a person a name that nobody has.

    Raises
    ------
    GalleryError
        If there is no such person, or somebody has the name.
    """
    with session.writing() as store:
        present = store.table(["person"])["person"]
        _require(store, {old}, "person", present)
        if old != new and new in present.unique().to_pylist():
            raise GalleryError(
                f"{store.path}: {new!r} exists already; use merge([{old!r}], into={new!r})"
            )
        return _assign(store, {old} - {new}, new)


def merge(session: Session, persons: set[str], into: str) -> int:
    """Give the faces of some people to one."""
    with session.writing() as store:
        _require(store, persons, "person", store.table(["person"])["person"])
        return _assign(store, persons - {into}, into)


def rekey(session: Session, key: Key) -> None:
    """Rewrite the gallery under another key and salt."""
    with session.writing() as store:
        fresh = Header.new(store.header.space, store.header.dim, key)
        header = session.header.next(salt=fresh.salt, key=fresh.key)
        old = session.rotation
        new = Rotation(key, bytes.fromhex(header.salt), header.dim)
        turned = (
            rows.with_vectors(batch, new.protect(old.reveal(stores.vectors(batch))))
            for batch in store.scan(store.columns)
        )
        session.replace(header, turned, key)


def _assign(store: Store, persons: set[str], name: str) -> int:
    if not persons:
        return 0
    where = stores.one_of("person", persons)
    return store.update(where, {"person": name, "change": store.change + 1})


def _require(store: Store, wanted: set[str], column: str, present: pa.ChunkedArray) -> None:
    missing = sorted(wanted - set(present.unique().to_pylist()))
    if missing:
        what = "person" if column == "person" else "face"
        others = f" (nor {len(missing) - 1} others)" if len(missing) > 1 else ""
        raise GalleryError(f"{store.path}: no {what} {missing[0]!r} in the gallery{others}")
