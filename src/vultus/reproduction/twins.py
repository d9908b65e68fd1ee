"""Rendered mirror twins: pairs of people who differ only in which side is which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vultus.recognition.crops import Crops, collect
from vultus.worlds import Person, PoseSpec, World, WorldSpec, person

#: Deviation of the antisymmetric shape: strong, against 0.35 by default.
SHAPE = 1.5
#: Contrast of the pigment between the sides, against 0.2 to 1 by default, and number of moles.
PIGMENT, MOLES = 4.0, 8
#: Near frontal, where the halves of a face can be compared.
POSE = PoseSpec(yaw=(-20.0, 20.0), pitch=(-10.0, 10.0))
#: The five keypoints of a mirrored picture, left and right exchanged.
_EXCHANGED = (1, 0, 2, 4, 3)


def twin_crops(pairs: int, each: int, size: int, seed: int) -> Crops:
    """Return aligned crops of mirror twins, ordered by picture, then by person.

    People 2k and 2k + 1 are mirror images of each other. Every picture has circumstances of its
    own; those of people with odd numbers are mirrored as a whole, light and background too, which
    are as likely either way round.

    Parameters
    ----------
    pairs, each
        Number of pairs, and of pictures of each person.
    size
        Side of the crops in pixels.
    seed
        Of the people and of their pictures.
    """
    world = World(
        WorldSpec(
            # Twice the size, so that the alignment reduces and never enlarges.
            size=2 * size,
            population=seed,
            identities=2 * pairs,
            asymmetry=SHAPE,
            pose=POSE,
        )
    )
    points: list[NDArray[np.float32]] = []

    def pictures() -> Iterator[tuple[NDArray[np.uint8], str]]:
        for index in range(2 * pairs * each):
            shot = world.shot(seed, index)
            number = shot.who.number
            who = original(world, number)
            sample = world.picture(
                replace(shot, who=who, look=replace(who.look, makeup=shot.look.makeup))
            )
            odd = number % 2 == 1
            picture, keypoints = sample.colour, sample.keypoints
            points.append(mirrored(keypoints, picture.shape[1]) if odd else keypoints)
            yield np.ascontiguousarray(picture[:, ::-1]) if odd else picture, f"{number:09d}"

    return collect(pictures(), lambda _: points[-1], size)[0]


def original(world: World, number: int) -> Person:
    """Return the person who is drawn for either of a pair, with strong asymmetry."""
    spec = world.spec
    first = person(world.head, spec.population, number & ~1, asymmetry=spec.asymmetry)
    look = replace(first.look, asymmetry=PIGMENT, moles=MOLES)
    return replace(first, number=number, look=look)


def mirrored(keypoints: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Return keypoints (5, 2) of a picture of ``width`` pixels after mirroring it."""
    found = keypoints[list(_EXCHANGED)]
    found[:, 0] = width - 1 - found[:, 0]
    return found
