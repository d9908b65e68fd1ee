"""The taxonomy of presentations: what each attack species is, and what it can fool."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Species:
    """An attack presentation instrument (ISO/IEC 30107-3) or a digital injection.

    Parameters
    ----------
    name
        Identifier.
    parent
        ``print``, ``replay``, ``mask`` or ``injection``.
    in_front
        True in front of the sensor, False if injected behind it.
    flat
        Whether its depth is a smooth sheet.
    """

    name: str
    parent: str
    in_front: bool = True
    flat: bool = False


#: Presentation attacks and digital injections that the simulator knows.
SPECIES = MappingProxyType(
    {
        s.name: s
        for s in (
            Species("print", "print", flat=True),
            Species("print_bent", "print", flat=True),
            Species("print_cut", "print", flat=True),
            Species("replay", "replay", flat=True),
            Species("mask_paper", "mask"),
            Species("mask_rigid", "mask"),
            Species("mask_flexible", "mask"),
            Species("mannequin", "mask"),
            Species("glasses", "mask"),
            Species("digital_replay", "injection", in_front=False),
            Species("swap", "injection", in_front=False),
            Species("generated", "injection", in_front=False),
            Species("adversarial", "injection", in_front=False),
        )
    }
)

SHEETS = tuple(name for name, s in SPECIES.items() if s.flat)
MASKS = tuple(name for name, s in SPECIES.items() if s.parent == "mask")
INJECTIONS = tuple(name for name, s in SPECIES.items() if not s.in_front)
