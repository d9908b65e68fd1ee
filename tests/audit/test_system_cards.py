"""Every system has a card that names what of its paper was reproduced and what was not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vultus.audit.model_cards import problems, system_card, system_cards
from vultus.errors import ConfigError
from vultus.registry import catalogue

RESULTS = Path(__file__).resolve().parents[2] / "reproductions" / "results"


def result(low: float | None = 0.1):
    interval = {"mean": 0.2, "low": low, "high": None if low is None else 0.3, "seeds": 3}
    claim = {"id": "a", "sentence": "It is better", "metric": "accuracy"}
    return {
        "budget": {"name": "cpu"},
        "claims": [claim | {"verdict": {"outcome": "not supported", "interval": interval}}],
        "runs": [{"seconds": 60.0, "device": "CPU", "measurements": {"a": {"n": 50}}}] * 3,
    }


@pytest.fixture
def entry():
    return catalogue()["model-cards"]


def test_every_system_has_a_card_that_passes():
    made = system_cards(RESULTS)
    assert [card.model_details.name for card in made] == list(catalogue())
    assert {str(p) for card in made for p in problems(card)} == set()


def test_a_failed_claim_is_told(entry):
    card = system_card(entry, result())
    assert "It is better: not supported." in card.caveats_and_recommendations.reproduced
    assert "3 seeds, 60 s each" in card.caveats_and_recommendations.reproduced
    (figure,) = card.quantitative_analyses.reported
    assert (figure.value, figure.low, figure.high, figure.n) == (0.2, 0.1, 0.3, 150)
    assert figure.command == "vultus reproduce model-cards"


def test_what_has_no_interval_is_no_result(entry):
    card = system_card(entry, result(low=None))
    assert card.quantitative_analyses.reported == "not evaluated"
    assert problems(card) == []


def test_what_was_not_measured_is_not_evaluated(entry):
    assert system_card(entry).caveats_and_recommendations.reproduced == "not evaluated"


def test_a_damaged_result_is_refused(entry, tmp_path):
    broken = result()
    del broken["claims"][0]["verdict"]
    with pytest.raises(ConfigError, match="result of model-cards: lacks"):
        system_card(entry, broken)
    (tmp_path / "model-cards.json").write_text("{")
    with pytest.raises(ConfigError, match="not JSON"):
        system_cards(tmp_path)
    (tmp_path / "model-cards.json").write_text(json.dumps(result()))
    made = {card.model_details.name: card for card in system_cards(tmp_path)}
    assert made["model-cards"].quantitative_analyses.reported != "not evaluated"
