"""Rendered near-duplicates: pairs of people who differ only in which side is which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vultus.recognition.crops import Crops, collect
from vultus.worlds import Person, PoseSpec, World, WorldSpec, person

#: Deviation of the antisymmetric shape: strong, against 0.35 by default.
ASYMMETRY = 1.5
#: Near frontal, where the halves of a face can be compared.
POSE = PoseSpec(yaw=(-20.0, 20.0), pitch=(-10.0, 10.0))


def twin(world: World, number: int) -> Person:
    """Return one of a pair: people 2k and 2k + 1 share all but their antisymmetric shape.

    Parameters
    ----------
    world
        Its population and its ``asymmetry`` decide who is drawn.
    number
        From 0.
    """
    head, spec = world.head, world.spec
    first, own = (
        person(head, spec.population, n, asymmetry=spec.asymmetry) for n in (number & ~1, number)
    )
    shape = first.coefficients.copy()
    shape[head.symmetric :] = own.coefficients[head.symmetric :]
    return replace(first, number=number, coefficients=shape)


def twin_crops(
    pairs: int, each: int, size: int, seed: int, *, asymmetry: float = ASYMMETRY
) -> Crops:
    """Return aligned crops of pairs of near-duplicates, ordered by picture, then by person.

    Parameters
    ----------
    pairs, each
        Number of pairs, and of pictures of each person.
    size
        Side of the crops.
    seed
        Of the people and of their pictures.
    asymmetry
        Deviation of the antisymmetric shape.
    """
    world = World(
        WorldSpec(
            # Twice the size, so that the alignment reduces and never enlarges.
            size=2 * size,
            population=seed,
            identities=2 * pairs,
            asymmetry=asymmetry,
            pose=POSE,
        )
    )
    points: list[NDArray[np.float32]] = []

    def pictures() -> Iterator[tuple[NDArray[np.uint8], str]]:
        for index in range(2 * pairs * each):
            shot = world.shot(seed, index)
            who = twin(world, shot.who.number)
            look = replace(who.look, makeup=shot.look.makeup)
            sample = world.picture(replace(shot, who=who, look=look))
            points.append(sample.keypoints)
            yield sample.colour, f"{who.number:09d}"

    return collect(pictures(), lambda _: points[-1], size)[0]
