"""Your own people, one folder of pictures each: verification, identification, clustering."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vultus.analysis import Analyzer
from vultus.datasets.lfw import PEOPLE_LISTS, read_lfw
from vultus.datasets.people import read_folder
from vultus.datasets.splits import name_places
from vultus.errors import DatasetError
from vultus.evaluation.embedding import Progress, embed_all
from vultus.evaluation.report import Report, system_of
from vultus.gallery.clustering import cluster
from vultus.measure import Estimate, plots
from vultus.measure.allpairs import AllPairs, all_pairs
from vultus.measure.clustering import clustering_scores
from vultus.measure.identification import Searches, fnir_at_fpir, rank_k
from vultus.measure.intervals import rate

#: Templates (N, D) of unit length, and whose they are (N,).
Part = tuple[NDArray[np.float32], NDArray[np.intp]]

#: False accept rate at which the verification threshold is chosen on the development people.
FAR = 1e-3
FPIR = 0.1

#: Candidate clustering thresholds, as development FMRs.
CLUSTER_FARS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)


def development_people(
    root: Path, held_apart: float | None = None
) -> tuple[str, list[tuple[Path, str]]]:
    """Return a name and the pictures with their people: LFW's DevTrain people, or a whole folder.

    Parameters
    ----------
    held_apart
        Take only the people whose :func:`~vultus.datasets.splits.name_places` are below it.

    Raises
    ------
    DatasetError
        If the folder has neither layout.
    """
    if (root / PEOPLE_LISTS["dev-train"]).exists():
        data, name = read_lfw(root).split("dev-train"), "LFW View 1, DevTrain people"
    else:
        data = read_folder(root)
        name = data.name
    people = [(record.path, str(record.identity)) for record in data]
    if held_apart is None:
        return name, people
    low = name_places([who for _, who in people]) < held_apart
    kept = [one for one, keep in zip(people, low, strict=True) if keep]
    return f"{name}, the {held_apart:.0%} held apart by name", kept


def evaluate_folder(
    root: Path, *, seed: int = 0, analyzer: Analyzer, progress: Progress | None = None
) -> Report:
    """Measure recognition of a folder of people.

    One half of the people is for development: the thresholds of verification, open-set
    identification and clustering are chosen there. All figures are of the other half.

    Parameters
    ----------
    root
        ``PERSON/*.jpg``.
    seed
        Of the division of the people.

    Raises
    ------
    DatasetError
        If there are fewer than eight people with two usable pictures or more.
    """
    data = read_folder(root)
    embedded = embed_all([record.path for record in data], analyzer, progress=progress)
    who, people = data.identities()
    who, vectors = who[embedded.found], embedded.vectors[embedded.found]
    half = _halves(who, len(people), seed, root)
    dev, test = ((vectors[part], who[part]) for part in half)
    dev_pairs, test_pairs = all_pairs(*dev), all_pairs(*test)
    verified, verified_at = _verification(dev_pairs, test_pairs)
    searches = _searches(*test)
    identified = fnir_at_fpir(searches, FPIR, dev=_searches(*dev))
    clustered, linked_at = _clustering(dev_pairs, dev, test)
    curve = {"cosine": test_pairs.roc()}
    return Report(
        protocol="folder",
        system=system_of(analyzer),
        figures={
            **verified,
            "rank-1 of enrolled people": rank_k(searches, 1),
            f"FNIR@FPIR={FPIR:g} (threshold from dev)": identified.fnir,
            f"FPIR reached at that threshold, {FPIR:g} asked for": identified.fpir,
            **clustered,
            "failure to acquire": embedded.failure_to_acquire(),
        },
        facts={
            "people": len(people),
            "pictures": len(data),
            "seed": seed,
            "verification threshold": verified_at,
            "pictures without a face": [path.name for path in embedded.reasons],
            "identification threshold": identified.to_dict()["threshold"],
            "people enrolled": identified.n_enrolled,
            "clustering threshold": linked_at,
        },
        plots={
            "roc": lambda: plots.roc(curve, title=f"{data.name}, evaluation people"),
            "det": lambda: plots.det(curve, title=f"{data.name}, evaluation people"),
        },
    )


def _halves(
    who: NDArray[np.intp], n_people: int, seed: int, root: Path
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows of the development and of the evaluation people."""
    repeated = int((np.bincount(who, minlength=n_people) >= 2).sum())
    if repeated < 8:
        raise DatasetError(
            f"{root}: needs eight people with two pictures that show a face, got {repeated}"
        )
    order = np.random.default_rng(seed).permutation(n_people)
    dev = np.isin(who, order[: n_people // 2])
    return np.flatnonzero(dev), np.flatnonzero(~dev)


def _verification(dev: AllPairs, test: AllPairs) -> tuple[dict[str, Estimate], float]:
    """Return the evaluation people's error rates, and the threshold that is the others'."""
    threshold = dev.threshold_at_far(max(FAR, 1 / dev.n_impostor))
    figures = {
        "FNMR at the dev threshold": rate(
            test.genuine < np.float32(threshold), test.genuine_people
        ),
        "FMR at the dev threshold": test.fmr_estimate(threshold),
        f"TAR@FAR={FAR:g}": test.tar_at_far(FAR),
        f"TAR@FAR={FAR / 10:g}": test.tar_at_far(FAR / 10),
    }
    return figures, threshold


def _clustering(pairs: AllPairs, dev: Part, test: Part) -> tuple[dict[str, Estimate], float]:
    """Return how well the evaluation people are grouped, and at which threshold.

    Parameters
    ----------
    pairs
        Of the development people.
    """
    threshold = _cluster_threshold(pairs, *dev)
    vectors, who = test
    agreement = clustering_scores(who, cluster(vectors, threshold=threshold))
    figures = {
        "B-cubed F": agreement.bcubed_f,
        "B-cubed precision": agreement.bcubed_precision,
        "B-cubed recall": agreement.bcubed_recall,
        "NMI": agreement.nmi,
    }
    return figures, threshold


def _searches(vectors: NDArray[np.float32], who: NDArray[np.intp]) -> Searches:
    """Enrol the first picture of every other person who has two, and search all other pictures."""
    _, first, counts = np.unique(who, return_index=True, return_counts=True)
    enrolled = first[counts >= 2][::2]
    probes = np.setdiff1d(np.arange(len(who)), enrolled)
    return Searches.from_embeddings(vectors[probes], who[probes], vectors[enrolled], who[enrolled])


def _cluster_threshold(dev: AllPairs, vectors: NDArray[np.float32], who: NDArray[np.intp]) -> float:
    """Return the threshold of highest B-cubed F on the development people."""
    candidates = {dev.threshold_at_far(far) for far in CLUSTER_FARS if far * dev.n_impostor >= 1}
    agreement = {
        t: clustering_scores(who, cluster(vectors, threshold=t)).bcubed_f.value for t in candidates
    }
    return max(agreement, key=lambda t: (agreement[t], t))
