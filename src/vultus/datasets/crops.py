"""Aligned face crops with labels: one safetensors file that training reads at once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import DatasetError

_RESERVED = ("images", "points")


@dataclass(frozen=True, slots=True, eq=False)
class LabelledCrops:
    """Crops of one alignment template and what is known of them.

    Parameters
    ----------
    images
        uint8 RGB (N, S, S, 3).
    points
        float32 (N, 5, 2), keypoints in crop pixels.
    labels
        Arrays (N, ...) by name; NaN where a number is not known.
    names
        Values that the codes of a label stand for, by label: ``expression`` 0 is its first name.
    """

    images: NDArray[np.uint8]
    points: NDArray[np.float32]
    labels: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count, side = len(self.images), self.images.shape[1:]
        square = len(side) == 3 and side[0] == side[1] and side[2] == 3
        lengths = {len(values) for values in self.labels.values()} | {count}
        if not square or self.points.shape != (count, 5, 2) or len(lengths) > 1:
            raise DatasetError(
                f"crops must be (N, S, S, 3) with points (N, 5, 2) and labels (N, ...), got "
                f"{self.images.shape}, {self.points.shape} and labels of lengths {sorted(lengths)}"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Side in pixels."""
        return int(self.images.shape[1])

    def take(self, keep: ArrayLike) -> LabelledCrops:
        """Return the crops of a mask (N,) or of indices."""
        rows = np.asarray(keep)
        labels = {name: values[rows] for name, values in self.labels.items()}
        return replace(self, images=self.images[rows], points=self.points[rows], labels=labels)

    def places(self) -> NDArray[np.float64]:
        """Return a number in [0, 1) for each crop (N,), by which sets are divided into parts.

        It comes from the crop's own bytes: equal pictures are in one part, and nothing moves when
        pictures are added. Another detector or template cuts other bytes, so keep the file.
        """
        digests = (
            hashlib.blake2b(image.tobytes(), digest_size=4).digest() for image in self.images
        )
        return np.array([int.from_bytes(digest, "big") for digest in digests], np.float64) / 2**32

    def label(self, name: str) -> NDArray[Any]:
        """Return a label (N, ...); raise :class:`DatasetError` naming those there are."""
        if name not in self.labels:
            known = ", ".join(sorted(self.labels)) or "none"
            raise DatasetError(f"these crops have no label {name!r}; labels here: {known}")
        return self.labels[name]


def save_labelled(path: Path, crops: LabelledCrops) -> None:
    """Write crops to a safetensors file, whole or not at all.

    Raises
    ------
    DatasetError
        If a label has the name of a reserved field or is no array of numbers.
    """
    from safetensors.numpy import save

    for name, values in crops.labels.items():
        if name in _RESERVED or values.dtype.kind not in "biuf":
            raise DatasetError(f"label {name!r} of {values.dtype} cannot be written")
    arrays = {"images": crops.images, "points": crops.points, **crops.labels}
    names = {label: "\n".join(values) for label, values in crops.names.items()}
    data = save({key: np.ascontiguousarray(value) for key, value in arrays.items()}, names)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)


def load_labelled(path: Path | str) -> LabelledCrops:
    """Read what :func:`save_labelled` wrote; :class:`DatasetError` if it is something else."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "numpy") as file:
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            names = {
                label: tuple(text.split("\n")) for label, text in (file.metadata() or {}).items()
            }
        images, points = (arrays.pop(name) for name in _RESERVED)
    except (OSError, SafetensorError, KeyError) as error:
        raise DatasetError(f"{path}: not a file of labelled crops: {error}") from error
    return LabelledCrops(images, points, arrays, names)
