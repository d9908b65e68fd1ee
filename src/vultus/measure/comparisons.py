"""Genuine and impostor scores: what every verification metric starts from."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import MeasureError
from vultus.measure.arrays import Float, labels_of, mask_of, scores_of


@dataclass(frozen=True, eq=False)
class Comparisons:
    """Scores of comparisons of the same person (genuine) and of different people (impostor).

    Higher scores are more similar; a comparison is accepted when its score is at or above the
    threshold. A comparison that could not be made (failure to enrol or acquire) has the score
    -inf: it is rejected at every threshold, as NIST FRTE counts it.

    Parameters
    ----------
    genuine
        (G,) scores, in any order; float32 scores keep thresholds that are exact in float32.
    impostor
        (I,) scores.
    genuine_people
        (G,) the person of each genuine comparison, or (G, 2); for intervals over people.
    impostor_people
        (I, 2) the two people of each impostor comparison. Given with ``genuine_people`` or not
        at all; equal labels mean the same person on both sides.

    Raises
    ------
    MeasureError
        If either side is empty, not finite (-inf apart), or the people do not match the scores.
    """

    genuine: Float
    impostor: Float
    genuine_people: NDArray[np.generic] | None = None
    impostor_people: NDArray[np.generic] | None = None
    #: Type of the scores as given, in which thresholds are exact: float32 or float64.
    dtype: np.dtype[np.floating] = field(init=False)

    def __post_init__(self) -> None:
        types = {np.asarray(side).dtype for side in (self.genuine, self.impostor)}
        single = types == {np.dtype(np.float32)}
        object.__setattr__(self, "dtype", np.dtype(np.float32 if single else np.float64))
        for side in ("genuine", "impostor"):
            scores = scores_of(getattr(self, side), f"{side} scores", allow_failures=True)
            object.__setattr__(self, side, scores)
        if (self.genuine_people is None) != (self.impostor_people is None):
            raise MeasureError("give the people of both genuine and impostor comparisons, or none")
        if self.genuine_people is not None and self.impostor_people is not None:
            object.__setattr__(self, "genuine_people", _pairs(self.genuine_people, self.genuine))
            object.__setattr__(self, "impostor_people", _pairs(self.impostor_people, self.impostor))

    @classmethod
    def from_pairs(
        cls,
        scores: ArrayLike,
        same: ArrayLike,
        people: ArrayLike | None = None,
    ) -> Comparisons:
        """Build from one list of pairs.

        Parameters
        ----------
        scores
            (N,).
        same
            bool (N,), whether the pair shows one person.
        people
            (N, 2) the two people of each pair, or None.

        Raises
        ------
        MeasureError
            If lengths differ, one kind is missing, or the people contradict ``same``.
        """
        values = np.asarray(scores)
        mask = mask_of(same, "same", len(values))
        if mask.all() or not mask.any():
            kind = "genuine" if mask.all() else "impostor"
            raise MeasureError(f"all {len(mask)} pairs are {kind}: both kinds are needed")
        if people is None:
            return cls(values[mask], values[~mask])
        who = np.asarray(people)
        if who.shape != (len(values), 2):
            raise MeasureError(f"people must be ({len(values)}, 2), got {who.shape}")
        wrong = np.flatnonzero((who[:, 0] == who[:, 1]) != mask)
        if wrong.size:
            raise MeasureError(
                f"people and labels disagree in {wrong.size} pairs, the first is {wrong[0]}: "
                f"{who[wrong[0]].tolist()} marked {'same' if mask[wrong[0]] else 'different'}"
            )
        return cls(values[mask], values[~mask], who[mask], who[~mask])

    @classmethod
    def from_distances(
        cls,
        genuine: ArrayLike,
        impostor: ArrayLike,
        genuine_people: ArrayLike | None = None,
        impostor_people: ArrayLike | None = None,
    ) -> Comparisons:
        """Build from distances (lower is more similar), which become negative scores."""
        return cls(
            -np.asarray(genuine),
            -np.asarray(impostor),
            None if genuine_people is None else np.asarray(genuine_people),
            None if impostor_people is None else np.asarray(impostor_people),
        )

    @cached_property
    def sorted_genuine(self) -> Float:
        """Genuine scores, ascending."""
        return np.sort(self.genuine)

    @cached_property
    def sorted_impostor(self) -> Float:
        """Impostor scores, ascending."""
        return np.sort(self.impostor)

    @cached_property
    def scores(self) -> Float:
        """All scores: genuine, then impostor, as given."""
        return np.concatenate([self.genuine, self.impostor])

    @cached_property
    def same(self) -> NDArray[np.bool_]:
        """Whether each of :attr:`scores` is genuine."""
        return np.arange(len(self.scores)) < len(self.genuine)

    @cached_property
    def people(self) -> NDArray[np.generic] | None:
        """The two people of each of :attr:`scores`, (N, 2), or None."""
        if self.genuine_people is None or self.impostor_people is None:
            return None
        return np.concatenate([self.genuine_people, self.impostor_people])


def _pairs(people: ArrayLike, scores: Float) -> NDArray[np.generic]:
    array = np.asarray(people)
    if array.ndim == 1:
        array = np.stack([array, array], 1)
    if array.ndim != 2 or array.shape != (len(scores), 2):
        raise MeasureError(
            f"people must be ({len(scores)},) or ({len(scores)}, 2), got {array.shape}"
        )
    labels_of(array.ravel(), "people")
    return array
