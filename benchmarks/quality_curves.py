"""Where the constants of the quality components come from.

Heads are drawn under known changes. Every curve of ``vultus.quality.components`` passes through 0.1
at the median of the changed pictures and through 0.9 at that of the unchanged ones; the weights of
``vultus.quality.occlusion`` are logistic regression on painted and free eyes and mouths, scored on
other people.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vultus.analysis import Analyzer
from vultus.evaluation.probes import Observed, observe
from vultus.quality.components import NEUTRAL, Curve, face_ratios, in_crop, raw_measures
from vultus.quality.occlusion import (
    LEFT_EYE,
    MOUTH,
    RIGHT_EYE,
    Planes,
    lid_features,
    place_features,
)
from vultus.worlds import CameraSpec, LightSpec, PoseSpec, WearSpec, World, WorldSpec

SIZE = 160
FRONT = PoseSpec((-15, 15), (-10, 10), (-5, 5))
SOFT = LightSpec(azimuth=(-20, 20), elevation=(5, 40), ambient=(0.45, 0.6), shadows=0.0)
HARD = LightSpec(azimuth=(70, 90), elevation=(0, 20), count=(1, 1), ambient=(0.02, 0.05))
BARE = WearSpec(0, 0, 0, 0.1, 0)
HEADS = ("procedural", "ict")


def world(head: str, people: int, **changes: Any) -> World:
    """Return a world of frontal, evenly lit, bare, neutral heads, changed as told."""
    plain = {
        "head": head,
        "size": SIZE,
        "identities": people,
        "pose": FRONT,
        "light": SOFT,
        "wear": BARE,
        "emotions": ("neutral",),
        "camera": CameraSpec(fill=(0.7, 0.85)),
    }
    return World(WorldSpec(**(plain | changes)))


def sets(people: int) -> Iterator[tuple[str, np.ndarray, Any]]:
    """Yield the name of a set, a picture, uint8 (H, W, 3), of it, and its labels."""
    for head in HEADS:
        free = world(head, people)
        for i in range(people):
            sample = free.sample(11, i)
            yield "good", sample.colour, sample
            eyes = np.linalg.norm(sample.keypoints[1] - sample.keypoints[0])
            blurred = cv2.GaussianBlur(sample.colour, (0, 0), 0.06 * float(eyes))
            yield "blurred", blurred, sample
            shot = free.shot(11, i)
            for name, weights in (
                ("closed eyes", {"eyeBlink_L": 1.0, "eyeBlink_R": 1.0}),
                ("open mouth", {"jawOpen": 0.6}),
            ):
                values = shot.weights.copy()
                for key, value in weights.items():
                    values[free.head.expression_names.index(key)] = value
                changed = free.picture(replace(shot, weights=values))
                yield name, changed.colour, changed
        moved = world(head, people, emotions=("happiness", "surprise", "disgust", "fear", "anger"))
        lit = world(head, people, light=HARD)
        for i in range(people):
            for name, place in (
                ("expression", moved),
                ("side light", lit),
            ):
                sample = place.sample(12, i)
                yield name, sample.colour, sample


def look(people: int, analyzer: Analyzer) -> tuple[Observed, list[str], list[Any]]:
    """Observe all sets."""
    names: list[str] = []
    samples: list[Any] = []

    def pictures() -> Iterator[np.ndarray]:
        for name, picture, sample in sets(people):
            names.append(name)
            samples.append(sample)
            yield picture

    found = observe(pictures(), analyzer)
    return found, [names[r] for r in found.rows], [samples[r] for r in found.rows]


def curves(people: int, analyzer: Analyzer) -> dict[str, Any]:
    """Return the constants."""
    found, names, samples = look(people, analyzer)
    which = np.array(names)
    ratios = face_ratios(in_crop(found.geometry))
    good = which == "good"
    neutral = {name: (float(ratios[name][good].mean()), float(ratios[name][good].std()))
               for name in NEUTRAL}  # fmt: skip
    raw = raw_measures(found.crops, found.geometry, found.sizes)
    z = [(ratios[name] - m) / s for name, (m, s) in neutral.items()]
    raw["expression_neutrality"] = np.sqrt(np.mean(np.square(z), 0))
    against = {
        "sharpness": "blurred",
        "illumination_uniformity": "side light",
        "mouth_closed": "open mouth",
        "expression_neutrality": "expression",
    }
    out: dict[str, Any] = {"neutral": neutral, "curves": {}, "auc": {}}
    for component, bad in against.items():
        values = raw[component]
        ends = [float(np.median(values[which == name])) for name in (bad, "good")]
        curve = Curve.through(*ends)
        out["curves"][component] = {"centre": curve.centre, "width": curve.width, "ends": ends}
        out["auc"][component] = auc(curve(values[good]), curve(values[which == bad]))
    faces = portraits(analyzer)
    crops = np.concatenate([found.crops[good], faces])
    rendered = [samples[i].identity for i in np.flatnonzero(good)]
    who = np.array([*rendered, *range(1000, 1000 + len(faces))])
    return out | visible(crops, who) | lids(found, which, samples)


def lids(found: Observed, which: np.ndarray, samples: list[Any]) -> dict[str, Any]:
    """Fit the weights of open eyes on half of the people, and rank the others."""
    from sklearn.linear_model import LogisticRegression

    rows = np.flatnonzero((which == "good") | (which == "closed eyes"))
    planes = Planes.of(found.crops[rows])
    x = np.concatenate([lid_features(planes, place) for place in (LEFT_EYE, RIGHT_EYE)])
    is_open = np.tile(which[rows] == "good", 2)
    train = np.tile([samples[r].identity % 2 == 0 for r in rows], 2)
    model = LogisticRegression(C=1.0, max_iter=2000, class_weight="balanced")
    model.fit(x[train], is_open[train])
    score = model.decision_function(x)
    return {
        "open_weights": [round(float(w), 3) for w in (*model.intercept_, *model.coef_[0])],
        "open_auc": auc(score[~train & is_open], score[~train & ~is_open]),
    }


def visible(crops: np.ndarray, people: np.ndarray) -> dict[str, Any]:
    """Fit the weights of visibility on half of the people, painted over or not; rank the others."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    out: dict[str, Any] = {"n": len(crops)}
    for name, places in (
        ("eye", ((LEFT_EYE, False), (RIGHT_EYE, True))),
        ("mouth", ((MOUTH, False),)),
    ):
        rows, free = [], []
        for place, mirrored in places:
            covered = np.stack([painted(crop, place, rng) for crop in crops])
            for label, pictures in ((1, crops), (0, covered)):
                rows.append(place_features(Planes.of(pictures), place, mirrored=mirrored))
                free.append(np.full(len(crops), label))
        x, y = np.concatenate(rows), np.concatenate(free)
        train = np.tile(people % 2 == 0, 2 * len(places))
        model = LogisticRegression(C=1.0, max_iter=4000).fit(x[train], y[train])
        score = model.decision_function(x)
        out[f"{name}_weights"] = [round(float(w), 2) for w in (*model.intercept_, *model.coef_[0])]
        out[f"{name}_auc"] = auc(score[~train & (y == 1)], score[~train & (y == 0)])
    return out


def painted(crop: np.ndarray, place: tuple[slice, slice], rng: np.random.Generator) -> np.ndarray:
    """Return a crop, uint8 (S, S, 3), with a place and 8 pixels around it painted over."""
    kind = rng.integers(4)
    skin = crop[66:86, 30:54].reshape(-1, 3).mean(0) * rng.uniform(0.7, 1.2)
    colour = (
        rng.integers(0, 45, 3),
        rng.integers(190, 256, 3),
        rng.integers(0, 256, 3),
        skin + rng.normal(0, 6, 3),
    )[int(kind)]
    rows, columns = (slice(part.start - 8, part.stop + 8) for part in place)
    out = crop.copy()
    height, width = out[rows, columns].shape[:2]
    patch = np.tile(np.asarray(colour, float), (height, width, 1))
    patch += rng.normal(0, rng.uniform(0, 6), (height, width, 1))
    patch += np.linspace(-1, 1, width)[None, :, None] * rng.uniform(-25, 25)
    out[rows, columns] = np.clip(patch, 0, 255)
    return out


def portraits(analyzer: Analyzer, step: int = 3) -> np.ndarray:
    """Return aligned crops, uint8 (N, 150, 150, 3), of every third portrait, where they are."""
    files = portrait_files()[::step]
    if not files:
        return np.empty((0, 150, 150, 3), np.uint8)
    return observe(files, analyzer).crops


def data_folder() -> Path:
    """Return the folder that ``VULTUS_DATA`` names."""
    return Path(os.environ.get("VULTUS_DATA", "../shared/data"))


def portrait_files() -> list[Path]:
    """Return the portraits of the US Congress, in order; none where the set is not there."""
    return sorted((data_folder() / "congress_portraits").rglob("*.jpg"))


def auc(good: np.ndarray, bad: np.ndarray) -> float:
    """Return how often a good picture scores above a bad one."""
    return float(np.mean((good[:, None] > bad[None]) + 0.5 * (good[:, None] == bad[None])))
