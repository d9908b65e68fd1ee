"""The harness: results kept whole, resumed by seed, smoke runs that claim nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

import vultus
from vultus.errors import ConfigError
from vultus.reproduction import render_page, reproduce, systems_table
from vultus.reproduction.runner import _sources, load_reproduction

MODULE = """
from pathlib import Path
from vultus.reproduction import Claim, Measurement

claims = [
    Claim("gain", "The method is better", "accuracy", "higher"),
    Claim("cost", "It is no slower", "seconds", "equal", margin=0.5),
]
budgets = {"smoke": {"steps": 1}, "cpu": {"steps": 10}}

def run(seed, budget):
    log = Path(__file__).parent / "calls.txt"
    with log.open("a") as file:
        file.write(f"{seed} {budget['steps']}\\n")
    if (Path(__file__).parent / f"fail-{seed}").exists():
        raise RuntimeError("power cut")
    return {
        "gain": Measurement(0.8 + 0.01 * seed, 0.5, 100, details={"note": [1, 2]}),
        "cost": Measurement(1.0 + 0.1 * seed, 1.0, 1),
    }
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "reproductions").mkdir()
    (tmp_path / "reproductions" / "toy.py").write_text(MODULE)
    return tmp_path


def calls(root: Path) -> list[str]:
    return (root / "reproductions" / "calls.txt").read_text().splitlines()


def test_keeps_every_number_and_where_it_comes_from(root: Path) -> None:
    (outcome,) = reproduce("toy", root=root)
    assert outcome.verdicts["gain"].outcome == "supported"
    values = json.loads((root / "reproductions" / "results" / "toy.json").read_text())
    assert [run["seed"] for run in values["runs"]] == [0, 1, 2]
    assert values["budget"] == {"name": "cpu", "value": {"steps": 10}}
    first = values["runs"][0]
    assert first["measurements"]["gain"]["details"] == {"note": [1, 2]}
    assert {"seconds", "device", "packages", "commit", "date", "python"} <= first.keys()
    assert first["packages"]["torch"]
    claim = values["claims"][0]
    assert claim["verdict"]["interval"]["mean"] == pytest.approx(0.31)
    assert (claim["direction"], claim["metric"]) == ("higher", "accuracy")


def test_goes_on_after_a_power_cut_with_the_seed_that_is_missing(root: Path) -> None:
    stop = root / "reproductions" / "fail-1"
    stop.touch()
    with pytest.raises(RuntimeError, match="power cut"):
        reproduce("toy", root=root)
    partial = json.loads((root / "reproductions" / "results" / "toy.json").read_text())
    assert [c["verdict"]["outcome"] for c in partial["claims"]] == ["inconclusive"] * 2
    assert partial["claims"][0]["verdict"]["interval"]["low"] is None
    stop.unlink()
    reproduce("toy", root=root)
    assert calls(root) == ["0 10", "1 10", "1 10", "2 10"]


def test_other_code_or_budget_is_measured_anew(root: Path) -> None:
    reproduce("toy", root=root)
    reproduce("toy", root=root)
    assert len(calls(root)) == 3
    file = root / "reproductions" / "toy.py"
    file.write_text(MODULE.replace("0.8", "0.7"))
    reproduce("toy", root=root)
    assert len(calls(root)) == 6


def test_more_seeds_are_added(root: Path) -> None:
    reproduce("toy", root=root)
    (outcome,) = reproduce("toy", root=root, seeds=5)
    assert len(calls(root)) == 5
    assert outcome.verdicts["gain"].interval.seeds == 5


def test_seeds_are_counted_from_the_first_of_the_module(root: Path) -> None:
    file = root / "reproductions" / "toy.py"
    file.write_text(MODULE + "\nfirst_seed = 7\n")
    reproduce("toy", root=root)
    reproduce("toy", root=root, seeds=4)
    assert calls(root) == ["7 10", "8 10", "9 10", "10 10"]
    reproduce("toy", root=root, seeds=[1, 8, 9])
    assert calls(root)[4:] == ["1 10"]


def test_smoke_runs_once_and_writes_no_result(root: Path) -> None:
    (outcome,) = reproduce("all", smoke=True, root=root)
    assert outcome.verdicts == {}
    assert calls(root) == ["0 1"]
    assert not (root / "reproductions" / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"seeds": [0, 1]}, "3 seeds"),
        ({"seeds": [0, 0, 0]}, "3 seeds"),
        ({"budget": "smoke"}, "no budget 'smoke'"),
        ({"budget": "moon"}, "no budget 'moon'"),
    ],
)
def test_refuses_what_gives_no_verdict(root: Path, arguments: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        reproduce("toy", root=root, **arguments)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"gain": Measurement', '"gian": Measurement', "measured"),
        ("budgets = ", "budget = ", "budgets"),
        ('"cpu": {"steps": 10}', '"gpu": {"steps": 10}', "cpu"),
        ('Claim("cost"', 'Claim("gain"', "different ids"),
    ],
)
def test_refuses_a_module_that_does_not_fit(root: Path, old: str, new: str, words: str) -> None:
    file = root / "reproductions" / "toy.py"
    file.write_text(MODULE.replace(old, new))
    with pytest.raises(ConfigError, match=words):
        reproduce("toy", root=root)


def test_unknown_reproduction_names_the_known(root: Path) -> None:
    with pytest.raises(ConfigError, match="'toy'"):
        load_reproduction("none", root)


def test_page_shows_claims_intervals_and_verdicts(root: Path) -> None:
    reproduce("toy", root=root)
    text = render_page(root)
    assert (root / "docs" / "reproductions.md").read_text() == text
    assert "| The method is better | accuracy | 0.8100 | 0.5000 | +0.3100 (+0.2852 to" in text
    assert "**supported**" in text
    assert "3 seeds" in text


def test_page_shows_the_trivial_baseline_where_it_was_measured(root: Path) -> None:
    reproduce("toy", root=root)
    assert "trivial baseline" not in render_page(root)
    file = root / "reproductions" / "toy.py"
    cues = 'details={"cues": {"hter": 0.3 + 0.01 * seed, "apcer": {"print": 0.2}}}'
    file.write_text(MODULE.replace('details={"note": [1, 2]}', cues))
    reproduce("toy", root=root)
    assert "development people: hter 0.3100." in render_page(root)


def test_a_damaged_result_is_named(root: Path) -> None:
    results = root / "reproductions" / "results"
    results.mkdir()
    (results / "toy.json").write_text("{")
    for act in (lambda: reproduce("toy", root=root), lambda: render_page(root)):
        with pytest.raises(ConfigError, match=r"toy\.json: is damaged.*remove it"):
            act()


def test_a_bar_in_a_metric_does_not_break_the_table(root: Path) -> None:
    file = root / "reproductions" / "toy.py"
    file.write_text(MODULE.replace('"accuracy"', '"|yaw| > 45"'))
    reproduce("toy", root=root)
    assert r"| \|yaw\| > 45 | 0.8100 |" in render_page(root)


def test_table_has_every_system_of_the_catalogue(root: Path) -> None:
    from vultus.registry import catalogue

    rows = systems_table(root)
    assert [row.slug for row in rows] == list(catalogue())
    assert not any(row.verdicts for row in rows)


@pytest.mark.parametrize("slug", ["mos", "rtnet-parsing", "cdcn"])
def test_a_change_anywhere_in_a_system_of_many_modules_makes_its_seeds_stale(slug: str) -> None:
    sources = {path.name for path in _sources(load_reproduction(slug))}
    package = (
        Path(vultus.__file__).parent
        / {
            "mos": "detection/mos",
            "rtnet-parsing": "parsing/rtnet_parsing",
            "cdcn": "liveness/cdcn",
        }[slug]
    )
    assert sources == {path.name for path in package.rglob("*.py")} | {f"{slug}.py", f"{slug}.yaml"}
