"""Verification over every pair of a set of embeddings, without storing the pairs.

N faces make N (N - 1) / 2 comparisons: 10,000 faces 50 million, 100,000 faces 5 billion. They are
computed in blocks; genuine scores are kept exactly, impostor scores as a fine histogram together
with their exact highest scores, which is all that low FMRs depend on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import MeasureError
from vultus.measure.arrays import Int, codes_of, decided, finite, probability
from vultus.measure.intervals import CONFIDENCE, Estimate, all_pairs_rate, not_estimable, rate
from vultus.measure.verification import Roc

Float32 = NDArray[np.float32]

#: Histogram bins over [-1, 1]: a power of two, so that the edges are exact in float32.
BINS = 2**15


@dataclass(frozen=True, eq=False)
class AllPairs:
    """Scores of all pairs of a set, summarised.

    Parameters
    ----------
    genuine
        float32 (G,) every genuine score, ascending.
    genuine_people
        intp (G,) the person of each.
    impostor_histogram
        int64 (BINS,) number of impostor scores per bin of [-1, 1], the last bin closed.
    impostor_tail
        float32 (K,) the highest impostor scores, exact, ascending.
    n_impostor
        Number of impostor comparisons.
    embeddings, people
        What was compared: float32 (N, D) of unit length and intp (N,), for second passes.
    """

    genuine: Float32
    genuine_people: Int
    impostor_histogram: NDArray[np.int64]
    impostor_tail: Float32
    n_impostor: int
    embeddings: Float32 = field(repr=False)
    people: Int = field(repr=False)
    block: int = 2048

    @property
    def n_genuine(self) -> int:
        """Number of genuine comparisons."""
        return len(self.genuine)

    @property
    def _tail_floor(self) -> float:
        # Scores that tie with the lowest of the tail may have been left out of it.
        if len(self.impostor_tail) == self.n_impostor:
            return -math.inf
        return float(self.impostor_tail[0]) if len(self.impostor_tail) else math.inf

    def fmr(self, threshold: float) -> float:
        """Return the measured FMR: exact within the tail, else at the bin edge at or below.

        A bin holds scores on both sides of a threshold inside it; all of them are counted, so the
        rate is never understated, and overstated by at most the share of one bin.
        """
        decided(threshold)
        if threshold > self._tail_floor:
            place = int(np.searchsorted(self.impostor_tail, threshold, side="left"))
            return (len(self.impostor_tail) - place) / self.n_impostor
        first = math.floor((threshold + 1) * BINS / 2)
        return float(self.impostor_histogram[max(first, 0) :].sum()) / self.n_impostor

    def fnmr(self, threshold: float) -> float:
        """Return the exact measured FNMR."""
        decided(threshold)
        return float(np.searchsorted(self.genuine, threshold, side="left")) / self.n_genuine

    def threshold_at_far(self, far: float) -> float:
        """Return the lowest threshold whose measured FMR is at most ``far``, in float32.

        Exact where the tail reaches; beyond it the lower edge of a histogram bin. NaN with fewer
        than 1/FAR impostor comparisons.
        """
        probability(far, "far")
        allowed = math.floor(far * self.n_impostor * (1 + 1e-12))
        if allowed < 1:
            return math.nan
        if allowed < len(self.impostor_tail):
            rejected = self.impostor_tail[-allowed - 1]
            return float(np.nextafter(rejected, np.float32(np.inf)))
        accepted = self.impostor_histogram[::-1].cumsum()
        bins = int(np.searchsorted(accepted, allowed, side="right"))
        return float(-1 + 2 * (BINS - bins) / BINS)

    def tar_at_far(self, far: float, *, confidence: float = CONFIDENCE) -> Estimate:
        """Return TAR at :meth:`threshold_at_far`, with its interval over people."""
        threshold = self.threshold_at_far(far)
        if math.isnan(threshold):
            need = f"FAR {far:g} needs {math.ceil(1 / far)} impostor comparisons or more"
            return not_estimable(
                self.n_genuine, f"{need}, got {self.n_impostor}", confidence=confidence
            )
        accepted = self.genuine >= np.float32(threshold)
        return rate(accepted, self.genuine_people, confidence=confidence)

    def fmr_estimate(self, threshold: float, *, confidence: float = CONFIDENCE) -> Estimate:
        """Return the exact FMR with its interval over people; goes over all pairs once more."""
        decided(threshold)
        n_people = int(self.people.max()) + 1
        found = [np.empty(0, np.int64)]
        for first, second, scores in _blocks(self.embeddings, self.block):
            rows, columns = np.nonzero(scores >= np.float32(threshold))
            a, b = self.people[first + rows], self.people[second + columns]
            upper = (first + rows < second + columns) & (a != b)
            low, high = np.minimum(a, b)[upper], np.maximum(a, b)[upper]
            found.append(low * n_people + high)
        pairs, events = np.unique(np.concatenate(found), return_counts=True)
        faces = np.bincount(self.people)
        return all_pairs_rate(
            events, pairs // n_people, pairs % n_people, faces, confidence=confidence
        )

    def roc(self) -> Roc:
        """Return the ROC at the bin edges, and at each score of the impostor tail."""
        edges = -1 + 2 * np.arange(BINS) / BINS
        counts = self.impostor_histogram[::-1].cumsum()[::-1]
        tail = np.unique(self.impostor_tail).astype(np.float64)
        tail = tail[tail > self._tail_floor]
        inside = edges <= max(self._tail_floor, -1)
        above = len(self.impostor_tail) - np.searchsorted(self.impostor_tail, tail)
        thresholds = np.concatenate([[np.inf], tail[::-1], edges[inside][::-1]])
        accepted = np.concatenate([[0], above[::-1], counts[inside][::-1]])
        fnmr = np.searchsorted(self.genuine, thresholds, side="left") / self.n_genuine
        return Roc(thresholds, accepted / self.n_impostor, fnmr, self.n_genuine, self.n_impostor)


def all_pairs(
    embeddings: ArrayLike,
    people: ArrayLike,
    *,
    tail: int = 100_000,
    block: int = 2048,
    max_genuine: int = 50_000_000,
) -> AllPairs:
    """Compare every face of a set with every other.

    Parameters
    ----------
    embeddings
        (N, D), made unit length; the score is the cosine, computed in float32.
    people
        (N,) who each face shows.
    tail
        How many of the highest impostor scores are kept exactly.
    block
        Faces compared at once with as many others; memory is about 16 block^2 bytes.
    max_genuine
        Refuse sets with more genuine comparisons than this (4 bytes each are kept).

    Raises
    ------
    MeasureError
        If there is no genuine or no impostor pair, a vector is zero or not finite, or there are
        too many genuine pairs.
    """
    vectors = finite(embeddings, "embeddings").astype(np.float32)
    if vectors.ndim != 2:
        raise MeasureError(f"embeddings must be (N, D), got shape {vectors.shape}")
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not norms.all():
        raise MeasureError(f"embedding {int(np.argmin(norms))} has length zero")
    vectors /= norms
    codes, k = codes_of(people, "people", len(vectors))
    sizes = np.bincount(codes, minlength=k).astype(np.int64)
    n_genuine = int((sizes * (sizes - 1) // 2).sum())
    n_impostor = len(codes) * (len(codes) - 1) // 2 - n_genuine
    if not n_genuine or not n_impostor:
        raise MeasureError(
            f"{len(codes)} faces of {k} people give {n_genuine} genuine and {n_impostor} impostor "
            "pairs: both kinds are needed"
        )
    if n_genuine > max_genuine:
        raise MeasureError(f"{n_genuine} genuine pairs are more than max_genuine={max_genuine}")
    genuine, owners = _genuine_scores(vectors, codes, sizes)
    histogram, highest = _impostor_scores(vectors, codes, tail, block)
    return AllPairs(genuine, owners, histogram, highest, n_impostor, vectors, codes, block)


def _blocks(vectors: Float32, block: int) -> Iterator[tuple[int, int, Float32]]:
    """Yield the blocks of the upper triangle of the score matrix, and where they start."""
    for first in range(0, len(vectors), block):
        for second in range(first, len(vectors), block):
            scores = vectors[first : first + block] @ vectors[second : second + block].T
            yield first, second, scores


def _genuine_scores(vectors: Float32, codes: Int, sizes: NDArray[np.int64]) -> tuple[Float32, Int]:
    order = np.argsort(codes, kind="stable")
    scores, owners = [], []
    for person, members in enumerate(np.split(order, np.cumsum(sizes)[:-1])):
        upper = np.triu_indices(len(members), 1)
        own = vectors[members]
        scores.append((own @ own.T)[upper])
        owners.append(np.full(len(upper[0]), person, np.intp))
    every, who = np.concatenate(scores), np.concatenate(owners)
    place = np.argsort(every, kind="stable")
    return every[place], who[place]


def _impostor_scores(
    vectors: Float32, codes: Int, tail: int, block: int
) -> tuple[NDArray[np.int64], Float32]:
    histogram = np.zeros(BINS, np.int64)
    highest = np.empty(0, np.float32)
    floor = np.float32(-np.inf)
    for first, second, scores in _blocks(vectors, block):
        impostor = codes[first : first + block, None] != codes[None, second : second + block]
        if first == second:
            impostor = np.triu(impostor, 1)
        values = scores[impostor]
        bins = ((values + np.float32(1)) * np.float32(BINS / 2)).astype(np.int32)
        histogram += np.bincount(bins.clip(0, BINS - 1), minlength=BINS)
        highest = np.concatenate([highest, values[values > floor]])
        if len(highest) > 2 * tail:
            highest = _top(highest, tail)
            floor = highest.min() if tail else np.float32(np.inf)
    return histogram, np.sort(_top(highest, tail))


def _top(values: Float32, size: int) -> Float32:
    if len(values) <= size:
        return values
    return np.partition(values, len(values) - size)[len(values) - size :]
