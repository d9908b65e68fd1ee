"""Where the constants of the quality components come from, and how good pose and points are.

``curves`` draws heads under known changes and prints the constants of
``vultus.quality.components`` and ``vultus.quality.occlusion``: every curve passes through 0.1 at
the median of the changed pictures and 0.9 at that of the unchanged ones; the weights of visibility
are logistic regression on covered and free eyes and mouths, scored on other people. ``pose``
compares the mesh's pose and points with exact ones. Both look through the default detector and
landmarks.

    OMP_NUM_THREADS=1 python benchmarks/quality.py curves [--people N] [--json FILE]
    OMP_NUM_THREADS=1 python benchmarks/quality.py pose [--people N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vultus.analysis import Analyzer
from vultus.datasets.points import read_aflw2000
from vultus.evaluation.probes import Observed, observe
from vultus.geometry import head_rotation, similarity_transform, template, warp
from vultus.images import open_image
from vultus.landmarks.mesh_pose import angles_of
from vultus.measure.pose import pose_scores
from vultus.quality.components import NEUTRAL, Curve, face_ratios, in_crop, raw_measures
from vultus.quality.occlusion import (
    LEFT_EYE,
    MOUTH,
    RIGHT_EYE,
    Planes,
    lid_features,
    place_features,
)
from vultus.worlds import CameraSpec, LightSpec, PoseSpec, WearSpec, World, WorldSpec, rotation

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
    """Yield pictures with the name of their set and their labels."""
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
        worn = world(head, people, wear=WearSpec(0.5, 0.6, 0, 0.1, 0.6))
        turned = world(
            head,
            people,
            wear=WearSpec(0.5, 0.6, 0.1, 0.1, 0.6),
            pose=PoseSpec((-40, 40), (-20, 20), (-15, 15)),
            light=LightSpec(),
        )
        for i in range(people):
            for name, place in (
                ("expression", moved),
                ("side light", lit),
                ("worn", worn),
                ("worn", turned),
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
    return out | visible(found, which, samples) | lids(found, which, samples)


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


def visible(found: Observed, which: np.ndarray, samples: list[Any]) -> dict[str, Any]:
    """Fit the weights of visibility on half of the people, and rank the others."""
    from sklearn.linear_model import LogisticRegression

    rows = np.flatnonzero((which == "worn") | (which == "good") | (which == "side light"))
    planes = Planes.of(found.crops[rows])
    form = template("dlib150")
    maps = similarity_transform(found.geometry.keypoints[rows], form.points)
    covered = np.stack(
        [
            warp(np.repeat((samples[r].occluded * 255).astype(np.uint8)[..., None], 3, 2), m, 150)[
                0
            ]
            for r, m in zip(rows, maps, strict=True)
        ]
    )[..., 0]
    people = np.array([samples[r].identity for r in rows])
    train = people % 2 == 0
    out: dict[str, Any] = {}
    for name, places in (
        ("eye", ((LEFT_EYE, False), (RIGHT_EYE, True))),
        ("mouth", ((MOUTH, False),)),
    ):
        x = np.concatenate([place_features(planes, p, mirrored=m) for p, m in places])
        share = np.concatenate([(covered[:, p[0], p[1]] > 127).mean((1, 2)) for p, _ in places])
        clear = (share < 0.15) | (share > 0.4)
        part = np.tile(train, len(places))
        model = LogisticRegression(C=1.0, max_iter=2000, class_weight="balanced")
        model.fit(x[clear & part], share[clear & part] < 0.15)
        test = clear & ~part
        score = model.decision_function(x)
        free = share < 0.15
        out[f"{name}_weights"] = [round(float(w), 3) for w in (*model.intercept_, *model.coef_[0])]
        out[f"{name}_auc"] = auc(score[test & free], score[test & ~free])
        out[f"{name}_n"] = [int((test & free).sum()), int((test & ~free).sum())]
    return out


def auc(good: np.ndarray, bad: np.ndarray) -> float:
    """Return how often a good picture scores above a bad one."""
    return float(np.mean((good[:, None] > bad[None]) + 0.5 * (good[:, None] == bad[None])))


def pose(people: int, analyzer: Analyzer) -> dict[str, Any]:
    """Return errors of pose on rendered heads and, where they are, on photographs."""
    out: dict[str, Any] = {}
    for head in HEADS:
        drawn = world(
            head, people, pose=PoseSpec((-60, 60), (-30, 30), (-25, 25), False), light=LightSpec()
        )
        samples = [drawn.sample(13, i) for i in range(people)]
        found = observe((s.colour for s in samples), analyzer)
        # Worlds pitch first and roll last, faces the other way round.
        flip = np.diag([1.0, -1.0, -1.0])
        exact = np.stack([flip @ rotation(*samples[r].pose) @ flip for r in found.rows])
        truth = angles_of(exact)
        points = np.stack([samples[r].landmarks for r in found.rows])
        eyes = np.linalg.norm(points[:, 36] - points[:, 45], axis=1)
        gap = np.linalg.norm(found.geometry.landmarks - points, axis=2) / eyes[:, None]
        near = np.abs(truth[:, 0]) < 30
        out[head] = {
            "n": len(found),
            "mae": pose_scores(found.geometry.pose, truth).to_dict(),
            "mae within 30 degrees of yaw": pose_scores(
                found.geometry.pose[near], truth[near]
            ).to_dict(),
            "NME of 68 points, yaw under 30": float(gap[near].mean()),
        }
    root = Path(os.environ.get("VULTUS_DATA", "../shared/data"))
    if (root / "aflw2000_16").is_dir():
        out["aflw2000, 16 faces"] = _photographs(
            [(r.path, r.labels["pose"]) for r in read_aflw2000(root / "aflw2000_16")], analyzer
        )
    tour = root / "fasseg" / "multipose01" / "Test_RGB"
    if tour.is_dir():
        # The folder's yaw is positive towards the picture's left.
        files = [(p, -float(d.name)) for d in sorted(tour.iterdir()) for p in sorted(d.iterdir())]
        out["fasseg, yaw only"] = _yaw(files, analyzer)
    return out


def _photographs(items: list[tuple[Path, np.ndarray]], analyzer: Analyzer) -> dict[str, Any]:
    found = observe((_padded(path) for path, _ in items), analyzer)
    truth = np.stack([items[r][1] for r in found.rows])
    scores = pose_scores(found.geometry.pose, truth)
    near = np.abs(truth[:, 0]) <= 60
    return {
        "n": len(found),
        "mae": scores.to_dict(),
        "n within 60": int(near.sum()),
        "mae within 60 degrees of yaw": pose_scores(
            found.geometry.pose[near], truth[near]
        ).to_dict(),
        "bias": (found.geometry.pose[near] - truth[near]).mean(0).tolist(),
    }


def _yaw(items: list[tuple[Path, float]], analyzer: Analyzer) -> dict[str, Any]:
    found = observe((_padded(path) for path, _ in items), analyzer)
    truth = np.array([items[r][1] for r in found.rows])
    error = np.abs(found.geometry.pose[:, 0] - truth)
    return {
        "n": len(found),
        "pictures": len(items),
        "mae by yaw": {f"{y:g}": float(error[truth == y].mean()) for y in sorted(set(truth))},
        "mae within 60": float(error[np.abs(truth) <= 60].mean()),
    }


def _padded(path: Path) -> np.ndarray:
    image = open_image(path)
    return np.pad(image, ((60, 60), (60, 60), (0, 0)), "edge")


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("command", choices=("curves", "pose"))
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    assert np.allclose(angles_of(head_rotation(30, 20, -10)[None])[0], [30, 20, -10])
    work = {"curves": curves, "pose": pose}[chosen.command]
    text = json.dumps(work(chosen.people, Analyzer(threads=1)), indent=1)
    if chosen.json:
        chosen.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
