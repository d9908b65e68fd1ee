"""Enrolment, search and identification over a collection of faces on disk."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vultus.errors import GalleryError
from vultus.gallery import editing, matching, reading, rows, transfer
from vultus.gallery import header as headers
from vultus.gallery.keys import Key
from vultus.gallery.matching import Queries
from vultus.gallery.records import (
    Enrolment,
    EnrolReport,
    Identification,
    IntegrityReport,
    Match,
    Stats,
    StoredFace,
    check_name,
)
from vultus.gallery.session import Session, create
from vultus.gallery.snapshot import Snapshot

FloatArray = NDArray[np.float32]

#: Faces written in one commit.
BATCH = 8192
_LOCK_TIMEOUT = 600.0
_COMMITS_BETWEEN_TIDYING = 32


class Gallery:
    """People's faces on disk, with protected templates, and exact search over them.

    A gallery is a folder: a LanceDB table, ``gallery.json`` and a lock file. Make one with
    :meth:`create`, come back to it with :meth:`open`. Templates are stored rotated by a secret
    (:mod:`vultus.gallery.protection` says what that does and does not protect); names, sources,
    boxes and metadata are stored as they are.

    Any number of threads and processes may read and write the same gallery. Writers take turns,
    holding a lock for one commit. Every reading call first looks whether something was committed
    (under a millisecond), loads only what is new, and then works on that one version to its end.
    The lock needs a file system with working locks: a local disk, not every network share.

    The first search reads all templates into memory: 1.6 KB a face at 512 dimensions. There is no
    index to build; :mod:`vultus.gallery.scan` explains how the exact search gets its speed.

    A process may be killed at any moment without harm. A loss of power may cost, like in any
    program that leaves writing to the operating system, the enrolments of the last seconds;
    rewrites (:meth:`remove`, :meth:`rekey`) wait for the disk.

    A process that uses galleries must not ``fork`` (use the ``spawn`` start method).
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        space: str,
        dim: int,
        key: Key,
        lock_timeout: float = _LOCK_TIMEOUT,
    ) -> Gallery:
        """Make an empty gallery.

        Parameters
        ----------
        path
            Folder to make; it may exist if it is empty.
        space
            The embedding space of all templates.
        dim
            Length D of the templates, 2 to 2048.
        key
            Secret that protects the templates.
        lock_timeout
            Seconds that a writer waits for another one.

        Raises
        ------
        GalleryError
            If the folder is in use or cannot be made, or the dimension is impossible.
        """
        folder = Path(path)
        create(folder, space, dim, key, lock_timeout)
        return cls.open(folder, key, space=space, lock_timeout=lock_timeout)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        key: Key,
        *,
        space: str | None = None,
        lock_timeout: float = _LOCK_TIMEOUT,
    ) -> Gallery:
        """Open a gallery, and finish a rewrite that was interrupted.

        Parameters
        ----------
        path
            Folder of the gallery.
        key
            The key it was created with, or re-keyed to.
        space
            The space that the caller's embeddings have; None accepts any.
        lock_timeout
            Seconds that a writer waits for another one.

        Raises
        ------
        GalleryError
            If there is no gallery, the key is wrong, the space differs, or files are damaged.
        """
        folder = Path(path)
        header = headers.read(folder, key, space)
        session = Session(folder, key, header, lock_timeout=lock_timeout)
        session.read(lambda store: store.count())
        session.finish_interrupted()
        return cls(session)

    @property
    def path(self) -> Path:
        """Folder of the gallery."""
        return self._session.path

    @property
    def space(self) -> str:
        """Embedding space of the templates."""
        return self._session.header.space

    @property
    def dim(self) -> int:
        """Length D of the templates."""
        return self._session.header.dim

    def __len__(self) -> int:
        return self._session.read(lambda store: store.count())

    def __repr__(self) -> str:
        return f"Gallery({str(self.path)!r}, space={self.space!r}, dim={self.dim})"

    def enroll(self, items: Iterable[Enrolment], *, batch: int = BATCH) -> EnrolReport:
        """Store faces; those that are stored already are left as they are.

        Running the same enrolment again, also after a crash, neither doubles nor loses a face:
        each batch is committed whole or not at all, and a face's identifier depends only on its
        picture and box.

        Parameters
        ----------
        items
            Faces, consumed as they come.
        batch
            Faces in one commit.

        Raises
        ------
        SpaceMismatchError
            If a template is of another space. Batches before it are stored.
        GalleryError
            If an item cannot be stored, or the gallery cannot be written.
        """
        if batch < 1:
            raise GalleryError(f"batch must be at least 1, got {batch}")
        report, rest, commits = EnrolReport(), iter(items), 0
        while chunk := list(islice(rest, batch)):
            for item in chunk:
                matching.check_space(item.template, self.space)
            report += editing.commit(
                self._session, rows.from_enrolments(chunk, self.dim, datetime.now(UTC))
            )
            commits += 1
            if commits % _COMMITS_BETWEEN_TIDYING == 0:
                self._tidy()
        self._tidy()
        return report

    def search(
        self, queries: Queries, k: int = 10, *, persons: Iterable[str] | None = None
    ) -> list[list[Match]]:
        """Return the k stored faces nearest to each query, best first.

        The result is exact: that of comparing with every stored template.

        Parameters
        ----------
        queries
            Embeddings, or an array (M, D) of templates known to be of the gallery's space.
        k
            How many faces; fewer come back from a smaller gallery.
        persons
            Search only among these people.

        Raises
        ------
        SpaceMismatchError
            If an embedding is of another space.
        GalleryError
            If the queries are not finite vectors of the right length.
        """
        snapshot, probes = self._prepare(queries)
        return matching.search(snapshot, probes, k, persons)

    def identify(
        self,
        queries: Queries,
        threshold: float,
        k: int = 5,
        *,
        persons: Iterable[str] | None = None,
    ) -> list[Identification]:
        """Say who each query is, or that it is nobody in the gallery (open-set identification).

        A person's similarity is that of their best face.

        Parameters
        ----------
        queries
            As in :meth:`search`.
        threshold
            Raw cosine that the best candidate must reach; take it from a calibration.
        k
            How many candidates to list, each a different person.
        persons
            Search only among these people.

        Raises
        ------
        SpaceMismatchError, GalleryError
            As in :meth:`search`.
        """
        snapshot, probes = self._prepare(queries)
        return matching.identify(snapshot, probes, threshold, k, persons)

    def persons(self) -> dict[str, int]:
        """Return the number of faces of each person, by name in order."""
        return reading.persons(self._session)

    def faces(self, person: str | None = None) -> list[StoredFace]:
        """Return the stored faces of a person, or of everyone, ordered by identifier."""
        return reading.faces(self._session, person)

    def templates(self, person: str | None = None) -> tuple[list[str], FloatArray]:
        """Return identifiers and plain templates, float32 (N, D), of a person or of everyone."""
        return reading.templates(self._session, person)

    def digests(self) -> frozenset[str]:
        """Return the digests of all pictures with stored faces, to skip what is enrolled."""
        return reading.digests(self._session)

    def stats(self) -> Stats:
        """Return the gallery's size and nature."""
        return reading.stats(self._session)

    def verify(self) -> IntegrityReport:
        """Read everything and report what is wrong: lengths, names, identifiers that repeat.

        A change that keeps a template's length within 0.1 % of 1 goes unnoticed.

        Raises
        ------
        GalleryError
            If a file cannot be read at all.
        """
        return reading.verify(self._session)

    def remove(
        self,
        *,
        person: str | Iterable[str] | None = None,
        face_id: str | Iterable[str] | None = None,
    ) -> int:
        """Erase people, or single faces, and return how many faces went.

        Afterwards no file of the gallery holds their templates: the rest is written to a new table
        and the old one is deleted. That takes the time of copying the gallery, so erase many
        people in one call. Out of reach are the disk's own remapping, backups, exports, and the
        memory of processes that have not read the gallery since.

        Raises
        ------
        GalleryError
            If a name or identifier is not in the gallery; then nothing is removed.
        """
        if face_id is None and person is not None:
            return editing.remove(self._session, "person", _set_of(person))
        if person is None and face_id is not None:
            return editing.remove(self._session, "face_id", _set_of(face_id))
        raise GalleryError("remove needs either person= or face_id=")

    def rename(self, old: str, new: str) -> int:
        """Give a person another name and return how many faces they have.

        Raises
        ------
        GalleryError
            If there is no such person, or the new name is taken (then use :meth:`merge`).
        """
        return editing.rename(self._session, old, check_name(new))

    def merge(self, persons: Iterable[str], into: str) -> int:
        """Give all faces of some people to one person and return how many moved.

        ``into`` may be one of them, another person of the gallery, or a new name.

        Raises
        ------
        GalleryError
            If one of the people is not in the gallery; then nothing changes.
        """
        return editing.merge(self._session, _set_of(persons), check_name(into))

    def rekey(self, key: Key) -> None:
        """Protect all templates with a new key and a new salt; the old key opens it no more.

        Interrupted at any moment, the gallery is whole under the old key or under the new one.
        """
        editing.rekey(self._session, key)

    def export(self, path: str | os.PathLike[str], *, plain: bool = False) -> int:
        """Write all faces to a Parquet file and return how many.

        Parameters
        ----------
        path
            File to make; only its owner may open it.
        plain
            False keeps the templates protected: the file opens with this gallery's key only. True
            writes plain templates for other programs; the file then needs protection itself.

        Raises
        ------
        GalleryError
            If the file exists or cannot be written.
        """
        return transfer.export(self._session, Path(path), plain=plain)

    def import_(self, path: str | os.PathLike[str]) -> EnrolReport:
        """Store the faces of an export, as :meth:`enroll` does, with their enrolment times.

        Raises
        ------
        GalleryError
            If the file is not an export, is damaged, of another space, or protected with another
            key than this gallery's.
        """
        report = EnrolReport()
        for table in transfer.read(self._session, Path(path)):
            report += editing.commit(self._session, table)
        self._tidy()
        return report

    def _prepare(self, queries: Queries) -> tuple[Snapshot, FloatArray]:
        probes = matching.to_array(queries, self.space, self.dim)
        snapshot, rotation = self._session.snapshot(index=True)
        return snapshot, rotation.protect(probes)

    def _tidy(self) -> None:
        with self._session.writing() as store:
            store.tidy()


def _set_of(values: str | Iterable[str]) -> set[str]:
    return {values} if isinstance(values, str) else set(values)
