"""Labelled pictures for a small classifier, and how its scores become a frozen table."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vultus.audit.model_cards.evidence import Provenance
from vultus.audit.model_cards.table import Column, GroupColumn, PredictionTable
from vultus.errors import DatasetError
from vultus.measure.arrays import Bool, Float
from vultus.settings import plain, read_settings

UInt8 = NDArray[np.uint8]

_COLUMNS = ("pictures", "samples", "split", "label", "provenance")


@dataclass(frozen=True, eq=False)
class LabelledPictures:
    """Pictures with a yes-or-no label, groups and splits.

    Parameters
    ----------
    pictures
        uint8 (N, S, S, 3), RGB.
    samples, split
        str (N,), unique ids; ``train``, ``dev`` or ``test``.
    label
        bool (N,).
    groups
        Factors; values are str (N,).
    people
        str (N,), identities or clusters of copies, or None.
    """

    pictures: UInt8
    samples: Column
    split: Column
    label: Bool
    groups: tuple[GroupColumn, ...]
    people: Column | None = None

    def __post_init__(self) -> None:
        n, shape = len(self.samples), self.pictures.shape
        square = self.pictures.ndim == 4 and shape[1] == shape[2] and shape[3] == 3
        if self.pictures.dtype != np.uint8 or not square:
            raise DatasetError(
                f"pictures must be uint8 (N, S, S, 3), got {self.pictures.dtype} {shape}"
            )
        others = [self.split, self.label, *(g.values for g in self.groups)]
        others += [] if self.people is None else [self.people]
        if len(self.pictures) != n or any(len(column) != n for column in others):
            raise DatasetError(f"there are {n} samples, but a column of another length")

    def __len__(self) -> int:
        return len(self.samples)

    def part(self, split: str) -> LabelledPictures:
        """Return the pictures of a split; raise :class:`DatasetError` if there are none."""
        keep = self.split == split
        if not keep.any():
            raise DatasetError(f"no pictures in split {split!r}")
        return LabelledPictures(
            pictures=self.pictures[keep],
            samples=self.samples[keep],
            split=self.split[keep],
            label=self.label[keep],
            groups=tuple(GroupColumn(g.name, g.values[keep], g.provenance) for g in self.groups),
            people=None if self.people is None else self.people[keep],
        )

    def table(self, scores: Float) -> PredictionTable:
        """Return the frozen table of a classifier's scores, float (N,), higher = positive."""
        return PredictionTable(
            task="binary",
            samples=self.samples,
            split=self.split,
            values={"label": self.label.astype(np.float64), "score": scores},
            groups=self.groups,
            people=self.people,
        )

    def save(self, path: Path | str) -> Path:
        """Write an ``.npz`` file without pickled objects, atomically."""
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        provenance = json.dumps({g.name: plain(g.provenance) for g in self.groups})
        columns: dict[str, Any] = {
            "pictures": self.pictures,
            "samples": self.samples,
            "split": self.split,
            "label": self.label,
            "provenance": np.array(provenance),
        }
        columns |= {f"group:{g.name}": g.values for g in self.groups}
        if self.people is not None:
            columns["people"] = self.people
        part = file.with_name(file.name + ".part")
        with part.open("wb") as stream:
            np.savez(stream, **columns)
        os.replace(part, file)
        return file


def load_pictures(path: Path | str) -> LabelledPictures:
    """Read what :meth:`LabelledPictures.save` wrote.

    Raises
    ------
    DatasetError
        If the file cannot be read or lacks a column.
    """
    file = Path(path)
    try:
        with np.load(file, allow_pickle=False) as archive:
            columns: Mapping[str, NDArray[Any]] = {name: archive[name] for name in archive.files}
    except (OSError, ValueError) as error:
        raise DatasetError(f"{file}: cannot be read as labelled pictures: {error}") from error
    missing = [name for name in _COLUMNS if name not in columns]
    if missing:
        raise DatasetError(f"{file}: lacks {missing}; made by LabelledPictures.save")
    origins = json.loads(str(columns["provenance"]))
    return LabelledPictures(
        pictures=columns["pictures"],
        samples=columns["samples"],
        split=columns["split"],
        label=columns["label"],
        groups=tuple(
            GroupColumn(name, columns[f"group:{name}"], read_settings(Provenance, p, str(file)))
            for name, p in origins.items()
        ),
        people=columns.get("people"),
    )


def drawn_pictures(count: int, size: int, seed: int) -> LabelledPictures:
    """Return pictures of grey noise, the positive ones with a bright lower half, for dry runs."""
    rng = np.random.default_rng(seed)
    label = np.arange(count) % 2 == 0
    pictures = rng.integers(40, 120, (count, size, size, 3), dtype=np.uint8)
    pictures[label, size // 2 :] += 80
    split = np.array(["train", "train", "dev", "test"])[np.arange(count) // 2 % 4]
    origin = Provenance(kind="exact", source="Drawn by the program.")
    half = np.where(rng.random(count) < 0.5, "a", "b")
    samples = np.array([f"drawn-{i:05d}" for i in range(count)])
    return LabelledPictures(
        pictures, samples, split, label, (GroupColumn("half", half, origin),), samples
    )
