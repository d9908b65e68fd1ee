"""Synthetic faces: speed of generation, and the rasteriser beside torch and VTK.

Definitions:

* generation: pictures per second with every label (colour with 2x2 samples, depth, normals,
  parts, points), 112 pixels, forty identities, with two threads, after every person was painted
  once; per processor second, median of rounds; by the clock, median and best round, and the share
  of two cores that the best round was given, which says what else the machine did;
* cues: the trivial baseline (five hand features, logistic regression) on attacks of the
  procedural head: mean of both error rates at a threshold of one half, on other people of the
  training domains (studio, phone), and on another domain (webcam);
* recognised: share of faces that the packaged detector finds (keypoints within 0.3 outer eye
  distances), its median keypoint error in outer eye distances against the exact points, and how
  well the packaged recogniser, which has seen photographs only, tells thirty people apart: area
  under the ROC curve and true match rate at a false match rate of one per cent;
* rasterisers: median processor and wall milliseconds for owners and depth of one head at 112
  pixels, taking turns; agreement: share of pixels with the same part (or the same triangle), and
  the median difference of depth in millimetres where both see the head.

    OMP_NUM_THREADS=1 python benchmarks/worlds.py [--json FILE] [--heads procedural ict]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from machine import describe_machine
from vultus.detection import Detector
from vultus.errors import DatasetError
from vultus.geometry import align
from vultus.recognition import Embedder
from vultus.worlds import (
    CUES,
    DOMAINS,
    SPECIES,
    Camera,
    CameraSpec,
    PoseSpec,
    World,
    WorldSpec,
    fit_cues,
    generate,
    rotation,
    stream,
)
from vultus.worlds.camera import PIVOT
from vultus.worlds.raster import rasterise
from vultus.worlds.render import NEAR
from worlds_rasterisers import TorchRasteriser, VtkRasteriser

SIZE = 112
COUNT = 160
ROUNDS = 5
IDENTITIES = 40
VIEWS = 16


def generation(head: str) -> dict[str, float]:
    """Measure pictures per second of a head."""
    out: dict[str, float] = {}
    for name, spec in {
        "labels": WorldSpec(head=head, size=SIZE, identities=IDENTITIES),
        "attacks": WorldSpec(
            head=head,
            size=SIZE,
            identities=IDENTITIES,
            channels=True,
            species=("bona_fide", "print", "replay", "mask_rigid"),
        ),
        "256px": WorldSpec(head=head, size=256, identities=IDENTITIES),
    }.items():
        world = World(spec)
        _paint_everybody(world)
        count = COUNT if name == "labels" else COUNT // 3
        rounds = [_round(world, number, count) for number in range(1, ROUNDS + 1)]
        rates = [count / wall for wall, _ in rounds]
        best = max(range(ROUNDS), key=rates.__getitem__)
        wall, processor = rounds[best]
        out[f"{name} per processor second"] = statistics.median(count / p for _, p in rounds)
        out[f"{name} per second, two threads, median"] = statistics.median(rates)
        out[f"{name} per second, two threads, best"] = rates[best]
        out[f"{name} share of two cores in the best"] = processor / (2 * wall)
    return {key: round(value, 2) for key, value in out.items()}


def _paint_everybody(world: World) -> None:
    seen: set[int] = set()
    for sample in stream(world, 0, 100 * IDENTITIES, workers=2):
        seen.add(sample.identity)
        if len(seen) == IDENTITIES:
            return


def _round(world: World, seed: int, count: int) -> tuple[float, float]:
    """Return the seconds that pictures take, by the clock and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    for _ in generate(world, seed, count, workers=2):
        pass
    return time.perf_counter() - wall, time.process_time() - processor


def rasterisers(head: str) -> dict[str, Any]:
    """Compare three rasterisers on speed and labels."""
    world = World(WorldSpec(head=head, size=SIZE, identities=VIEWS))
    model, camera = world.head, Camera(70.0, 0.9)
    parts = model.parts[model.triangles[:, 0]].astype(int)
    turned, screens = [], []
    for i in range(VIEWS):
        shot = world.shot(0, i)
        vertices = model.vertices(shot.who.coefficients[None], shot.weights[None])[0]
        view = ((vertices - PIVOT) @ rotation(*shot.pose).T).astype(np.float32)
        turned.append(view)
        screens.append(camera.project(view, SIZE))
    batch = np.stack(screens)
    torch_draws = TorchRasteriser(model.triangles, SIZE)
    vtk_draws = VtkRasteriser(model.triangles, parts, SIZE)
    ours = [rasterise(s, model.triangles, SIZE, 1, NEAR)[:2] for s in screens]
    theirs = torch_draws(batch)
    focal = camera.focal(SIZE)
    drawn = [vtk_draws(view, camera.distance, focal) for view in turned]
    labels = np.stack([np.where(o >= 0, parts[o], -1) for o, _ in ours])
    depth = np.stack([d for _, d in ours])
    seen = [np.stack(part) for part in zip(*drawn, strict=True)]
    times = _taking_turns(
        {
            "numba": lambda: [rasterise(s, model.triangles, SIZE, 1, NEAR) for s in screens],
            "torch": lambda: torch_draws(batch),
            "vtk": lambda: [vtk_draws(view, camera.distance, focal) for view in turned],
        }
    )
    owners = np.stack([o for o, _ in ours])
    both_torch, both_vtk = (owners >= 0) & (theirs[0] >= 0), (owners >= 0) & (seen[0] >= 0)
    return {
        "triangles": len(model.triangles),
        "ms per view": times,
        "torch": {
            "same triangle": round(float((theirs[0] == owners).mean()), 5),
            "depth mm": round(
                10 * float(np.median(np.abs(theirs[1][both_torch] - depth[both_torch]))), 4
            ),
        },
        "vtk": {
            "same part": round(float((seen[0] == labels).mean()), 5),
            "depth mm": round(
                10 * float(np.median(np.abs(seen[1][both_vtk] - depth[both_vtk]))), 4
            ),
        },
    }


def recognised(head: str, count: int = 120) -> dict[str, float]:
    """Show generated faces to the packaged detector and recogniser."""
    detector, embedder = Detector(), Embedder("dlib-resnet29")
    spec = WorldSpec(
        head=head,
        size=224,
        identities=30,
        camera=CameraSpec(fill=(0.55, 0.7)),
        pose=PoseSpec((-20.0, 20.0), (-8.0, 8.0), (-8.0, 8.0)),
    )
    crops, identity, errors = [], [], []
    for sample in stream(spec, 2, count):
        faces = detector.detect(sample.colour)
        if faces:
            reach = np.linalg.norm(sample.landmarks[45] - sample.landmarks[36])
            apart = np.linalg.norm(faces[0].keypoints - sample.keypoints, axis=1).mean()
            errors.append(float(apart / reach))
        crops.append(align(sample.colour, sample.keypoints, embedder.template)[0])
        identity.append(sample.identity)
    templates = embedder.predict(np.stack(crops))
    pairs = np.triu_indices(count, 1)
    same = (np.array(identity)[:, None] == np.array(identity)[None])[pairs]
    score = (templates @ templates.T)[pairs]
    rank = np.argsort(np.argsort(score))
    area = (rank[same].mean() - (same.sum() - 1) / 2) / (~same).sum()
    found = [e for e in errors if e < 0.3]
    return {
        "detected": round(len(found) / count, 3),
        "keypoint error": round(statistics.median(found), 4),
        "ROC area": round(float(area), 4),
        "TMR at FMR 0.01": round(float((score[same] > np.quantile(score[~same], 0.99)).mean()), 3),
    }


def cue_errors(count: int = 50) -> dict[str, dict[str, float]]:
    """Return the error of the cue baseline per species, at home and across domains."""
    home, away = (DOMAINS["studio"], DOMAINS["phone"]), (DOMAINS["webcam"],)
    sets = (
        ("train", home, range(20)),
        ("home", home, range(20, 40)),
        ("away", away, range(20, 40)),
    )
    out: dict[str, dict[str, float]] = {}
    drawn = {}
    for name, domains, people in sets:
        for species in ("bona_fide", *SPECIES):
            spec = WorldSpec(domains=domains, people=tuple(people), species=(species,))
            pictures = [s.colour for s in stream(spec, 5, count, workers=2)]
            drawn[name, species] = np.stack(pictures)
    for species in SPECIES:
        both = np.concatenate([drawn["train", "bona_fide"], drawn["train", species]])
        model = fit_cues(both, np.arange(2 * count) < count)
        out[species] = {
            where: round(
                float(
                    (model.score(drawn[where, "bona_fide"]) < 0.5).mean() / 2
                    + (model.score(drawn[where, species]) >= 0.5).mean() / 2
                ),
                3,
            )
            for where in ("home", "away")
        }
    return out


def _taking_turns(runs: dict[str, Callable[[], Any]], rounds: int = 9) -> dict[str, Any]:
    wall: dict[str, list[float]] = {name: [] for name in runs}
    processor: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start, spent = time.perf_counter(), time.process_time()
            run()
            wall[name].append((time.perf_counter() - start) * 1e3 / VIEWS)
            processor[name].append((time.process_time() - spent) * 1e3 / VIEWS)
    return {
        name: {
            "wall": round(statistics.median(wall[name]), 3),
            "processor": round(statistics.median(processor[name]), 3),
        }
        for name in runs
    }


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--heads", nargs="+", default=["procedural", "ict"])
    parser.add_argument("--generation", action="store_true", help="measure generation alone")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    import torch

    torch.set_num_threads(1)
    result: dict[str, Any] = {"machine": describe_machine(), "size": SIZE, "heads": {}}
    for head in options.heads:
        try:
            measured = result["heads"].setdefault(head, {})
            parts = (generation,) if options.generation else (generation, rasterisers, recognised)
            for part in parts:
                measured[part.__name__] = part(head)
                print(head, part.__name__, json.dumps(measured[part.__name__]), flush=True)
        except DatasetError as error:
            result["heads"][head] = {"absent": str(error)}
    if not options.generation:
        result["cues"] = {"features": list(CUES), "error": cue_errors()}
    text = json.dumps(result, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
