"""Where the constants of the quality components come from, and how good pose and points are.

``curves`` draws heads under known changes and prints the constants of
``vultus.quality.components`` and ``vultus.quality.occlusion``, see ``quality_curves``. ``pose``
compares the mesh's pose and points with exact ones. Both look through the default detector and
landmarks. ``probes`` writes what the shipped forest is grown on; ``gate`` measures it on LFW pairs.

    OMP_NUM_THREADS=1 python benchmarks/quality.py curves [--people N] [--json FILE]
    OMP_NUM_THREADS=1 python benchmarks/quality.py pose [--people N] [--json FILE]
    OMP_NUM_THREADS=1 python benchmarks/quality.py probes [--people 90] --out probes.safetensors
    OMP_NUM_THREADS=1 python benchmarks/quality.py gate [--json FILE]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from quality_curves import HEADS, curves, data_folder, portrait_files, world
from vultus.analysis import Analyzer
from vultus.datasets.lfw import read_lfw_pairs
from vultus.datasets.points import read_aflw2000
from vultus.evaluation.probes import Observed, any_degradation, observe
from vultus.evaluation.quality import quality_values
from vultus.geometry import head_angles, head_rotation, restated_angles
from vultus.images import open_image
from vultus.measure.pose import pose_scores
from vultus.measure.quality import error_versus_discard
from vultus.quality.features import Geometry
from vultus.quality.lightweight_quality.decisions import gated
from vultus.quality.lightweight_quality.probes import (
    Probes,
    recognition_labels,
    save_probes,
)
from vultus.recognition import Embedder
from vultus.worlds import DOMAINS, CameraSpec, LightSpec, PoseSpec, WearSpec, WorldSpec

#: Similarity at an FMR of 0.001 in the packaged calibration.
DECISION = 0.928


def pose(people: int, analyzer: Analyzer) -> dict[str, Any]:
    """Return errors of pose on rendered heads and, where they are, on photographs."""
    out: dict[str, Any] = {}
    for head in HEADS:
        drawn = world(
            head, people, pose=PoseSpec((-60, 60), (-30, 30), (-25, 25), False), light=LightSpec()
        )
        samples = [drawn.sample(13, i) for i in range(people)]
        found = observe((s.colour for s in samples), analyzer)
        truth = restated_angles([samples[r].pose for r in found.rows])
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
    root = data_folder()
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


def probes(people: int, analyzer: Analyzer, out: Path) -> dict[str, Any]:
    """Write what the shipped forest is grown on: half as many rendered people as told, portraits.

    A probe's label says how surely the recogniser knows it by the clean picture of the person. The
    similarity of a worsened copy to its own original is higher than that to another picture by
    about the 0.045 that two good pictures of a person differ.
    """
    parts = [_rendered(head, people // 2, analyzer, i) for i, head in enumerate(HEADS)]
    files = portrait_files()[::3]

    def copies() -> Iterator[np.ndarray]:
        for i, file in enumerate(files):
            image = open_image(file)
            yield image
            for j in range(3):
                rng = np.random.default_rng((i, j, 4))
                yield any_degradation(image, rng, 0.4 * min(image.shape[:2]), untouched=0.0)[0]

    found = observe(copies(), analyzer)
    parts.append(_labelled(found, found.rows // 4, found.rows % 4 == 0, 0.045, 1.0, len(HEADS)))
    joined_probes = joined(parts)
    save_probes(out, joined_probes)
    return {"file": str(out), "probes": len(joined_probes)}


def joined(parts: list[Probes]) -> Probes:
    """Put probes side by side."""
    rest = ("components", "label", "person", "source")
    columns = {f.name: np.concatenate([getattr(p.geometry, f.name) for p in parts])
               for f in fields(Geometry)}  # fmt: skip
    return Probes(
        Geometry(**columns), *(np.concatenate([getattr(p, name) for p in parts]) for name in rest)
    )


def _rendered(head: str, people: int, analyzer: Analyzer, source: int) -> Probes:
    clean = world(head, people, pose=PoseSpec((-4, 4), (-4, 4), (-3, 3)))
    wild = world(
        head,
        people,
        pose=PoseSpec((-75, 75), (-40, 40), (-25, 25), False),
        light=LightSpec(),
        domains=tuple(DOMAINS.values()),
        emotions=WorldSpec().emotions,
        wear=WearSpec(0.25, 0.5, 0.05, 0.2, 0.2),
        camera=CameraSpec(fill=(0.5, 0.9)),
    )

    def pictures() -> Iterator[np.ndarray]:
        for i in range(people):
            yield clean.sample(5, i).colour
            for j in range(5):
                shot = wild.shot(6, i + people * j)
                if j % 3 == 0:
                    pose = tuple(0.2 * angle for angle in shot.pose)
                    shot = replace(shot, pose=pose, occluder=False, dark=False)
                sample = wild.picture(shot)
                width = float(sample.box[2] - sample.box[0])
                rng, kept = np.random.default_rng((i, j, 3)), 0.35 if j % 3 else 0.1
                yield any_degradation(sample.colour, rng, width, untouched=kept)[0]

    found = observe(pictures(), analyzer)
    return _labelled(found, found.rows // 6, found.rows % 6 == 0, 0.0, 0.9, source)


def _labelled(
    found: Observed, who: np.ndarray, clean: np.ndarray, lead: float, best: float, source: int
) -> Probes:
    reference = {int(p): i for i, p in enumerate(who) if clean[i]}
    kept = np.array([i for i, p in enumerate(who) if int(p) in reference])
    others = [reference[int(p)] for p in who[kept]]
    similarity = (found.vectors[kept] * found.vectors[others]).sum(1)
    label = recognition_labels(similarity, DECISION + lead, 0.012)
    label[clean[kept]] = best
    return Probes(
        found.geometry.take(kept),
        found.components()[kept],
        label,
        who[kept].astype(np.int64),
        np.full(len(kept), source, np.int64),
    )


def gate(people: int, analyzer: Analyzer) -> dict[str, Any]:
    """Return rates before and after gates on LFW View 1 pairs, as they are and worsened."""
    root = data_folder() / "lfw_view1"
    out: dict[str, Any] = {}
    for view, count in (("dev-train", 200), ("dev-test", 250)):
        pairs = [pair for pair in read_lfw_pairs(root, view) if pair.same][:count]

        def pictures(pairs: Any = pairs) -> Iterator[np.ndarray]:
            for i, pair in enumerate(pairs):
                first, second = (open_image(r.path) for r in (pair.first, pair.second))
                rng = np.random.default_rng((i, 5))
                yield from (first, second, any_degradation(second, rng, 95.0, untouched=0.0)[0])

        seen = observe(pictures(), analyzer)
        values = quality_values(seen, analyzer.embedder)
        pair, kind = seen.rows // 3, seen.rows % 3
        first = {int(p): i for i, (p, k) in enumerate(zip(pair, kind, strict=True)) if k == 0}
        rows = np.array([i for i in range(len(seen)) if kind[i] and int(pair[i]) in first])
        scores = (seen.vectors[rows] * seen.vectors[[first[int(p)] for p in pair[rows]]]).sum(1)
        quality = values["overall"]
        plain = quality[kind < 2]
        out[view] = {
            "probes": len(rows),
            "lowest quality of undegraded pictures": float(plain.min()),
            "undegraded pictures": len(plain),
            "edc": {
                name: error_versus_discard(scores, v[rows], DECISION, pair[rows]).area.to_dict()
                for name, v in values.items()
            },
            "gates": {
                f"{g:g}": gated(scores, quality[rows], [], [], DECISION, g).to_dict()
                for g in (0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
            },
        }
    return json.loads(json.dumps(out).replace("NaN", "null"))


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("command", choices=("curves", "pose", "probes", "gate"))
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--out", type=Path, default=Path("probes.safetensors"))
    chosen = parser.parse_args()
    assert np.allclose(head_angles(head_rotation(30, 20, -10)[None])[0], [30, 20, -10])
    # The packaged quality weight was labelled by this recogniser.
    analyzer = Analyzer(embedder=Embedder("dlib-resnet29", threads=1), threads=1)
    if chosen.command == "probes":
        done = probes(chosen.people, analyzer, chosen.out)
    else:
        work = {"curves": curves, "pose": pose, "gate": gate}[chosen.command]
        done = work(chosen.people, analyzer)
    text = json.dumps(done, indent=1)
    if chosen.json:
        chosen.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
