"""Verbs on pictures over HTTP."""

from __future__ import annotations

import numpy as np
import pytest
from failure_shape import check_failure
from scripted_analyzer import SPACE, picture

JPEG = {"content-type": "image/jpeg"}


def test_detect_takes_a_picture_as_body_or_as_form(lasting):
    raw = lasting.post("/v1/detect", content=picture(3, 4), headers=JPEG)
    form = lasting.post("/v1/detect", files={"file": picture(3, 4)})
    assert raw.status_code == form.status_code == 200
    assert raw.json() == form.json()
    assert [face["box"] for face in raw.json()["faces"]] == [[3, 2, 13, 12], [4, 2, 14, 12]]
    assert "embedding" not in raw.text


def test_detect_drops_faces_below_the_score(lasting):
    found = lasting.post("/v1/detect", params={"min_score": 0.95}, content=picture(1), headers=JPEG)
    assert found.json()["faces"] == []


def test_analyze_answers_the_good_pictures_beside_the_bad(lasting):
    files = [("file", data) for data in (picture(1), b"scribble", b"nobody")]
    pictures = lasting.post("/v1/analyze", files=files).json()["pictures"]
    assert [len(p["faces"]) for p in pictures] == [1, 0, 0]
    assert [p["error"] and p["error"]["code"] for p in pictures] == [None, "bad_image", None]


def test_embed_returns_unit_templates_with_their_space(lasting):
    (face,) = lasting.post("/v1/embed", files={"file": picture(5)}).json()["faces"]
    assert face["embedding"]["space"] == SPACE
    assert np.linalg.norm(face["embedding"]["vector"]) == pytest.approx(1)


def test_verify_decides_at_the_threshold_and_names_it(lasting):
    files = {"first": picture(1), "second": picture(1, note="other")}
    same = lasting.post("/v1/verify", params={"threshold": 0.5}, files=files).json()
    assert same["same"] is True
    assert same["similarity"] == pytest.approx(1, abs=1e-4)
    assert same["threshold"]["value"] == 0.5
    files["second"] = picture(2)
    assert (
        lasting.post("/v1/verify", params={"threshold": 0.5}, files=files).json()["same"] is False
    )


def test_verify_needs_a_threshold_where_nothing_is_calibrated(lasting):
    files = {"first": picture(1), "second": picture(2)}
    check_failure(lasting.post("/v1/verify", files=files), 422, "bad_parameter")


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"first": picture(1)}, "bad_parameter"),
        ([("first", picture(1)), ("first", picture(2))], "bad_parameter"),
        ({"first": picture(1), "second": b"scribble"}, "bad_image"),
        ({"first": b"nobody", "second": picture(1)}, "no_face"),
        ({"first": picture(1), "url": b"http://127.0.0.1/a.jpg"}, "bad_parameter"),
    ],
)
def test_verify_refuses(lasting, files, code):
    check_failure(lasting.post("/v1/verify?threshold=0.5", files=files), 422, code)


@pytest.mark.parametrize("route", ["detect", "embed"])
@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"content": b"", "headers": JPEG}, 422, "bad_parameter"),
        ({"content": b"scribble", "headers": JPEG}, 422, "bad_image"),
        ({"json": {"url": "http://127.0.0.1/a.jpg"}}, 415, "unsupported_media_type"),
        ({"content": b"x"}, 415, "unsupported_media_type"),
        ({"content": b"x", "headers": JPEG | {"content-encoding": "gzip"}}, 415,
         "unsupported_media_type"),
        ({"data": {"file": "face 1"}}, 415, "unsupported_media_type"),
        ({"files": {"path": b"/etc/passwd"}}, 422, "bad_parameter"),
        ({"content": b"--x", "headers": {"content-type": "multipart/form-data; boundary=x"}}, 422,
         "bad_parameter"),
        ({"content": b"--x", "headers": {"content-type": "multipart/form-data"}}, 422,
         "bad_parameter"),
    ],
)  # fmt: skip
def test_bad_bodies_have_the_one_shape(lasting, route, request_, status, code):
    error = check_failure(lasting.post(f"/v1/{route}", **request_), status, code)
    assert "raise it with" not in error["message"]


@pytest.mark.parametrize("query", ["min_score=2", "min_score=x", "min_score=nan", "min_score=%00"])
def test_bad_parameters_are_named_but_not_repeated(lasting, query):
    response = lasting.post(f"/v1/detect?{query}", content=picture(1), headers=JPEG)
    error = check_failure(response, 422, "bad_parameter")
    assert error["details"]["problems"][0]["where"] == "query.min_score"
    assert set(error["details"]["problems"][0]) == {"where", "message"}


def test_a_defect_is_answered_without_its_trace_and_alone(lasting, caplog):
    response = lasting.post("/v1/detect", content=b"break", headers=JPEG)
    check_failure(response, 500, "internal")
    assert "secret" not in response.text
    assert lasting.post("/v1/detect", content=picture(1), headers=JPEG).status_code == 200


def test_a_picture_that_breaks_something_does_not_fail_its_neighbours(lasting):
    # One request makes one batch.
    files = [("file", picture(1)), ("file", b"break"), ("file", picture(2))]
    check_failure(lasting.post("/v1/analyze", files=files), 500, "internal")
    analyzer = lasting.app.state.service.analyzer
    assert analyzer.batches[-4:] == [3, 1, 1, 1]
