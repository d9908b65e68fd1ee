"""Stored reports: listed, drawn, and left out where they are damaged."""

from __future__ import annotations

import numpy as np
import pytest
from visiting import Visitor

from vultus.evaluation.report import Report
from vultus.measure.intervals import not_estimable, wilson
from vultus.measure.scores import Score


def scores(rng, count=300):
    for number in range(count):
        same = number % 3 == 0
        value = rng.normal(0.6 if same else 0.2, 0.12)
        yield Score(
            protocol="folder", set="eval", kind="verification", system="net@0/none",
            reference_id=f"r{number}", probe_id=f"p{number}",
            reference_subject=f"s{number % 40}",
            probe_subject=f"s{number % 40}" if same else f"t{number % 37}",
            score=float(value), label="genuine" if same else "impostor",
        )  # fmt: skip


@pytest.fixture
def folder(tmp_path, rng):
    root = tmp_path / "evaluations"
    report = Report(
        protocol="folder",
        system={"detector": "scripted", "space": "net@0/none"},
        figures={"TAR@FAR=0.01": wilson(90, 100), "TAR@FAR=1e-6": not_estimable(3, "too few")},
        facts={"threshold": 0.45, "<b>people</b>": ["a", "b"]},
        scores=list(scores(rng)),
    )
    report.write(root / "spring")
    Report("folder", {"detector": "x"}, {"EER": wilson(1, 9)}, {}).write(root / "plain")
    (root / "damaged").mkdir()
    (root / "damaged" / "report.json").write_text("{")
    (root / "lies").mkdir()
    (root / "lies" / "report.json").write_text('{"protocol": 1, "figures": [], "system": 3}')
    (root / "no report").mkdir()
    return root


@pytest.fixture
def visitor(serve, folder):
    return Visitor(serve(evaluations=folder))


def test_reports_that_can_be_read_are_listed(visitor):
    page = visitor.get("/evaluation")
    found = {link for link in page.links() if link.startswith("/evaluation/")}
    assert found == {"/evaluation/spring", "/evaluation/plain"}


def test_a_report_shows_figures_with_intervals_and_curves(visitor):
    page = visitor.get("/evaluation/spring")
    assert "0.9000" in page.text
    assert "0.8256 to 0.9448" in page.text
    assert "not estimable" in page.text
    assert "too few" in page.text
    assert page.html.count('class="plot"') == 3
    assert page.html.count('class="whisker') >= 4
    assert "<b>people" not in page.html
    assert len(page.html) < 200_000


def test_a_report_without_scores_says_so(visitor):
    page = visitor.get("/evaluation/plain")
    assert "No scores are stored" in page.text
    assert 'class="plot"' not in page.html


@pytest.mark.parametrize("name", ["damaged", "lies", "no report", "none", "%2e%2e", "..%2fspring"])
def test_what_is_no_report_is_not_found(visitor, name):
    assert visitor.get(f"/evaluation/{name}").status == 404


def test_damaged_scores_do_not_hide_the_figures(visitor, folder):
    (folder / "spring" / "scores.csv.gz").write_bytes(b"nonsense")
    page = visitor.get("/evaluation/spring")
    assert (page.status, "0.9000" in page.text) == (200, True)
    assert "hold no pairs" in page.text


def test_the_plots_of_scores_name_what_they_show(visitor):
    page = visitor.get("/evaluation/spring")
    assert "95 % intervals at" in page.text
    assert "Histograms of 200 pairs of different people and 100 pairs of one person" in page.text


@pytest.mark.parametrize(
    ("genuine", "impostor"), [(0.9, 0.1), (0.5, 0.5), (float("-inf"), 0.2), (0.1, 0.9)]
)
def test_scores_without_errors_or_without_spread_are_shown(visitor, folder, genuine, impostor):
    """Perfect, useless, failed and inverted comparisons."""
    rows = [
        row._replace(score=genuine if row.label == "genuine" else impostor)
        for row in scores(np.random.default_rng(1))
    ]
    Report("folder", {"detector": "x"}, {}, {}, rows).write(folder / "odd")
    page = visitor.get("/evaluation/odd")
    assert page.status == 200
    assert "nan" not in page.html.partition("<main")[2].lower()


def test_the_folder_is_not_needed(settled):
    page = settled.get("/evaluation")
    assert "--evaluations" in page.text
    assert settled.get("/evaluation/spring").status == 404


def test_coordinates_are_numbers(visitor):
    assert "nan" not in visitor.get("/evaluation/spring").html.partition("<main")[2].lower()


def test_the_command_serves_the_pages(start_server, folder, tmp_path):
    server = start_server(tmp_path / "g", "--evaluations", str(folder))
    with server.client() as client:
        visitor = Visitor(client)
        assert "See every face" in visitor.get("/").text
        assert "/evaluation/spring" in visitor.get("/evaluation").links()
    server.stop()
