"""The faces that the compact recogniser learns from: files of crops, and rendered people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vultus.datasets.crops import LabelledCrops, load_labelled, save_labelled
from vultus.datasets.splits import name_places
from vultus.errors import DatasetError
from vultus.geometry import align, similarity_transform, template, transform_points
from vultus.settings import settings
from vultus.worlds import PoseSpec, WorldSpec, stream

#: The crop that the network looks at, scaled to its size.
TEMPLATE = "dlib150"


@settings
class Renders:
    """Rendered people among the faces.

    Parameters
    ----------
    people, each
        How many, and pictures of each.
    file
        Where they are kept once drawn.
    """

    people: int
    each: int = 4
    file: str | None = None


@settings
class CompactData:
    """Faces, teachers and who stays apart.

    Parameters
    ----------
    file
        What ``vultus data crops`` wrote at 150 pixels with the template ``dlib150``; its parts
        named ``dev-test``, ``test`` and ``val`` are left out. Without it only renders are used.
    teacher
        ``face-reidentification-retail-0095.xml``, a second teacher beside dlib's network.
    weights
        Of dlib's network and of the second teacher, in the cosines that are taught.
    renders
        Rendered people to add.
    people
        The set whose identities are used; in the others every face is for itself.
    development
        Share of those people that is kept apart, by
        :func:`~vultus.datasets.splits.name_places`: they choose the checkpoint.
    most
        Faces of a set at most, by name, spread evenly over it.
    shares
        Share of each set in every batch, by name; ``renders`` for the rendered people. By their
        numbers of faces if not given.
    """

    file: str | None = None
    teacher: str | None = None
    weights: tuple[float, float] = (0.2, 0.8)
    renders: Renders | None = None
    people: str = "lfw"
    development: float = 0.3
    most: dict[str, int] = field(default_factory=dict)
    shares: dict[str, float] | None = None

    def __post_init__(self) -> None:
        if self.file is None and self.renders is None:
            raise ValueError("a file of crops or renders, or both, are needed")
        if not 0 < self.development < 1 or any(
            value <= 0 for value in (*self.weights, *(self.shares or {}).values())
        ):
            raise ValueError("development must lie in (0, 1), and weights and shares be positive")


def faces(data: CompactData, seed: int) -> LabelledCrops:
    """Return all crops with the labels ``set`` and ``identity``, -1 where it is not known."""
    found = []
    if data.file is not None:
        crops = load_labelled(data.file)
        if crops.size != template(TEMPLATE).size:
            raise DatasetError(f"{data.file}: crops of 150 pixels are needed, got {crops.size}")
        kept = crops.take(~_part(crops, ("dev-test", "test", "val")))
        found.append(kept.take(_spread(names_of(kept, "set"), data.most)))
    if data.renders is not None:
        found.append(_rendered(data.renders, seed))
    return found[0] if len(found) == 1 else _joined(*found)


def parts(crops: LabelledCrops, data: CompactData) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return which crops are trained on and which show people kept apart.

    Those people belong to the set named by ``people``, or to the renders where it is not there.
    """
    sets, identity = names_of(crops, "set"), names_of(crops, "identity")
    wanted = data.people if data.people in sets else "renders"
    mine = np.flatnonzero((sets == wanted) & (identity != ""))
    if not len(mine):
        raise DatasetError(f"no people of the set {wanted!r} among the crops")
    low = name_places(identity[mine]) < data.development
    apart = mine[low]
    train = np.setdiff1d(np.arange(len(crops)), apart)
    if not len(apart) or not len(train):
        raise DatasetError(f"{len(mine)} crops of {wanted!r} cannot be divided by person")
    return train, apart


def names_of(crops: LabelledCrops, label: str) -> NDArray[np.str_]:
    """Return the words of a label (N,), empty where it is not known."""
    known = np.array(["", *crops.names.get(label, ())])
    return np.asarray(known[crops.label(label) + 1])


def _part(crops: LabelledCrops, left_out: tuple[str, ...]) -> NDArray[np.bool_]:
    return np.asarray(np.isin(names_of(crops, "split"), left_out))


def _spread(sets: NDArray[np.str_], most: Mapping[str, int]) -> NDArray[np.intp]:
    """Return which items stay where sets are cut down to a number of items each."""
    kept = []
    for name in np.unique(sets):
        rows = np.flatnonzero(sets == name)
        count = min(len(rows), most.get(str(name), len(rows)))
        kept.append(rows[np.linspace(0, len(rows) - 1, count).round().astype(int)])
    return np.sort(np.concatenate(kept))


def _rendered(renders: Renders, seed: int) -> LabelledCrops:
    if renders.file is not None and Path(renders.file).exists():
        return load_labelled(renders.file)
    target = template(TEMPLATE)
    world = WorldSpec(
        size=round(1.4 * target.size),
        identities=renders.people,
        pose=PoseSpec(yaw=(-45, 45), pitch=(-20, 20)),
    )
    images, points, who = [], [], []
    for sample in stream(world, seed, renders.people * renders.each):
        images.append(align(sample.colour, sample.keypoints[None], target)[0])
        placed = similarity_transform(sample.keypoints, target.points)
        points.append(transform_points(placed, sample.keypoints))
        who.append(f"rendered-{sample.identity}")
    names, codes = np.unique(who, return_inverse=True)
    zeros = np.zeros(len(who), np.int64)
    crops = LabelledCrops(
        np.stack(images),
        np.stack(points).astype(np.float32),
        {"set": zeros, "identity": codes.astype(np.int64), "split": zeros - 1},
        {"set": ("renders",), "identity": tuple(map(str, names)), "split": ()},
    )
    if renders.file is not None:
        save_labelled(Path(renders.file), crops)
    return crops


def _joined(first: LabelledCrops, second: LabelledCrops) -> LabelledCrops:
    """Put two sets of crops after one another; of the labels, those of set, identity and split."""
    labels, names = {}, {}
    for key in ("set", "identity", "split"):
        values = np.concatenate([names_of(first, key), names_of(second, key)])
        known = sorted(set(values) - {""})
        order = {name: code for code, name in enumerate(known)}
        labels[key] = np.array([order.get(value, -1) for value in values], np.int64)
        names[key] = tuple(known)
    return LabelledCrops(
        np.concatenate([first.images, second.images]),
        np.concatenate([first.points, second.points]),
        labels,
        names,
    )
