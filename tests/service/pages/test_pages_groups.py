"""Grouping without scripts: hand in, watch, name."""

from __future__ import annotations

import json
import re

import pytest
from scripted_analyzer import SPACE, picture
from visiting import Visitor

from vultus.recognition.calibration import Calibration

GROUP = [("file", p) for p in (picture(1), picture(1, note="b"), picture(2), b"scribble")]


@pytest.fixture
def calibrated(serve, tmp_path):
    """Someone at a service whose scripted networks have a calibration."""
    measured = Calibration(
        space=SPACE, detector="scripted", data="scripted people", n_people=50, n_faces=200,
        n_genuine=1000, n_impostor=100_000, thresholds=(0.2, 0.4, 0.6, 0.8),
        fmr=(0.4, 0.01, 0.001, 0.0001), fnmr=(0.0, 0.01, 0.05, 0.3), command="none",
    )  # fmt: skip
    file = tmp_path / "calibration.json"
    file.write_text(json.dumps(measured.to_dict()))
    client = serve(calibration=file)
    client.post("/v1/galleries", json={"name": "people"})
    return Visitor(client)


def finished(visitor, path):
    """Follow a job as the page refreshes itself, until it has ended."""
    for _ in range(2000):
        page = visitor.get(path)
        if "http-equiv" not in page.html:
            return page
    raise AssertionError("the job did not end")


def test_pictures_are_grouped_and_the_people_enrolled(calibrated):
    calibrated.get("/group")
    page = calibrated.post("/group", {}, GROUP)
    assert re.fullmatch(r"/group/[\w-]+", page.path)
    path = page.path
    page = finished(calibrated, path)
    assert "2 people in 4 pictures" in page.text
    assert "1 picture left out" in page.text
    page = calibrated.post(f"{path}/names", {"name-0": "Ada", "name-1": "", "gallery": "people"})
    assert "2 faces enrolled in people" in page.text
    people = calibrated.client.get("/v1/galleries/people/persons").json()["items"]
    assert people == [{"person": "Ada", "faces": 2}]
    asked = calibrated.client.post(
        "/v1/galleries/people/identify?threshold=0.5", files=[("file", picture(1, note="new"))]
    )
    assert asked.json()["faces"][0]["person"] == "Ada"
    again = calibrated.post(f"{path}/names", {"name-0": "Eve", "gallery": "people"})
    assert "2 belong to “Ada” already" in again.text


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"gallery": "people"}, 422),
        ({"name-9": "Ada", "gallery": "people"}, 422),
        ({"name-0": "Ada", "gallery": "none"}, 404),
        ({"name-0": "Ada"}, 404),
        ({"name-0": "x" * 2000, "gallery": "people"}, 422),
    ],
)
def test_names_that_cannot_be_given_change_nothing(calibrated, fields, status):
    calibrated.get("/group")
    path = calibrated.post("/group", {}, GROUP).path
    finished(calibrated, path)
    assert calibrated.post(f"{path}/names", fields).status == status
    assert calibrated.client.get("/v1/galleries/people/persons").json()["items"] == []


def test_a_job_is_stopped_and_forgotten(calibrated, scripted):
    scripted.gate.clear()
    calibrated.get("/group")
    page = calibrated.post("/group", {}, GROUP)
    assert ("Looking at" in page.text) or ("Waiting" in page.text)
    assert "0 of 4 pictures" in page.text
    path = page.path
    early = calibrated.post(f"{path}/names", {"name-0": "Ada", "gallery": "people"})
    assert early.status == 409
    calibrated.get(path)
    assert calibrated.post(f"{path}/stop").path == "/group"
    scripted.gate.set()
    assert "Stopped" in finished(calibrated, path).text


def test_jobs_are_seen_by_their_owner_alone(guarded, keys):
    admin = Visitor(guarded)
    admin.get("/sign-in")
    admin.post("/sign-in", {"key": keys["admin"]})
    admin.get("/group")
    path = admin.post("/group", {}, GROUP).path
    guarded.cookies.clear()
    reader = Visitor(guarded)
    reader.get("/sign-in")
    reader.post("/sign-in", {"key": keys["read"]})
    assert reader.get(path).status == 404


def test_a_comparison_is_explained_by_the_calibration(calibrated):
    calibrated.get("/compare")
    two = [("first", picture(1)), ("second", picture(1, note="b"))]
    page = calibrated.post("/compare", {"fmr": "0.001"}, two)
    assert "Taken for the same person" in page.text
    assert "1 in 1,000 pairs of different people" in page.text
    assert "5.0 % of the pairs of one person were missed" in page.text
    assert page.html.count('class="plot"') == 2
    assert "threshold 0.600" in page.text
    assert "this pair 1.000" in page.text
    calibrated.get("/compare")
    page = calibrated.post("/compare", {"fmr": "0.00001"}, two)
    assert (page.status, "strictest" in page.text) == (422, True)
