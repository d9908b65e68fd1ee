"""Small frozen tables with known rates."""

from __future__ import annotations

import numpy as np

from vultus.audit.model_cards import GroupColumn, PredictionTable, Provenance
from vultus.audit.model_cards.schema import Description

ANNOTATED = Provenance(kind="annotated", source="Two annotators.", error="3 % disagree.")


def factor(name: str, values) -> GroupColumn:
    return GroupColumn(name, np.asarray(values, np.str_), ANNOTATED)


def table(label, score, factors=None, *, people=None, split="test", task="binary"):
    """Return a table of one split, or of the splits given per sample."""
    n = len(label)
    splits = np.full(n, split) if isinstance(split, str) else np.asarray(split, np.str_)
    return PredictionTable(
        task=task,
        samples=np.array([f"s{i}" for i in range(n)]),
        split=splits,
        values={"label": np.asarray(label, float), "score": np.asarray(score, float)},
        groups=tuple(factor(name, values) for name, values in (factors or {}).items()),
        people=None if people is None else np.asarray(people, np.str_),
    )


def of_counts(tp: int, fn: int, fp: int, tn: int, factors=None):
    """Return a table with given counts at the threshold 0.5."""
    label = [1] * (tp + fn) + [0] * (fp + tn)
    score = [0.9] * tp + [0.1] * fn + [0.8] * fp + [0.2] * tn
    n = len(label)
    return table(label, score, {k: [v] * n for k, v in (factors or {}).items()})


def crossed(n: int = 900, seed: int = 0):
    """Return a table with two factors, development and test splits, and scores that overlap."""
    rng = np.random.default_rng(seed)
    label = rng.random(n) < 0.4
    age = rng.choice(["old", "young"], n)
    sex = rng.choice(["female", "male"], n)
    score = label + rng.normal(0, 0.7, n) - 0.5 * ((age == "old") & (sex == "female"))
    split = np.where(np.arange(n) % 3 == 0, "dev", "test")
    return table(label, score, {"age": age, "sex": sex}, split=split)


def description(**details) -> Description:
    """Return the least that an author can say."""
    from vultus.settings import read_settings

    return read_settings(
        Description,
        {
            "model_details": {"name": "Test model", "id": "test-model", **details},
            "intended_use": {"primary_uses": ["Tests."]},
            "factors": {},
            "metrics": {"threshold_reason": "Both errors cost the same."},
            "evaluation_data": {"datasets": [{"name": "Drawn numbers"}]},
            "training_data": {},
            "ethical_considerations": {},
            "caveats_and_recommendations": {},
        },
        "test",
    )
