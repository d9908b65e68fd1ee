"""How well clusters of faces match people: B-cubed, pairwise F, NMI, adjusted Rand index."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vultus.errors import MeasureError
from vultus.measure.arrays import Float, Int, codes_of, labels_of, probability, sums
from vultus.measure.distributions import t_quantile
from vultus.measure.intervals import CONFIDENCE, Estimate, not_estimable

#: Groups of people that are left out in turn.
_GROUPS = 100

_MEASURES = (
    "bcubed_precision",
    "bcubed_recall",
    "bcubed_f",
    "pairwise_precision",
    "pairwise_recall",
    "pairwise_f",
    "nmi",
    "ari",
)


@dataclass(frozen=True, slots=True)
class ClusteringScores:
    """Agreement of a clustering with the people.

    Parameters
    ----------
    bcubed_precision, bcubed_recall, bcubed_f
        Mean over faces of the share of the face's cluster that shows the same person, of the share
        of the person's faces that lie in the same cluster, and their harmonic mean (Bagga and
        Baldwin, 1998; Amigo et al., 2009).
    pairwise_precision, pairwise_recall, pairwise_f
        The same over pairs of faces, which weighs a person by the square of their faces. NaN where
        there is no pair to count.
    nmi
        Mutual information over the mean of both entropies.
    ari
        Rand index adjusted for chance (Hubert and Arabie, 1985): 0 expected at random, 1 perfect.
    n_people, n_clusters
        Number of people and of clusters.
    """

    bcubed_precision: Estimate
    bcubed_recall: Estimate
    bcubed_f: Estimate
    pairwise_precision: Estimate
    pairwise_recall: Estimate
    pairwise_f: Estimate
    nmi: Estimate
    ari: Estimate
    n_people: int
    n_clusters: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        out: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            out[item.name] = value.to_dict() if isinstance(value, Estimate) else value
        return out


@dataclass(frozen=True, slots=True)
class _Table:
    """Faces per person and cluster, where there are any."""

    person: Int
    cluster: Int
    faces: Float

    @property
    def of_person(self) -> Float:
        return sums(self.person, self.faces, int(self.person.max()) + 1)

    @property
    def of_cluster(self) -> Float:
        return sums(self.cluster, self.faces, int(self.cluster.max()) + 1)


def clustering_scores(
    people: ArrayLike,
    clusters: ArrayLike,
    *,
    noise: int | str | None = None,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> ClusteringScores:
    """Compare a clustering of N faces with who they show.

    Intervals come from the jackknife over people (Student's t, in up to 100 groups): resampling
    people with replacement would put copies of one face into one cluster and so change what is
    measured.

    Parameters
    ----------
    people
        (N,) who each face shows.
    clusters
        (N,) label of each face's cluster.
    noise
        Cluster label that means "not clustered": each such face counts as a cluster of its own.
    confidence
        Level of the intervals.
    seed
        Of the grouping of more than 100 people.

    Raises
    ------
    MeasureError
        If there is no face, or lengths differ.
    """
    probability(confidence, "confidence")
    who, n_people = codes_of(people, "people")
    labels = labels_of(clusters, "clusters", len(who))
    if not len(who):
        raise MeasureError("there are no faces to measure")
    found, n_clusters = codes_of(labels, "clusters")
    if noise is not None:
        alone = np.flatnonzero(labels == noise)
        found[alone] = n_clusters + np.arange(len(alone))
        found, n_clusters = codes_of(found, "clusters")
    cells, faces = np.unique(who * n_clusters + found, return_counts=True)
    table = _Table(cells // n_clusters, cells % n_clusters, faces.astype(np.float64))
    value = _measure(table)
    low, high = _jackknife(table, value, n_people, confidence, seed)
    method = f"jackknife over {n_people} people"

    def estimate(i: int) -> Estimate:
        if math.isnan(value[i]):
            return not_estimable(len(who), "there is no such pair", confidence=confidence)
        return Estimate(value[i], low[i], high[i], len(who), confidence, method)

    return ClusteringScores(
        **{name: estimate(i) for i, name in enumerate(_MEASURES)},
        n_people=n_people,
        n_clusters=n_clusters,
    )


def _measure(table: _Table) -> list[float]:
    faces, of_person, of_cluster = table.faces, table.of_person, table.of_cluster
    n = float(faces.sum())
    precision = float((faces**2 / of_cluster[table.cluster]).sum() / n)
    recall = float((faces**2 / of_person[table.person]).sum() / n)
    both, same_person, same_cluster = (
        float((sizes * (sizes - 1)).sum() / 2) for sizes in (faces, of_person, of_cluster)
    )
    pair_precision = both / same_cluster if same_cluster else math.nan
    pair_recall = both / same_person if same_person else math.nan
    pairs = same_cluster + same_person
    return [
        precision,
        recall,
        2 * precision * recall / (precision + recall),
        pair_precision,
        pair_recall,
        2 * both / pairs if pairs else math.nan,
        _nmi(table, n),
        _ari(both, same_person, same_cluster, n * (n - 1) / 2),
    ]


def _nmi(table: _Table, n: float) -> float:
    def entropy(sizes: Float) -> float:
        share = sizes[sizes > 0] / n
        return float(-(share * np.log(share)).sum())

    entropies = entropy(table.of_person) + entropy(table.of_cluster)
    if not entropies:
        return 1.0
    mutual = entropies - entropy(table.faces)
    return min(max(2 * mutual / entropies, 0.0), 1.0)


def _ari(both: float, same_person: float, same_cluster: float, pairs: float) -> float:
    expected = same_person * same_cluster / pairs if pairs else 0.0
    highest = (same_person + same_cluster) / 2
    # Both all apart, or both all together: they agree.
    return (both - expected) / (highest - expected) if highest != expected else 1.0


def _jackknife(
    table: _Table, value: list[float], n_people: int, confidence: float, seed: int
) -> tuple[list[float], list[float]]:
    groups = min(n_people, _GROUPS)
    if groups < 2:
        return [math.nan] * len(value), [math.nan] * len(value)
    group_of = np.random.default_rng(seed).permutation(np.arange(n_people) % groups)
    left_out = []
    for group in range(groups):
        kept = group_of[table.person] != group
        left_out.append(
            _measure(_Table(table.person[kept], table.cluster[kept], table.faces[kept]))
        )
    replicates = np.array(left_out)
    deviations = replicates - replicates.mean(0)
    error = np.sqrt((groups - 1) / groups * (deviations**2).sum(0))
    half = t_quantile((1 + confidence) / 2, groups - 1) * error
    centre, bottom = np.array(value), np.array([0.0] * 7 + [-1.0])
    low, high = ((centre + sign * half).clip(bottom, 1.0).tolist() for sign in (-1, 1))
    return low, high
