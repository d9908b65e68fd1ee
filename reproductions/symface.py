"""SymFace (paper 15): does pulling the halves of frontal faces together help recognition?

Networks are trained from scratch on LFW View 1 people and tested on other LFW people, a new split
for every seed, so the spread over seeds holds that of training and that of the people tested.
Renders of mirror twins, people who differ in nothing but which side is which, have networks of
their own, which see no mirrored pictures while they learn.

Seeds 0 to 2 and 150 served to plan. A difference in TAR between two networks had a standard
deviation of 0.02 over starts on the same people, and of 0.015 over people drawn anew on the same
networks. Both fall with more seeds, so the cheapest network and ArcFace alone are trained, the
paper's first comparison, and half of the people and of their pictures are tested, not 40 %.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from vultus.measure.verification import Comparisons, roc, tar_at_far
from vultus.recognition.crops import Crops, load_crops, patterns, people_split, save_crops
from vultus.recognition.symface import SymFaceLearner, frontness, halves_cosine
from vultus.recognition.verification import comparisons, embed
from vultus.reproduction import Claim, Measurement
from vultus.reproduction.photos import FRONTAL_LIGHT, lit_crops, photo_crops
from vultus.reproduction.twins import twin_crops
from vultus.training import load_checkpoint, read_recipe, train

FAR = 1e-2
SHARE = 0.5
#: Share of the test pictures that counts as frontal, by rho; the rest are turned.
FRONTAL = 0.5

#: Earlier seeds served to plan.
first_seed = 10

claims = [
    Claim(
        "gain",
        "The symmetry loss raises recognition of frontal faces",
        "TAR@FAR=0.01, frontal pairs of unseen people",
        "higher",
    ),
    Claim(
        "side-light",
        "The symmetry loss lowers what light from opposite sides costs",
        "AUC under frontal light minus AUC across opposite lights, Extended Yale B",
        "lower",
    ),
    Claim(
        "not-augmentation",
        "The pull does more than the same compute spent on half faces as augmentation",
        "TAR@FAR=0.01, frontal pairs of unseen people",
        "higher",
    ),
    Claim(
        "own-halves",
        "Pulling halves of one picture does more than pulling halves of two pictures of a person",
        "TAR@FAR=0.01, frontal pairs of unseen people",
        "higher",
    ),
    Claim(
        "frontal-only",
        "Leaving turned faces out of the loss helps on turned faces",
        "TAR@FAR=0.01, pairs of turned faces of unseen people",
        "higher",
    ),
    Claim(
        "asymmetric-twins",
        "With strong asymmetry planted in renders, the symmetry loss makes people who are each "
        "other's mirror image harder to tell apart",
        "AUC, a person's pairs against pairs of mirror twins",
        "lower",
    ),
    Claim(
        "halves-agree",
        "The embeddings of the halves come closer",
        "mean cosine of left and right halves",
        "higher",
    ),
    Claim(
        "people-apart",
        "Different people do not come closer by more than 0.02 (the baseline has the 0.02 added)",
        "mean cosine between people",
        "lower",
    ),
]

WIDTH = 0.5
#: Smaller than the papers', as is the scale: so few steps from a random start need it. Chosen
#: with the optimiser for the plain base loss, on a seed that is not measured.
MARGIN = {"name": "arcface", "scale": 32.0, "m": 0.3}
CONTROLS = ("halves", "other", "all")
#: Side of the renders in pixels.
TWIN_SIZE = 48

budgets = {
    "smoke": {
        "steps": 2, "size": 32, "batch": 16, "photographs": 0, "twins": 16, "pictures": 2,
        "twin_steps": 2,
    },
    "cpu": {
        "steps": 200, "size": 32, "batch": 48, "photographs": 1, "twins": 120, "pictures": 8,
        "twin_steps": 800,
    },
    "gpu": {
        "steps": 4000, "size": 64, "batch": 256, "photographs": 1, "twins": 400, "pictures": 9,
        "twin_steps": 4000,
    },
}  # fmt: skip


def run(seed: int, budget: dict[str, int]) -> dict[str, Measurement]:
    """Train baseline, method and controls with one seed, and measure every claim."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(seed, budget, Path(folder))
        twins = Twins(seed, budget, Path(folder))
        return _measure(bench) | {"asymmetric-twins": twins.measure()}


def _measure(bench: Bench) -> dict[str, Measurement]:
    rows = {variant: bench.figures(variant) for variant in ("symface", "base", *CONTROLS)}
    method = rows["symface"]

    def against(variant: str, key: str, added: float = 0.0) -> Measurement:
        return Measurement(method[key], rows[variant][key] + added, bench.n(key))

    gain = method["frontal"], rows["base"]["frontal"]
    return {
        "gain": Measurement(*gain, bench.n("frontal"), details=rows),
        "side-light": against("base", "light_cost"),
        "not-augmentation": against("halves", "frontal"),
        "own-halves": against("other", "frontal"),
        "frontal-only": against("all", "turned"),
        "halves-agree": against("base", "halves_cosine"),
        "people-apart": against("base", "impostor_cosine", 0.02),
    }


def fit(
    seed: int,
    budget: dict[str, int],
    data: dict[str, Any],
    identities: int,
    out: Path,
    variant: str,
    *,
    flip: bool = True,
) -> SymFaceLearner:
    """Train one network."""
    size, steps = budget["size"], budget["steps"]
    recipe = {
        "system": "symface",
        "seed": seed,
        "steps": steps,
        "optimizer": {"name": "adamw", "lr": 3e-3, "weight_decay": 5e-4},
        "schedule": {"name": "cosine", "warmup": min(20, steps - 1)},
        "clip": 5.0,
        "channels_last": True,
        "config": {
            "data": data | {"size": size},
            "backbone": {"name": "smallnet", "size": size, "dim": 128, "width": WIDTH},
            "margin": MARGIN,
            "identities": identities,
            "batch": budget["batch"],
            "flip": flip,
            "variant": variant,
        },
    }
    result = train(
        read_recipe(recipe, f"reproduction {out.name}"), out=out, tensorboard=False, progress=False
    )
    learner = load_checkpoint(result.checkpoint)[1]
    assert isinstance(learner, SymFaceLearner)
    return learner


class Bench:
    """Training and test data of one seed; the test people are never trained on."""

    def __init__(self, seed: int, budget: dict[str, int], folder: Path) -> None:
        self.seed, self.budget, self.folder = seed, budget, folder
        if budget["photographs"]:
            self.file = photo_crops("lfw")
            lit, self.azimuth = lit_crops()
        else:
            self.file = folder / "patterns.safetensors"
            save_crops(self.file, patterns(24, 10, 64, seed))
            lit, self.azimuth = patterns(6, 9, 64, seed), np.tile(np.linspace(-80, 80, 9), 6)
        crops = load_crops(self.file)
        test = crops.take(~people_split(crops.people, SHARE, seed)).resized(budget["size"])
        rho = frontness(test.points)
        order = np.argsort(rho)
        count = round((1 - FRONTAL) * len(order))
        self.turned = test.take(np.sort(order[:count]))
        self.frontal = test.take(np.sort(order[count:]))
        self.lit = lit.resized(budget["size"])
        self.identities = int(crops.people.max()) + 1

    def n(self, key: str) -> int:
        """Return the number of pictures behind a figure."""
        return {"turned": len(self.turned.people), "light_cost": len(self.lit.people)}.get(
            key, len(self.frontal.people)
        )

    def figures(self, variant: str) -> dict[str, float]:
        """Train one network and measure it."""
        data = {"file": str(self.file), "train": SHARE, "split_seed": self.seed}
        out = self.folder / variant
        learner = fit(self.seed, self.budget, data, self.identities, out, variant)
        frontal = self._pairs(learner, self.frontal)
        turned = self._pairs(learner, self.turned)
        return {
            "frontal": tar_at_far(frontal, FAR).tar.value,
            "frontal@0.001": tar_at_far(frontal, 1e-3).tar.value,
            "frontal_auc": roc(frontal).auc,
            "turned": tar_at_far(turned, FAR).tar.value,
            "impostor_cosine": float(frontal.impostor.mean()),
            "halves_cosine": halves_cosine(learner, self.frontal),
            "light_cost": self._light_cost(learner),
        }

    def _pairs(self, learner: SymFaceLearner, crops: Crops) -> Any:
        return comparisons(embed(learner.backbone, crops.images), crops.people)

    def _light_cost(self, learner: SymFaceLearner) -> float:
        vectors = embed(learner.backbone, self.lit.images)
        people = self.lit.people
        even = np.abs(self.azimuth) <= FRONTAL_LIGHT
        left, right = self.azimuth <= -50, self.azimuth >= 50
        across = comparisons(vectors[left], people[left], vectors[right], people[right])
        return roc(comparisons(vectors[even], people[even])).auc - roc(across).auc


class Twins:
    """Renders of mirror twins; both of a pair are trained on, or both are tested."""

    def __init__(self, seed: int, budget: dict[str, int], folder: Path) -> None:
        self.seed, self.budget, self.folder = seed, budget, folder
        kept = photo_crops("lfw").parent if budget["photographs"] else folder
        crops = load_crops(_twins_file(budget["twins"], budget["pictures"], kept))
        trained = people_split(crops.people // 2, SHARE, seed)
        self.file = folder / "twins.safetensors"
        save_crops(self.file, crops.take(trained))
        self.identities = len(np.unique(crops.people[trained]))
        self.test = crops.take(~trained).resized(budget["size"])

    def measure(self) -> Measurement:
        """Train with and without the loss."""
        both = [self._auc("symface"), self._auc("base")]
        rest = {"all people": {"symface": both[0][1], "base": both[1][1]}}
        return Measurement(both[0][0], both[1][0], len(self.test.people), details=rest)

    def _auc(self, variant: str) -> tuple[float, float]:
        """Return the AUC against mirror twins, and that against everybody else."""
        # The trainer needs development people; a few of the training people are spared for it.
        data = {"file": str(self.file), "train": 0.9, "split_seed": self.seed}
        out = self.folder / f"twins-{variant}"
        budget = self.budget | {"steps": self.budget["twin_steps"]}
        learner = fit(self.seed, budget, data, self.identities, out, variant, flip=False)
        vectors, people = embed(learner.backbone, self.test.images), self.test.people
        i, j = np.triu_indices(len(people), 1)
        scores, same = (vectors @ vectors.T)[i, j], people[i] == people[j]
        near = people[i] // 2 == people[j] // 2
        return roc(Comparisons.from_pairs(scores[near], same[near])).auc, roc(
            Comparisons.from_pairs(scores, same)
        ).auc


def _twins_file(pairs: int, each: int, kept: Path) -> Path:
    """Return the file of the renders, drawn once; seeds split them."""
    path = kept / f"mirror-twins-{pairs}-{each}-{TWIN_SIZE}.safetensors"
    if not path.exists():
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        save_crops(part, twin_crops(pairs, each, TWIN_SIZE, seed=15))
        os.replace(part, path)
    return path
