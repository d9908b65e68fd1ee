"""Identification with one enrolled picture a person, closed and open set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vultus.analysis import Analyzer
from vultus.datasets.people import read_folder
from vultus.datasets.records import Dataset
from vultus.errors import DatasetError
from vultus.evaluation.embedding import Embedded, Progress, embed_all
from vultus.evaluation.report import Report, system_of
from vultus.measure import plots
from vultus.measure.identification import Searches, cmc, fnir_at_fpir, rank_k

#: Targets at which FNIR is reported.
FPIRS = (0.1, 0.01)


def evaluate_orl(
    root: Path, *, seed: int = 0, analyzer: Analyzer, progress: Progress | None = None
) -> Report:
    """Identify every picture of a folder of people from one enrolled picture of each.

    Closed set: picture r of every person is enrolled and all others are searched, for every r.
    Open set: the same with half of the people enrolled; the threshold comes from one half of all
    people (development) and is applied to the other (evaluation).

    Parameters
    ----------
    root
        Folder with one folder per person, such as ORL's ``s1`` to ``s40``.
    seed
        Of the division of people into development and evaluation, enrolled and unknown.

    Raises
    ------
    DatasetError
        If there are fewer than eight people with two pictures or more.
    """
    data = _repeated(root)
    who, people = data.identities()
    picture = _number_within(who)
    paths = [record.path for record in data]
    embedded = embed_all(paths, analyzer, progress=progress)
    closed = _searches(embedded, who, picture, np.arange(len(people)), np.arange(len(people)))
    order = np.random.default_rng(seed).permutation(len(people))
    dev_people, eval_people = np.array_split(order, 2)
    dev, evaluation = (
        _searches(embedded, who, picture, half, half[: len(half) // 2])
        for half in (dev_people, eval_people)
    )
    ranks = cmc(closed, range(1, min(20, len(people)) + 1))
    figures = {"rank-1": rank_k(closed, 1), "rank-5": rank_k(closed, 5)}
    facts: dict[str, object] = {
        "people": len(people),
        "pictures": len(paths),
        "enrolled pictures a person": 1,
        "seed": seed,
        "pictures without a face": [path.name for path in embedded.reasons],
    }
    for target in FPIRS:
        measured = fnir_at_fpir(evaluation, target, dev=dev)
        figures[f"FNIR@FPIR={target:g} (threshold from dev)"] = measured.fnir
        figures[f"FPIR reached at that threshold, {target:g} asked for"] = measured.fpir
        facts[f"threshold at FPIR={target:g}"] = measured.to_dict()["threshold"]
        facts["people enrolled in the open set"] = measured.n_enrolled
    figures["failure to acquire"] = embedded.failure_to_acquire()
    return Report(
        protocol="identification-1",
        system=system_of(analyzer),
        figures=figures,
        facts=facts,
        plots={"cmc": lambda: plots.cmc({"cosine": ranks}, title=f"{root.name}, closed set")},
    )


def _repeated(root: Path) -> Dataset:
    """Return the pictures of the people who have two or more."""
    data = read_folder(root)
    codes, _ = data.identities()
    counts = np.bincount(codes)
    if (counts >= 2).sum() < 8:
        raise DatasetError(
            f"{root}: needs eight people with two pictures or more, got {(counts >= 2).sum()}"
        )
    return data.take(np.flatnonzero(counts[codes] >= 2))


def _number_within(groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """Number the members of each group from 0, in order."""
    order = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups)
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    numbers = np.empty(len(groups), np.intp)
    numbers[order] = np.arange(len(groups)) - starts
    return numbers


def _searches(
    embedded: Embedded,
    who: NDArray[np.intp],
    picture: NDArray[np.intp],
    searched: NDArray[np.intp],
    enrolled: NDArray[np.intp],
) -> Searches:
    """Enrol picture r of the enrolled people and search all others of the searched, for all r."""
    rounds = []
    for r in range(int(np.bincount(who).min())):
        gallery = np.flatnonzero(np.isin(who, enrolled) & (picture == r))
        probes = np.flatnonzero(np.isin(who, searched) & (picture != r))
        scores = embedded.vectors[probes] @ embedded.vectors[gallery].T
        scores[~embedded.found[probes]] = -np.inf
        scores[:, ~embedded.found[gallery]] = -np.inf
        rounds.append(Searches.from_scores(scores, who[probes], who[gallery]))
    return Searches(
        rank=np.concatenate([one.rank for one in rounds]),
        mate_score=np.concatenate([one.mate_score for one in rounds]),
        best_other=np.concatenate([one.best_other for one in rounds]),
        people=np.concatenate([one.people for one in rounds]),
        n_enrolled=len(enrolled),
        dtype=rounds[0].dtype,
    )
