"""The faces that the compact recogniser learns from: files of crops, and rendered people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vultus.datasets.crops import LabelledCrops, load_labelled, save_labelled
from vultus.datasets.splits import name_places
from vultus.errors import DatasetError
from vultus.geometry import align, similarity_transform, template, transform_points
from vultus.settings import settings
from vultus.worlds import PoseSpec, WorldSpec, stream

#: The crop that the network looks at.
TEMPLATE = "retail128"


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
    """Faces, and who stays apart.

    Parameters
    ----------
    file
        What ``vultus data crops`` wrote at 128 pixels with the template ``retail128``; its parts
        named ``dev-test``, ``test`` and ``val`` are left out. Without it only renders are used.
    renders
        Rendered people to add.
    people
        The set of whose people some are kept apart.
    development
        Share of those people that is kept apart, by
        :func:`~vultus.datasets.splits.name_places`: they choose the checkpoint.
    shares
        Share of each set in every batch, by name; ``renders`` for the rendered people. By their
        numbers of faces if not given.
    """

    file: str | None = None
    renders: Renders | None = None
    people: str = "lfw"
    development: float = 0.3
    shares: dict[str, float] | None = None

    def __post_init__(self) -> None:
        if self.file is None and self.renders is None:
            raise ValueError("a file of crops or renders, or both, are needed")
        shares = (self.shares or {}).values()
        if not 0 < self.development < 1 or any(share <= 0 for share in shares):
            raise ValueError("development must lie in (0, 1), and shares be positive")


def faces(data: CompactData, seed: int) -> LabelledCrops:
    """Return all crops with the labels ``set`` and ``identity``, -1 where it is not known.

    Raises
    ------
    DatasetError
        If the file holds crops of another side.
    """
    found = []
    if data.file is not None:
        crops = load_labelled(data.file)
        side = template(TEMPLATE).size
        if crops.size != side:
            raise DatasetError(f"{data.file}: crops of {side} pixels are needed, got {crops.size}")
        left_out = np.isin(names_of(crops, "split"), ("dev-test", "test", "val"))
        found.append(crops.take(~left_out))
    if data.renders is not None:
        found.append(_rendered(data.renders, seed))
    return found[0] if len(found) == 1 else _joined(*found)


def parts(crops: LabelledCrops, data: CompactData) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return which crops are trained on, (T,), and which show people kept apart, (P,).

    Those people belong to the set named by ``people``, or to the renders where it is not there.

    Raises
    ------
    DatasetError
        If there are no people of that set, or all or none of them are kept apart.
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
