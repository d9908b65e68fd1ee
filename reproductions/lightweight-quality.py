"""Lightweight quality (paper 23): pose and size from landmarks, the gate, its cost and its limits.

Photographs are of LFW View 1 people with two pictures or more: a reference, and of another picture
three probes, as it is, smaller, and with light, focus or cover worsened at random. They are looked
at once with the default detector and recogniser and cached. Every seed divides the people anew;
labels, thresholds and forest come from one half, all figures from the other. Heads are drawn anew
for every seed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from vultus.analysis import Analyzer
from vultus.evaluation.probes import Observed, degraded, fields_of, observe
from vultus.geometry import UInt8Array
from vultus.images import open_image
from vultus.measure.bootstrap import Resampling
from vultus.measure.quality import error_versus_discard
from vultus.places import default_home
from vultus.quality.components import raw_measures
from vultus.quality.features import Geometry, pose_ratios
from vultus.quality.lightweight_quality import (
    LightweightQuality,
    QualitySettings,
    balanced_accuracy,
)
from vultus.quality.lightweight_quality.decisions import gated, threshold_at_rejection
from vultus.quality.lightweight_quality.probes import (
    Probes,
    recognition_labels,
    rendered_probes,
)
from vultus.recognition import Embedder
from vultus.reproduction import Claim, Measurement
from vultus.reproduction.photos import photo_dataset

#: Changes that leave the face's geometry alone.
UNSEEN = ("blur", "dark", "bright", "noise", "side_light", "covered")
#: Share of probes that the gate refuses, on development people.
REFUSED = 0.2
FMR = 1e-3
QUICK = Resampling(resamples=1)

claims = [
    Claim(
        "predictable",
        "A forest on normalised landmarks tells bad pose and size of unseen people with a balanced "
        "accuracy above 0.9",
        "balanced accuracy against 0.9, rendered heads",
        "higher",
    ),
    Claim(
        "yaw_rule",
        "The forest beats the best threshold on the nose's offset alone",
        "balanced accuracy, rendered heads",
        "higher",
    ),
    Claim(
        "gating",
        "A gate lowers the false rejection rate at a fixed threshold",
        "FNMR of what passes, against FNMR of all, photographs",
        "lower",
    ),
    Claim(
        "random",
        "Discarding by the forest leaves fewer errors than discarding at random",
        "EDC area up to 30 % discarded, against the FNMR of all, photographs",
        "lower",
    ),
    Claim(
        "detector",
        "The forest ranks pictures better than the detector's confidence",
        "EDC area up to 30 % discarded, photographs",
        "lower",
    ),
    Claim(
        "sharpness",
        "The forest ranks pictures better than the Laplacian's power",
        "EDC area up to 30 % discarded, photographs",
        "lower",
    ),
    Claim(
        "millisecond",
        "With landmarks given the gate takes less than a millisecond a face on one core",
        "milliseconds a face, against 1",
        "lower",
    ),
    Claim(
        "lighter",
        "The gate is more than twenty times faster than the recogniser",
        "milliseconds a face: recogniser over gate, against 20",
        "higher",
    ),
    Claim(
        "limit",
        "Where only focus, light or cover vary, landmarks say little (within 0.1 of chance)",
        "area under the ROC curve of matched against unmatched probes, photographs",
        "equal",
        margin=0.1,
    ),
    Claim(
        "confidence",
        "There the detector's confidence makes it rise",
        "area under the ROC curve of matched against unmatched probes, photographs",
        "higher",
    ),
    Claim(
        "normalised",
        "On another camera, whose faces lie elsewhere in the frame, normalised landmarks do better "
        "than pixels",
        "balanced accuracy, rendered heads",
        "higher",
    ),
]

budgets = {
    "smoke": {"people": 8, "each": 8, "trees": 10, "photographs": 0},
    "cpu": {"people": 90, "each": 8, "trees": 100, "photographs": 240},
}


def run(seed: int, budget: dict[str, int]) -> dict[str, Measurement]:
    """Measure every claim of one seed."""
    return {**_heads(seed, budget), **_photographs(seed, budget)}


def _heads(seed: int, budget: dict[str, int]) -> dict[str, Measurement]:
    probes = rendered_probes(budget["people"], budget["each"], seed)
    test, train = probes.split(1 / 3, seed)
    config = QualitySettings(trees=budget["trees"])
    forest = _grown(train, config, seed)
    good = test.label >= 0.5
    accuracy = balanced_accuracy(forest(test), good)
    rule = _nose_rule(train, test)
    moved = replace(test, geometry=_moved(test.geometry, 900))
    pixels = replace(config, normalisation="none")
    n = len(test)
    return {
        "predictable": Measurement(accuracy, 0.9, n, details={"good": float(good.mean())}),
        "yaw_rule": Measurement(accuracy, rule, n),
        "normalised": Measurement(
            balanced_accuracy(forest(moved), good),
            balanced_accuracy(_grown(train, pixels, seed)(moved), good),
            n,
        ),
    }


def _grown(train: Probes, config: QualitySettings, seed: int):
    from vultus.quality.lightweight_quality import Fitting

    learner = LightweightQuality.build(config)
    LightweightQuality.fit(learner, Fitting(train, config), seed)
    return learner.scores


def _nose_rule(train: Probes, test: Probes) -> float:
    """Return the accuracy of the best threshold on the nose's offset, chosen on training heads."""
    offset, truth = np.abs(pose_ratios(train.geometry.keypoints)[:, 0]), train.label >= 0.5
    limits = np.quantile(offset, np.linspace(0.02, 0.98, 49))
    best = max(limits, key=lambda limit: balanced_accuracy(-offset, truth, -limit))
    found = -np.abs(pose_ratios(test.geometry.keypoints)[:, 0])
    return balanced_accuracy(found, test.label >= 0.5, -best)


def _moved(geometry: Geometry, pixels: float) -> Geometry:
    shift = np.float32(pixels)
    return replace(
        geometry,
        box=geometry.box + shift,
        keypoints=geometry.keypoints + shift,
        landmarks=geometry.landmarks + shift,
    )


class Photographs(NamedTuple):
    """What was seen of photographs, and which picture each row shows."""

    seen: Observed
    person: np.ndarray
    kind: np.ndarray


def _photographs(seed: int, budget: dict[str, int]) -> dict[str, Measurement]:
    photos = _drawn(seed) if not budget["photographs"] else _looked_at(budget["photographs"])
    seen, kind = photos.seen, photos.kind
    people = np.unique(photos.person)
    order = np.random.default_rng((seed, 5)).permutation(people)
    first = np.isin(photos.person, order[: len(people) // 2])
    reference = {int(p): i for i, (p, k) in enumerate(zip(photos.person, kind, strict=True))
                 if k == 0}  # fmt: skip
    rows = np.array([i for i in range(len(seen)) if kind[i] and int(photos.person[i]) in reference])
    clean = np.array([reference[int(p)] for p in photos.person[rows]])
    scores = (seen.vectors[rows] * seen.vectors[clean]).sum(1)
    train, test = first[rows], ~first[rows]
    decision = _decision(photos, first)
    probes = Probes(
        seen.geometry.take(rows),
        np.empty((len(rows), 0), np.float32),
        recognition_labels(scores, decision, 0.01),
        photos.person[rows].astype(np.int64),
        np.zeros(len(rows), np.int64),
    )
    forests = {
        name: _grown(probes.take(train), QualitySettings(
            trees=budget["trees"], normalisation="similarity", confidence=name == "with"), seed)
        for name in ("with", "without")
    }  # fmt: skip
    quality = {name: forest(probes) for name, forest in forests.items()}
    raw = raw_measures(seen.crops[rows], probes.geometry, seen.sizes[rows])
    laplacian = raw["sharpness"]
    gate = threshold_at_rejection(quality["with"][train], REFUSED)
    other = _impostors(photos, rows[test])
    # Without a single error before the gate there is nothing to lower; smoke data may have none.
    rates = gated(
        scores[test], quality["with"][test], *other(quality["with"][test]), decision, gate
    )
    areas = {
        name: error_versus_discard(scores[test], q[test], decision, resampling=QUICK).area.value
        for name, q in (
            ("forest", quality["with"]),
            ("detector", probes.geometry.score),
            ("sharpness", laplacian),
        )
    }
    n = int(test.sum())
    still = test & (kind[rows] == 3)
    matched = scores[still] >= decision
    curve = {name: _auc(q[still], matched) for name, q in quality.items()}
    gate_ms, recogniser_ms = _milliseconds(seen.geometry, forests["with"])
    details = {"gate": rates.to_dict(), "edc": areas, "decision": decision}
    return {
        "gating": Measurement(rates.frr_after, rates.frr_before, n, details=details),
        "random": Measurement(areas["forest"], rates.frr_before, n),
        "detector": Measurement(areas["forest"], areas["detector"], n),
        "sharpness": Measurement(areas["forest"], areas["sharpness"], n),
        "millisecond": Measurement(gate_ms, 1.0, 1),
        "lighter": Measurement(recogniser_ms / gate_ms, 20.0, 1),
        "limit": Measurement(curve["without"], 0.5, int(still.sum())),
        "confidence": Measurement(curve["with"], curve["without"], int(still.sum())),
    }


def _decision(photos: Photographs, first: np.ndarray) -> float:
    """Return the similarity at an FMR of 0.001 between clean pictures of development people."""
    plain = np.flatnonzero(first & (photos.kind < 2))
    vectors, who = photos.seen.vectors[plain], photos.person[plain]
    differ = np.triu(who[:, None] != who[None], 1)
    return float(np.quantile((vectors @ vectors.T)[differ], 1 - FMR))


def _impostors(photos: Photographs, rows: np.ndarray):
    references = np.flatnonzero(photos.kind == 0)
    vectors, who = photos.seen.vectors, photos.person
    differ = who[rows][:, None] != who[references][None]
    scores = (vectors[rows] @ vectors[references].T)[differ]
    return lambda quality: (scores, np.repeat(quality, differ.sum(1)))


def _auc(score: np.ndarray, truth: np.ndarray) -> float:
    if truth.all() or not truth.any():
        return 0.5
    good, bad = score[truth][:, None], score[~truth][None]
    return float(np.mean((good > bad) + 0.5 * (good == bad)))


def _milliseconds(geometry: Geometry, forest) -> tuple[float, float]:
    """Return the medians of the gate (shipped runtime, one face) and of the recogniser."""
    learner = forest.__self__
    chosen = learner.features
    one = geometry.take(slice(0, 1))
    session = _exported(learner)
    embedder = _recogniser()
    crop = np.zeros((1, 150, 150, 3), np.uint8)
    gate = [_timed(lambda: session.run(chosen.compute(one))) for _ in range(60)]
    other = [_timed(lambda: embedder.predict_raw(crop)) for _ in range(15)]
    return float(np.median(gate)) * 1e3, float(np.median(other)) * 1e3


def _exported(learner):
    import tempfile

    from vultus.nets.onnx import export_onnx
    from vultus.runtime import Session

    shipped = LightweightQuality.export(learner)["quality"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "forest.onnx"
        export_onnx(shipped.module, shipped.example, file, outputs=shipped.outputs)
        return Session(file.read_bytes(), threads=1)


def _timed(work) -> float:
    # Processor time: other work on the machine does not count.
    start = time.process_time()
    work()
    return time.process_time() - start


@lru_cache(maxsize=1)
def _recogniser() -> Embedder:
    return Embedder("dlib-resnet29", threads=1)


def _looked_at(people: int) -> Photographs:
    """Return the cached look at photographs, made on first use."""
    path = default_home() / "crops" / f"quality-lfw-{people}.npz"
    if not path.exists():
        photos = _look(people)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        with part.open("wb") as stream:
            np.savez(stream, person=photos.person, kind=photos.kind, **dict(fields_of(photos.seen)))
        part.replace(path)
    with np.load(path) as stored:
        names = ("box", "score", "keypoints", "landmarks", "pose")
        geometry = Geometry(*(stored[name] for name in names))
        rest = (stored[name] for name in ("crops", "sizes", "vectors"))
        return Photographs(
            Observed(stored["rows"], geometry, *rest), stored["person"], stored["kind"]
        )


def _look(people: int) -> Photographs:
    data = photo_dataset("lfw")
    codes, _ = data.identities()
    several = np.flatnonzero(np.bincount(codes) > 1)
    chosen = several[np.linspace(0, len(several) - 1, people).astype(int)]
    labels: list[tuple[int, int]] = []

    def pictures() -> Iterator[UInt8Array]:
        for person in chosen:
            two = np.flatnonzero(codes == person)[:2]
            reference, probe = (open_image(data[int(i)].source()) for i in two)
            rng = np.random.default_rng((int(person), 9))
            face = 0.4 * probe.shape[0]
            change = str(rng.choice(UNSEEN))
            for kind, picture in enumerate((
                reference,
                probe,
                degraded(probe, "small", float(rng.random()), rng, face),
                degraded(probe, change, float(rng.uniform(0.3, 1)), rng, face),
            )):  # fmt: skip
                labels.append((int(person), kind))
                yield picture

    seen = observe(pictures(), Analyzer(embedder=_recogniser(), threads=1))
    table = np.array(labels)[seen.rows]
    return Photographs(seen, table[:, 0], table[:, 1])


def _drawn(seed: int) -> Photographs:
    """Return rendered heads with made-up templates, to check the mechanics."""
    rng = np.random.default_rng(seed)
    probes = rendered_probes(6, 8, seed)
    n = len(probes)
    kind = np.tile([0, 1, 2, 3], n)[:n] if n % 8 else np.repeat(np.tile([0, 1, 2, 3], 2), n // 8)
    centres = rng.standard_normal((6, 16))
    vectors = centres[probes.person] + 0.8 * kind[:, None] * rng.standard_normal((n, 16)) / 2
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    crops = rng.integers(0, 256, (n, 150, 150, 3), dtype=np.uint8)
    for i in range(n):
        crops[i] = cv2.GaussianBlur(crops[i], (0, 0), 1 + float(kind[i]))
    sizes = np.full((n, 2), 4000, np.float32)
    seen = Observed(np.arange(n), probes.geometry, crops, sizes, vectors.astype(np.float32))
    return Photographs(seen, probes.person, kind)
