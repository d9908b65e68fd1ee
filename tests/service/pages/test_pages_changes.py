"""Changes of galleries, and taking them back."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from scripted_analyzer import picture
from visiting import Visitor

from vultus.service.keys import Caller, add_key
from vultus.service.pages.undoing import SECONDS, Shelf

PEOPLE = "/galleries/people"


@pytest.fixture
def enrolled(visitor):
    """A gallery with Ada (three faces) and Grace (one)."""
    visitor.enrol("people", "Ada", *(picture(n) for n in (1, 2, 3)))
    visitor.enrol("people", "Grace", picture(9))
    return visitor


def stored(visitor):
    """Return every stored face as the interface for programs lists it."""
    return visitor.client.get("/v1/galleries/people/faces?limit=200").json()["items"]


def counts(visitor):
    people = visitor.client.get("/v1/galleries/people/persons").json()["items"]
    return {item["person"]: item["faces"] for item in people}


def on_disk(folder):
    return b"".join(f.read_bytes() for f in folder.rglob("*") if f.is_file())


def undo(visitor):
    return visitor.post("/undo", {"slip": visitor.at.value("slip")})


def test_a_person_is_renamed_and_called_as_before(enrolled):
    before = stored(enrolled)
    page = enrolled.post(f"{enrolled.person('people', 'Ada')}/rename", {"name": "Ada L."})
    assert "“Ada” is now called “Ada L.”" in page.text
    assert counts(enrolled) == {"Ada L.": 3, "Grace": 1}
    undo(enrolled)
    assert stored(enrolled) == before


def test_a_taken_or_impossible_name_is_refused(enrolled):
    path = enrolled.person("people", "Ada")
    page = enrolled.post(f"{path}/rename", {"name": "Grace"})
    assert (page.status, "merge them" in page.text) == (409, True)
    for name in ("", "x" * 2000, "a\0b"):
        assert enrolled.post(f"{path}/rename", {"name": name}).status == 422, name
    assert counts(enrolled) == {"Ada": 3, "Grace": 1}


def test_people_are_merged_and_told_apart_again(enrolled):
    enrolled.enrol("people", "A. L.", picture(4))
    before = stored(enrolled)
    tokens = [enrolled.person("people", n).rpartition("/")[2] for n in ("Ada", "A. L.", "Grace")]
    page = enrolled.post(f"{PEOPLE}/merge", {"person": tokens, "into": "Everyone"})
    assert "3 people are now one: “Everyone”" in page.text
    assert counts(enrolled) == {"Everyone": 5}
    undo(enrolled)
    assert stored(enrolled) == before


def test_a_merge_needs_two_people_and_takes_the_first_name_by_itself(enrolled):
    tokens = [enrolled.person("people", name).rpartition("/")[2] for name in ("Grace", "Ada")]
    page = enrolled.post(f"{PEOPLE}/merge", {"person": tokens[:1]})
    assert (page.status, "two people or more" in page.text) == (422, True)
    enrolled.get(PEOPLE)
    enrolled.post(f"{PEOPLE}/merge", {"person": tokens})
    assert counts(enrolled) == {"Grace": 4}


def test_a_person_is_split_and_made_whole_again(enrolled):
    before = stored(enrolled)
    path = enrolled.person("people", "Ada")
    faces = [face["face_id"] for face in before if face["person"] == "Ada"]
    page = enrolled.get(path)
    assert [f for f in faces if f in page.html] == faces
    page = enrolled.post(f"{path}/faces", {"face": faces[:2], "into": "Byron"})
    assert "2 faces moved to “Byron”" in page.text
    assert page.path == path
    assert counts(enrolled) == {"Ada": 1, "Byron": 2, "Grace": 1}
    undo(enrolled)
    assert stored(enrolled) == before


def test_moving_the_last_face_leads_to_the_gallery(enrolled):
    path = enrolled.person("people", "Grace")
    face = next(f["face_id"] for f in stored(enrolled) if f["person"] == "Grace")
    page = enrolled.post(f"{path}/faces", {"face": [face], "into": "Ada"})
    assert page.path == PEOPLE
    assert counts(enrolled) == {"Ada": 4}
    assert enrolled.get(path).status == 404


def test_a_deleted_person_is_off_the_disk_and_comes_back_whole(enrolled, tmp_path):
    before = stored(enrolled)
    asked = {"files": [("file", picture(1))], "data": {}}
    url = "/v1/galleries/people/identify?threshold=0.5"
    assert enrolled.client.post(url, **asked).json()["faces"][0]["person"] == "Ada"
    assert before[0]["face_id"].encode() in on_disk(tmp_path)
    page = enrolled.post(f"{enrolled.person('people', 'Ada')}/delete")
    assert "“Ada” with 3 faces deleted." in page.text
    assert counts(enrolled) == {"Grace": 1}
    assert before[0]["face_id"].encode() not in on_disk(tmp_path)
    assert enrolled.client.post(url, **asked).json()["faces"][0]["person"] is None
    page = undo(enrolled)
    assert page.path == PEOPLE
    assert stored(enrolled) == before
    assert enrolled.client.post(url, **asked).json()["faces"][0]["person"] == "Ada"


def test_single_faces_are_deleted_and_come_back(enrolled):
    before = stored(enrolled)
    faces = [face["face_id"] for face in before if face["person"] == "Ada"]
    path = enrolled.person("people", "Ada")
    page = enrolled.post(f"{path}/faces", {"face": faces[:1], "do": "delete"})
    assert "1 face deleted." in page.text
    assert counts(enrolled) == {"Ada": 2, "Grace": 1}
    undo(enrolled)
    assert stored(enrolled) == before


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"into": "X"}, 422),
        ({"face": ["x"], "into": "X"}, 422),
        ({"face": ["0" * 32], "into": "X"}, 404),
        ({"face": ["0" * 32], "do": "delete"}, 404),
        ({"face": ["0" * 32]}, 422),
    ],
)
def test_choices_that_cannot_be_carried_out_change_nothing(enrolled, fields, status):
    path = enrolled.person("people", "Ada")
    assert enrolled.post(f"{path}/faces", fields).status == status
    assert counts(enrolled) == {"Ada": 3, "Grace": 1}


def test_a_change_is_undone_once(enrolled):
    enrolled.post(f"{enrolled.person('people', 'Ada')}/delete")
    slip = enrolled.at.value("slip")
    undo(enrolled)
    page = enrolled.post("/undo", {"slip": slip})
    assert (page.status, "no longer be undone" in page.text) == (404, True)
    assert counts(enrolled) == {"Ada": 3, "Grace": 1}
    assert 'name="slip"' not in enrolled.get(f"{PEOPLE}?did={slip}").html


def test_an_undo_that_no_longer_fits_is_explained(enrolled):
    enrolled.post(f"{enrolled.person('people', 'Ada')}/rename", {"name": "Eve"})
    slip = enrolled.at.value("slip")
    enrolled.enrol("people", "Ada", picture(20))
    page = enrolled.post("/undo", {"slip": slip})
    assert (page.status, "merge them" in page.text) == (409, True)
    assert counts(enrolled) == {"Ada": 1, "Eve": 3, "Grace": 1}


def test_only_whoever_made_a_change_can_undo_it(guarded, keys, tmp_path):
    writer = Visitor(guarded)
    for key in (keys["write"], keys["admin"]):
        guarded.post(
            "/v1/galleries/people/faces",
            files=[("file", picture(1))],
            data={"person": "Ada"},
            headers={"x-api-key": key},
        )
    both = add_key(tmp_path / "keys.json", "both", ["read", "write"])[1]
    writer.get("/sign-in")
    writer.post("/sign-in", {"key": both})
    page = writer.post(f"{writer.person('people', 'Ada')}/delete")
    slip = page.value("slip")
    guarded.cookies.clear()
    admin = Visitor(guarded)
    admin.get("/sign-in")
    admin.post("/sign-in", {"key": keys["admin"]})
    assert "deleted" not in admin.get(f"/galleries/people?did={slip}").text
    assert admin.post("/undo", {"slip": slip}).status == 404


def test_changes_and_their_undo_stand_in_the_audit_log_without_names(guarded, keys, tmp_path):
    admin = Visitor(guarded)
    admin.get("/sign-in")
    admin.post("/sign-in", {"key": keys["admin"]})
    admin.enrol("people", "Ada", picture(1), picture(2))
    path = admin.person("people", "Ada")
    admin.post(f"{path}/delete")
    undo(admin)
    face = guarded.get("/v1/galleries/people/faces", headers={"x-api-key": keys["admin"]}).json()
    path = admin.person("people", "Ada")
    admin.post(f"{path}/faces", {"face": [face["items"][0]["face_id"]], "into": "Byron"})
    text = (tmp_path / "audit.jsonl").read_text()
    done = [e["action"] for e in map(json.loads, text.splitlines()) if e.get("phase") == "done"]
    assert done == ["create_gallery", "enrol", "delete_person", "undo", "move_faces"]
    assert not re.search("Ada|Byron", text)


def test_slips_end_by_time_by_number_and_by_the_faces_they_hold():
    now = [0.0]
    owner, other = (Caller(name, frozenset({"write"})) for name in ("a", "b"))

    async def run():
        shelf = Shelf(lambda: now[0])
        put = lambda faces=0: shelf.put(owner, "g", "done", lambda store: 0, faces)  # noqa: E731
        first = put()
        assert shelf.get(first.id, owner) is first
        assert shelf.get(first.id, other) is None
        now[0] = SECONDS + 1
        assert shelf.get(first.id, owner) is None
        many = [put() for _ in range(100)]
        assert [shelf.get(s.id, owner) is None for s in many].count(True) == 36
        large = [put(30_000) for _ in range(2)]
        assert [shelf.get(s.id, owner) is None for s in large] == [True, False]
        assert put(100_000).back is None

    asyncio.run(run())
