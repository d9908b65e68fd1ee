"""Labelled presentations for training: one safetensors file with crops, depth and face masks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import ConfigError, DatasetError
from vultus.geometry import crop_boxes
from vultus.liveness.masks import EXPANSION
from vultus.measure.pad import BONA_FIDE

UInt8 = NDArray[np.uint8]
Int = NDArray[np.int64]
Names = NDArray[np.str_]

#: Largest enlargement of the box in training.
WIDEST = 1.4


def loose_side(size: int) -> int:
    """Return the side of a stored crop from which test crops of ``size`` are cut unresampled.

    The middle of it is the box enlarged by 1.3; all of it at least by 1.4.
    """
    return int(size + 2 * np.ceil(size * (WIDEST / EXPANSION - 1) / 2))


@dataclass(frozen=True, slots=True, eq=False)
class PadCrops:
    """Frames of bona fide presentations and attacks.

    Parameters
    ----------
    images
        uint8 (N, L, L, 3), RGB: the box enlarged so that the middle ``size`` pixels are box1.3.
    depth
        uint8 (N, L, L): depth label times 255, zero for attacks.
    masks
        uint8 (N, L, L): 255 on the face of bona fide presentations and of attacks alike.
    species, domains, splits
        str (N,): ``bona-fide`` or an attack species; capture domain; ``train``, ``development``
        or ``test``.
    people, clips
        int64 (N,): who is shown; which presentation a frame belongs to.
    size
        Side of a test crop.
    """

    images: UInt8
    depth: UInt8
    masks: UInt8
    species: Names
    domains: Names
    splits: Names
    people: Int
    clips: Int
    size: int

    def __post_init__(self) -> None:
        n, side = len(self.images), loose_side(self.size)
        shapes = {self.depth.shape, self.masks.shape}
        fits = self.images.shape == (n, side, side, 3) and shapes == {(n, side, side)}
        if not fits or any(len(getattr(self, name)) != n for name in (*_NAMES, *_NUMBERS)):
            raise DatasetError(
                f"presentations of size {self.size} must be (N, {side}, {side}, 3) with labels for "
                f"each, got {self.images.shape}, {self.depth.shape} and {self.masks.shape}"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def live(self) -> NDArray[np.bool_]:
        """Which frames are bona fide, bool (N,)."""
        return np.asarray(self.species == BONA_FIDE, np.bool_)

    def take(self, keep: ArrayLike) -> PadCrops:
        """Return the frames of a mask or of indices."""
        rows = np.asarray(keep)
        columns = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "size"}
        return PadCrops(**columns, size=self.size)

    def split(self, name: str) -> PadCrops:
        """Return one split; :class:`DatasetError` if there is no frame in it."""
        found = self.take(self.splits == name)
        if not len(found):
            raise DatasetError(f"no frame of split {name!r}; there are {set(self.splits.tolist())}")
        return found

    def crops(self, size: int | None = None) -> tuple[UInt8, UInt8, UInt8]:
        """Return box1.3 crops, depth labels and masks, uint8 (N, S, S, ...), in that order."""
        side = size or self.size
        rim = (loose_side(self.size) - self.size) // 2
        middle = slice(rim, rim + self.size)
        parts = [a[:, middle, middle] for a in (self.images, self.depth, self.masks)]
        if side != self.size:
            parts = [np.stack([resized(a, side) for a in part]) for part in parts]
        return parts[0], parts[1], parts[2]


_NAMES = ("species", "domains", "splits")
_NUMBERS = ("people", "clips")


def resized(picture: UInt8, side: int) -> UInt8:
    """Return a picture, uint8 (S, S) or (S, S, 3), of another side, by area where it shrinks."""
    way = cv2.INTER_AREA if side < len(picture) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (side, side), interpolation=way), np.uint8)


def cut(
    picture: UInt8, depth: NDArray[Any], face: NDArray[Any], box: ArrayLike, size: int
) -> tuple[UInt8, UInt8, UInt8]:
    """Cut a picture and its labels to a stored crop.

    Parameters
    ----------
    picture
        uint8 (H, W, 3).
    depth, face
        float32 in [0, 1] and bool, (H, W).
    box
        xyxy pixels of the face.
    size
        See :class:`PadCrops`.
    """
    side = loose_side(size)
    labels = np.stack([depth * 255, face * 255, np.zeros_like(depth)], -1)
    boxes = np.asarray(box, np.float32)[None]
    factor = EXPANSION * side / size
    image = crop_boxes(picture, boxes, factor, side)[0]
    both = crop_boxes(np.round(labels).astype(np.uint8), boxes, factor, side)[0]
    return image, both[..., 0], both[..., 1]


def from_rows(rows: Sequence[Mapping[str, Any]], size: int, split: str) -> PadCrops:
    """Return frames of one split as a set.

    Parameters
    ----------
    rows
        One or more frames, each with the fields of :class:`PadCrops` by name, a value each in place
        of N. Where they have no ``depth``, the label is that of :func:`mask_depth`.
    size, split
        Side of a test crop; split of all frames.
    """
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    if "depth" not in columns:
        columns["depth"] = mask_depth(columns["masks"], columns["species"])
    return PadCrops(**columns, splits=np.full(len(rows), split), size=size)


def mask_depth(masks: UInt8, species: Names) -> UInt8:
    """Return depth labels where no depth is known: the masks, uint8 (N, L, L), zero for attacks."""
    live = species == BONA_FIDE
    return np.where(live[:, None, None], masks, 0).astype(np.uint8)


def check_known(names: Iterable[str], known: Iterable[str], what: str) -> None:
    """Raise :class:`ConfigError` where a name is not among the known ones; ``what`` they name."""
    everything = set(known)
    unknown = sorted(set(names) - everything)
    if unknown:
        raise ConfigError(f"unknown {what} {unknown}; known: {sorted(everything)}")


def joined(parts: Sequence[PadCrops]) -> PadCrops:
    """Return sets of one size as one; clips and people are numbered on from set to set.

    Raises
    ------
    DatasetError
        If there is none, or sizes differ.
    """
    if not parts or len({p.size for p in parts}) != 1:
        raise DatasetError("only sets of presentations of one size can be joined")
    columns: dict[str, Any] = {}
    for f in fields(PadCrops):
        if f.name == "size":
            continue
        arrays = [getattr(p, f.name) for p in parts]
        if f.name in _NUMBERS:
            starts = np.cumsum([0, *[int(a.max()) + 1 for a in arrays[:-1]]])
            arrays = [a + start for a, start in zip(arrays, starts, strict=True)]
        columns[f.name] = np.concatenate(arrays)
    return PadCrops(**columns, size=parts[0].size)


def save_presentations(path: Path, data: PadCrops) -> None:
    """Write presentations to a safetensors file."""
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: getattr(data, name) for name in ("images", "depth", "masks", *_NUMBERS)}
    words = {"size": str(data.size)}
    for name in _NAMES:
        known, codes = np.unique(getattr(data, name), return_inverse=True)
        arrays[name] = codes.astype(np.int64)
        words[name] = "\n".join(known.tolist())
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, path, metadata=words)


def load_presentations(path: Path) -> PadCrops:
    """Read what :func:`save_presentations` wrote.

    Raises
    ------
    DatasetError
        If the file is missing or something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            words = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        columns: dict[str, Any] = {
            name: arrays[name] for name in ("images", "depth", "masks", *_NUMBERS)
        }
        for name in _NAMES:
            columns[name] = np.array(words[name].split("\n"), np.str_)[arrays[name]]
        return PadCrops(**columns, size=int(words["size"]))
    except (OSError, SafetensorError, KeyError, ValueError, IndexError) as error:
        raise DatasetError(f"{path}: not a file of presentations: {error}") from error
