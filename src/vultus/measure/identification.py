"""One-to-many search: CMC in a closed set, FNIR and FPIR in an open one.

ISO/IEC 19795-1 and the NIST FRTE reports. A search is *mated* when the probe's person is enrolled.
FNIR(N, R, T) is the share of mated searches whose mate is not among the first R candidates at or
above the threshold T, in a gallery of N people; FPIR(N, T) is the share of non-mated searches that
return any candidate at or above T.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import MeasureError
from vultus.measure.arrays import Float, Int, decided, finite, labels_of, probability
from vultus.measure.intervals import CONFIDENCE, Estimate, not_estimable, rate
from vultus.measure.verification import lowest_threshold

#: Score of a person who is not enrolled, lower than that of a failed comparison.
_ABSENT = -np.inf

_FLOAT64 = np.dtype(np.float64)


@dataclass(frozen=True, eq=False)
class Searches:
    """What each of P searches of one gallery gave: all that identification metrics need.

    Parameters
    ----------
    rank
        intp (P,): place of the mate among the enrolled people, from 1; 0 where the search is
        non-mated, ``n_enrolled + 1`` where the search failed. Others with the mate's very score
        are placed before it.
    mate_score
        float64 (P,): score of the mate; -inf where there is none or the search failed.
    best_other
        float64 (P,): highest score of anybody else.
    people
        (P,) the person of each probe, for intervals.
    n_enrolled
        Number N of enrolled people.
    dtype
        Type in which thresholds are exact.
    """

    rank: Int
    mate_score: Float
    best_other: Float
    people: NDArray[np.generic]
    n_enrolled: int
    dtype: np.dtype[np.floating] = _FLOAT64

    @property
    def mated(self) -> NDArray[np.bool_]:
        """Whether the person of each search is enrolled."""
        return np.asarray(self.rank > 0, np.bool_)

    @classmethod
    def from_scores(
        cls, scores: ArrayLike, probe_people: ArrayLike, gallery_people: ArrayLike
    ) -> Searches:
        """Summarise a score matrix.

        Parameters
        ----------
        scores
            (P, G), higher is more similar; a row of -inf is a search that failed.
        probe_people
            (P,).
        gallery_people
            (G,); a person with several templates has the best of their scores.
        """
        matrix = np.asarray(scores)
        finite(matrix, "scores", allow_failures=True)
        probes, enrolled = labels_of(probe_people, "probe_people"), _Enrolled(gallery_people)
        if matrix.shape != (len(probes), enrolled.size):
            raise MeasureError(
                f"scores must be ({len(probes)}, {enrolled.size}), got {matrix.shape}"
            )
        return cls(*enrolled.place(matrix, probes), probes, enrolled.n_people, _exact(matrix.dtype))

    @classmethod
    def from_embeddings(
        cls,
        probes: ArrayLike,
        probe_people: ArrayLike,
        gallery: ArrayLike,
        gallery_people: ArrayLike,
        *,
        block: int = 1024,
    ) -> Searches:
        """Search a gallery exhaustively by cosine, a block of probes at a time.

        Parameters
        ----------
        probes, gallery
            (P, D) and (G, D), made unit length; float32 products.
        probe_people, gallery_people
            (P,) and (G,).
        block
            Probes searched at once; memory is about 12 block G bytes.
        """
        vectors = [_unit(probes, "probes"), _unit(gallery, "gallery")]
        people, enrolled = labels_of(probe_people, "probe_people"), _Enrolled(gallery_people)
        if len(people) != len(vectors[0]) or enrolled.size != len(vectors[1]):
            raise MeasureError(
                f"{len(vectors[0])} probes with {len(people)} people, "
                f"{len(vectors[1])} templates with {enrolled.size} people"
            )
        parts = [
            enrolled.place(vectors[0][i : i + block] @ vectors[1].T, people[i : i + block])
            for i in range(0, len(people), block)
        ]
        rank, mate, other = (np.concatenate(column) for column in zip(*parts, strict=True))
        return cls(rank, mate, other, people, enrolled.n_people, np.dtype(np.float32))


class _Enrolled:
    """Gallery columns grouped by person."""

    def __init__(self, people: ArrayLike) -> None:
        labels = labels_of(people, "gallery_people")
        if not len(labels):
            raise MeasureError("the gallery is empty")
        self.size = len(labels)
        self.order = np.argsort(labels, kind="stable")
        self.people, self.starts = np.unique(labels[self.order], return_index=True)
        self.n_people = len(self.people)

    def place(self, scores: NDArray[Any], probes: NDArray[np.generic]) -> tuple[Int, Float, Float]:
        if self.n_people < self.size:
            best = np.maximum.reduceat(scores[:, self.order], self.starts, axis=1)
        else:
            best = scores[:, self.order]
        column = np.searchsorted(self.people, probes).clip(0, self.n_people - 1)
        mated = self.people[column] == probes
        rows = np.arange(len(probes))
        mate = np.where(mated, best[rows, column], _ABSENT)
        others = best.copy()
        others[rows[mated], column[mated]] = _ABSENT
        before = (others >= mate[:, None]).sum(1)
        failed = np.isneginf(mate)
        rank = np.where(failed, self.n_people + 1, before + 1)
        top = others.max(1, initial=_ABSENT).astype(np.float64)
        return np.where(mated, rank, 0).astype(np.intp), mate.astype(np.float64), top


def rank_k(searches: Searches, k: int = 1, *, confidence: float = CONFIDENCE) -> Estimate:
    """Return the share of mated searches whose mate is among the first k people.

    Parameters
    ----------
    searches
        Non-mated ones are left out.
    k
        From 1.
    confidence
        Level of the interval, over the probes' people.
    """
    if k < 1:
        raise MeasureError(f"a rank counts from 1, got {k}")
    mated = searches.mated
    found = searches.rank[mated] <= min(k, searches.n_enrolled)
    return rate(found, searches.people[mated], confidence=confidence)


def cmc(
    searches: Searches, ranks: Sequence[int] | None = None, *, confidence: float = CONFIDENCE
) -> list[tuple[int, Estimate]]:
    """Return the cumulative match characteristic.

    Parameters
    ----------
    searches
        Non-mated ones are left out.
    ranks
        Ranks to report; 1 to 20, or to the number of enrolled people, if not given.
    confidence
        Level of the intervals.
    """
    if ranks is None:
        ranks = range(1, min(20, searches.n_enrolled) + 1)
    return [(k, rank_k(searches, k, confidence=confidence)) for k in ranks]


def fnir(
    searches: Searches,
    threshold: float,
    rank: int | None = None,
    *,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Return FNIR(N, R, T), the miss rate of mated searches.

    Parameters
    ----------
    searches
        Non-mated ones are left out.
    threshold
        T; -inf for an investigation, in which a person reads the first R candidates.
    rank
        R, or None for any place.
    confidence
        Level of the interval, over the probes' people.
    """
    decided(threshold)
    mated = searches.mated
    places = searches.rank[mated]
    limit = searches.n_enrolled if rank is None else min(rank, searches.n_enrolled)
    missed = (places > limit) | (searches.mate_score[mated] < threshold)
    return rate(missed, searches.people[mated], confidence=confidence)


def fpir(searches: Searches, threshold: float, *, confidence: float = CONFIDENCE) -> Estimate:
    """Return FPIR(N, T), the share of non-mated searches that return anybody."""
    decided(threshold)
    top = searches.best_other[~searches.mated]
    returned = (top >= threshold) & (top > -np.inf)
    return rate(returned, searches.people[~searches.mated], confidence=confidence)


def threshold_at_fpir(searches: Searches, target: float) -> float:
    """Return the lowest threshold whose measured FPIR is at most the target.

    NaN with fewer than 1/target non-mated searches. Choose it on development searches of a
    gallery as large as the one in use: FPIR grows with the number of people enrolled.
    """
    probability(target, "target")
    top = np.sort(searches.best_other[~searches.mated])
    return lowest_threshold(top, target, searches.dtype)


@dataclass(frozen=True, slots=True)
class FnirAtFpir:
    """FNIR at a threshold that was chosen for an FPIR.

    Parameters
    ----------
    target
        The FPIR asked for.
    threshold
        NaN where not estimable.
    fnir, fpir
        Measured at the threshold. Where it was chosen on other searches, ``fpir`` may exceed the
        target.
    n_enrolled
        Number of enrolled people that the figures hold for.
    """

    target: float
    threshold: float
    fnir: Estimate
    fpir: Estimate
    n_enrolled: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "target": self.target,
            "threshold": None if math.isnan(self.threshold) else self.threshold,
            "fnir": self.fnir.to_dict(),
            "fpir": self.fpir.to_dict(),
            "n_enrolled": self.n_enrolled,
        }


def fnir_at_fpir(
    searches: Searches,
    target: float,
    *,
    dev: Searches | None = None,
    rank: int | None = None,
    confidence: float = CONFIDENCE,
) -> FnirAtFpir:
    """Return FNIR@FPIR.

    Parameters
    ----------
    searches
        That are measured.
    target
        FPIR, in (0, 1).
    dev
        Searches that the threshold is chosen on; the measured ones themselves if not given, as
        the NIST tables do.
    rank
        R of :func:`fnir`.
    confidence
        Level of the intervals.
    """
    source = searches if dev is None else dev
    threshold = threshold_at_fpir(source, target)
    if math.isnan(threshold):
        n = int((~source.mated).sum())
        why = f"FPIR {target:g} needs {math.ceil(1 / target)} non-mated searches or more, got {n}"
        nothing = not_estimable(n, why, confidence=confidence)
        return FnirAtFpir(target, math.nan, nothing, nothing, searches.n_enrolled)
    return FnirAtFpir(
        target,
        threshold,
        fnir(searches, threshold, rank, confidence=confidence),
        fpir(searches, threshold, confidence=confidence),
        searches.n_enrolled,
    )


def _unit(vectors: ArrayLike, name: str) -> NDArray[np.float32]:
    array = finite(vectors, name).astype(np.float32)
    if array.ndim != 2 or not len(array):
        raise MeasureError(f"{name} must be (N, D) with N >= 1, got shape {array.shape}")
    norms = np.linalg.norm(array, axis=1, keepdims=True)
    if not norms.all():
        raise MeasureError(f"{name}: vector {int(np.argmin(norms))} has length zero")
    return np.asarray(array / norms, np.float32)


def _exact(dtype: np.dtype[Any]) -> np.dtype[np.floating]:
    return np.dtype(np.float32) if dtype == np.float32 else np.dtype(np.float64)
