"""Aligned crops for training: one safetensors file with pictures, people and keypoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import ConfigError, DatasetError
from vultus.geometry import Template, align, similarity_transform, template, transform_points
from vultus.settings import settings
from vultus.worlds import WorldSpec, stream

UInt8 = NDArray[np.uint8]
Int = NDArray[np.int64]
Float = NDArray[np.float32]


@settings
class CropData:
    """Where training crops come from.

    Parameters
    ----------
    size
        Side of the crops in pixels; a file of another size is resized.
    file
        What :func:`save_crops` wrote.
    renders
        Without a file: pictures per person to draw, see :func:`rendered`. With neither,
        :func:`patterns` stand in, which check the mechanics and show no faces.
    identities
        Number of people to draw, or the number of training people to keep of a file.
    train
        Share of the people that are trained on; the others are development people.
    split_seed
        Of the split into people; the run's seed if not given.
    """

    size: int
    file: str | None = None
    renders: int | None = None
    identities: int | None = None
    train: float = 0.8
    split_seed: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.train < 1 or self.size < 8:
            raise ValueError("train must lie in (0, 1) and size be at least 8")


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """Aligned crops of known people.

    Parameters
    ----------
    images
        uint8 (N, S, S, 3), RGB.
    people
        int64 (N,) in 0..P-1.
    points
        float32 (N, 5, 2) keypoints in crop pixels, in the order of :class:`~vultus.faces.Face`.
    """

    images: UInt8
    people: Int
    points: Float

    def __post_init__(self) -> None:
        n, size = len(self.images), self.images.shape[1:]
        fits = self.people.shape == (n,) and self.points.shape == (n, 5, 2)
        if not fits or len(size) != 3 or size[0] != size[1] or size[2] != 3:
            raise DatasetError(
                f"crops must be (N, S, S, 3), (N,) and (N, 5, 2), got {self.images.shape}, "
                f"{self.people.shape} and {self.points.shape}"
            )

    @property
    def size(self) -> int:
        """Side in pixels."""
        return int(self.images.shape[1])

    def take(self, keep: ArrayLike) -> Crops:
        """Return the crops of a mask or of indices, with people numbered anew from 0."""
        rows = np.asarray(keep)
        _, people = np.unique(self.people[rows], return_inverse=True)
        return Crops(self.images[rows], people.astype(np.int64), self.points[rows])

    def resized(self, size: int) -> Crops:
        """Return crops of another side, reduced by area."""
        if size == self.size:
            return self
        way = cv2.INTER_AREA if size < self.size else cv2.INTER_LINEAR
        images = np.stack([cv2.resize(i, (size, size), interpolation=way) for i in self.images])
        # Pixel centres: x' + 0.5 = (x + 0.5) * factor.
        points = (self.points + 0.5) * np.float32(size / self.size) - np.float32(0.5)
        return Crops(images.astype(np.uint8), self.people, points)


def at_least(crops: Crops, pictures: int) -> Crops:
    """Return the crops of people with that many pictures or more."""
    return crops.take(np.bincount(crops.people)[crops.people] >= pictures)


def save_crops(path: Path, crops: Crops) -> None:
    """Write crops to a safetensors file."""
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"images": crops.images, "people": crops.people, "points": crops.points}
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, path)


def load_crops(path: Path) -> Crops:
    """Read what :func:`save_crops` wrote; :class:`DatasetError` if it is something else."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
        return Crops(arrays["images"], arrays["people"], arrays["points"])
    except (OSError, SafetensorError, KeyError) as error:
        raise DatasetError(f"{path}: not a file of crops: {error}") from error


def collect(
    pictures: Iterable[tuple[UInt8, str]],
    locate: Callable[[UInt8], NDArray[np.float32] | None],
    size: int,
    layout: str = "arcface112",
) -> tuple[Crops, int]:
    """Align the faces of a set.

    Parameters
    ----------
    pictures
        (uint8 (H, W, 3) RGB, name of the person).
    locate
        Gives the five keypoints of the person meant, or None where no face is found.
    size
        Side of the crops.
    layout
        Name of an alignment template, scaled to the size.

    Returns
    -------
    The crops, and the number of pictures left out because no face was found.

    Raises
    ------
    DatasetError
        If no face is found at all.
    """
    base = template(layout)
    # Pixel centres again: the template's grid is scaled, not its coordinates alone.
    scaled = (base.points + 0.5) * np.float32(size / base.size) - np.float32(0.5)
    target = Template(f"{layout}@{size}", size, scaled)
    images, names, points, missed = [], [], [], 0
    for image, name in pictures:
        found = locate(image)
        if found is None:
            missed += 1
            continue
        images.append(align(image, found[None], target)[0])
        points.append(transform_points(similarity_transform(found, target.points), found))
        names.append(name)
    if not images:
        raise DatasetError(f"no face was found in any of {missed} pictures")
    _, people = np.unique(names, return_inverse=True)
    crops = Crops(np.stack(images), people.astype(np.int64), np.stack(points).astype(np.float32))
    return crops, missed


def patterns(people: int, each: int, size: int, seed: int) -> Crops:
    """Return smooth random pictures, one base per "person" with noise: no faces at all.

    They let training code be run where there is no data; nothing measured on them means anything.
    """
    rng = np.random.default_rng((seed, 6))
    base = rng.uniform(40, 215, (people, 6, 6, 3)).astype(np.float32)
    large = np.stack([cv2.resize(b, (size, size), interpolation=cv2.INTER_CUBIC) for b in base])
    noisy = np.repeat(large, each, 0) + rng.normal(0, 20, (people * each, size, size, 3))
    points = template("arcface112").points * (size / 112)
    jitter = rng.normal(0, size / 40, (people * each, 5, 2))
    labels = np.repeat(np.arange(people, dtype=np.int64), each)
    return Crops(noisy.clip(0, 255).astype(np.uint8), labels, (points + jitter).astype(np.float32))


def rendered(people: int, each: int, size: int, seed: int, spec: WorldSpec | None = None) -> Crops:
    """Return aligned crops of synthetic people.

    Parameters
    ----------
    people, each
        Number of people, and of pictures of each.
    size, seed
        Side of the crops; which pictures are drawn.
    spec
        Ranges of pose, light, expression and so on; its size and people are set here.
    """
    # Twice the size, so that the alignment reduces and never enlarges.
    world = replace(spec or WorldSpec(), size=max(2 * size, 16), people=(), identities=people)
    points: list[Float] = []

    def pictures() -> Iterator[tuple[UInt8, str]]:
        for sample in stream(world, seed, people * each):
            points.append(sample.keypoints)
            yield sample.colour, f"{sample.identity:09d}"

    return collect(pictures(), lambda _: points[-1], size)[0]


def people_split(people: ArrayLike, share: float, seed: int) -> NDArray[np.bool_]:
    """Return bool (N,): whether a crop's person is among the ``share`` that is trained on.

    Everybody is on one side only; both sides get at least one person.

    Raises
    ------
    ConfigError
        If there are fewer than two people.
    """
    labels = np.asarray(people)
    everybody = np.unique(labels)
    if len(everybody) < 2:
        raise ConfigError("a split by person needs two people or more")
    count = int(np.clip(round(share * len(everybody)), 1, len(everybody) - 1))
    chosen = np.random.default_rng((seed, 11)).permutation(everybody)[:count]
    return np.isin(labels, chosen)


def load_split(data: CropData, seed: int) -> tuple[Crops, Crops]:
    """Return training crops and development crops of other people."""
    keep = None
    if data.file is None and data.renders:
        crops = rendered(data.identities or 100, data.renders, data.size, seed)
    elif data.file is None:
        crops = patterns(data.identities or 16, 8, data.size, seed)
    else:
        crops = load_crops(Path(data.file)).resized(data.size)
        keep = data.identities
    mask = people_split(
        crops.people, data.train, seed if data.split_seed is None else data.split_seed
    )
    train, development = crops.take(mask), crops.take(~mask)
    if keep is not None:
        train = train.take(train.people < keep)
    return train, development


class CropExamples:
    """Crops as training examples, mirrored at random, pixels in [-1, 1].

    Fields: ``image`` float32 (3, S, S), ``label``, ``index``, ``flipped`` (0 or 1).
    """

    def __init__(self, crops: Crops, *, flip: bool = True) -> None:
        self.crops, self.flip = crops, flip

    def __len__(self) -> int:
        return len(self.crops.people)

    def example(self, index: int, rng: np.random.Generator) -> Mapping[str, Any]:
        """Return one example; ``rng`` decides whether it is mirrored."""
        flipped = bool(self.flip and rng.random() < 0.5)
        return {
            "image": pixels(self.crops.images[index], flipped),
            "label": int(self.crops.people[index]),
            "index": index,
            "flipped": int(flipped),
        }


def pixels(image: UInt8, flipped: bool = False) -> Float:
    """Return float32 (3, S, S) in [-1, 1] from uint8 (S, S, 3), mirrored if asked."""
    turned = image[:, ::-1] if flipped else image
    scaled = (turned.transpose(2, 0, 1).astype(np.float32) - 127.5) / 127.5
    return np.ascontiguousarray(scaled)
