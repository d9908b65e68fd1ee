"""Detection sets: WIDER FACE, the AFW scenes, files of the dlib annotation tool.

Boxes are float32 (N, 4): x1, y1, x2, y2 in pixels. A picture without a face has (0, 4).
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from vultus.datasets.layout import folder, lines, numbers, rows, unexpected
from vultus.datasets.records import Dataset, Record
from vultus.errors import DatasetError

#: Names of the six marks that follow each box of WIDER FACE.
WIDER_MARKS = ("blur", "expression", "illumination", "invalid", "occlusion", "pose")

_WIDER_LISTS = {
    "train": ("wider_face_train_bbx_gt.txt", "WIDER_train"),
    "val": ("wider_face_val_bbx_gt.txt", "WIDER_val"),
}


def read_wider(root: Path | str) -> Dataset:
    """List WIDER FACE (Yang et al., 2016), the parts whose annotations are published.

    Layout: ``wider_face_split/wider_face_train_bbx_gt.txt`` (and ``_val_``) or the list in the
    root, pictures in ``WIDER_train/images/`` and ``WIDER_val/images/``. Labels: ``boxes``,
    ``marks`` int8 (N, 6) in the order of :data:`WIDER_MARKS`, ``ignore`` bool (N,) the boxes
    marked invalid, ``event`` the folder of the picture. The few published boxes without area are
    left out. That the pictures exist is not checked one by one.

    Raises
    ------
    DatasetError
        If there is no list, it is damaged, or the first picture does not exist.
    """
    expected = "wider_face_split/wider_face_val_bbx_gt.txt and WIDER_val/images/"
    base = folder(root, expected)
    records = []
    for split, (name, images) in _WIDER_LISTS.items():
        found = [path for path in (base / "wider_face_split" / name, base / name) if path.is_file()]
        if not found:
            continue
        part = _wider_list(found[0], base / images / "images", split)
        if part and not part[0].path.is_file():
            raise DatasetError(f"{part[0].path} does not exist; expected {expected}")
        records += part
    if not records:
        raise unexpected(base, expected)
    return Dataset("wider-face", base, tuple(records))


def _wider_list(path: Path, images: Path, split: str) -> list[Record]:
    expected = "a picture, its number of faces, then x y w h and six marks a face"
    text = lines(path, expected)
    records, i = [], 0
    while i < len(text):
        name, count = text[i].strip(), text[i + 1].strip() if i + 1 < len(text) else ""
        # A picture without faces is followed by one line of zeros.
        size = max(int(count), 1) if count.isascii() and count.isdigit() else 0
        faces = [row.split() for row in text[i + 2 : i + 2 + size]]
        if not size or len(faces) != size or any(len(face) != 10 for face in faces):
            raise DatasetError(f"{path}, line {i + 1}: expected {expected}")
        values = np.array([numbers(face, f"{path}, line {i + 3}") for face in faces], np.float32)
        values = values[(values[:, 2:4] > 0).all(1)]
        marks = values[:, 4:].astype(np.int8)
        labels = {
            "boxes": np.concatenate([values[:, :2], values[:, :2] + values[:, 2:4]], 1),
            "marks": marks,
            "ignore": marks[:, 3] == 1,
            "event": name.partition("/")[0],
        }
        records.append(Record(images / name, None, split, labels))
        i += 2 + size
    return records


def read_face_table(root: Path | str) -> Dataset:
    """List pictures whose faces stand in ``faces.csv``, such as the AFW scenes.

    Columns: ``image``, four of the box x1, y1, x2, y2, then x0, y0, ..., x67, y67 of the points;
    one line a face. Labels: ``boxes``, ``landmarks`` float32 (N, 68, 2). Where a set does not
    annotate every face, as AFW does not, only recall may be measured on it.

    Raises
    ------
    DatasetError
        If the table is missing or damaged, or names a picture that is not there.
    """
    expected = "faces.csv with the columns image, x1, y1, x2, y2 and 68 points, and the pictures"
    base = folder(root, expected)
    path = base / "faces.csv"
    if not path.is_file():
        raise unexpected(base, expected)
    faces: dict[str, list[NDArray[np.float32]]] = {}
    for where, row in rows(path, ("image",), 1 + 4 + 136, expected):
        if row[0] not in faces and not (base / row[0]).is_file():
            raise DatasetError(f"{where}: there is no picture {row[0]}")
        values = np.array(numbers(row[1:], where), np.float32)
        faces.setdefault(row[0], []).append(values)
    records = []
    for name, found in sorted(faces.items()):
        table = np.stack(found)
        labels = {"boxes": table[:, :4], "landmarks": table[:, 4:].reshape(-1, 68, 2)}
        records.append(Record(base / name, None, None, labels))
    return Dataset(base.resolve().name, base, tuple(records))


def read_imglab(path: Path | str) -> Dataset:
    """List the pictures of an XML file of dlib's annotation tool, with paths relative to it.

    Labels: ``boxes``, ``ignore`` bool (N,) the boxes marked so, and where every box has parts
    ``landmarks`` float32 (N, K, 2), in the order of the parts' names.

    Raises
    ------
    DatasetError
        If the file is missing, is no such XML, or names a picture that is not there.
    """
    path = Path(path)
    expected = "an XML file of <image file=...> with <box top=... left=... width=... height=...>"
    text = "\n".join(lines(path, expected))
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DatasetError(f"{path}: document types are refused, entities can fill the memory")
    try:
        root = ElementTree.fromstring(text.encode())
        records = [_imglab_image(path, image) for image in root.iter("image")]
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise DatasetError(f"{path}: expected {expected} ({error!r})") from error
    if not records:
        raise DatasetError(f"{path}: expected {expected}; found no image")
    return Dataset(path.stem, path.parent, tuple(records))


def _imglab_image(path: Path, image: ElementTree.Element) -> Record:
    file = path.parent / image.attrib["file"]
    if not file.is_file():
        raise DatasetError(f"{path}: there is no picture {image.attrib['file']}")
    boxes, ignore, points = [], [], []
    for box in image.iter("box"):
        left, top, width, height = (
            float(box.attrib[key]) for key in ("left", "top", "width", "height")
        )
        boxes.append((left, top, left + width, top + height))
        ignore.append(box.attrib.get("ignore") == "1")
        parts = sorted(box.iter("part"), key=lambda part: part.attrib["name"])
        points.append([(float(part.attrib["x"]), float(part.attrib["y"])) for part in parts])
    labels = {
        "boxes": np.array(boxes, np.float32).reshape(-1, 4),
        "ignore": np.array(ignore, np.bool_),
    }
    if points and points[0] and len({len(face) for face in points}) == 1:
        labels["landmarks"] = np.array(points, np.float32)
    return Record(file, None, None, labels)
