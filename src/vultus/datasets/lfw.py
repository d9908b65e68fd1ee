"""Labeled Faces in the Wild (Huang et al., 2007): pictures, lists of people, and pairs.

Layout: ``NAME/NAME_0001.jpg``, directly in the folder or in ``images/``, ``lfw/``,
``lfw-deepfunneled/`` or ``lfw_funneled/`` inside it; beside the pictures the lists as published,
``pairsDevTrain.txt``, ``pairsDevTest.txt``, ``pairs.txt``, ``peopleDevTrain.txt``,
``peopleDevTest.txt``.

The ``lfw.bin`` files that go with some recognition toolkits are not read: they are Python pickles,
and opening a pickle runs whatever code its author put in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from vultus.datasets.layout import folder, folders, lines, pictures, unexpected
from vultus.datasets.records import Dataset, Pair, Record
from vultus.errors import DatasetError

EXPECTED = "NAME/NAME_0001.jpg, or images/NAME/NAME_0001.jpg"

#: Lists of pairs, by view: development training and test, and the ten reporting folds.
PAIR_LISTS = {
    "dev-train": "pairsDevTrain.txt",
    "dev-test": "pairsDevTest.txt",
    "view2": "pairs.txt",
}
PEOPLE_LISTS = {"dev-train": "peopleDevTrain.txt", "dev-test": "peopleDevTest.txt"}

View = Literal["dev-train", "dev-test", "view2"]

_INSIDE = ("images", "lfw", "lfw-deepfunneled", "lfw_funneled", "lfw-deepfunneled/lfw-deepfunneled")


def read_lfw(root: Path | str) -> Dataset:
    """List the pictures.

    ``split`` is ``dev-train`` or ``dev-test`` for people on those lists where the lists are there,
    else None; the label ``number`` is the picture's number within its person, from 1.

    Raises
    ------
    DatasetError
        If there are no pictures of that naming.
    """
    base = folder(root, EXPECTED)
    split_of = {
        name: split
        for split, file in PEOPLE_LISTS.items()
        if (base / file).exists()
        for name, _ in read_people(base, split)
    }
    records = []
    for person in folders(_pictures_root(base)):
        for path in pictures(person):
            number = path.stem.removeprefix(f"{person.name}_")
            if not number.isdigit():
                raise DatasetError(f"{path}: expected {person.name}_0001.jpg")
            labels = {"number": int(number)}
            records.append(Record(path, person.name, split_of.get(person.name), labels))
    return Dataset("lfw", base, tuple(records))


def read_people(root: Path | str, view: str) -> list[tuple[str, int]]:
    """Return the people of ``dev-train`` or ``dev-test`` and how many pictures they have in LFW."""
    if view not in PEOPLE_LISTS:
        raise DatasetError(f"LFW has people lists {sorted(PEOPLE_LISTS)}, got {view!r}")
    path = Path(root) / PEOPLE_LISTS[view]
    expected = "a number of people, then NAME<tab>NUMBER a line"
    rows = [line.split("\t") for line in lines(path, expected)]
    if not rows or len(rows) != 1 + _whole(rows[0][0], path, 1):
        raise DatasetError(f"{path}: {len(rows) - 1} people listed; expected {expected}")
    people = []
    for number, row in enumerate(rows[1:], 2):
        if len(row) != 2:
            raise DatasetError(f"{path}, line {number}: expected NAME<tab>NUMBER")
        people.append((row[0], _whole(row[1], path, number)))
    return people


def read_lfw_pairs(root: Path | str, view: View) -> list[Pair]:
    """Return the pairs of a view, in the order of the list.

    Parameters
    ----------
    root
        Folder with the list and the pictures.
    view
        ``dev-train``, ``dev-test``, or ``view2`` whose pairs carry their fold, 0 to 9.

    Raises
    ------
    DatasetError
        If the list is missing or damaged, or names a picture that is not there.
    """
    if view not in PAIR_LISTS:
        raise DatasetError(f"LFW has pair lists {sorted(PAIR_LISTS)}, got {view!r}")
    base = folder(root, EXPECTED)
    path = base / PAIR_LISTS[view]
    expected = "a header of counts, then NAME<tab>N1<tab>N2 or NAME<tab>N1<tab>NAME<tab>N2 a line"
    rows = [line.split("\t") for line in lines(path, expected)]
    # pairs.txt: "folds<tab>n"; pairsDev*.txt: "n". Each fold is n genuine, then n impostor pairs.
    counts = [_whole(text, path, 1) for text in rows[0]] if rows else []
    if len(counts) not in (1, 2) or 0 in counts:
        raise DatasetError(f"{path}: expected {expected}")
    size = counts[-1]
    if len(rows) - 1 != 2 * size * (counts[0] if len(counts) == 2 else 1):
        raise DatasetError(
            f"{path}: the header announces {counts}, but {len(rows) - 1} pairs follow"
        )
    finder = _Finder(_pictures_root(base), path)
    pairs = []
    for i, row in enumerate(rows[1:]):
        same = i % (2 * size) < size
        if len(row) != (3 if same else 4):
            raise DatasetError(f"{path}, line {i + 2}: {len(row)} fields; expected {expected}")
        second = row[0] if same else row[2]
        pairs.append(
            Pair(
                finder.record(row[0], row[1], i + 2),
                finder.record(second, row[-1], i + 2),
                same,
                i // (2 * size) if len(counts) == 2 else None,
            )
        )
    return pairs


class _Finder:
    """Records by person and number, each made once."""

    def __init__(self, root: Path, source: Path) -> None:
        self._root = root
        self._source = source
        self._known: dict[tuple[str, int], Record] = {}

    def record(self, name: str, number: str, line: int) -> Record:
        key = name, _whole(number, self._source, line)
        if key not in self._known:
            stem = self._root / name / f"{name}_{key[1]:04d}"
            for suffix in (".jpg", ".png", ".jpeg"):
                path = stem.with_name(stem.name + suffix)
                if path.exists():
                    break
            else:
                raise DatasetError(f"{self._source}, line {line}: there is no {stem}.jpg")
            self._known[key] = Record(path, name, None, {"number": key[1]})
        return self._known[key]


def _pictures_root(base: Path) -> Path:
    for candidate in (*(base / name for name in _INSIDE), base):
        if candidate.is_dir() and any(
            path.stem.startswith(f"{person.name}_")
            for person in folders(candidate)[:1]
            for path in pictures(person)[:1]
        ):
            return candidate
    raise unexpected(base, EXPECTED)


def _whole(text: str, path: Path, line: int) -> int:
    if not text.isascii() or not text.isdigit():
        raise DatasetError(f"{path}, line {line}: {text!r} is not a whole number")
    return int(text)
