"""What a liveness network is worth: on simulated presentations by attack, and on real pictures.

Thresholds come from development people. Attacks and cameras that were not trained on stand apart,
and beside every figure stands that of five hand features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

    Raises
    ------
    DatasetError
        If there is no picture.
    """
    if not bona_fide and not attacks:
        raise DatasetError("give pictures: bona fide, attacks, or both")
    figures: dict[str, Estimate] = {}
    found: dict[str, Scores] = {}
    for kind, sources, error in (("bona fide", bona_fide, "BPCER"), ("attacks", attacks, "APCER")):
        if not sources:
            continue
        values = np.array([_picture_score(open_image(s), score, detector) for s in sources])
        answered = values > -np.inf
        accepted = values >= threshold
        wrong = ~accepted if error == "BPCER" else accepted
        figures[error] = rate(wrong)
        if answered.any():
            figures[f"{error}, face found"] = rate(wrong[answered])
        figures[f"no face found, {kind}"] = rate(~answered)
        found[kind] = values[answered]
    if len(found) == 2 and all(map(len, found.values())):
        labels = [BONA_FIDE] * len(found["bona fide"]) + ["attack"] * len(found["attacks"])
        both = Presentations(np.concatenate(list(found.values())), np.array(labels))
        figures["area under the ROC curve, face found"] = auc(both.comparisons(), RESAMPLING)
    facts = {"threshold": threshold, "bona fide": len(bona_fide), "attacks": len(attacks)}
    return Report(f"liveness, {title}", {"network": name}, figures, facts)


def crop_scorer(predictor: LivenessPredictor) -> Scorer:
    """Return the score of the package's own networks: of the crop that they want."""

    def score(image: UInt8Array, face: Face) -> float:
        return float(predictor.predict(predictor.crop(image, face.box[None]))[0])

    return score


def pictures_below(paths: Sequence[Path]) -> list[Path]:
    """Return the pictures of folders and files, sorted."""
    from vultus.images import find_images

    return find_images(list(paths)) if paths else []


def _picture_score(image: UInt8Array, score: Scorer, detector: Detector) -> float:
    faces = detector.detect(image)
    return score(image, central(faces, image.shape)) if faces else -np.inf


def _network(data: PadCrops, predictor: LivenessPredictor) -> Presentations:
    return _scored(predictor.predict(data.crops(predictor.size)[0]), data)


def _scored(scores: NDArray[np.float32], data: PadCrops) -> Presentations:
    return Presentations(scores.astype(np.float64), data.species, data.people)


def _part(scored: Presentations, rows: NDArray[np.bool_]) -> Presentations:
    subjects = None if scored.subjects is None else scored.subjects[rows]
    return Presentations(scored.scores[rows], scored.labels[rows], subjects)
