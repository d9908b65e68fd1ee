"""Parsing sets: FASSEG."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vultus.datasets.layout import folder, folders, pictures, unexpected
from vultus.datasets.records import Dataset, Record
from vultus.errors import DatasetError

#: Classes of FASSEG masks, in the order of their indices. Brows have the colour of hair.
FASSEG_CLASSES = ("background", "hair", "skin", "eyes", "nose", "mouth")

_COLOURS = np.array(
    [(255, 0, 0), (127, 0, 0), (255, 255, 0), (0, 0, 255), (0, 255, 255), (0, 255, 0)], np.int32
)
_POINTING = re.compile(r"(personne\d{2})\d{3}([+-]\d+)([+-]\d+)", re.ASCII)


def read_fasseg(root: Path | str) -> Dataset:
    """List FASSEG (Khan et al., 2015): ``frontal01``, ``frontal02`` and ``multipose01``.

    ``frontal02/Train_RGB/1.jpg`` with ``Train_Labels/1.png`` (and ``Test_``), and
    ``multipose01/Test_RGB/YAW/personne....jpg`` with ``Test_labels/YAW/personne....png``. Splits
    are ``train`` and ``test``. Labels: ``part`` the folder's name; ``mask`` the path of the mask or
    None, read with :func:`mask_classes`; in ``multipose01`` ``yaw`` in degrees, > 0 where the nose
    points to the image's right (the published angle counts the other way), and the identity.

    Raises
    ------
    DatasetError
        If none of the parts is there, or a picture has another name.
    """
    expected = "frontal02/Train_RGB/, Train_Labels/ and the like, or multipose01/Test_RGB/YAW/"
    base = folder(root, expected)
    records: list[Record] = []
    for part in folders(base):
        if part.name.startswith("frontal"):
            records += _frontal(part)
        elif part.name.startswith("multipose"):
            records += _multipose(part)
    if not records:
        raise unexpected(base, expected)
    return Dataset("fasseg", base, tuple(records))


def mask_classes(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the class of each pixel of a FASSEG mask, uint8 (H, W), by the nearest colour.

    Parameters
    ----------
    colours
        uint8 (H, W, 3) RGB. Pixels on borders mix two colours.
    """
    if colours.ndim != 3 or colours.shape[2] != 3 or colours.dtype != np.uint8:
        raise DatasetError(f"a mask is uint8 (H, W, 3), got {colours.dtype} {colours.shape}")
    known, index = np.unique(colours.reshape(-1, 3), axis=0, return_inverse=True)
    distance = ((known[:, None].astype(np.int32) - _COLOURS) ** 2).sum(2)
    classes = distance.argmin(1).astype(np.uint8)
    return np.asarray(classes[index].reshape(colours.shape[:2]), np.uint8)


def _frontal(part: Path) -> list[Record]:
    records = []
    for split in ("train", "test"):
        images, masks = (part / f"{split.title()}_{kind}" for kind in ("RGB", "Labels"))
        if images.is_dir():
            paths = sorted(pictures(images), key=lambda path: (len(path.stem), path.stem))
            records += [Record(path, None, split, _labels(part, path, masks)) for path in paths]
    return records


def _multipose(part: Path) -> list[Record]:
    records = []
    for split in ("train", "test"):
        images, masks = (part / f"{split.title()}_{kind}" for kind in ("RGB", "labels"))
        for angle in folders(images) if images.is_dir() else ():
            for path in pictures(angle):
                match = _POINTING.fullmatch(path.stem)
                if match is None or int(match[3]) != int(angle.name):
                    raise DatasetError(f"{path}: expected personne08147+0+15.jpg in folder +15")
                labels = _labels(part, path, masks / angle.name) | {"yaw": -int(match[3])}
                records.append(Record(path, match[1], split, labels))
    return records


def _labels(part: Path, path: Path, masks: Path) -> dict[str, Any]:
    found = [
        mask for suffix in (".png", ".bmp") if (mask := masks / (path.stem + suffix)).is_file()
    ]
    return {"part": part.name, "mask": found[0] if found else None}
