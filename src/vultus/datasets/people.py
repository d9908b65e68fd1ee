"""Sets laid out by person or class: any such folder, portraits, ORL, Extended Yale B."""

from __future__ import annotations

import re
from pathlib import Path

from vultus.datasets.layout import folder, folders, pictures, unexpected
from vultus.datasets.records import Dataset, Record
from vultus.errors import DatasetError

#: Folder names that are parts of a set, not people.
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}

#: Camera, then azimuth and elevation of the light, or ambient light only.
_YALE = re.compile(r"_P(\d\d)(?:A([+-]\d{3})E([+-]\d{2})|_Ambient)", re.ASCII)


def read_folder(root: Path | str, *, name: str | None = None) -> Dataset:
    """List a folder of people: ``PERSON/*.jpg``, or ``train/PERSON/*.jpg`` and the like.

    Folders called train, val, valid, validation or test on the first level are splits where they
    hold folders and no pictures. Folders without pictures are left out.

    Parameters
    ----------
    root
        The folder.
    name
        Of the set; the folder's own if not given.

    Raises
    ------
    DatasetError
        If it holds no picture in a folder of its own.
    """
    expected = "one folder of pictures per person: PERSON/*.jpg"
    base = folder(root, expected)
    records: list[Record] = []
    for entry in folders(base):
        inner = folders(entry)
        if entry.name.lower() in SPLITS and inner and not pictures(entry):
            split = SPLITS[entry.name.lower()]
            records += [Record(path, who.name, split) for who in inner for path in pictures(who)]
        else:
            records += [Record(path, entry.name) for path in pictures(entry)]
    if not records:
        raise unexpected(base, expected)
    return Dataset(name or base.resolve().name, base, tuple(records))


def read_classes(root: Path | str, *, name: str | None = None) -> Dataset:
    """List a folder of classes: ``CLASS/*.jpg``, or with splits as in :func:`read_folder`.

    The label ``class`` is the folder's name, such as ``real``; identities are not known.

    Parameters
    ----------
    root
        The folder.
    name
        Of the set; the folder's own if not given.
    """
    dataset = read_folder(root, name=name)
    records = [Record(r.path, None, r.split, {"class": r.identity}) for r in dataset]
    return Dataset(dataset.name, dataset.root, tuple(records))


def read_portraits(root: Path | str, *, name: str | None = None) -> Dataset:
    """List a folder of pictures, one a person: the identity is the file's name without suffix.

    Parameters
    ----------
    root
        The folder.
    name
        Of the set; the folder's own if not given.

    Raises
    ------
    DatasetError
        If it holds no picture.
    """
    expected = "pictures named by the person, such as A000055.jpg"
    base = folder(root, expected)
    records = [Record(path, path.stem) for path in pictures(base)]
    if not records:
        raise unexpected(base, expected)
    return Dataset(name or base.resolve().name, base, tuple(records))


def read_orl(root: Path | str) -> Dataset:
    """List the ORL (AT&T) faces: ``s1/1.pgm`` to ``s40/10.pgm``, or ``.png``.

    Sorted by person and picture number; the label ``number`` is the picture's, from 1.

    Raises
    ------
    DatasetError
        If there are no folders s1, s2, ..., or a picture is not called by a number.
    """
    expected = "folders s1, s2, ... of pictures 1.pgm, 2.pgm, ... (or .png)"
    base = folder(root, expected)
    people = [path for path in folders(base) if re.fullmatch(r"s[0-9]+", path.name)]
    records = []
    for person in sorted(people, key=lambda path: int(path.name[1:])):
        found = pictures(person)
        for path in found:
            if not (path.stem.isascii() and path.stem.isdigit()):
                raise DatasetError(f"{path}: expected {expected}")
        records += [
            Record(path, person.name, None, {"number": int(path.stem)})
            for path in sorted(found, key=lambda path: int(path.stem))
        ]
    if not records:
        raise unexpected(base, expected)
    return Dataset("orl", base, tuple(records))


def read_yale_b(root: Path | str) -> Dataset:
    """List Extended Yale B (Lee, Ho and Kriegman, 2005): ``yaleB01/yaleB01_P00A+000E+20.pgm``.

    Labels: ``azimuth`` and ``elevation`` of the light in degrees, azimuth > 0 where the light is at
    the image's left, elevation > 0 above; and ``camera``, the number of the head pose. Pictures of
    ambient light only (``_Ambient``) have both angles None.

    Raises
    ------
    DatasetError
        If there are no folders yaleB01, ..., or a picture is named otherwise.
    """
    expected = "folders yaleB01, ... of pictures yaleB01_P00A+000E+20.pgm"
    base = folder(root, expected)
    records = []
    for person in folders(base):
        if not person.name.startswith("yaleB"):
            continue
        for path in pictures(person):
            match = _YALE.fullmatch(path.stem.removeprefix(person.name))
            if match is None:
                raise DatasetError(f"{path}: expected {person.name}_P00A+000E+20.pgm")
            azimuth, elevation = (
                None if text is None else int(text) for text in match.groups()[1:]
            )
            labels = {"camera": int(match[1]), "azimuth": azimuth, "elevation": elevation}
            records.append(Record(path, person.name, None, labels))
    if not records:
        raise unexpected(base, expected)
    return Dataset("yale-b", base, tuple(records))
