"""What every page keeps: policy, weight, escaping, failures in the same look."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from scripted_analyzer import picture
from visiting import ACCEPT, Visitor

from vultus.service.pages.rendering import POLICY

MOST = 300_000
PATHS = ["/", "/compare", "/galleries", "/galleries/people", "/group", "/evaluation", "/models",
         "/models/dlib-resnet29", "/nothing"]  # fmt: skip
NAMES = ["Ada", "..", ".", "a/b", "a?b#c", "%2e%2e", "<script>alert(1)</script>", '"><img src=x>',
         "O'Neil \"the\" && {{ 7*7 }}", "Zoë 李", "x" * 1024, " inner  spaces "]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_pages_are_light_and_run_nothing_foreign(settled, path):
    page = settled.get(path)
    assert page.status == (404 if path == "/nothing" else 200)
    assert page.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-content-type-options"] == "nosniff"
    for tag, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on") or name == "style"], (
            tag,
            attrs,
        )
        for name in ("src", "href", "action"):
            target = attrs.get(name) or ""
            assert not target.startswith(("//", "http:", "https:", "javascript:")), (tag, target)
    assert not re.search(r"<script(?![^>]*src=)", page.html)
    assert "<style" not in page.html
    loaded = {a["href"] for t, a in page.tags if t == "link"} | {
        a["src"] for t, a in page.tags if t == "script"
    }
    # camera.js is loaded by console.js.
    loaded |= {next(iter(loaded)).rpartition("/")[0] + "/camera.js"}
    weight = len(page.html.encode())
    for file in loaded:
        answer = settled.client.get(file)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        weight += len(answer.content)
    assert weight < MOST


def test_pages_have_landmarks_a_title_and_one_first_heading(settled):
    for path in PATHS:
        page = settled.get(path)
        tags = [tag for tag, _ in page.tags]
        for tag in ("main", "header", "footer", "nav", "h1", "title"):
            assert tags.count(tag) >= 1, (path, tag)
        assert (tags.count("main"), tags.count("h1")) == (1, 1)
        assert page.links()[0] == "#main"
        ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
        assert len(ids) == len(set(ids)), path
        labels = {attrs.get("for") for tag, attrs in page.tags if tag == "label"}
        for tag, attrs in page.tags:
            if tag in ("input", "select") and attrs.get("type") not in ("hidden", "checkbox"):
                assert attrs.get("id") in labels, (path, attrs)


def test_the_description_of_the_interface_lists_no_page(settled):
    paths = settled.client.get("/v1/openapi.json").json()["paths"]
    assert all(path.startswith(("/v1/", "/metrics")) for path in paths)


@pytest.mark.parametrize("name", NAMES)
def test_any_name_can_be_enrolled_shown_and_visited(visitor, name):
    shown = name.strip()
    page = visitor.enrol("people", name, picture(1))
    assert page.status == 200
    assert "<script>alert" not in page.html
    assert "<img src=x>" not in page.html
    path = visitor.person("people", shown)
    page = visitor.get(path)
    assert page.status == 200
    assert shown.replace("  ", " ")[:40] in page.text


def test_a_persons_address_cannot_be_made_up_or_used_elsewhere(visitor):
    visitor.enrol("people", "Ada", picture(1))
    token = visitor.person("people", "Ada").rpartition("/")[2]
    visitor.client.post("/v1/galleries", json={"name": "others"})
    for place in (f"others/people/{token}", "people/people/Ada", f"people/people/{token[:-2]}"):
        assert visitor.get(f"/galleries/{place}").status == 404, place
    assert visitor.get("/galleries/people/people/" + "A" * 5000).status == 404


def test_lists_are_walked_by_opaque_cursors(visitor):
    people = [f"Person {i:03d}" for i in range(50)]
    for i, person in enumerate(people):
        files = [("file", picture(1, note=str(i)))]
        visitor.client.post("/v1/galleries/people/faces", files=files, data={"person": person})
    seen, path = [], "/galleries/people"
    while path:
        page = visitor.get(path)
        seen += re.findall(r'<span class="person-name">([^<]*)<', page.html)
        nexts = [a["href"] for t, a in page.tags if t == "a" and a.get("rel") == "next"]
        path = nexts[0] if nexts else ""
    assert seen == people
    assert visitor.get("/galleries/people?cursor=made-up").status == 400


@pytest.mark.parametrize(
    ("path", "status", "title"),
    [
        ("/nothing", 404, "Nothing here"),
        ("/galleries/nobody", 404, "Nothing here"),
        ("/galleries/%2e%2e", 404, "Nothing here"),
        ("/models/none", 404, "Nothing here"),
        ("/evaluation/none", 404, "Nothing here"),
        ("/group/none", 404, "Nothing here"),
        ("/undo", 405, "That did not work"),
    ],
)
def test_failures_look_like_pages_and_name_the_request(settled, path, status, title):
    page = settled.get(path, **{"x-request-id": "abc-123"})
    assert (page.status, page.headers["x-request-id"]) == (status, "abc-123")
    assert title in page.text
    assert "abc-123" in page.text
    assert "/" in page.links()
    plain = settled.client.get(path, headers={"accept": "application/json"})
    assert plain.json()["error"]["message"]


def test_an_unexpected_failure_tells_nothing_of_the_server(settled):
    settled.get("/")
    page = settled.post("/", {}, [("file", b"break")])
    assert page.status == 500
    assert "Something went wrong here" in page.text
    assert "secret" not in page.html
    assert page.headers["content-security-policy"] == POLICY


@pytest.mark.parametrize(
    ("files", "status", "words"),
    [
        ([("file", b"scribble")], 422, "not a picture"),
        ([], 415, "not a picture"),
        ([("file", picture(1)), ("file", picture(2))], 413, "more than 1 pictures"),
        ([("other", picture(1))], 422, "a field that is none of"),
    ],
)
def test_bad_uploads_are_explained(settled, files, status, words):
    settled.get("/")
    page = settled.post("/", {}, files)
    assert page.status == status
    assert words in page.text.lower()


def test_a_part_of_a_page_comes_without_the_rest(settled):
    settled.get("/")
    page = settled.post("/", {}, [("file", picture(7, 8))], **{"x-fragment": "1"})
    assert page.status == 200
    assert "<html" not in page.html
    assert "2 faces found" in page.text
    settled.get("/")
    failed = settled.post("/", {}, [("file", b"scribble")], **{"x-fragment": "1"})
    assert (failed.status, "<html" in failed.html) == (422, False)
    assert 'role="alert"' in failed.html


def test_a_session_that_ended_is_told_in_parts_too(guarded, keys):
    visitor = Visitor(guarded)
    token = visitor.get("/sign-in").value("csrf")
    page = visitor.post("/", {}, [("file", picture(1))], token=token, **{"x-fragment": "1"})
    assert page.status == 401
    assert "/sign-in" in page.links()


def test_what_is_not_computed_is_said(settled):
    settled.get("/")
    page = settled.post("/", {}, [("file", picture(7))])
    assert "Not computed by this server: landmarks, head pose" in page.text
    assert "Not asked for: attributes" in page.text
    page = settled.post("/", {"also": "attributes"}, [("file", picture(7))])
    assert "Not asked for: attributes" not in page.text
    page = settled.post("/", {"also": "mind"}, [("file", picture(7))])
    assert (page.status, "no predictor mind" in page.text.lower()) == (422, True)
    assert "Faces that are very small" in settled.post("/", {}, [("file", b"nobody")]).text


def test_comparing_needs_a_threshold_where_nothing_is_calibrated(settled):
    page = settled.get("/compare")
    assert "no calibration" in page.text
    two = [("first", picture(1)), ("second", picture(1, note="again"))]
    page = settled.post("/compare", {"threshold": "0.5"}, two)
    assert "Taken for the same person" in page.text
    others = [("first", picture(1)), ("second", picture(2))]
    page = settled.post("/compare", {"threshold": "0.5"}, others)
    assert "Not taken for the same person" in page.text
    for threshold, words in (("", "no calibration"), ("x", "not a number"), ("7", "lies between")):
        page = settled.post("/compare", {"threshold": threshold}, two)
        assert (page.status, words in page.text) == (422, True), threshold
    empty = [("first", picture(1)), ("second", b"nobody")]
    page = settled.post("/compare", {"threshold": "0.5"}, empty)
    assert "In the second picture" in page.text


def test_searching_names_the_known_and_the_unknown(visitor):
    visitor.enrol("people", "Ada", picture(7))
    both = [("file", picture(7, 8))]
    page = visitor.post("/galleries/people/identify", {"threshold": "0.5"}, both)
    assert "2 faces searched for" in page.text
    assert "Unknown" in page.text
    assert visitor.person("people", "Ada") in page.links()


def test_faces_of_too_low_a_quality_are_told_apart_from_the_unknown(serve):
    client = serve(min_quality=0.5)
    client.post("/v1/galleries", json={"name": "people"})
    visitor = Visitor(client)
    visitor.enrol("people", "Ada", picture(7))
    assert (
        "was left out"
        in visitor.enrol("people", "Eve", picture(11), picture(8, note="blurred")).text
    )
    fields = {"threshold": "0.5"}
    page = visitor.post(
        "/galleries/people/identify", fields, [("file", picture(9, note="blurred"))]
    )
    assert "Not searched for" in page.text
    assert "Unknown" not in page.text


def test_a_wrong_name_of_the_host_shows_no_way_in(settled):
    page = settled.get("/", host="evil.example")
    assert (page.status, "/galleries" in page.links()) == (421, False)


def test_searches_count_against_the_rate(serve):
    from vultus.service.settings import Rates

    client = serve(rates=Rates(per_minute=1, burst=1))
    client.post("/v1/galleries", json={"name": "people"})
    visitor = Visitor(client)
    visitor.get("/galleries/people")
    pages = [
        visitor.post("/galleries/people/identify", {"threshold": "0.5"}, [("file", picture(7))])
        for _ in range(2)
    ]
    assert [page.status for page in pages] == [200, 429]
    assert "Try again in" in pages[1].text
    assert int(pages[1].headers["retry-after"]) > 0


@pytest.mark.parametrize("name", ["", "A", "a b", "../x", "x" * 65, "<b>"])
def test_bad_names_of_galleries_are_explained(settled, name):
    settled.get("/galleries")
    page = settled.post("/galleries", {"name": name})
    assert (page.status, "lower-case letters" in page.text) == (422, True)


def test_a_gallery_is_made_and_deleted_only_when_its_name_is_written(visitor):
    visitor.get("/galleries")
    assert visitor.post("/galleries", {"name": "second"}).path == "/galleries/second"
    page = visitor.post("/galleries/second/delete", {"confirm": "secnod"})
    assert (page.status, "write its name" in page.text) == (422, True)
    assert visitor.post("/galleries/second/delete", {"confirm": "second"}).path == "/galleries"
    assert visitor.client.get("/v1/galleries").json()["items"] == ["people"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_chosen_look_is_kept(settled, theme):
    settled.get("/models")
    page = settled.post("/theme", {"theme": theme, "next": "/models"})
    assert page.path == "/models"
    assert f'data-theme="{theme}"' in page.html
    assert "data-theme" not in settled.post("/theme", {"theme": "system", "next": "/"}).html


def test_unknown_files_and_old_editions_are_not_there(settled):
    links = [attrs for tag, attrs in settled.get("/").tags if tag == "link"]
    style = next(attrs["href"] for attrs in links if attrs["rel"] == "stylesheet")
    assert settled.client.get(style).headers["content-type"].startswith("text/css")
    for path in (style.replace("console.css", "none.css"), "/static/x/console.css",
                 style.replace("console.css", quote("../access.py", safe=""))):  # fmt: skip
        assert settled.client.get(path, headers={"accept": ACCEPT}).status_code == 404
