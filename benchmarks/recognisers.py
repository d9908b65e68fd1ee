"""Recognisers side by side: same pictures, same keypoints, one run.

Our recognisers of the manifest, and face-reidentification-retail-0095 of the Open Model Zoo where
``VULTUS_TEACHERS`` (default ``../shared/weights/teachers``) holds it. Every picture is searched
once, and each recogniser cuts its own crop by the keypoints found. Spoiled pictures keep the
keypoints of the clean one, so that they measure recognition alone.

- LFW View 1: the threshold comes from the DevTrain pairs of people whom no network of ours has
  trained on, all figures from DevTest. Then the same pairs with the second picture spoiled. TAR is
  that of the genuine pairs; its threshold lets through the given share of all combinations of a
  first and a second picture of different people, since 500 impostor pairs cannot support 1e-3.
- ORL, Extended Yale B, five celebrities and the profiles of FASSEG: all pairs of pictures, and
  rank 1 from one enrolled picture a person (Yale B: lit from the front; FASSEG: facing the camera).

    OMP_NUM_THREADS=1 python benchmarks/recognisers.py [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from machine import describe_machine
from vultus.datasets.catalogue import read
from vultus.datasets.lfw import read_lfw_pairs
from vultus.datasets.records import Pair, Record
from vultus.datasets.splits import name_places
from vultus.detection import Detector, central
from vultus.errors import WeightsError
from vultus.evaluation.probes import degraded
from vultus.geometry import Template, align
from vultus.images import open_image
from vultus.measure import Estimate
from vultus.measure.allpairs import all_pairs
from vultus.measure.comparisons import Comparisons
from vultus.measure.intervals import proportion
from vultus.measure.lfw import view1
from vultus.measure.verification import accuracy, auc
from vultus.recognition import Embedder
from vultus.recognition.teachers import RetailEmbedder

REPOSITORY = Path(__file__).resolve().parent.parent
TEACHERS = Path(
    os.environ.get("VULTUS_TEACHERS", REPOSITORY.parent / "shared" / "weights" / "teachers")
)
OURS = ("dlib-resnet29", "compact-recogniser")
RETAIL = "retail-0095"
#: Share of LFW's DevTrain people that recipes/compact-recogniser keeps apart.
APART = 0.3
FARS = (1e-2, 1e-3)
#: Tight crops get a mirrored margin, and small ones are enlarged, before they are searched.
SMALL, MARGIN = 192, 0.25

Image = NDArray[np.uint8]
Vectors = NDArray[np.float32]
#: How a picture is spoiled: the change of :func:`~vultus.evaluation.probes.degraded`, its strength.
SPOILED = {
    "face 24 px wide": ("small", np.log10(80 / 24)),
    "blur, sigma 4 % of the face": ("blur", (0.04 - 0.004) / 0.096),
    "JPEG quality 30": ("jpeg", np.log(40 / 30) / np.log(40)),
    "JPEG quality 10": ("jpeg", np.log(40 / 10) / np.log(40)),
    "covered, a third of the face": ("covered", 0.5),
    "side light, down to 1 %": ("side_light", 2 / 3),
}


class Recogniser(Protocol):
    """What is compared."""

    template: Template
    dim: int
    space: str

    def predict(self, crops: Image) -> Vectors:
        """Return unit embeddings (N, D) of crops of the template."""


@dataclass(frozen=True, slots=True)
class Found:
    """A picture as it was searched, and the keypoints of its subject, (5, 2), or None."""

    image: Image
    keypoints: NDArray[np.float32] | None
    width: float


def recognisers(wanted: Sequence[str]) -> dict[str, Recogniser]:
    """Return those that can be had here, by name."""
    found: dict[str, Recogniser] = {}
    for name in wanted:
        try:
            if name != RETAIL:
                found[name] = Embedder(name, threads=1)
            elif (TEACHERS / "face-reidentification-retail-0095.xml").exists():
                found[name] = RetailEmbedder(TEACHERS / "face-reidentification-retail-0095.xml")
        except WeightsError as error:
            print(f"left out: {name}: {error}")
    return found


def look(record: Record, detector: Detector, *, tight: bool = False) -> Found:
    """Find the most central face of a picture."""
    image = open_image(record.source())
    if tight:
        if (short := min(image.shape[:2])) < SMALL:
            size = [round(side * SMALL / short) for side in image.shape[1::-1]]
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)
        high, wide = (round(MARGIN * side) for side in image.shape[:2])
        padded = np.pad(image, ((high, high), (wide, wide), (0, 0)), "reflect")
        image = padded.astype(np.uint8)
    faces = detector.detect(image)
    if not faces:
        return Found(image, None, 0.0)
    face = central(faces, image.shape)
    return Found(image, face.keypoints, float(face.box[2] - face.box[0]))


def embed(found: Sequence[Found], known: dict[str, Recogniser]) -> dict[str, Vectors]:
    """Return each recogniser's embeddings (N, D); NaN where no face was found."""
    rows = [i for i, one in enumerate(found) if one.keypoints is not None]
    out = {}
    for name, recogniser in known.items():
        vectors = np.full((len(found), recogniser.dim), np.nan, np.float32)
        for start in range(0, len(rows), 32):
            part = rows[start : start + 32]
            crops = [
                align(found[i].image, found[i].keypoints, recogniser.template)[0] for i in part
            ]
            vectors[part] = recogniser.predict(np.stack(crops))
        out[name] = vectors
    return out


def chunks(
    records: Sequence[Record], detector: Detector, *, tight: bool = False, size: int = 64
) -> Iterator[list[Found]]:
    """Yield searched pictures, some at a time, so that memory stays small."""
    for start in range(0, len(records), size):
        yield [look(record, detector, tight=tight) for record in records[start : start + size]]


def joined(parts: list[dict[str, Vectors]]) -> dict[str, Vectors]:
    """Put the embeddings of chunks after one another."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def spoiled(one: Found, change: str, strength: float, rng: np.random.Generator) -> Found:
    """Return a picture spoiled, with the keypoints of the clean one."""
    if one.keypoints is None:
        return one
    image = degraded(one.image, change, float(strength), rng, one.width)
    # Pixel centres: x' + 0.5 = (x + 0.5) * factor.
    factor = np.array(image.shape[1::-1], np.float32) / one.image.shape[1::-1]
    points = (one.keypoints + 0.5) * factor - 0.5
    return Found(image, points.astype(np.float32), one.width * float(factor[0]))


def scores(first: Vectors, second: Vectors) -> NDArray[np.float64]:
    """Return cosines of rows; -inf where a picture shows no face, a rejection."""
    cosine = (first.astype(np.float64) * second).sum(1)
    return np.where(np.isnan(cosine), -np.inf, cosine)


def lfw(known: dict[str, Recogniser], detector: Detector, limit: int | None) -> dict[str, Any]:
    """Measure View 1, clean and spoiled."""
    root = read("lfw", None).root
    pairs = {view: read_lfw_pairs(root, view) for view in ("dev-train", "dev-test")}
    names = [str(r.identity) for p in pairs["dev-train"] for r in (p.first, p.second)]
    apart = (name_places(names) < APART).reshape(-1, 2).all(1)
    pairs["dev-train"] = [p for p, keep in zip(pairs["dev-train"], apart, strict=True) if keep]
    if limit is not None:
        pairs = {view: part[:: max(1, len(part) // limit)] for view, part in pairs.items()}
    every = pairs["dev-train"] + pairs["dev-test"]
    records = list({r.path: r for p in every for r in (p.first, p.second)}.values())
    probes = {p.second.path for p in pairs["dev-test"]}
    rows = {record.path: i for i, record in enumerate(records)}
    clean: list[dict[str, Vectors]] = []
    worse: dict[str, list[dict[str, Vectors]]] = {name: [] for name in SPOILED}
    rng = np.random.default_rng(0)
    for start, found in zip(range(0, len(records), 64), chunks(records, detector), strict=True):
        clean.append(embed(found, known))
        probed = [records[start + i].path in probes for i in range(len(found))]
        for name, (change, strength) in SPOILED.items():
            changed = [
                spoiled(one, change, strength, rng) if probe else Found(one.image, None, 0)
                for one, probe in zip(found, probed, strict=True)
            ]
            worse[name].append(embed(changed, known))
    vectors, second = joined(clean), {name: joined(parts) for name, parts in worse.items()}
    out: dict[str, Any] = {
        "pairs": {view: len(part) for view, part in pairs.items()},
        "pictures without a face": int(np.isnan(next(iter(vectors.values()))[:, 0]).sum()),
    }
    for name in known:
        train = pairwise(vectors[name], vectors[name], pairs["dev-train"], rows)
        test = pairwise(vectors[name], vectors[name], pairs["dev-test"], rows)
        result = view1(train, test)
        figures = {
            "clean": {
                "accuracy": result.accuracy,
                **free(test, vectors[name], vectors[name], pairs["dev-test"], rows),
            }
        }
        for condition, changed in second.items():
            compared = pairwise(vectors[name], changed[name], pairs["dev-test"], rows)
            figures[condition] = {
                "accuracy at the threshold of clean pairs": accuracy(compared, result.threshold),
                **free(compared, vectors[name], changed[name], pairs["dev-test"], rows),
            }
        out[name] = {"threshold": result.threshold, "figures": plain(figures)}
    return out


def pairwise(
    first: Vectors, second: Vectors, pairs: Sequence[Pair], rows: dict[Path, int]
) -> Comparisons:
    """Compare the pairs of a list."""
    a = [rows[pair.first.path] for pair in pairs]
    b = [rows[pair.second.path] for pair in pairs]
    people = np.array([(str(p.first.identity), str(p.second.identity)) for p in pairs])
    same = np.array([pair.same for pair in pairs])
    return Comparisons.from_pairs(scores(first[a], second[b]), same, people)


def free(
    compared: Comparisons,
    first: Vectors,
    second: Vectors,
    pairs: Sequence[Pair],
    rows: dict[Path, int],
) -> dict[str, Estimate]:
    """Return the figures that need no threshold of other data."""
    one = list({pair.first.path: str(pair.first.identity) for pair in pairs}.items())
    two = list({pair.second.path: str(pair.second.identity) for pair in pairs}.items())
    cosine = first[[rows[path] for path, _ in one]] @ second[[rows[path] for path, _ in two]].T
    other = np.array([who for _, who in one])[:, None] != np.array([who for _, who in two])
    impostor = cosine[other & ~np.isnan(cosine)]
    rates = {}
    for far in FARS:
        passed = int((compared.genuine > np.quantile(impostor, 1 - far)).sum())
        rates[f"TAR@FAR={far:g}"] = proportion(passed, len(compared.genuine))
    return {"AUC": auc(compared), **rates}


def people(
    records: Sequence[Record],
    names: Sequence[str],
    enrolled: Sequence[bool] | None,
    known: dict[str, Recogniser],
    detector: Detector,
) -> dict[str, Any]:
    """Measure all pairs of a set of people, and rank 1 from one enrolled picture of each.

    ``enrolled`` marks the picture of each; without it every picture takes its turn (the r-th of
    every person).
    """
    vectors = joined([embed(found, known) for found in chunks(records, detector, tight=True)])
    who = np.array(names)
    here = ~np.isnan(next(iter(vectors.values()))[:, 0])
    out: dict[str, Any] = {
        "people": len(set(names)),
        "pictures": len(names),
        "found": int(here.sum()),
    }
    number = np.array([int((who[:i] == who[i]).sum()) for i in range(len(who))])
    rounds: list[NDArray[np.bool_]] = (
        [np.array(enrolled)] if enrolled is not None
        else [number == r for r in range(int(np.unique(who, return_counts=True)[1].min()))]
    )  # fmt: skip
    for name in known:
        compared = all_pairs(vectors[name][here], who[here])
        tar = {f"TAR@FAR={far:g}": compared.tar_at_far(far).to_dict() for far in FARS}
        hits, searches = 0, 0
        for gallery in rounds:
            score = np.nan_to_num(vectors[name] @ vectors[name][gallery].T, nan=-2.0)
            best = who[gallery][score.argmax(1)]
            hits += int(((best == who) & here)[~gallery].sum())
            searches += int((~gallery).sum())
        rank = proportion(hits, searches)
        out[name] = {
            "rank 1 of all searches, a face not found is an error": rank.to_dict(),
            "genuine": compared.n_genuine,
            "impostor": compared.n_impostor,
            **tar,
        }
    return out


def sets(known: dict[str, Recogniser], detector: Detector) -> dict[str, Any]:
    """Measure the sets of people."""
    found: dict[str, Any] = {}
    orl = list(read("orl", None))
    found["orl"] = people(orl, [str(r.identity) for r in orl], None, known, detector)
    yale = list(read("yale-b", None))
    light = [abs(r.labels["azimuth"] or 0) + abs(r.labels["elevation"] or 0) for r in yale]
    lit = [r.labels["azimuth"] is not None for r in yale]
    names = [str(r.identity) for r in yale]
    found["yale-b"] = people(yale, names, nearest(names, light, lit), known, detector)
    stars = list(read("celebrities", None))
    found["celebrities"] = people(stars, [str(r.identity) for r in stars], None, known, detector)
    turned = sorted((read("fasseg", None).root / "multipose01" / "Test_RGB").rglob("*.*"))
    parsed = [(path, re.match(r"personne(\d\d)\d+\+0([+-]\d+)", path.stem)) for path in turned]
    faces = [
        (Record(path, m[1]), abs(int(m[2]))) for path, m in parsed if m and abs(int(m[2])) <= 60
    ]
    names = [str(record.identity) for record, _ in faces]
    front = nearest(names, [yaw for _, yaw in faces], [True] * len(faces))
    found["fasseg, yaw up to 60"] = people([r for r, _ in faces], names, front, known, detector)
    return found


def nearest(names: Sequence[str], distance: Sequence[float], allowed: Sequence[bool]) -> list[bool]:
    """Mark the allowed item of smallest distance of each person."""
    chosen = {}
    for i, (name, far, ok) in enumerate(zip(names, distance, allowed, strict=True)):
        if ok and (name not in chosen or far < distance[chosen[name]]):
            chosen[name] = i
    return [i in chosen.values() for i in range(len(names))]


def speed(known: dict[str, Recogniser], repeat: int) -> dict[str, Any]:
    """Return milliseconds of processor time per face, batch 1 and one thread, in turns."""
    rng = np.random.default_rng(0)
    runs: dict[str, Callable[[], object]] = {}
    for name, recogniser in known.items():
        side = recogniser.template.size
        crop = rng.integers(0, 256, (1, side, side, 3), np.uint8)
        runs[name] = lambda recogniser=recogniser, crop=crop: recogniser.predict(crop)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeat + 3):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if turn >= 3:
                times[name].append(1e3 * (time.process_time() - start))
    return {name: {"ms": statistics.median(t), "n": len(t)} for name, t in times.items()}


def plain(value: Any) -> Any:
    """Turn estimates into plain values."""
    if isinstance(value, Estimate):
        return value.to_dict()
    return {key: plain(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def show(report: dict[str, Any], names: Sequence[str]) -> None:
    """Print the figures, a line each."""
    first = report["lfw"][names[0]]["figures"]
    for condition in first:
        for metric in first[condition]:
            cells = [report["lfw"][n]["figures"][condition][metric] for n in names]
            text = "  ".join(f"{c['value']:.3f} [{c['low']:.3f}, {c['high']:.3f}]" for c in cells)
            print(f"LFW {condition:30.30} {metric:42} {text}")
    for key, values in report["sets"].items():
        for metric in values[names[0]]:
            cells = [values[n][metric] for n in names]
            text = "  ".join(f"{c['value'] if isinstance(c, dict) else c:.3f}" for c in cells)
            print(f"{key:34} {metric:54.54} {text}")
    print("ms a face", {n: round(report["speed"][n]["ms"], 2) for n in names})


def main() -> None:
    """Measure, print, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recogniser", action="append", help="repeat for more; all if not given")
    parser.add_argument("--limit", type=int, help="about so many LFW pairs of each view")
    parser.add_argument("--repeat", type=int, default=60)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    known = recognisers(arguments.recogniser or [*OURS, RETAIL])
    detector = Detector(threads=1)
    report = {
        "command": "OMP_NUM_THREADS=1 python benchmarks/recognisers.py",
        "machine": describe_machine(),
        "spaces": {name: one.space for name, one in known.items()},
        "detector": detector.name,
        "speed": speed(known, arguments.repeat),
        "lfw": lfw(known, detector, arguments.limit),
        "sets": sets(known, detector),
    }
    show(report, list(known))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
