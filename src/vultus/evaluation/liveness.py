"""What a liveness network is worth: on simulated presentations by attack, and on real pictures.

Thresholds come from development people. Attacks and cameras that were not trained on stand apart,
and beside every figure stands that of five hand features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vultus.detection import Detector, central
from vultus.errors import DatasetError
from vultus.evaluation.report import Report
from vultus.faces import Face
from vultus.geometry import UInt8Array
from vultus.images import open_image
from vultus.liveness.cdcn.presentations import PadCrops
from vultus.liveness.predictor import LivenessPredictor
from vultus.measure import Estimate
from vultus.measure.bootstrap import Resampling
from vultus.measure.intervals import rate
from vultus.measure.pad import (
    BONA_FIDE,
    Presentations,
    pad_eer,
    pad_rates,
    threshold_at_eer,
)
from vultus.measure.verification import auc
from vultus.worlds import INJECTIONS, fit_cues

Scores = NDArray[np.float64]
#: From a picture and a face in it to a score, higher for what looks more like bona fide.
Scorer = Callable[[UInt8Array, Face], float]

RESAMPLING = Resampling(1000)


def evaluate_liveness(
    learn: PadCrops, test: PadCrops, predictor: LivenessPredictor
) -> list[Report]:
    """Measure a network on simulated presentations: a report per source and kind of camera.

    Parameters
    ----------
    learn
        What it was trained on, and development people: they give the threshold, and say which
        attacks and cameras are new to the network.
    test
        Other people.
    predictor
        The network; crops are brought to its size.

    Raises
    ------
    DatasetError
        If a split is missing, or no part of the test set has bona fide presentations and attacks.
    """
    train, development, measured = (
        learn.split("train"),
        learn.split("development"),
        test.split("test"),
    )
    threshold = development_threshold(learn, predictor)
    hand = fit_cues(train.crops()[0], train.live)
    hand_threshold = threshold_at_eer(_scored(hand.score(development.crops()[0]), development))
    network = _network(measured, predictor)
    rival = _scored(hand.score(measured.crops()[0]), measured)
    trained = set(np.unique(train.species).tolist())
    cameras = np.isin(measured.domains, np.unique(train.domains))
    sources = np.array([name.partition(" ")[0] for name in measured.domains.tolist()])
    reports = []
    for source in np.unique(sources).tolist():
        for seen in (True, False):
            rows = (sources == source) & (cameras == seen)
            if not measured.live[rows].any() or measured.live[rows].all():
                continue
            figures = attack_figures(_part(network, rows), threshold, trained)
            for key, value in attack_figures(_part(rival, rows), hand_threshold, trained).items():
                if not key.startswith("APCER"):
                    figures[f"hand features: {key}"] = value
            facts = {
                "presentations": int(rows.sum()),
                "people": len(np.unique(measured.people[rows])),
                "cameras": sorted(set(measured.domains[rows].tolist())),
                "trained on": sorted(trained - {BONA_FIDE}),
                "threshold": threshold,
                "packaged threshold": predictor.threshold,
            }
            title = f"liveness, {source}, {'seen' if seen else 'unseen'} cameras"
            reports.append(Report(title, {"network": predictor.name}, figures, facts))
    if not reports:
        raise DatasetError("no part of the test set has bona fide presentations and attacks")
    return reports


def development_threshold(learn: PadCrops, predictor: LivenessPredictor) -> float:
    """Return the threshold of the equal error rate on the development people of a file."""
    return threshold_at_eer(_network(learn.split("development"), predictor))


def attack_figures(
    scored: Presentations, threshold: float, trained: set[str]
) -> dict[str, Estimate]:
    """Return BPCER, APCER of each species, and ACER and EER of groups of species.

    Digital injections count in none of the groups: they are not before the camera.

    Parameters
    ----------
    scored
        Of one source and kind of camera.
    threshold
        Chosen elsewhere.
    trained
        Species that the network has learned from.
    """
    rates = pad_rates(scored, threshold)
    figures = {"BPCER": rates.bpcer}
    for name, value in rates.apcer.items():
        figures[f"APCER, {name}"] = replace(value, note="" if name in trained else "not trained on")
    before = [name for name in scored.species if name not in INJECTIONS]
    groups = {
        "attacks trained on": [name for name in before if name in trained],
        "attacks not trained on": [name for name in before if name not in trained],
    }
    for title, names in groups.items():
        if not names:
            continue
        part = _part(scored, scored.bona_fide | np.isin(scored.labels, names))
        of_group = pad_rates(part, threshold)
        figures[f"ACER, {title}"] = replace(of_group.acer, note=f"worst: {of_group.worst_species}")
        figures[f"EER, {title}"] = pad_eer(part, RESAMPLING).estimate
    return figures


def evaluate_pictures(
    bona_fide: Sequence[Any],
    attacks: Sequence[Any],
    score: Scorer,
    detector: Detector,
    threshold: float,
    *,
    name: str,
    title: str,
    hand: tuple[Scorer, float] | None = None,
) -> Report:
    """Measure on real pictures, detection included: a picture without a face has no response.

    Parameters
    ----------
    bona_fide, attacks
        Pictures, whatever :func:`vultus.images.open_image` takes; either may be empty.
    score
        See :func:`crop_scorer`.
    detector
        Finds the faces; the central one counts.
    threshold
        Chosen elsewhere, never on these pictures.
    name, title
        Of the network, and of what is measured.
    hand
        The trivial baseline and its threshold, from :func:`hand_scorer`; the report says where it
        is missing.

    Raises
    ------
    DatasetError
        If there is no picture.
    """
    if not bona_fide and not attacks:
        raise DatasetError("give pictures: bona fide, attacks, or both")
    scorers = [score] if hand is None else [score, hand[0]]
    found = {
        kind: np.array([_picture_scores(open_image(s), scorers, detector) for s in sources])
        for kind, sources in (("bona fide", bona_fide), ("attacks", attacks))
        if sources
    }
    figures = _picture_figures({kind: rows[:, 0] for kind, rows in found.items()}, threshold)
    for kind, rows in found.items():
        figures[f"no face found, {kind}"] = rate(rows[:, 0] == -np.inf)
    facts: dict[str, Any] = {
        "threshold": threshold,
        "bona fide": len(bona_fide),
        "attacks": len(attacks),
    }
    if hand is None:
        facts["hand features"] = "not measured: they learn from the file of training presentations"
    else:
        rival = _picture_figures({kind: rows[:, 1] for kind, rows in found.items()}, hand[1])
        figures |= {f"hand features: {key}": value for key, value in rival.items()}
    return Report(f"liveness, {title}", {"network": name}, figures, facts)


def _picture_figures(found: Mapping[str, Scores], threshold: float) -> dict[str, Estimate]:
    """Return error rates and ROC area of scores of bona fide pictures and of attacks."""
    figures: dict[str, Estimate] = {}
    for kind, values in found.items():
        answered, accepted = values > -np.inf, values >= threshold
        error, wrong = ("BPCER", ~accepted) if kind == "bona fide" else ("APCER", accepted)
        figures[error] = rate(wrong)
        if answered.any():
            figures[f"{error}, face found"] = rate(wrong[answered])
    known = {kind: values[values > -np.inf] for kind, values in found.items()}
    if len(known) == 2 and all(map(len, known.values())):
        labels = [BONA_FIDE] * len(known["bona fide"]) + ["attack"] * len(known["attacks"])
        both = Presentations(np.concatenate(list(known.values())), np.array(labels))
        figures["area under the ROC curve, face found"] = auc(both.comparisons(), RESAMPLING)
    return figures


def hand_scorer(learn: PadCrops, predictor: LivenessPredictor) -> tuple[Scorer, float]:
    """Return the trivial baseline on the crops that a network sees, and its threshold.

    Five hand features and logistic regression on the training presentations; the threshold is that
    of the equal error rate on the development people.
    """
    train, development = learn.split("train"), learn.split("development")
    fitted = fit_cues(train.crops(predictor.size)[0], train.live)
    threshold = threshold_at_eer(
        _scored(fitted.score(development.crops(predictor.size)[0]), development)
    )

    def score(image: UInt8Array, face: Face) -> float:
        return float(fitted.score(predictor.crop(image, face.box[None]))[0])

    return score, threshold


def crop_scorer(predictor: LivenessPredictor) -> Scorer:
    """Return the score of the package's own networks: of the crop that they want."""

    def score(image: UInt8Array, face: Face) -> float:
        return float(predictor.predict(predictor.crop(image, face.box[None]))[0])

    return score


def pictures_below(paths: Sequence[Path]) -> list[Path]:
    """Return the pictures of folders and files, sorted."""
    from vultus.images import find_images

    return find_images(list(paths)) if paths else []


def _picture_scores(
    image: UInt8Array, scorers: Sequence[Scorer], detector: Detector
) -> list[float]:
    faces = detector.detect(image)
    if not faces:
        return [-np.inf] * len(scorers)
    face = central(faces, image.shape)
    return [score(image, face) for score in scorers]


def _network(data: PadCrops, predictor: LivenessPredictor) -> Presentations:
    return _scored(predictor.predict(data.crops(predictor.size)[0]), data)


def _scored(scores: NDArray[np.float32], data: PadCrops) -> Presentations:
    return Presentations(scores.astype(np.float64), data.species, data.people)


def _part(scored: Presentations, rows: NDArray[np.bool_]) -> Presentations:
    subjects = None if scored.subjects is None else scored.subjects[rows]
    return Presentations(scored.scores[rows], scored.labels[rows], subjects)
