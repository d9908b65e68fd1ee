"""Presentation attack metrics: a small evaluation by hand, thresholds fixed on dev, properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vultus.errors import MeasureError
from vultus.measure.bootstrap import Resampling
from vultus.measure.intervals import mean_of_two, wilson
from vultus.measure.pad import (
    Presentations,
    bpcer_at_apcer,
    pad_eer,
    pad_rates,
    threshold_at_apcer,
    threshold_at_bpcer,
    threshold_at_eer,
)

LABELS = ["bona-fide"] * 4 + ["print"] * 4 + ["mask"] * 2
SCORES = [0.9, 0.8, 0.7, 0.3, 0.1, 0.2, 0.4, 0.6, 0.65, 0.2]

levels = st.integers(0, 10).map(lambda v: v / 10)
sets = st.tuples(
    st.lists(levels, min_size=1, max_size=30),
    st.lists(levels, min_size=1, max_size=30),
    st.lists(levels, min_size=1, max_size=30),
).map(
    lambda parts: Presentations(
        np.concatenate(parts), np.repeat(["bona-fide", "mask", "print"], [len(p) for p in parts])
    )
)


def test_rates_known_answer() -> None:
    rates = pad_rates(Presentations(SCORES, LABELS), 0.5)
    assert rates.bpcer.value == 1 / 4
    assert {name: e.value for name, e in rates.apcer.items()} == {"mask": 0.5, "print": 0.25}
    assert (rates.max_apcer.value, rates.worst_species, rates.max_apcer.n) == (0.5, "mask", 2)
    assert rates.acer.value == 0.375
    assert rates.far.value == 2 / 6
    assert rates.hter.value == pytest.approx((1 / 3 + 1 / 4) / 2)
    assert rates.to_dict()["apcer"]["print"]["n"] == 4


def test_the_worst_species_counts_not_the_pooled_rate() -> None:
    labels = ["bona-fide", *["print"] * 99, "mask"]
    rates = pad_rates(Presentations([1.0, *[0.0] * 99, 1.0], labels), 0.5)
    assert rates.far.value == 0.01
    assert rates.max_apcer.value == 1
    assert rates.acer.value == 0.5


def test_a_missing_response_counts_as_an_attack() -> None:
    presentations = Presentations([-np.inf, 0.9, -np.inf], ["bona-fide", "bona-fide", "print"])
    rates = pad_rates(presentations, -np.inf)
    assert (rates.bpcer.value, rates.max_apcer.value) == (0.5, 0)


@given(sets, st.floats(0.05, 0.9))
def test_thresholds_keep_their_target_and_are_the_best_that_do(
    dev: Presentations, target: float
) -> None:
    bona_fide = dev.scores[dev.bona_fide]
    strict = threshold_at_bpcer(dev, target)
    assert math.isnan(strict) == (target * len(bona_fide) < 1 - 1e-9)
    if not math.isnan(strict):
        assert pad_rates(dev, strict).bpcer.value <= target + 1e-9
        above = np.nextafter(strict, np.inf)
        assert (
            pad_rates(dev, above).bpcer.value > target - 1e-9
            or target * len(bona_fide) > len(bona_fide) - 1
        )
    loose = threshold_at_apcer(dev, target)
    if not math.isnan(loose):
        assert pad_rates(dev, loose).max_apcer.value <= target + 1e-9
        assert bpcer_at_apcer(dev, target).value == pad_rates(dev, loose).bpcer.value


def test_threshold_of_the_development_set_is_applied_unchanged(rng: np.random.Generator) -> None:
    def sample(shift: float) -> Presentations:
        scores = np.concatenate([rng.normal(2, 1, 400), rng.normal(shift, 1, 400)])
        return Presentations(scores, np.repeat(["bona-fide", "print"], 400))

    dev, harder = sample(0.0), sample(1.0)
    threshold = threshold_at_eer(dev)
    at_home, abroad = pad_rates(dev, threshold), pad_rates(harder, threshold)
    assert at_home.far.value == pytest.approx(at_home.bpcer.value, abs=0.01)
    assert abroad.hter.value > at_home.hter.value
    assert pad_eer(dev, Resampling(100)).estimate.value == pytest.approx(
        at_home.hter.value, abs=0.01
    )
    chosen = bpcer_at_apcer(harder, 0.1, dev=dev)
    assert chosen.value == pad_rates(harder, threshold_at_apcer(dev, 0.1)).bpcer.value


def test_too_few_attacks_of_a_species_say_so() -> None:
    estimate = bpcer_at_apcer(Presentations(SCORES, LABELS), 0.3)
    assert "4 attacks or more of every species, one has 2" in estimate.note
    with pytest.raises(MeasureError, match="not estimable where it was chosen"):
        pad_rates(Presentations(SCORES, LABELS), math.nan)


def test_interval_is_over_subjects() -> None:
    scores = np.tile([0.9, 0.2], 50)
    labels = np.repeat(["bona-fide", "print"], 50)
    alone = pad_rates(Presentations(scores, labels), 0.5)
    few = pad_rates(Presentations(scores, labels, np.tile(["a", "b"], 50)), 0.5)
    assert few.bpcer.high - few.bpcer.low > 2 * (alone.bpcer.high - alone.bpcer.low)


def test_acer_interval_covers() -> None:
    rng = np.random.default_rng(9)
    hits = 0
    for attacks, genuine in zip(
        rng.binomial(200, 0.08, 2000), rng.binomial(150, 0.02, 2000), strict=True
    ):
        estimate = mean_of_two(wilson(int(attacks), 200), wilson(int(genuine), 150))
        hits += estimate.low <= 0.05 <= estimate.high
    assert 0.93 <= hits / 2000 <= 0.98


@pytest.mark.parametrize(
    ("scores", "labels"),
    [([0.1, 0.2], ["print", "mask"]), ([0.1], ["bona-fide"]), ([np.nan, 1], LABELS[3:5]), ([], [])],
)
def test_bad_sets_are_refused(scores: list[float], labels: list[str]) -> None:
    with pytest.raises(MeasureError):
        Presentations(scores, labels)
