"""Rendered faces that smile or do not, of people whose skin tone and age are set exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from vultus.audit.model_cards.evidence import Provenance
from vultus.audit.model_cards.pictures import LabelledPictures, UInt8
from vultus.audit.model_cards.table import GroupColumn
from vultus.worlds import EMOTIONS, CameraSpec, PoseSpec, WearSpec, World, WorldSpec

#: Ranges of melanin and of years.
TONES: Final[Mapping[str, tuple[float, float]]] = {"light": (0.12, 0.45), "dark": (1.5, 2.2)}
AGES: Final[Mapping[str, tuple[float, float]]] = {"young": (18, 30), "old": (66, 85)}

#: Tone and age.
Group = tuple[str, str]

GROUPS: Final[tuple[Group, ...]] = tuple((tone, age) for tone in TONES for age in AGES)

_EXACT = Provenance(kind="exact", source="Set by the program that drew the faces.", error="None.")
_OTHERS = ("jawOpen", "mouthFrown", "mouthPress", "browInnerUp", "browDown", "eyeSquint")
_MOST = 10_000


class SmilingFaces:
    """A source of labelled pictures; half of the pictures of every person smile.

    A person depends on the seed, the split, the group and their number there, and on nothing else:
    two collections that differ in how many people a group has share those they both have.

    Parameters
    ----------
    seed
        Of people and pictures.
    size
        Side of the pictures in pixels.
    each
        Pictures per person.
    """

    def __init__(self, seed: int, size: int, each: int) -> None:
        spec = WorldSpec(
            size=size,
            samples=1,
            population=seed,
            emotions=("neutral",),
            pose=PoseSpec(yaw=(-20, 20), pitch=(-8, 8), roll=(-6, 6)),
            camera=CameraSpec(fill=(1.25, 1.45)),
            wear=WearSpec(glasses=0.1, dark=0.0, hat=0.02, makeup=0.0),
        )
        self.seed, self.each = seed, each
        self.world = World(replace(spec, identities=_MOST * 3 * len(GROUPS)))
        self._known: dict[tuple[int, Group], list[UInt8]] = {}

    def collect(self, splits: Mapping[str, Mapping[Group, int]]) -> LabelledPictures:
        """Return the pictures of all people.

        Parameters
        ----------
        splits
            For each split, the number of people of each group.
        """
        faces: list[UInt8] = []
        rows: list[tuple[str, str, str, str, str]] = []
        for s, (split, counts) in enumerate(splits.items()):
            for group, count in counts.items():
                first = (s * len(GROUPS) + GROUPS.index(group)) * _MOST
                for number in range(first, first + count):
                    faces += self._faces(number, group)
                    rows += [
                        (f"{number}-{k}", split, *group, str(number)) for k in range(self.each)
                    ]
        samples, split_of, tone, age, people = np.array(rows, np.str_).T
        return LabelledPictures(
            pictures=np.stack(faces),
            samples=samples,
            split=split_of,
            label=np.arange(len(rows)) % self.each % 2 == 0,
            groups=(GroupColumn("tone", tone, _EXACT), GroupColumn("age", age, _EXACT)),
            people=people,
        )

    def _faces(self, number: int, group: Group) -> Sequence[UInt8]:
        if (number, group) not in self._known:
            self._known[number, group] = [self._face(number, group, k) for k in range(self.each)]
        return self._known[number, group]

    def _face(self, number: int, group: Group, k: int) -> UInt8:
        rng = np.random.default_rng((self.seed, number))
        melanin, years = (rng.uniform(*r) for r in (TONES[group[0]], AGES[group[1]]))
        who = self.world.shot(self.seed, number).who
        look = replace(who.look, melanin=float(melanin), age=float(years), beard=0.0)
        today = self.world.shot(self.seed, _MOST * 100 + number * self.each + k)
        weights = self.world.head.weights(_expression(k % 2 == 0, today.rng("smile")))
        shot = replace(today, who=replace(who, look=look), look=look, weights=weights)
        return self.world.picture(shot).colour


def _expression(smiles: bool, rng: np.random.Generator) -> dict[str, float]:
    """Return another slight expression, with a smile or without."""
    chosen = rng.choice(_OTHERS, 2, replace=False)
    weights = {str(name): float(rng.uniform(0, 0.35)) for name in chosen}
    if smiles:
        strength = float(rng.uniform(0.35, 1.0))
        weights |= {name: strength * weight for name, weight in EMOTIONS["happiness"].items()}
    return weights
