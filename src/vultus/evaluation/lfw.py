"""Labeled Faces in the Wild: both views, from detection to decision."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vultus.analysis import Analyzer
from vultus.datasets import Pair
from vultus.datasets.lfw import PAIR_LISTS, View, read_lfw_pairs
from vultus.evaluation.embedding import Embedded, Progress, embed_all
from vultus.evaluation.report import Report, system_of
from vultus.measure import Estimate, plots
from vultus.measure.comparisons import Comparisons
from vultus.measure.lfw import view1, view2
from vultus.measure.scores import Score
from vultus.measure.verification import auc, eer, roc, tar_at_far

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Targets at which TAR is reported.
FARS = (1e-1, 1e-2, 1e-3)


def evaluate_lfw(
    root: Path, *, view: int | None = None, analyzer: Analyzer, progress: Progress | None = None
) -> Report:
    """Run a view of LFW, detection included; the subject is the most central face.

    A pair with a picture in which no face is found is rejected at every threshold, so failures
    to detect count as errors of the genuine pairs.

    Parameters
    ----------
    root
        Folder with the pictures and ``pairsDevTrain.txt``, ``pairsDevTest.txt`` (View 1) or
        ``pairs.txt`` (View 2).
    view
        1 or 2; View 2 where its list is there, if not given.

    Raises
    ------
    DatasetError
        If the folder does not have this layout.
    """
    chosen = view or (2 if (root / PAIR_LISTS["view2"]).exists() else 1)
    lists: tuple[View, ...] = ("dev-train", "dev-test") if chosen == 1 else ("view2",)
    pairs, dev = [], []
    for name in lists:
        found = read_lfw_pairs(root, name)
        pairs += found
        dev += [name == "dev-train"] * len(found)
    paths = sorted({record.path for pair in pairs for record in (pair.first, pair.second)})
    embedded = embed_all(paths, analyzer, progress=progress)
    rows = {path: i for i, path in enumerate(paths)}
    scores = embedded.similarity(
        np.array([rows[pair.first.path] for pair in pairs], np.intp),
        np.array([rows[pair.second.path] for pair in pairs], np.intp),
    )
    if chosen == 2:
        return _view2(pairs, scores, embedded, analyzer)
    return _view1(pairs, scores, np.array(dev), embedded, analyzer)


def _view1(
    pairs: Sequence[Pair],
    scores: NDArray[np.float32],
    dev: NDArray[np.bool_],
    embedded: Embedded,
    analyzer: Analyzer,
) -> Report:
    train, test = _comparisons(pairs, scores, dev), _comparisons(pairs, scores, ~dev)
    result = view1(train, test)
    figures = {
        "accuracy": result.accuracy,
        "accuracy on DevTrain (optimistic)": result.train_accuracy,
        **_threshold_free(test, result.auc, result.eer.estimate),
        "failure to acquire": embedded.failure_to_acquire(),
    }
    return Report(
        protocol="lfw-view1",
        system=system_of(analyzer),
        figures=figures,
        facts={
            "threshold": result.threshold,
            "threshold chosen on": f"{int(dev.sum())} pairs of DevTrain",
            "pictures": len(embedded.paths),
            "pictures without a face": [path.name for path in embedded.reasons],
        },
        scores=list(_scores("lfw-view1", pairs, scores, analyzer, dev)),
        plots=_plots(test, result.threshold, "LFW View 1, DevTest"),
    )


def _view2(
    pairs: Sequence[Pair], scores: NDArray[np.float32], embedded: Embedded, analyzer: Analyzer
) -> Report:
    same = np.array([pair.same for pair in pairs])
    folds = np.array([pair.fold for pair in pairs])
    result = view2(scores, same, folds)
    every = Comparisons.from_pairs(scores, same, _people(pairs))
    figures = {
        "accuracy": result.accuracy,
        **_threshold_free(every, auc(every), eer(every).estimate),
        "failure to acquire": embedded.failure_to_acquire(),
    }
    return Report(
        protocol="lfw-view2",
        system=system_of(analyzer),
        figures=figures,
        facts={
            "standard error": result.standard_error,
            "fold accuracies": list(result.fold_accuracies),
            "thresholds, each from the other folds": list(result.thresholds),
            "pictures": len(embedded.paths),
            "pictures without a face": [path.name for path in embedded.reasons],
        },
        scores=list(_scores("lfw-view2", pairs, scores, analyzer, np.zeros(len(pairs), np.bool_))),
        plots=_plots(every, float(np.mean(result.thresholds)), "LFW View 2"),
    )


def _threshold_free(
    comparisons: Comparisons, area: Estimate, crossing: Estimate
) -> dict[str, Estimate]:
    rates = {f"TAR@FAR={far:g}": tar_at_far(comparisons, far).tar for far in FARS}
    return {"AUC": area, "EER": crossing, **rates}


def _comparisons(
    pairs: Sequence[Pair], scores: NDArray[np.float32], chosen: NDArray[np.bool_]
) -> Comparisons:
    kept = [pair for pair, keep in zip(pairs, chosen, strict=True) if keep]
    same = np.array([pair.same for pair in kept])
    return Comparisons.from_pairs(scores[chosen], same, _people(kept))


def _people(pairs: Sequence[Pair]) -> NDArray[np.str_]:
    return np.array([(pair.first.identity, pair.second.identity) for pair in pairs])


def _scores(
    protocol: str,
    pairs: Sequence[Pair],
    scores: NDArray[np.float32],
    analyzer: Analyzer,
    dev: NDArray[np.bool_],
) -> Iterator[Score]:
    for pair, score, is_dev in zip(pairs, scores, dev, strict=True):
        yield Score(
            protocol=protocol,
            set="dev" if is_dev else "eval",
            kind="verification",
            system=analyzer.embedder.space,
            reference_id=pair.first.path.name,
            probe_id=pair.second.path.name,
            reference_subject=str(pair.first.identity),
            probe_subject=str(pair.second.identity),
            score=float(score),
            label="genuine" if pair.same else "impostor",
        )


def _plots(
    comparisons: Comparisons, threshold: float, title: str
) -> dict[str, Callable[[], Figure]]:
    curve = {"cosine": roc(comparisons)}
    return {
        "roc": lambda: plots.roc(curve, title=title),
        "det": lambda: plots.det(curve, title=title),
        "histogram": lambda: plots.histogram(comparisons, threshold=threshold, title=title),
    }
