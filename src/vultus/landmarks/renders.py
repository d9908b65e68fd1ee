"""Rendered heads for landmark systems to learn from, and aligned crops of them or of files."""

from __future__ import annotations

from typing import Protocol

from vultus.landmarks.crops import PointCrops, load_points
from vultus.landmarks.prepare import render_crops
from vultus.settings import settings


@settings
class Renders:
    """Rendered heads to learn from where no files are given.

    Parameters
    ----------
    train, development
        Pictures of each split, two of each person; nobody is in both.
    head
        ``procedural`` or ``ict``.
    """

    train: int
    development: int
    head: str = "procedural"

    def __post_init__(self) -> None:
        if self.train < 2 or self.development < 1:
            raise ValueError("need two training pictures and one of development")

    @property
    def count(self) -> int:
        """Pictures of both splits."""
        return self.train + self.development

    @property
    def share(self) -> float:
        """Share of the pictures that are of development, in (0, 1)."""
        return self.development / self.count


class CropSource(Protocol):
    """Settings that say where crops come from."""

    @property
    def size(self) -> int:
        """Side of the network's input in pixels."""

    @property
    def files(self) -> tuple[str, ...]:
        """What ``python -m vultus.landmarks`` wrote."""

    @property
    def renders(self) -> Renders | None:
        """Heads to draw in place of files."""


def aligned_crops(source: CropSource, seed: int) -> list[PointCrops]:
    """Return the crops of each file, or rendered ones, at the size of the network's input.

    Parameters
    ----------
    source
        Files, or heads to draw.
    seed
        Of the drawn people and pictures.

    Raises
    ------
    DatasetError
        If a file holds something else, or the size is no multiple of 4.
    """
    plan = source.renders
    if plan is not None:
        return [
            render_crops(plan.head, plan.count, seed, field=source.size, development=plan.share)
        ]
    return [load_points(file).resized(source.size) for file in source.files]
