"""What quality is worth: errors left when the worst pictures go, and what a gate costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vultus.analysis import Analysis, Analyzer
from vultus.datasets.lfw import PEOPLE_LISTS, read_lfw
from vultus.datasets.people import read_folder
from vultus.datasets.records import Dataset
from vultus.errors import DatasetError
from vultus.evaluation.probes import Observed, any_degradation, observe
from vultus.evaluation.report import Report, system_of
from vultus.geometry import UInt8Array
from vultus.measure import Estimate, plots
from vultus.measure.allpairs import all_pairs
from vultus.measure.intervals import proportion, rate
from vultus.measure.quality import Edc, edc_difference, error_versus_discard
from vultus.quality.components import NAMES
from vultus.quality.gate import MIN_QUALITY
from vultus.quality.predictor import QualityPredictor
from vultus.recognition import Embedder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.intp]

Progress = Callable[[Analysis], None]

#: False match rate at which the recogniser's threshold is set, on the development people.
FMR = 1e-3
#: Share of comparisons that the curves discard at most.
LIMIT = 0.3
#: Genuine comparisons of one person, at most.
PER_PERSON = 60

OVERALL = "overall"
RIVALS = ("detector confidence", "embedding norm", "embedding stability")


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Every quality value of every face of a set.

    Parameters
    ----------
    observed
        The faces.
    people
        intp (M,), who each shows.
    values
        float32 (M,) by name: overall, the components, and the rivals.
    """

    observed: Observed
    people: IntArray
    values: Mapping[str, FloatArray]


def evaluate_quality(
    root: Path,
    *,
    seed: int = 0,
    degrade: bool = False,
    gate: float = MIN_QUALITY,
    limit: int | None = None,
    analyzer: Analyzer,
    progress: Progress | None = None,
) -> Report:
    """Measure error-versus-discard curves of quality and each component, and a gate.

    One half of the people sets the recogniser's threshold; all figures are of the other half. The
    quality of a comparison is the lower one of its two pictures.

    Parameters
    ----------
    root
        ``PERSON/*.jpg``, or LFW.
    seed
        Of the division of the people and of the changes.
    degrade
        Whether to add a copy of each picture that is made worse at random, where the pictures as
        they are hold too few errors.
    gate
        Overall quality below which a gate refuses.
    limit
        Most people to look at.

    Raises
    ------
    DatasetError
        If there are fewer than eight people with two pictures or more.
    """
    data = _repeated(root, limit)
    codes, names = data.identities()
    if len(names) < 8:
        raise DatasetError(f"{root}: needs eight people with two pictures, has {len(names)}")
    people = np.repeat(codes, 2) if degrade else codes
    observed = observe(_pictures(data, degrade, seed), analyzer, progress)
    measured = Measured(
        observed, people[observed.rows], quality_values(observed, analyzer.embedder)
    )
    order = np.random.default_rng(seed).permutation(len(names))
    dev = np.isin(measured.people, order[: len(names) // 2])
    calibration = all_pairs(observed.vectors[dev], measured.people[dev])
    threshold = calibration.threshold_at_far(max(FMR, 1 / calibration.n_impostor))
    pairs = genuine_pairs(measured.people, np.flatnonzero(~dev), seed)
    figures, curves = _figures(measured, pairs, threshold, gate)
    lost = proportion(len(people) - len(observed), len(people))
    return Report(
        protocol="quality",
        system=system_of(analyzer) | {"quality": "lightweight-quality"},
        figures=figures | {"failure to acquire": lost},
        facts={
            "people": len(names),
            "pictures": len(people),
            "with degraded copies": degrade,
            "seed": seed,
            "genuine comparisons": len(pairs),
            "verification threshold": threshold,
            "threshold from": f"FMR {FMR:g} among the development people",
            "gate": gate,
            "curves": {name: curve.to_dict() for name, curve in curves.items()},
        },
        plots={"edc": lambda: _plot(curves, data.name)},
    )


def quality_values(observed: Observed, embedder: Embedder) -> dict[str, FloatArray]:
    """Return the overall score, the components and the rivals of every face, float32 (M,) each."""
    components = observed.components()
    values = {OVERALL: QualityPredictor().score(observed.geometry, components)}
    values |= {name: components[:, i] for i, name in enumerate(NAMES)}
    return values | rivals(observed, embedder)


def rivals(observed: Observed, embedder: Embedder, seed: int = 0) -> dict[str, FloatArray]:
    """Return what else can rank pictures, float32 (M,) each.

    The detector's confidence; the length of the raw embedding (MagFace-like); the mean similarity
    of the embedding to those of the crop shifted, mirrored and covered at random (after SER-FIQ,
    with noise on the input for want of dropout). The last two need crops of the embedder's kind.
    """
    out = {RIVALS[0]: observed.geometry.score}
    if embedder.template.name != "dlib150":
        return out
    raw = embedder.predict_raw(observed.crops)
    out[RIVALS[1]] = np.linalg.norm(raw, axis=1).astype(np.float32)
    rng = np.random.default_rng(seed)
    stable = np.zeros(len(observed), np.float32)
    looks = 4
    for _ in range(looks):
        moved = _jittered(observed.crops, rng)
        stable += (embedder.predict(moved) * observed.vectors).sum(1)
    out[RIVALS[2]] = stable / np.float32(looks)
    return out


def genuine_pairs(people: IntArray, rows: IntArray, seed: int) -> IntArray:
    """Return pairs (P, 2) of rows that show one person, at most :data:`PER_PERSON` of each.

    Raises
    ------
    DatasetError
        If nobody has two pictures.
    """
    rng = np.random.default_rng((seed, 1))
    found: list[tuple[int, int]] = []
    for person in np.unique(people[rows]):
        every = list(combinations(rows[people[rows] == person].tolist(), 2))
        if len(every) > PER_PERSON:
            every = [every[i] for i in rng.choice(len(every), PER_PERSON, replace=False)]
        found += every
    if not found:
        raise DatasetError("no person of the evaluation half has two pictures with a face")
    return np.array(found, np.intp)


def _figures(
    measured: Measured, pairs: IntArray, threshold: float, gate: float
) -> tuple[dict[str, Estimate], dict[str, Edc]]:
    vectors = measured.observed.vectors
    scores = (vectors[pairs[:, 0]] * vectors[pairs[:, 1]]).sum(1)
    who = measured.people[pairs[:, 0]]
    wrong = scores < np.float32(threshold)
    overall = measured.values[OVERALL][pairs]
    passed = overall.min(1) >= gate
    figures = {"FNMR": rate(wrong, who)}
    if passed.any():
        figures["FNMR of what passes the gate"] = rate(wrong[passed], who[passed])
    figures["refused by the gate (FTA)"] = rate(~passed, who)
    figures["refused or not matched, of all"] = rate(wrong | ~passed, who)
    curves = {}
    for name, values in measured.values.items():
        curves[name] = error_versus_discard(scores, values[pairs], threshold, who, limit=LIMIT)
        figures[f"EDC area, {name}"] = curves[name].area
    for name in (*RIVALS, "sharpness"):
        if name in measured.values:
            figures[f"EDC area, overall minus {name}"] = edc_difference(
                scores, overall, measured.values[name][pairs], threshold, who, limit=LIMIT
            )
    return figures, curves


def _repeated(root: Path, limit: int | None) -> Dataset:
    data = read_lfw(root) if (root / PEOPLE_LISTS["dev-train"]).exists() else read_folder(root)
    codes, _ = data.identities()
    kept = np.flatnonzero(np.bincount(codes)[codes] > 1)
    if limit is not None:
        chosen = np.unique(codes[kept])
        places = np.unique(np.linspace(0, len(chosen) - 1, min(limit, len(chosen))).astype(int))
        kept = kept[np.isin(codes[kept], chosen[places])]
    return data.take(kept)


def _pictures(data: Dataset, degrade: bool, seed: int) -> Iterator[Any]:
    from vultus.images import open_image

    for i, record in enumerate(data):
        if not degrade:
            yield record.source()
            continue
        image = open_image(record.source())
        yield image
        rng = np.random.default_rng((seed, i))
        yield any_degradation(image, rng, 0.4 * min(image.shape[:2]), untouched=0.0)[0]


def _jittered(crops: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """Return crops shifted by up to 3 pixels, mirrored half of the time, and partly covered."""
    out = np.empty_like(crops)
    side = crops.shape[1]
    for i, crop in enumerate(crops):
        shifted = np.roll(crop, rng.integers(-3, 4, 2), (0, 1))
        out[i] = shifted[:, ::-1] if rng.random() < 0.5 else shifted
        top, left = rng.integers(0, side - 30, 2)
        out[i, top : top + 30, left : left + 30] = 127
    return out


def _plot(curves: Mapping[str, Edc], title: str) -> Figure:
    named = (OVERALL, *RIVALS, "sharpness", "pose_yaw", "inter_eye_distance")
    shown = {name: curves[name] for name in named if name in curves}
    return plots.edc(shown, title=title)
