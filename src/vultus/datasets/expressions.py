"""Facial expression sets: FER2013, CK+48, JAFFE, AffectNet.

The label ``expression`` has the same names in all of them, those of :data:`EXPRESSIONS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vultus.datasets.layout import folder, folders, numbers, pictures, unexpected
from vultus.datasets.people import SPLITS
from vultus.datasets.records import Dataset, Record
from vultus.errors import DatasetError

EXPRESSIONS = (
    "neutral",
    "happiness",
    "sadness",
    "surprise",
    "fear",
    "disgust",
    "anger",
    "contempt",
)

_FOLDERS = {name: name for name in EXPRESSIONS} | {
    "angry": "anger",
    "happy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
}
_FER_CODES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
_FER_USAGE = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
_FER_SIDE = 48
_JAFFE = re.compile(r"([A-Z]{2})\.(AN|DI|FE|HA|NE|SA|SU)(\d)\.(\d+)", re.ASCII)
_JAFFE_CODES = {
    "AN": "anger",
    "DI": "disgust",
    "FE": "fear",
    "HA": "happiness",
    "NE": "neutral",
    "SA": "sadness",
    "SU": "surprise",
}
_CK = re.compile(r"(S\d+)_(\d+)_(\d+)", re.ASCII)
#: AffectNet counts the expressions in that very order.
_AFFECTNET_CODES = (*EXPRESSIONS, "none", "uncertain", "no-face")
_AFFECTNET_COLUMNS = (
    "subDirectory_filePath",
    *("face_x", "face_y", "face_width", "face_height"),
    *("facial_landmarks", "expression", "valence", "arousal"),
)


@dataclass(frozen=True, slots=True)
class PixelText:
    """A grey picture written as numbers in a text file.

    Parameters
    ----------
    offset, length
        Where the numbers stand in the file, in bytes.
    side
        Width and height in pixels.
    """

    offset: int
    length: int
    side: int

    def read(self, path: Path) -> bytes:
        """Return the picture as a PGM file; raise :class:`DatasetError` if numbers are missing."""
        with path.open("rb") as file:
            file.seek(self.offset)
            text = file.read(self.length)
        try:
            pixels = bytes(map(int, text.split()))
        except ValueError:
            pixels = b""
        if len(pixels) != self.side**2:
            raise DatasetError(
                f"{path}, byte {self.offset}: expected {self.side**2} numbers from 0 to 255"
            )
        return b"P5 %d %d 255\n" % (self.side, self.side) + pixels


def read_fer2013(root: Path | str) -> Dataset:
    """List FER2013 (Goodfellow et al., 2013), as one CSV file or as folders of pictures.

    CSV: ``fer2013.csv`` or ``icml_face_data.csv`` with the columns emotion, pixels and Usage; the
    public test part is ``val``, the private one ``test``. Folders: ``train/happy/*.jpg`` and the
    like, splits by their names.

    Parameters
    ----------
    root
        The folder, or the CSV file itself.

    Raises
    ------
    DatasetError
        If there is neither, or a line of the CSV cannot be read.
    """
    expected = "fer2013.csv, or folders such as train/happy/*.jpg"
    path = Path(root)
    if path.is_file():
        return Dataset("fer2013", path.parent, tuple(_fer_lines(path)))
    base = folder(path, expected)
    for name in ("fer2013.csv", "icml_face_data.csv"):
        if (base / name).is_file():
            return Dataset("fer2013", base, tuple(_fer_lines(base / name)))
    records = [
        Record(file, None, SPLITS[part.name.lower()], {"expression": expression})
        for part in folders(base)
        if part.name.lower() in SPLITS
        for expression, file in _by_expression(part)
    ]
    if not records:
        raise unexpected(base, expected)
    return Dataset("fer2013", base, tuple(records))


def read_ck48(root: Path | str) -> Dataset:
    """List CK+48, the last frames of CK+ (Lucey et al., 2010) at 48 pixels.

    Layout ``happy/S010_006_00000013.png``: the identity is the subject, and the labels are
    ``expression``, ``sequence`` (text, the subject's recording) and ``frame``. Frames of one
    sequence are near copies: split by identity.
    """
    expected = "folders of expressions with pictures such as happy/S010_006_00000013.png"
    base = folder(root, expected)
    records = []
    for expression, path in _by_expression(base):
        match = _CK.fullmatch(path.stem)
        if match is None:
            raise DatasetError(f"{path}: expected {expected}")
        labels = {
            "expression": expression,
            "sequence": f"{match[1]}_{match[2]}",
            "frame": int(match[3]),
        }
        records.append(Record(path, match[1], None, labels))
    if not records:
        raise unexpected(base, expected)
    return Dataset("ck48", base, tuple(records))


def read_jaffe(root: Path | str) -> Dataset:
    """List JAFFE (Lyons et al., 1998): ``KA.AN1.39.tiff``, identity KA, anger, picture 39."""
    expected = "pictures such as KA.AN1.39.tiff"
    base = folder(root, expected)
    records = []
    for path in pictures(base):
        match = _JAFFE.fullmatch(path.stem)
        if match is None:
            raise DatasetError(f"{path}: expected {expected}")
        labels = {"expression": _JAFFE_CODES[match[2]], "number": int(match[4])}
        records.append(Record(path, match[1], None, labels))
    if not records:
        raise unexpected(base, expected)
    return Dataset("jaffe", base, tuple(records))


def read_affectnet(root: Path | str) -> Dataset:
    """List the manually annotated part of AffectNet (Mollahosseini et al., 2017).

    Layout: ``training.csv`` and ``validation.csv`` (either may be missing, and may lack its
    header), pictures in ``Manually_Annotated_Images/`` or beside the lists. Splits are ``train``
    and ``val``. Labels: ``expression`` (also ``none``, ``uncertain`` and ``no-face``),
    ``valence`` and ``arousal`` in [-1, 1] or NaN where not annotated, ``box`` float32 (4,) xyxy
    pixels, ``landmarks`` float32 (68, 2) pixels. That the pictures exist is not checked one by
    one.

    Raises
    ------
    DatasetError
        If there is no list, a line is damaged, or the first picture does not exist.
    """
    expected = "training.csv or validation.csv, and Manually_Annotated_Images/"
    base = folder(root, expected)
    images = base / "Manually_Annotated_Images"
    images = images if images.is_dir() else base
    records = [
        record
        for file, split in (("training.csv", "train"), ("validation.csv", "val"))
        if (base / file).is_file()
        for record in _affectnet_lines(base / file, images, split)
    ]
    if not records:
        raise unexpected(base, expected)
    if not records[0].path.is_file():
        raise DatasetError(f"{records[0].path} does not exist; expected {expected}")
    return Dataset("affectnet", base, tuple(records))


def _by_expression(base: Path) -> Iterator[tuple[str, Path]]:
    for entry in folders(base):
        if entry.name.lower() in _FOLDERS:
            for path in pictures(entry):
                yield _FOLDERS[entry.name.lower()], path


def _fer_lines(path: Path) -> Iterator[Record]:
    expected = "a header emotion,pixels,Usage and lines such as 0,70 80 82 ...,Training"
    with path.open("rb") as file:
        header = [
            name.strip() for name in file.readline().decode("utf-8-sig", "replace").split(",")
        ]
        if sorted(header) != ["Usage", "emotion", "pixels"]:
            raise DatasetError(f"{path}: expected {expected}")
        emotion, usage, pixels = (header.index(name) for name in ("emotion", "Usage", "pixels"))
        offset = file.tell()
        for number, line in enumerate(file, 2):
            fields = line.split(b",")
            code, part = (
                fields[i].strip().decode("ascii", "replace") if len(fields) == 3 else ""
                for i in (emotion, usage)
            )
            if not (code.isdigit() and int(code) < len(_FER_CODES) and part in _FER_USAGE):
                raise DatasetError(f"{path}, line {number}: expected {expected}")
            # The numbers may stand in quotes.
            start = sum(len(field) + 1 for field in fields[:pixels])
            text = fields[pixels].strip()
            start += fields[pixels].index(text) + text.startswith(b'"')
            span = PixelText(offset + start, len(text.strip(b'"')), _FER_SIDE)
            labels = {"expression": _FER_CODES[int(code)]}
            yield Record(path, None, _FER_USAGE[part], labels, span)
            offset += len(line)


def _affectnet_lines(path: Path, images: Path, split: str) -> Iterator[Record]:
    expected = f"the columns {','.join(_AFFECTNET_COLUMNS)}"
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            fields = line.rstrip("\r\n").split(",")
            if number == 1 and fields[0] == _AFFECTNET_COLUMNS[0]:
                continue
            if len(fields) != len(_AFFECTNET_COLUMNS):
                raise DatasetError(f"{path}, line {number}: expected {expected}")
            where = f"{path}, line {number}"
            yield Record(images / fields[0], None, split, _affectnet_labels(fields, where))


def _affectnet_labels(fields: list[str], where: str) -> dict[str, Any]:
    x, y, width, height, code, valence, arousal = numbers([*fields[1:5], *fields[6:]], where)
    points = np.array(numbers(fields[5].split(";"), where), np.float32)
    if points.shape != (136,) or code not in range(len(_AFFECTNET_CODES)):
        raise DatasetError(f"{where}: expected 68 points and an expression from 0 to 10")
    return {
        "expression": _AFFECTNET_CODES[int(code)],
        # -2 marks faces without valence and arousal.
        "valence": valence if valence >= -1 else float("nan"),
        "arousal": arousal if arousal >= -1 else float("nan"),
        "box": np.array([x, y, x + width, y + height], np.float32),
        "landmarks": points.reshape(68, 2),
    }
