"""Every weight of the package has a card that passes, made from what is known and no more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vultus.audit.model_cards import (
    check_file,
    from_json,
    load_card,
    problems,
    to_json,
    to_markdown,
    weight_card,
    weight_cards,
)
from vultus.recognition.calibration import Calibration
from vultus.runtime import manifest
from vultus.runtime.manifest import Figure

CARDS = Path(__file__).resolve().parents[2] / "docs" / "cards"
REMEDY = "run 'vultus cards make --weights'"


@pytest.fixture
def weight():
    return manifest()["dlib-resnet29"]


@pytest.mark.parametrize("weight_id", manifest())
def test_a_card_can_be_made(weight_id):
    made = {card.model_details.id: card for card in weight_cards()}[weight_id]
    assert problems(made) == []
    assert from_json(to_json(made)) == made
    entry = manifest()[weight_id]
    assert made.model_details.sha256 == entry.sha256
    assert made.model_details.licence == entry.licence
    assert made.model_details.commercial == entry.commercial
    assert made.training_data.description == entry.data


@pytest.mark.parametrize("weight_id", manifest())
def test_the_published_card_passes(weight_id):
    file = CARDS / f"{weight_id}.json"
    assert file.is_file(), f"no card of {weight_id}: {REMEDY}"
    assert check_file(file) == []
    made = {card.model_details.id: card for card in weight_cards()}[weight_id]
    assert load_card(file) == made, f"the manifest has changed since: {REMEDY}"


def test_the_worked_card_passes():
    assert check_file(CARDS / "age40-utkface.json") == []


def test_what_nobody_measured_is_not_evaluated(weight):
    made = weight_card(replace(weight, figures=()))
    assert made.quantitative_analyses.unitary == "not evaluated"
    assert made.quantitative_analyses.reported == "not evaluated"
    assert made.metrics.threshold_reason == "not evaluated"


def test_a_figure_is_a_result_only_with_interval_and_number(weight):
    whole = Figure("accuracy", 0.99, "LFW", "vultus evaluate lfw", n=6000, interval=(0.98, 0.995))
    bare = Figure("FMR", 0.001, "ORL", "vultus evaluate orl")
    made = weight_card(replace(weight, figures=(whole, bare)))
    assert problems(made) == []
    (reported,) = made.quantitative_analyses.reported
    assert (reported.value, reported.low, reported.high, reported.n) == (0.99, 0.98, 0.995, 6000)
    caveats = made.caveats_and_recommendations.caveats
    assert any(c.startswith("FMR of 0.001 on ORL (`vultus evaluate orl`)") for c in caveats)
    assert "| accuracy | 0.99 [0.98, 0.995] | 6000 | LFW |" in to_markdown(made)


def test_calibrated_thresholds_are_named_with_their_data(weight):
    calibration = Calibration(
        space="dlib-resnet29@abc/dlib150",
        detector="blazeface",
        data="somebody's people",
        n_people=100,
        n_faces=900,
        n_genuine=4000,
        n_impostor=400000,
        thresholds=(0.1, 0.2, 0.3),
        fmr=(0.02, 0.01, 0.0008),
        fnmr=(0.01, 0.02, 0.04),
        command="vultus calibrate people",
    )
    reason = weight_card(weight, [calibration]).metrics.threshold_reason
    assert "somebody's people (100 people, 900 faces" in reason
    assert "cosine 0.2000 for FMR 0.01 (FNMR 0.0200)" in reason
    assert "cosine 0.3000 for FMR 0.001 (FNMR 0.0400)" in reason
    # What the data cannot support is not claimed.
    assert "0.0001" not in reason


def test_a_task_without_texts_still_has_a_card(weight):
    made = weight_card(replace(weight, task="mind-reading"))
    assert problems(made) == []
