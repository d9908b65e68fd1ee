"""What readers return: records of pictures, and pairs of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from vultus.errors import DatasetError


class Part(Protocol):
    """A picture inside a larger file."""

    def read(self, path: Path) -> bytes:
        """Return the encoded picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One picture of a data set.

    Parameters
    ----------
    path
        The file that holds it.
    identity
        Who it shows, unique within the set, or None where that is not known.
    split
        Part of the set that its authors put it into, such as ``train``, or None.
    labels
        What else is known, by name; each reader documents its labels, shapes and units.
    part
        Where in the file the picture lies, or None where the file is the picture.
    """

    path: Path
    identity: str | None = None
    split: str | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)
    part: Part | None = None

    def source(self) -> Path | bytes:
        """Return what :func:`vultus.images.open_image` takes: the path, or bytes read now."""
        return self.path if self.part is None else self.part.read(self.path)


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two pictures to compare.

    Parameters
    ----------
    first, second
        The pictures.
    same
        Whether they show one person.
    fold
        Number of the cross-validation fold, from 0, or None.
    """

    first: Record
    second: Record
    same: bool
    fold: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Dataset(Sequence[Record]):
    """Records of one data set, in a fixed order.

    Parameters
    ----------
    name
        Key of the set in the catalogue, or the folder's name.
    root
        Folder that was read.
    records
        Sorted by path unless the reader says otherwise. A tuple, or for sets of millions a
        sequence that makes records when asked for.
    """

    name: str
    root: Path
    records: Sequence[Record]

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Dataset: ...
    def __getitem__(self, index: int | slice) -> Record | Dataset:
        if isinstance(index, slice):
            return replace(self, records=self.records[index])
        return self.records[index]

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {str(self.root)!r}, {len(self)} records)"

    def where(self, keep: Callable[[Record], bool]) -> Dataset:
        """Return the records for which ``keep`` is true."""
        return replace(self, records=tuple(record for record in self.records if keep(record)))

    def take(self, indices: Sequence[int] | NDArray[np.integer]) -> Dataset:
        """Return the records at the indices, in their order."""
        return replace(self, records=tuple(self.records[i] for i in indices))

    def split(self, name: str) -> Dataset:
        """Return the records of one split.

        Raises
        ------
        DatasetError
            If the set has no such split; the message names those it has.
        """
        found = self.where(lambda record: record.split == name)
        if not found:
            known = sorted({str(record.split) for record in self.records})
            raise DatasetError(f"{self.name} has no split {name!r}; it has {', '.join(known)}")
        return found

    def identities(self) -> tuple[NDArray[np.intp], list[str]]:
        """Return the identity of each record as a code (N,), and the sorted names.

        Raises
        ------
        DatasetError
            If a record has no identity.
        """
        names = [record.identity for record in self.records]
        if None in names:
            path = self.records[names.index(None)].path
            raise DatasetError(f"{self.name}: {path} has no identity")
        known, codes = np.unique(np.array(names, np.str_), return_inverse=True)
        return codes.astype(np.intp), [str(name) for name in known]

    def label(self, name: str) -> NDArray[Any]:
        """Return one label of every record, (N, ...).

        Raises
        ------
        DatasetError
            If a record lacks it; the message names the labels that the first record has.
        """
        for record in self.records:
            if name not in record.labels:
                known = ", ".join(sorted(self.records[0].labels)) or "none"
                raise DatasetError(
                    f"{self.name}: {record.path} has no label {name!r}; labels here: {known}"
                )
        return np.array([record.labels[name] for record in self.records])
