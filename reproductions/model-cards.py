"""Model cards (paper 41): what averages hide, what metrics disagree on, and what intervals hold.

The paper prescribes a procedure and reports two examples on data that are not at hand. Measured
here is what the procedure rests on: a smile classifier on rendered faces with exact labels, and
tables of predictions drawn at known rates.

That the largest gap over intersections is at least that over any single factor is arithmetic: a
single factor's rate is a weighted mean of those of its intersections. The claims are therefore
about how much larger it is, and whether rarity in training makes it so.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from vultus.audit.model_cards import (
    GroupColumn,
    Plan,
    PredictionTable,
    Provenance,
    choose_threshold,
    evaluate,
    fixed_threshold,
    from_json,
    make_card,
    problems,
    read_table,
    to_json,
    weight_cards,
)
from vultus.audit.model_cards.pictures import LabelledPictures
from vultus.audit.model_cards.renders import GROUPS, SmilingFaces
from vultus.audit.model_cards.schema import SECTIONS, Description
from vultus.measure.bootstrap import Resampling, bootstrap_ratio
from vultus.reproduction import Claim, Measurement
from vultus.settings import plain, read_settings

NOMINAL, MARGIN = 0.945, 0.025
GAP = 0.02

claims = (
    Claim(
        "averages-hide-intersections",
        "With one intersection rare in training, the largest gap in FNR between intersections of "
        f"skin tone and age exceeds that between groups of any one factor by more than {GAP}",
        "largest difference of FNR between groups",
        "higher",
        margin=GAP,
    ),
    Claim(
        "rarity-hides-intersections",
        "That excess is larger than after training on as many pictures with even intersections",
        "excess of the largest gap in FNR over intersections",
        "higher",
    ),
    Claim(
        "metric-conflict",
        "Where thresholds equalise FPR, groups with different base rates differ more in FDR than "
        "groups with equal base rates",
        "FDR of the group with the lower base rate minus that of the other",
        "higher",
    ),
    Claim(
        "coverage",
        "The 95 % percentile bootstrap covers the true rate in 92 to 97 % of repetitions for 100 "
        f"items or more (baseline: the middle of that range, {NOMINAL})",
        "coverage over rates of .05, .1, .2 and n of 100, 300",
        "equal",
        margin=MARGIN,
    ),
    Claim(
        "small-cells",
        "With 10 items it covers less than 92 %, which is why small cells are flagged (baseline: "
        "0.92)",
        "coverage over rates of .05, .1, .2",
        "lower",
    ),
    Claim(
        "image-bootstrap",
        "With 10 pictures per person, drawing pictures (baseline) covers less than drawing people",
        "coverage, 100 people",
        "higher",
    ),
    Claim(
        "cluster-coverage",
        "Drawing people covers in 92 to 97 % of repetitions (baseline: the middle of that range)",
        "coverage, 100 people of 10 pictures",
        "equal",
        margin=MARGIN,
    ),
    Claim(
        "completeness",
        "The validator rejects cards that lack a section, an interval or the intersections "
        "(method), and passes complete ones, the cards of all weights among them (baseline)",
        "share of cards rejected",
        "higher",
        margin=0.99,
    ),
)


# people: per intersection, in training and in evaluation; rare: of the rare one in training;
# pictures: of each person; steps: of training; items: per group of the conflict table;
# repetitions: of the coverage simulation.
budgets = {
    "smoke": {"people": 6, "rare": 1, "pictures": 2, "steps": 3, "items": 400, "repetitions": 5},
    "cpu": {
        "people": 40,
        "rare": 3,
        "pictures": 8,
        "steps": 1200,
        "items": 4000,
        "repetitions": 500,
    },
}


def run(seed: int, budget: Mapping[str, int]) -> Mapping[str, Measurement]:
    """Measure every claim."""
    return {
        **_intersections(seed, budget),
        "metric-conflict": _conflict(seed, budget["items"]),
        **_coverage(seed, budget["repetitions"]),
        "completeness": _completeness(seed),
    }


SIZE = 48
RARE = ("dark", "old")
DRAWN = Provenance(kind="exact", source="Drawn by the program.", error="None.")


def _intersections(seed: int, budget: Mapping[str, int]) -> dict[str, Measurement]:
    """Train on uneven and on even intersections; look at the same evaluation people."""
    people, rare = budget["people"], budget["rare"]
    even = dict.fromkeys(GROUPS, people)
    more = people + (people - rare) // (len(GROUPS) - 1)
    uneven = {group: rare if group == RARE else more for group in GROUPS}
    faces = SmilingFaces(seed, SIZE, budget["pictures"])
    both = {}
    for name, counts in (("uneven", uneven), ("even", even)):
        # Development people spread as in training, as they would in a deployment.
        dev = {group: max(2, count // 4) for group, count in counts.items()}
        found = faces.collect({"train": counts, "dev": dev, "test": even})
        both[name] = _gaps(_trained(found, seed, budget["steps"]))
    first, second = both["uneven"], both["even"]
    n = first["n"]
    return {
        "averages-hide-intersections": Measurement(
            first["intersections"], first["single"], n, details=both
        ),
        "rarity-hides-intersections": Measurement(
            first["intersections"] - first["single"], second["intersections"] - second["single"], n
        ),
    }


def _trained(found: LabelledPictures, seed: int, steps: int) -> PredictionTable:
    """Train the recipe's classifier on labelled pictures, and freeze its predictions."""
    from vultus.audit.model_cards.classifier import predict
    from vultus.training import load_checkpoint, train

    recipe = Path(__file__).parents[1] / "recipes" / "model-cards.yaml"
    with tempfile.TemporaryDirectory() as folder:
        changes = {
            "seed": seed,
            "steps": steps,
            "schedule.warmup": min(40, steps // 2),
            "optimizer.lr": 4e-3,
            "evaluation.every": 0,
            "config.size": SIZE,
            "config.batch": 32,
            "config.file": str(found.save(Path(folder) / "pictures.npz")),
        }
        result = train(recipe, changes, out=Path(folder) / "run", tensorboard=False, progress=False)
        _, learner, _ = load_checkpoint(result.checkpoint)
    table = found.table(predict(learner, found.pictures))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "predictions.parquet"
        table.save(file)
        return read_table(file)[0]


def _gaps(table: PredictionTable) -> dict[str, Any]:
    """Return the largest gaps in FNR, and every rate, at one threshold from development people."""
    found = evaluate(table, threshold=choose_threshold(table, "equal-error"))
    cells = [r for r in (*found.unitary, *found.intersectional) if r.metric == "fnr"]

    def gap(factors: Sequence[str]) -> float:
        values = [r.estimate.value for r in cells if list(r.cell) == list(factors)]
        return max(values) - min(values)

    return {
        "intersections": gap(["tone", "age"]),
        "single": max(gap(["tone"]), gap(["age"])),
        "n": sum(r.trials for r in cells if not r.cell),
        "auc": found.result("subgroup_auc").estimate.value,
        "fnr": {
            " ".join(r.cell.values()) or "all": [
                r.estimate.value,
                r.estimate.low,
                r.estimate.high,
                r.trials,
            ]
            for r in cells
        },
    }


def _conflict(seed: int, items: int) -> Measurement:
    """Compare FDR at equal FPR between groups of different and of equal base rates."""
    gaps = {
        name: _fdr_gap(np.random.default_rng((seed, k)), items, rates)
        for k, (name, rates) in enumerate({"different": (0.2, 0.5), "equal": (0.35, 0.35)}.items())
    }
    return Measurement(
        gaps["different"]["fdr"][0], gaps["equal"]["fdr"][0], 2 * items, details=gaps
    )


def _fdr_gap(rng: np.random.Generator, items: int, rates: tuple[float, float]) -> dict[str, Any]:
    # One group after the other, each at its own threshold with 10 % FPR on development items.
    outcomes: dict[str, list[Any]] = {"fdr": [], "fpr": []}
    for rate in rates:
        label = rng.random(2 * items) < rate
        score = 2.0 * label + rng.normal(size=2 * items)
        table = _table(label, score, split=np.repeat(["dev", "test"], items))
        threshold = choose_threshold(table, "fpr", target=0.1)
        test = table.part("test")
        positive = test.values["score"] >= threshold.value
        wrong = positive & (test.values["label"] == 0)
        outcomes["fdr"].append((wrong, positive))
        outcomes["fpr"].append((wrong, test.values["label"] == 0))
    return {name: _difference(*sides) for name, sides in outcomes.items()}


def _difference(first: Sequence[Any], second: Sequence[Any]) -> list[float]:
    """Return the difference of two ratios of independent items, and its 95 % interval."""
    replicates = []
    for k, (top, bottom) in enumerate((first, second)):
        rng = np.random.default_rng(k)
        # Items with and without an event are exchangeable: their counts are all that is drawn.
        n, counted, events = len(top), int(bottom.sum()), int(top.sum())
        shares = np.array([events, counted - events, n - counted]) / n
        drawn = rng.multinomial(n, shares, 2000)
        replicates.append(drawn[:, 0] / (drawn[:, 0] + drawn[:, 1]))
    value = first[0].sum() / first[1].sum() - second[0].sum() / second[1].sum()
    low, high = np.quantile(replicates[0] - replicates[1], (0.025, 0.975))
    return [float(value), float(low), float(high)]


RATES = (0.05, 0.1, 0.2)
PEOPLE, EACH = 100, 10


def _coverage(seed: int, repetitions: int) -> dict[str, Measurement]:
    """Count how often intervals hold the rate that the outcomes were drawn at."""
    rng = np.random.default_rng((seed, 7))
    found = {
        n: {
            rate: np.mean([_covers(rng.random(n) < rate, rate, rng) for _ in range(repetitions)])
            for rate in RATES
        }
        for n in (10, 100, 300)
    }
    large = float(np.mean([found[n][rate] for n in (100, 300) for rate in RATES]))
    small = float(np.mean([found[10][rate] for rate in RATES]))
    plain_rates = {str(n): {str(r): float(v) for r, v in of.items()} for n, of in found.items()}
    details = {"plain bootstrap": plain_rates, "evaluator": _tool_coverage(rng, repetitions)}
    who = np.repeat(np.arange(PEOPLE), EACH)
    held = []
    for _ in range(repetitions):
        # Rates differ between people: pictures of one person share what makes them hard.
        outcomes = rng.random(PEOPLE * EACH) < rng.beta(0.5, 2.0, PEOPLE)[who]
        held.append([_covers(outcomes, 0.2, rng, people) for people in (who, None)])
    by_person, by_picture = (float(x) for x in np.mean(held, axis=0))
    n = repetitions * len(RATES)
    return {
        "coverage": Measurement(large, NOMINAL, 2 * n, details=details),
        "small-cells": Measurement(small, 0.92, n),
        "image-bootstrap": Measurement(by_person, by_picture, repetitions),
        "cluster-coverage": Measurement(by_person, NOMINAL, repetitions),
    }


def _covers(outcomes: Any, rate: float, rng: np.random.Generator, people: Any = None) -> bool:
    interval = bootstrap_ratio(outcomes, None, people, Resampling(1000, seed=rng))
    return bool(interval.low <= rate <= interval.high)


def _tool_coverage(rng: np.random.Generator, repetitions: int) -> dict[str, dict[str, float]]:
    """Return coverage of the evaluator, with its rule of three; one cell per repetition."""
    found: dict[str, dict[str, float]] = {}
    cells = min(repetitions, 20)
    for n in (10, 100):
        for rate in RATES:
            held: list[bool] = []
            while len(held) < repetitions:
                score = np.where(rng.random(cells * n) < rate, 0.0, 1.0)
                names = np.repeat(np.arange(cells), n).astype(str)
                table = _table(np.ones(cells * n), score, {"cell": names})
                results = evaluate(table, threshold=fixed_threshold(0.5), rankings=False)
                held += [
                    r.estimate.low <= rate <= r.estimate.high
                    for r in results.unitary
                    if r.metric == "fnr" and r.cell
                ]
            found.setdefault(str(n), {})[str(rate)] = float(np.mean(held))
    return found


def _table(
    label: Any, score: Any, factors: Mapping[str, Any] | None = None, split: Any = "test"
) -> PredictionTable:
    n = len(label)
    return PredictionTable(
        task="binary",
        samples=np.arange(n).astype(str),
        split=np.broadcast_to(np.asarray(split), n),
        values={"label": np.asarray(label, float), "score": np.asarray(score, float)},
        groups=tuple(GroupColumn(k, v, DRAWN) for k, v in (factors or {}).items()),
    )


def _completeness(seed: int) -> Measurement:
    """Break cards in every way that the validator must notice, and leave others whole."""
    whole = [_card(seed, factors) for factors in (1, 2, 3)]
    rejected = [bool(list(problems(v))) for card in whole for v in _broken(plain(card))]
    intact = [*whole, *weight_cards()]
    passing = [not problems(card) and from_json(to_json(card)) == card for card in intact]
    return Measurement(
        float(np.mean(rejected)),
        1 - float(np.mean(passing)),
        len(rejected) + len(passing),
        details={"broken": len(rejected), "complete": len(passing)},
    )


def _broken(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        copy = deepcopy(values)
        change(copy)
        return copy

    for section in SECTIONS:
        yield changed(lambda v, name=section: v.pop(name))
    for part in ("unitary", "intersectional"):
        results = values["quantitative_analyses"][part]
        for i in range(0 if isinstance(results, str) else len(results)):

            def bare(v: dict[str, Any], part: str = part, i: int = i) -> None:
                v["quantitative_analyses"][part][i]["estimate"]["high"] = None

            if results[i]["estimate"]["value"] is not None:
                yield changed(bare)
    if len(values["factors"]["evaluation"]) > 1:
        yield changed(lambda v: v["quantitative_analyses"].update(intersectional="not evaluated"))


def _card(seed: int, factors: int) -> Any:
    rng = np.random.default_rng((seed, factors))
    label = rng.random(600) < 0.4
    names = ("tone", "age", "light")[:factors]
    groups = {name: rng.choice(["one", "other"], 600) for name in names}
    split = np.where(np.arange(600) % 3 == 0, "dev", "test")
    sections = ("intended_use", "factors", "evaluation_data", "training_data")
    said: dict[str, Any] = {
        name: {} for name in (*sections, "ethical_considerations", "caveats_and_recommendations")
    }
    said["model_details"] = {"name": "Drawn scores", "id": "drawn"}
    said["metrics"] = {"threshold_reason": "Both errors cost the same."}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "table.csv"
        _table(label, label + rng.normal(0, 0.7, 600), groups, split).save(file)
        described = read_settings(Description, json.loads(json.dumps(said)), "drawn card")
        return make_card(described, file, command="reproduction", plan=Plan(rule="equal-error"))
