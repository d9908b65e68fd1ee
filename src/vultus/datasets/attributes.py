"""Attribute sets: UTKFace, CelebA and SCUT-FBP5500."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vultus.datasets.layout import folder, lines, numbers, pictures, unexpected
from vultus.datasets.records import Dataset, Record
from vultus.errors import DatasetError

T = TypeVar("T")

SEXES = ("male", "female")
RACES = ("white", "black", "asian", "indian", "other")

_UTK = re.compile(r"(\d{1,3})_([01])_([0-4])_(\d+)(?:jpg)?", re.ASCII)
#: A few published names lack the sex or the race, and do not say which.
_UTK_SHORT = re.compile(r"(\d{1,3})_(?:\d_)?_?(\d{17,})", re.ASCII)
_UTK_FOLDERS = ("images", "UTKFace", "part1", "part2", "part3")

#: The forty attributes of CelebA, in the order of its list and of the label ``attributes``.
CELEBA_ATTRIBUTES = (
    "5_o_Clock_Shadow",
    "Arched_Eyebrows",
    "Attractive",
    "Bags_Under_Eyes",
    "Bald",
    "Bangs",
    "Big_Lips",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Blurry",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Chubby",
    "Double_Chin",
    "Eyeglasses",
    "Goatee",
    "Gray_Hair",
    "Heavy_Makeup",
    "High_Cheekbones",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "Narrow_Eyes",
    "No_Beard",
    "Oval_Face",
    "Pale_Skin",
    "Pointy_Nose",
    "Receding_Hairline",
    "Rosy_Cheeks",
    "Sideburns",
    "Smiling",
    "Straight_Hair",
    "Wavy_Hair",
    "Wearing_Earrings",
    "Wearing_Hat",
    "Wearing_Lipstick",
    "Wearing_Necklace",
    "Wearing_Necktie",
    "Young",
)
_SCUT_GROUPS = {
    "fty": ("female", "asian"),
    "mty": ("male", "asian"),
    "ftw": ("female", "white"),
    "mtw": ("male", "white"),
}
_CELEBA_SPLITS = ("train", "val", "test")


def read_utkface(root: Path | str) -> Dataset:
    """List UTKFace (Zhang et al., 2017): ``26_1_0_20170116174525125.jpg`` or ``….jpg.chip.jpg``.

    Pictures lie in the folder, or in ``images/``, ``UTKFace/`` or ``part1/`` to ``part3/``. Labels:
    ``age`` in years, ``sex`` of :data:`SEXES`, ``race`` of :data:`RACES`, as annotated by the
    authors' classifier and checked by people; ``date`` the collection time as text. The few
    published names that lack the sex or the race have None for both. There are no identities.

    Raises
    ------
    DatasetError
        If there are no pictures, or one has another name.
    """
    expected = "pictures such as 26_1_0_20170116174525125.jpg (age_gender_race_date)"
    base = folder(root, expected)
    places = [base / name for name in _UTK_FOLDERS if (base / name).is_dir()] or [base]
    records = []
    for path in (path for place in places for path in pictures(place)):
        stem = path.name.split(".")[0]
        match, short = _UTK.fullmatch(stem), _UTK_SHORT.fullmatch(stem)
        if match:
            labels: dict[str, Any] = {
                "age": int(match[1]),
                "sex": SEXES[int(match[2])],
                "race": RACES[int(match[3])],
                "date": match[4],
            }
        elif short:
            labels = {"age": int(short[1]), "sex": None, "race": None, "date": short[2]}
        else:
            raise DatasetError(f"{path}: expected {expected}")
        records.append(Record(path, None, None, labels))
    if not records:
        raise unexpected(base, expected)
    return Dataset("utkface", base, tuple(records))


def read_celeba(root: Path | str) -> Dataset:
    """List CelebA (Liu et al., 2015) from whichever of its lists are there.

    Pictures in ``img_align_celeba/`` (or ``img_celeba/``, whose points and boxes are in its own
    pixels); the lists beside it, or in ``Anno/`` and ``Eval/``:

    ==================================  =======================================================
    list                                gives
    ==================================  =======================================================
    ``list_eval_partition.txt``         split ``train``, ``val`` or ``test``
    ``identity_CelebA.txt``             identity
    ``list_attr_celeba.txt``            ``attributes`` bool (40,), in the order of
                                        :data:`CELEBA_ATTRIBUTES`
    ``list_landmarks_align_celeba.txt`` ``keypoints`` float32 (5, 2): eyes, nose, mouth corners
    ``list_landmarks_celeba.txt``       the same, of the pictures in the wild
    ``list_bbox_celeba.txt``            ``box`` float32 (4,) xyxy, of the pictures in the wild
    ==================================  =======================================================

    That the pictures exist is not checked one by one.

    Raises
    ------
    DatasetError
        If there are no pictures or no list, a list is damaged, or lists name other pictures.
    """
    expected = "img_align_celeba/ or img_celeba/, and lists such as list_attr_celeba.txt"
    base = folder(root, expected)
    images = base / "img_align_celeba"
    aligned = images.is_dir()
    images = images if aligned else base / "img_celeba"
    if not images.is_dir():
        raise unexpected(base, expected)
    points = "list_landmarks_align_celeba.txt" if aligned else "list_landmarks_celeba.txt"
    splits = _read_list(base, "list_eval_partition.txt", 1, _split)
    people = _read_list(base, "identity_CelebA.txt", 1, lambda fields, where: fields[0])
    labels: dict[str, dict[str, Any]] = {
        "attributes": _read_list(base, "list_attr_celeba.txt", 40, _attributes, header=True),
        "keypoints": _read_list(base, points, 10, _keypoints, header=True),
    }
    if not aligned:
        labels["box"] = _read_list(base, "list_bbox_celeba.txt", 4, _box, header=True)
    tables = [table for table in (splits, people, *labels.values()) if table]
    if not tables:
        raise unexpected(base, expected)
    names = sorted(tables[0])
    for table in tables[1:]:
        if table.keys() != tables[0].keys():
            odd = sorted(table.keys() ^ tables[0].keys())
            raise DatasetError(f"{base}: the lists differ in {len(odd)} pictures, such as {odd[0]}")
    if not (images / names[0]).is_file():
        raise DatasetError(f"{images / names[0]} does not exist; expected {expected}")
    records = [
        Record(
            images / name,
            people.get(name),
            splits.get(name),
            {label: table[name] for label, table in labels.items() if table},
        )
        for name in names
    ]
    return Dataset("celeba", base, tuple(records))


def read_scut_fbp5500(root: Path | str) -> Dataset:
    """List SCUT-FBP5500 (Liang et al., 2018) from its five-fold lists, ``data/1/test_1.txt`` ....

    Labels: ``score`` the mean rating in [1, 5], ``sex`` of :data:`SEXES`, ``race`` of
    :data:`RACES`, ``fold`` 0 to 4, the fold in whose test list the picture stands. Pictures lie in
    ``Images/``; the lists are often had without them, so that they exist is not checked.

    Raises
    ------
    DatasetError
        If a list is missing or damaged, or the test lists share a picture.
    """
    expected = "data/1/test_1.txt to data/5/test_5.txt with a picture and its score a line"
    base = folder(root, expected)
    records: dict[str, Record] = {}
    for fold in range(5):
        path = base / "data" / str(fold + 1) / f"test_{fold + 1}.txt"
        for number, row in enumerate(lines(path, expected), 1):
            fields, where = row.split(), f"{path}, line {number}"
            if len(fields) != 2 or fields[0][:3] not in _SCUT_GROUPS or fields[0] in records:
                raise DatasetError(
                    f"{where}: expected a new picture such as fty276.jpg and a score"
                )
            sex, race = _SCUT_GROUPS[fields[0][:3]]
            labels = {"score": numbers(fields[1:], where)[0], "sex": sex, "race": race}
            file = base / "Images" / fields[0]
            records[fields[0]] = Record(file, None, None, labels | {"fold": fold})
    return Dataset("scut-fbp5500", base, tuple(records[name] for name in sorted(records)))


def _read_list(
    base: Path,
    name: str,
    width: int,
    parse: Callable[[list[str], str], T],
    *,
    header: bool = False,
) -> dict[str, T]:
    """Return what a list says of each picture; empty where the list is not there.

    Lists with a header start with the number of pictures and the names of the columns.
    """
    found = [base / part / name for part in ("", "Anno", "Eval") if (base / part / name).is_file()]
    if not found:
        return {}
    path = found[0]
    rows = lines(path, f"a picture and {width} values a line")
    if header:
        columns = rows[1].split() if len(rows) > 1 else []
        if not rows or rows[0].strip() != str(len(rows) - 2):
            raise DatasetError(f"{path}: {len(rows) - 2} pictures follow a count of {rows[0]!r}")
        if width == len(CELEBA_ATTRIBUTES) and columns != list(CELEBA_ATTRIBUTES):
            raise DatasetError(f"{path}, line 2: these are not the forty attributes of CelebA")
    table: dict[str, T] = {}
    for number, row in enumerate(rows[2:] if header else rows, 3 if header else 1):
        fields = row.split()
        where = f"{path}, line {number}"
        if len(fields) != width + 1 or fields[0] in table:
            raise DatasetError(f"{where}: expected a new picture and {width} values")
        table[fields[0]] = parse(fields[1:], where)
    return table


def _split(fields: list[str], where: str) -> str:
    if fields[0] not in ("0", "1", "2"):
        raise DatasetError(f"{where}: a part is 0, 1 or 2, got {fields[0]!r}")
    return _CELEBA_SPLITS[int(fields[0])]


def _attributes(fields: list[str], where: str) -> NDArray[np.bool_]:
    if not set(fields) <= {"1", "-1"}:
        raise DatasetError(f"{where}: attributes are 1 or -1")
    return np.array([field == "1" for field in fields])


def _keypoints(fields: list[str], where: str) -> NDArray[np.float32]:
    return np.array(numbers(fields, where), np.float32).reshape(5, 2)


def _box(fields: list[str], where: str) -> NDArray[np.float32]:
    x, y, width, height = numbers(fields, where)
    return np.array([x, y, x + width, y + height], np.float32)
