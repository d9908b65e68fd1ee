"""Presentation attack detection: APCER per species, BPCER, ACER, HTER (ISO/IEC 30107-3).

Scores are higher for what looks more like a bona fide presentation; a presentation is taken for
bona fide when its score is at or above the threshold. A presentation without a response has the
score -inf and counts as taken for an attack. Thresholds are chosen on a development set and
applied to another: every function that measures takes the threshold as given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vultus.errors import MeasureError
from vultus.measure.arrays import Bool, Float, decided, labels_of, loosened, probability, scores_of
from vultus.measure.bootstrap import Resampling
from vultus.measure.comparisons import Comparisons
from vultus.measure.intervals import (
    CONFIDENCE,
    Estimate,
    mean_of_two,
    not_estimable,
    rate,
)
from vultus.measure.verification import EqualErrorRate, eer, lowest_threshold

BONA_FIDE = "bona-fide"


@dataclass(frozen=True, eq=False)
class Presentations:
    """Scores of bona fide presentations and of attacks.

    Parameters
    ----------
    scores
        (N,).
    labels
        (N,) ``"bona-fide"``, or the name of the attack species (the presentation attack
        instrument species, such as ``print``).
    subjects
        (N,) who presents, for intervals over people; or None.

    Raises
    ------
    MeasureError
        If lengths differ, or bona fide presentations or attacks are missing.
    """

    scores: Float
    labels: NDArray[np.str_]
    subjects: NDArray[np.generic] | None = None

    def __post_init__(self) -> None:
        scores = scores_of(self.scores, "scores", allow_failures=True)
        labels = labels_of(self.labels, "labels", len(scores)).astype(np.str_)
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "labels", labels)
        if self.subjects is not None:
            object.__setattr__(self, "subjects", labels_of(self.subjects, "subjects", len(scores)))
        genuine = int(self.bona_fide.sum())
        if genuine in (0, len(scores)):
            raise MeasureError(
                f"{genuine} bona fide presentations (labelled {BONA_FIDE!r}) among {len(scores)}: "
                "both bona fide and attacks are needed"
            )

    @property
    def bona_fide(self) -> Bool:
        """Which presentations are bona fide, bool (N,)."""
        return np.asarray(self.labels == BONA_FIDE, np.bool_)

    @property
    def species(self) -> list[str]:
        """Names of the attack species, sorted."""
        return [str(name) for name in np.unique(self.labels[~self.bona_fide])]

    def comparisons(self) -> Comparisons:
        """Return them as genuine (bona fide) and impostor (all attacks) scores, for ROC and EER."""
        return Comparisons(self.scores[self.bona_fide], self.scores[~self.bona_fide])


@dataclass(frozen=True, slots=True)
class PadRates:
    """Error rates at a threshold.

    Parameters
    ----------
    threshold
        As given.
    bpcer
        Share of bona fide presentations taken for attacks.
    apcer
        For each attack species, the share of its attacks taken for bona fide.
    max_apcer
        The highest of them: the figure to report, since an attacker chooses the species.
    worst_species
        Its name.
    acer
        Mean of ``max_apcer`` and ``bpcer``.
    far
        Share of all attacks, species pooled, taken for bona fide.
    hter
        Half total error rate: mean of ``far`` and ``bpcer``.
    """

    threshold: float
    bpcer: Estimate
    apcer: dict[str, Estimate]
    max_apcer: Estimate
    worst_species: str
    acer: Estimate
    far: Estimate
    hter: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "threshold": self.threshold,
            "bpcer": self.bpcer.to_dict(),
            "apcer": {name: estimate.to_dict() for name, estimate in self.apcer.items()},
            "max_apcer": self.max_apcer.to_dict(),
            "worst_species": self.worst_species,
            "acer": self.acer.to_dict(),
            "far": self.far.to_dict(),
            "hter": self.hter.to_dict(),
        }


def pad_rates(
    presentations: Presentations, threshold: float, *, confidence: float = CONFIDENCE
) -> PadRates:
    """Measure all rates at a threshold that was chosen elsewhere.

    Parameters
    ----------
    presentations
        The evaluation set.
    threshold
        From :func:`threshold_at_eer`, :func:`threshold_at_bpcer` or :func:`threshold_at_apcer`
        on the development set.
    confidence
        Level of the intervals, over subjects where they are known. Those of ACER and HTER take
        attacks and bona fide presentations as independent.
    """
    accepted = (presentations.scores >= decided(threshold)) & (presentations.scores > -np.inf)
    genuine = presentations.bona_fide

    def share(outcomes: Bool, kept: Bool) -> Estimate:
        who = None if presentations.subjects is None else presentations.subjects[kept]
        return rate(outcomes[kept], who, confidence=confidence)

    bpcer = share(~accepted, genuine)
    apcer = {name: share(accepted, presentations.labels == name) for name in presentations.species}
    worst = max(apcer, key=lambda name: apcer[name].value)
    far = share(accepted, ~genuine)
    return PadRates(
        threshold,
        bpcer,
        apcer,
        apcer[worst],
        worst,
        mean_of_two(apcer[worst], bpcer),
        far,
        mean_of_two(far, bpcer),
    )


def threshold_at_eer(dev: Presentations) -> float:
    """Return the threshold at which pooled APCER and BPCER of the development set are equal."""
    return eer(dev.comparisons(), Resampling(1)).threshold


def pad_eer(presentations: Presentations, resampling: Resampling = Resampling()) -> EqualErrorRate:
    """Return the equal error rate of pooled attacks and bona fide presentations, (D-EER)."""
    return eer(presentations.comparisons(), resampling)


def threshold_at_bpcer(dev: Presentations, target: float) -> float:
    """Return the highest threshold whose BPCER on the development set is at most the target.

    NaN with fewer than 1/target bona fide presentations.
    """
    probability(target, "target")
    scores = np.sort(dev.scores[dev.bona_fide])
    allowed = math.floor(loosened(target * len(scores)))
    return float(scores[min(allowed, len(scores) - 1)]) if allowed else math.nan


def threshold_at_apcer(dev: Presentations, target: float) -> float:
    """Return the lowest threshold at which every species' APCER is at most the target.

    NaN where a species has fewer than 1/target attacks in the development set.
    """
    probability(target, "target")
    thresholds = [
        lowest_threshold(np.sort(dev.scores[dev.labels == name]), target) for name in dev.species
    ]
    return math.nan if any(map(math.isnan, thresholds)) else max(thresholds)


def bpcer_at_apcer(
    presentations: Presentations,
    target: float,
    *,
    dev: Presentations | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Return BPCER where the worst species' APCER is at most the target.

    BPCER10, BPCER20 and BPCER100 of the standard are those at 10, 5 and 1 %.

    Parameters
    ----------
    presentations
        That are measured.
    target
        APCER, in (0, 1).
    dev
        Set that the threshold is chosen on; the measured one itself if not given, as in a DET
        table.
    confidence
        Level of the interval.
    """
    source = presentations if dev is None else dev
    threshold = threshold_at_apcer(source, target)
    if math.isnan(threshold):
        fewest = min(int((source.labels == name).sum()) for name in source.species)
        why = (
            f"APCER {target:g} needs {math.ceil(1 / target)} attacks or more of every species, "
            f"one has {fewest}"
        )
        n = int(presentations.bona_fide.sum())
        return not_estimable(n, why, confidence=confidence)
    return pad_rates(presentations, threshold, confidence=confidence).bpcer
