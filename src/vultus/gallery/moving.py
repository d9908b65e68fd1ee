"""Changes that can be taken back: faces given to other people, faces taken out and put back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from vultus.errors import SpaceMismatchError
from vultus.gallery import editing, rows
from vultus.gallery import store as stores
from vultus.gallery.gallery import Gallery
from vultus.gallery.records import EnrolReport, check_name


@dataclass(frozen=True, slots=True, eq=False)
class Withdrawn:
    """Faces that were erased from a gallery, with plain templates, in memory alone.

    Parameters
    ----------
    space
        Embedding space of the templates.
    table
        The rows as they were, vectors without the gallery's rotation.
    """

    space: str
    table: pa.Table

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return f"Withdrawn({len(self)} faces)"


def assign(gallery: Gallery, owners: Mapping[str, str]) -> dict[str, str]:
    """Give faces to people in one commit and return whose they were, by face identifier.

    Parameters
    ----------
    owners
        Name of the person, who need not exist yet, for each face identifier. Faces that are not
        in the gallery any more are left out.

    Raises
    ------
    GalleryError
        If a name cannot be a person's; then nothing changes.
    """
    for name in set(owners.values()):
        check_name(name)
    if not owners:
        return {}
    with gallery._session.writing() as store:
        found = store.table(store.columns, stores.one_of("face_id", owners))
        before = dict(zip(found["face_id"].to_pylist(), found["person"].to_pylist(), strict=True))
        after = [owners[face] for face in before]
        if after != list(before.values()):
            moved = rows.with_column(found, "person", pa.array(after, pa.string()))
            number = pa.array([store.change + 1] * len(moved), pa.int64())
            store.overwrite(rows.with_column(moved, "change", number))
    return before


def withdraw(
    gallery: Gallery, by: Literal["person", "face_id"], values: Iterable[str]
) -> Withdrawn:
    """Erase people or single faces as :meth:`Gallery.remove` does, and return what was erased.

    No file of the gallery holds the templates afterwards; whoever keeps the answer can give it to
    :func:`put_back`.

    Raises
    ------
    GalleryError
        If a name or identifier is not in the gallery; then nothing is erased.
    """
    wanted = set(values)
    session = gallery._session
    with session.writing() as store:
        found = store.table(store.columns, stores.one_of(by, wanted))
        plain = found
        if len(found):
            plain = rows.with_vectors(found, session.rotation.reveal(stores.vectors(found)))
        editing.drop(session, store, by, wanted)
    return Withdrawn(gallery.space, plain)


def put_back(gallery: Gallery, withdrawn: Withdrawn) -> EnrolReport:
    """Store withdrawn faces again, with their times of enrolment and everything else they had.

    Raises
    ------
    SpaceMismatchError
        If they were withdrawn from a gallery of another space.
    """
    if withdrawn.space != gallery.space:
        raise SpaceMismatchError(
            f"the faces are of {withdrawn.space!r}, the gallery of {gallery.space!r}"
        )
    return editing.commit(gallery._session, withdrawn.table.combine_chunks())
