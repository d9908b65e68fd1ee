"""Folders of videos, and of frames cut from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vultus.datasets.layout import folder, pictures, unexpected
from vultus.datasets.records import Dataset, Record
from vultus.errors import DatasetError

SUFFIXES = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"})

#: Names that folders of parts have.
_SPLITS = {"train": "train", "devel": "dev", "dev": "dev", "val": "dev", "test": "test"}

#: Gives the identity of a path relative to the root, or None.
IdentityOf = Callable[[Path], str | None]


def read_videos(root: Path | str, *, identity: IdentityOf | None = None) -> Dataset:
    """List the video files of a folder, at any depth.

    The split is that of the first folder called train, devel, dev, val or test on the way; the
    label ``folder`` is the path of the folder relative to the root, with slashes, which in
    presentation attack sets names the class. A record's source is the video file: read it with
    :func:`frames`.

    Parameters
    ----------
    root
        The folder.
    identity
        Gives who a video shows from its path relative to the root, as names differ by set; for
        Replay-Attack ``lambda path: path.name.split("_")[2]``.

    Raises
    ------
    DatasetError
        If there are no videos.
    """
    expected = f"videos ({', '.join(sorted(SUFFIXES))}) in the folder or below"
    base = folder(root, expected)
    found = sorted(p for p in base.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise unexpected(base, expected)
    records = []
    for path in found:
        relative = path.relative_to(base)
        labels = {"folder": relative.parent.as_posix()}
        who = identity(relative) if identity else None
        records.append(Record(path, who, _split_of(relative), labels))
    return Dataset(base.resolve().name, base, tuple(records))


def read_clips(root: Path | str, *, identity: IdentityOf | None = None) -> Dataset:
    """List pictures that are frames of clips: every folder that holds pictures is a clip.

    Labels: ``clip`` the folder relative to the root, with slashes, and ``frame`` the place in it,
    from 0, in the order of the numbers in the names. Splits as in :func:`read_videos`.

    Parameters
    ----------
    root
        The folder.
    identity
        Gives who a clip shows from its folder relative to the root.

    Raises
    ------
    DatasetError
        If no folder below the root holds pictures.
    """
    expected = "folders of frames, such as CLIP/0001.jpg"
    base = folder(root, expected)
    records = []
    for clip in sorted(path for path in base.rglob("*") if path.is_dir()):
        relative = clip.relative_to(base)
        who = identity(relative) if identity else None
        ordered = sorted(pictures(clip), key=lambda path: (_number(path.stem), path.name))
        for place, path in enumerate(ordered):
            labels = {"clip": relative.as_posix(), "frame": place}
            records.append(Record(path, who, _split_of(relative), labels))
    if not records:
        raise unexpected(base, expected)
    return Dataset(base.resolve().name, base, tuple(records))


def frames(
    path: Path | str, *, every: int = 1, limit: int | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Decode a video frame by frame; memory does not grow with its length.

    Parameters
    ----------
    path
        The file.
    every
        Yield each n-th frame, from the first.
    limit
        Stop after that many.

    Yields
    ------
    uint8 (H, W, 3) RGB, turned upright where the file says how it was held.

    Raises
    ------
    DatasetError
        If the file cannot be decoded at all, or ``every`` is not positive.
    """
    import cv2

    if every < 1:
        raise DatasetError(f"every must be 1 or more, got {every}")
    capture = cv2.VideoCapture(str(path))
    try:
        number = given = 0
        while limit is None or given < limit:
            # Frames that are left out are not converted.
            if not capture.grab():
                break
            if number % every == 0:
                decoded, image = capture.retrieve()
                if not decoded:
                    break
                yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[misc]
                given += 1
            number += 1
        if not number and limit != 0:
            raise DatasetError(f"{path}: no frame could be decoded; is it a video?")
    finally:
        capture.release()


def _split_of(relative: Path) -> str | None:
    names = (_SPLITS.get(part.lower()) for part in relative.parts)
    return next((name for name in names if name), None)


def _number(stem: str) -> int:
    digits = "".join(c if c.isascii() and c.isdigit() else " " for c in stem).split()
    return int(digits[-1]) if digits else -1
