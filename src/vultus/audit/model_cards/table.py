"""Frozen prediction tables: the file that every number of a model card is computed from.

A table holds one row per sample (per comparison for verification) and the columns

=================  =============================================================================
column             holds
=================  =============================================================================
``sample``         unique id
``split``          for example ``dev`` or ``test``
``person``         identity, or cluster of samples that are not independent; left out if unknown
``person_b``       the second identity of a comparison
``label``          0 or 1 (binary; verification: 1 = same person), class name, or number
``score``          higher = more likely positive (binary) or more similar (verification)
``prediction``     class name (multiclass) or number (regression)
``error``          normalised error of the sample's points (landmarks)
``group:NAME``     group of the sample for factor NAME; empty where there is no label
=================  =============================================================================

together with the task and the provenance of every group column. It is stored as Parquet (in the
schema's metadata) or CSV (in a first line that starts with ``#``).
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.audit.model_cards.evidence import Provenance, Task
from vultus.errors import MeasureError
from vultus.settings import plain, read_settings, settings

#: Values that each task needs.
COLUMNS: Final[Mapping[Task, tuple[str, ...]]] = {
    "binary": ("label", "score"),
    "multiclass": ("label", "prediction"),
    "regression": ("label", "prediction"),
    "landmarks": ("error",),
    "verification": ("label", "score"),
}
_FORMAT: Final = "vultus-predictions-1"
_PREFIX: Final = "group:"

Column = NDArray[Any]


@settings
class _Header:
    """What stands beside the columns."""

    format: str
    task: Task
    groups: Mapping[str, Provenance]


@dataclass(frozen=True, eq=False)
class GroupColumn:
    """The groups of one factor.

    Parameters
    ----------
    name
        Of the factor.
    values
        str (N,); empty where a sample has no label.
    provenance
        Where the labels come from.
    """

    name: str
    values: Column
    provenance: Provenance


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """Predictions with labels, groups and identities, checked.

    Parameters
    ----------
    task
        Decides which values there are, see :data:`COLUMNS`.
    samples, split
        str (N,).
    values
        Columns (N,) by name, exactly those of the task.
    groups
        Factors.
    people
        str (N,), (N, 2) for comparisons, or None where identities are not known.

    Raises
    ------
    MeasureError
        If a column is missing, of another length, not finite, or a sample occurs twice.
    """

    task: Task
    samples: Column
    split: Column
    values: Mapping[str, Column]
    groups: tuple[GroupColumn, ...]
    people: Column | None = None

    def __post_init__(self) -> None:
        if self.task not in COLUMNS:
            raise MeasureError(f"unknown task {self.task!r}; known: {list(get_args(Task))}")
        n = len(self.samples)
        if set(self.values) != set(COLUMNS[self.task]):
            raise MeasureError(
                f"a {self.task} table has the columns {list(COLUMNS[self.task])}, "
                f"got {sorted(self.values)}"
            )
        texts = {"sample": self.samples, "split": self.split}
        texts |= {_PREFIX + g.name: g.values for g in self.groups}
        checked = {name: _text(column, name, n) for name, column in texts.items()}
        for name in ("sample", "split"):
            if (checked[name] == "").any():
                raise MeasureError(f"column {name!r} has empty entries")
        if len(np.unique(checked["sample"])) != n:
            raise MeasureError("column 'sample' names a sample twice; ids must be unique")
        if len({g.name for g in self.groups}) != len(self.groups):
            raise MeasureError("two group columns have the same name")
        groups = tuple(
            GroupColumn(g.name, checked[_PREFIX + g.name], g.provenance) for g in self.groups
        )
        values = {name: _value(self.task, name, self.values[name], n) for name in self.values}
        object.__setattr__(self, "samples", checked["sample"])
        object.__setattr__(self, "split", checked["split"])
        object.__setattr__(self, "groups", groups)
        object.__setattr__(self, "values", values)
        if self.people is not None:
            object.__setattr__(self, "people", _people(self.people, n))

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def factors(self) -> tuple[str, ...]:
        """Names of the factors."""
        return tuple(g.name for g in self.groups)

    def group(self, name: str) -> GroupColumn:
        """Return a factor; raise :class:`MeasureError` if there is none of that name."""
        for column in self.groups:
            if column.name == name:
                return column
        raise MeasureError(f"the table has no factor {name!r}; it has {list(self.factors)}")

    def part(self, split: str) -> PredictionTable:
        """Return the rows of a split; raise :class:`MeasureError` if there are none."""
        keep = self.split == split
        if not keep.any():
            raise MeasureError(
                f"the table has no split {split!r}; it has {np.unique(self.split).tolist()}"
            )
        return PredictionTable(
            task=self.task,
            samples=self.samples[keep],
            split=self.split[keep],
            values={name: column[keep] for name, column in self.values.items()},
            groups=tuple(GroupColumn(g.name, g.values[keep], g.provenance) for g in self.groups),
            people=None if self.people is None else self.people[keep],
        )

    def save(self, path: Path | str) -> str:
        """Write a ``.parquet`` or ``.csv`` file, atomically, and return its SHA-256."""
        file = Path(path)
        columns = self._columns()
        header = _Header(
            format=_FORMAT, task=self.task, groups={g.name: g.provenance for g in self.groups}
        )
        text = json.dumps(plain(header))
        content = _WRITERS[_suffix(file)](columns, text)
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(file.name + ".part")
        part.write_bytes(content)
        os.replace(part, file)
        return hashlib.sha256(content).hexdigest()

    def _columns(self) -> dict[str, list[Any]]:
        columns: dict[str, Any] = {"sample": self.samples, "split": self.split}
        if self.people is not None:
            sides = self.people.reshape(len(self), -1).T
            columns |= dict(zip(("person", "person_b"), sides, strict=False))
        columns |= self.values
        columns |= {_PREFIX + g.name: g.values for g in self.groups}
        return {name: column.tolist() for name, column in columns.items()}


def read_table(path: Path | str) -> tuple[PredictionTable, str]:
    """Read a frozen table.

    Returns
    -------
    The table and the SHA-256 of the file's bytes.

    Raises
    ------
    MeasureError
        If the file cannot be read, is no prediction table, or its columns do not check.
    """
    file = Path(path)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise MeasureError(f"{file}: cannot be read: {error.strerror or error}") from error
    try:
        columns, text = _READERS[_suffix(file)](content)
        header = read_settings(_Header, json.loads(text), str(file))
    except (ValueError, KeyError, TypeError) as error:
        raise MeasureError(f"{file}: no prediction table: {error}") from error
    if header.format != _FORMAT:
        raise MeasureError(f"{file}: format {header.format!r} is not {_FORMAT!r}")
    try:
        return _build(columns, header), hashlib.sha256(content).hexdigest()
    except MeasureError as error:
        raise MeasureError(f"{file}: {error}") from error


def _build(columns: Mapping[str, Sequence[Any]], header: _Header) -> PredictionTable:
    wanted = {"sample", "split", *COLUMNS[header.task], *(_PREFIX + g for g in header.groups)}
    missing = sorted(wanted - columns.keys())
    extra = sorted(columns.keys() - wanted - {"person", "person_b"})
    if missing or extra:
        raise MeasureError(f"columns missing: {missing}; columns not expected: {extra}")
    people = None
    if "person" in columns:
        sides = [columns[name] for name in ("person", "person_b") if name in columns]
        people = np.array(sides, np.str_).T.squeeze(-1) if len(sides) == 1 else np.array(sides).T
    return PredictionTable(
        task=header.task,
        samples=np.array(columns["sample"], np.str_),
        split=np.array(columns["split"], np.str_),
        values={name: np.array(columns[name]) for name in COLUMNS[header.task]},
        groups=tuple(
            GroupColumn(name, np.array(columns[_PREFIX + name], np.str_), provenance)
            for name, provenance in header.groups.items()
        ),
        people=people,
    )


def _to_parquet(columns: Mapping[str, list[Any]], header: str) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(columns).replace_schema_metadata({"vultus": header})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def _from_parquet(content: bytes) -> tuple[dict[str, list[Any]], str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(content))
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
    header = (table.schema.metadata or {})[b"vultus"].decode()
    return table.to_pydict(), header


def _to_csv(columns: Mapping[str, list[Any]], header: str) -> bytes:
    sink = io.StringIO(newline="")
    sink.write(f"# {header}\n")
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return sink.getvalue().encode()


def _from_csv(content: bytes) -> tuple[dict[str, list[Any]], str]:
    first, _, rest = content.decode("utf-8").partition("\n")
    if not first.startswith("#"):
        raise ValueError("the first line must be '#' and a JSON header")
    names, *rows = csv.reader(io.StringIO(rest, newline=""))
    if len(set(names)) != len(names) or any(len(row) != len(names) for row in rows):
        raise ValueError("rows and column names do not match")
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}, first[1:]


_WRITERS = {".parquet": _to_parquet, ".csv": _to_csv}
_READERS = {".parquet": _from_parquet, ".csv": _from_csv}


def _suffix(file: Path) -> str:
    if file.suffix not in _WRITERS:
        raise MeasureError(f"{file}: a table is a .parquet or .csv file")
    return file.suffix


def _text(values: ArrayLike, name: str, n: int) -> Column:
    array = np.asarray(values)
    if array.shape != (n,) or not n:
        raise MeasureError(f"column {name!r} has shape {array.shape}, expected ({n},), n > 0")
    if array.dtype.kind != "U":
        raise MeasureError(f"column {name!r} must hold text, got {array.dtype}")
    return array


def _value(task: Task, name: str, values: ArrayLike, n: int) -> Column:
    if task == "multiclass":
        return _filled(_text(values, name, n), name)
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise MeasureError(f"column {name!r} must hold numbers: {error}") from error
    if array.shape != (n,):
        raise MeasureError(f"column {name!r} has shape {array.shape}, expected ({n},)")
    # A comparison that could not be made has the score -inf: it is always rejected.
    failed = (array == -np.inf) if (task, name) == ("verification", "score") else np.zeros(n, bool)
    if not (np.isfinite(array) | failed).all():
        raise MeasureError(f"column {name!r} holds values that are not finite")
    if name == "label" and task != "regression" and not np.isin(array, (0, 1)).all():
        raise MeasureError(f"column 'label' of a {task} table must be 0 or 1")
    if name == "error" and (array < 0).any():
        raise MeasureError("column 'error' must not be negative")
    return array


def _filled(column: Column, name: str) -> Column:
    if (column == "").any():
        raise MeasureError(f"column {name!r} has empty entries")
    return column


def _people(people: Iterable[Any], n: int) -> Column:
    array = np.asarray(people)
    if array.shape not in ((n,), (n, 2)) or array.dtype.kind != "U":
        raise MeasureError(
            f"people must be text of shape ({n},) or ({n}, 2), got {array.dtype} {array.shape}"
        )
    return _filled(array, "person")
