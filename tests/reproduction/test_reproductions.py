"""The reproductions of the repository: they load, run in seconds, and fit what is stored."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")

import numpy as np

from vultus.recognition.crops import patterns
from vultus.registry import catalogue
from vultus.reproduction import reproduce
from vultus.reproduction.photos import FRONTAL_LIGHT, jpeg, lit_crops
from vultus.reproduction.runner import load_reproduction

ROOT = Path(__file__).resolve().parents[2]
SLUGS = sorted(p.stem for p in (ROOT / "reproductions").glob("*.py"))


@pytest.mark.parametrize("slug", SLUGS)
def test_module_states_claims_about_a_known_system(slug: str) -> None:
    found = load_reproduction(slug, ROOT)
    assert slug in catalogue()
    assert all(len(claim.sentence) > 20 for claim in found.claims)


@pytest.fixture(scope="module")
def spent() -> dict[str, float]:
    """Seconds of processor time of each smoke run."""
    return {}


@pytest.mark.parametrize("slug", SLUGS)
def test_smoke_run(slug: str, spent: dict[str, float]) -> None:
    begun = time.process_time()
    (outcome,) = reproduce(slug, smoke=True, root=ROOT)
    spent[slug] = time.process_time() - begun
    assert outcome.file is None


def test_all_smoke_runs_together_stay_under_three_minutes(spent: dict[str, float]) -> None:
    # Processor time, so that a busy machine changes nothing.
    assert sum(spent.values()) < 180, spent


@pytest.mark.parametrize("slug", SLUGS)
def test_stored_results_have_the_claims_of_the_module(slug: str) -> None:
    file = ROOT / "reproductions" / "results" / f"{slug}.json"
    if not file.exists():
        pytest.skip(f"{slug} has not been measured")
    values = json.loads(file.read_text())
    stated = [claim.id for claim in load_reproduction(slug, ROOT).claims]
    assert [claim["id"] for claim in values["claims"]] == stated
    assert len(values["runs"]) >= 3
    assert len({run["key"] for run in values["runs"]}) == 1


def test_jpeg_loses_more_at_lower_quality() -> None:
    crops = patterns(2, 2, 32, 0)
    losses = [np.abs(jpeg(crops, q).images.astype(int) - crops.images).mean() for q in (95, 50, 10)]
    assert 0 < losses[0] < losses[1] < losses[2]


def test_photographs_are_aligned_and_cached(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dlib")
    monkeypatch.setenv("VULTUS_DATA", str(data_root))
    monkeypatch.setattr("vultus.reproduction.photos.default_home", lambda: tmp_path)
    lit, azimuths = lit_crops()
    assert lit.size == 64
    assert len(azimuths) == len(lit.people)
    assert (np.abs(azimuths[~np.isnan(azimuths)]) <= FRONTAL_LIGHT).any()
    # Alignment is the same under every light of a person.
    assert np.abs(lit.points[lit.people == 0] - lit.points[0]).max() == 0
    before = sorted(p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors"))
    lit_crops()
    assert sorted(p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")) == before
