"""Comparing the faces of two uploaded pictures; the route and the page use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vultus.analysis import Analysis, Subject
from vultus.service.batching import Task
from vultus.service.core import Service, raise_failure
from vultus.verbs import Threshold


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether two pictures show the same person.

    Parameters
    ----------
    similarity
        Raw cosine.
    threshold
        What decided, with the error rates measured at it.
    pictures
        What was found in each; the face that was compared is the first.
    """

    similarity: float
    threshold: Threshold
    pictures: tuple[Analysis, Analysis]

    @property
    def same(self) -> bool:
        """Whether the similarity reaches the threshold."""
        return self.similarity >= self.threshold.value

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON, without templates."""
        return {
            "same": self.same,
            "similarity": self.similarity,
            "threshold": self.threshold.to_dict(),
            "faces": [found.faces[0].to_dict(embedding=False) for found in self.pictures],
        }


async def compare(
    service: Service,
    pictures: Sequence[bytes],
    threshold: Threshold,
    subject: Subject,
    names: tuple[str, str] = ("first", "second"),
) -> Comparison:
    """Compare two pictures.

    Parameters
    ----------
    names
        What the pictures are called where one of them fails.

    Raises
    ------
    ApiError
        422 if a picture cannot be read or shows no face that could be meant; 429 without room.
    """
    first, second = await service.analyze(list(pictures), Task(embed=True, subject=subject))
    for name, found in zip(names, (first, second), strict=True):
        raise_failure(found, field=name)
    similarity = first.faces[0].embedding.similarity(second.faces[0].embedding)
    return Comparison(similarity, threshold, (first, second))
