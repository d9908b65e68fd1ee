"""Galleries, people and faces over HTTP."""

from __future__ import annotations

import json

import pytest
from failure_shape import check_failure
from scripted_analyzer import DIM, SPACE, picture

from vultus.gallery import Gallery, Key
from vultus.service.audit import person_ref

PEOPLE = "/v1/galleries/people"


def enrol(client, person, *pictures, gallery=PEOPLE):
    files = [("file", data) for data in pictures]
    return client.post(f"{gallery}/faces", files=files, data={"person": person})


def names(client):
    return [item["person"] for item in client.get(f"{PEOPLE}/persons").json()["items"]]


def test_a_gallery_is_made_listed_described_and_deleted(client, tmp_path):
    assert client.get("/v1/galleries").json() == {"items": ["people"], "next_cursor": None}
    info = client.get(PEOPLE).json()
    assert (info["faces"], info["persons"], info["dim"], info["space"]) == (0, 0, DIM, SPACE)
    enrol(client, "Ada", picture(1))
    assert client.delete(PEOPLE).json() == {"faces": 1}
    assert client.get("/v1/galleries").json()["items"] == []
    check_failure(client.get(PEOPLE), 404, "not_found")
    assert list((tmp_path / "galleries").iterdir()) == []
    assert client.post("/v1/galleries", json={"name": "people"}).status_code == 201
    assert names(client) == []


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../x", "A", "a b", "a\0", "x" * 65, "-a", ".deleted-1", "ä", 7]
)
def test_names_of_galleries_cannot_leave_the_folder(client, tmp_path, name):
    response = client.post("/v1/galleries", json={"name": name})
    check_failure(response, 422, "bad_parameter")
    assert [entry.name for entry in (tmp_path / "galleries").iterdir()] == ["people"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["galleries"]


@pytest.mark.parametrize(
    "path",
    ["/v1/galleries/..", "/v1/galleries/%2e%2e", "/v1/galleries/..%2fx", "/v1/galleries/%00",
     "/v1/galleries/people%2f..%2fpeople", "/v1/galleries//people", "/v1/galleries/people/",
     "/v1/galleries/nobody", "/v1/galleries/nobody/persons", "/v1/galleries/nobody/faces"],
)  # fmt: skip
def test_paths_that_lead_nowhere_are_not_found(client, path):
    check_failure(client.get(path), 404, "not_found")


def test_making_a_gallery_twice_is_a_conflict(client):
    check_failure(client.post("/v1/galleries", json={"name": "people"}), 409, "conflict")


def test_enrolling_again_changes_nothing(client):
    first = enrol(client, "Ada", picture(1))
    again = enrol(client, "Ada", picture(1))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["faces"] == again.json()["faces"]
    assert (again.json()["added"], again.json()["unchanged"]) == (0, 1)
    assert client.get(PEOPLE).json()["faces"] == 1


def test_enrolment_takes_the_good_pictures_and_says_what_it_left_out(client):
    done = enrol(client, "Ada", picture(1), b"scribble", picture(2), b"nobody").json()
    assert done["added"] == 2
    assert [(s["index"], s["error"]["code"]) for s in done["skipped"]] == [
        (1, "bad_image"),
        (3, "no_face"),
    ]
    check_failure(enrol(client, "Ada", b"scribble"), 422, "bad_image")
    check_failure(enrol(client, "Ada", b"nobody"), 422, "no_face")


def test_a_face_of_someone_else_is_a_conflict(client):
    enrol(client, "Ada", picture(1))
    error = check_failure(enrol(client, "Bob", picture(1)), 409, "conflict")
    assert len(error["details"]["face_ids"]) == 1
    assert names(client) == ["Ada"]


@pytest.mark.parametrize("person", ["", "  ", "a\nb", "x" * 1025, "\x7f"])
def test_names_of_people_are_checked_before_any_work(client, scripted, person):
    before = len(scripted.batches)
    check_failure(enrol(client, person, picture(1)), 422, "bad_parameter")
    assert len(scripted.batches) == before


def test_without_a_person_nothing_is_enrolled(client):
    response = client.post(f"{PEOPLE}/faces", files={"file": picture(1)})
    check_failure(response, 422, "bad_parameter")


@pytest.mark.parametrize(
    "name", ["Ada", "Ada/Lovelace", "Ж", "a?b#c", "100%", "' OR 1=1 --", "merge"]
)
def test_any_name_can_be_listed_renamed_and_deleted(client, name):
    from urllib.parse import quote

    enrol(client, name, picture(1))
    enrol(client, "other", picture(2))
    assert set(names(client)) == {name, "other"}
    path = f"{PEOPLE}/persons/{quote(name, safe='')}"
    check_failure(client.patch(path, json={"person": "other"}), 409, "conflict")
    assert client.patch(path, json={"person": "new"}).json() == {"faces": 1}
    check_failure(client.delete(path), 404, "not_found")
    assert client.delete(f"{PEOPLE}/persons/new").json() == {"faces": 1}
    assert names(client) == ["other"]


def test_people_are_merged(client):
    for number, name in enumerate(("Ada", "A. L.", "Bob")):
        enrol(client, name, picture(number))
    merged = client.post(
        f"{PEOPLE}/persons/merge", json={"persons": ["Ada", "A. L."], "into": "Ada"}
    )
    assert merged.json() == {"faces": 1}
    assert names(client) == ["Ada", "Bob"]
    lost = client.post(f"{PEOPLE}/persons/merge", json={"persons": ["X"], "into": "Ada"})
    check_failure(lost, 404, "not_found")


@pytest.mark.parametrize(
    "body", [{}, [], {"persons": [], "into": "a"}, {"persons": ["a"], "into": "b", "path": "c"}]
)
def test_bad_documents_are_refused(client, body):
    check_failure(client.post(f"{PEOPLE}/persons/merge", json=body), 422, "bad_parameter")


def test_documents_that_are_no_json_are_refused(client):
    response = client.post(
        "/v1/galleries", content=b"{", headers={"content-type": "application/json"}
    )
    check_failure(response, 422, "bad_parameter")


def test_a_face_is_deleted(client):
    (face,) = enrol(client, "Ada", picture(1)).json()["faces"]
    assert client.delete(f"{PEOPLE}/faces/{face['face_id']}").json() == {"faces": 1}
    check_failure(client.delete(f"{PEOPLE}/faces/{face['face_id']}"), 404, "not_found")
    check_failure(client.delete(f"{PEOPLE}/faces/short"), 422, "bad_parameter")


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_lists_come_in_pages_that_hold_everything_once(client, limit):
    expected = []
    for number in range(4):
        done = enrol(client, f"p{number}", picture(number), picture(number + 10)).json()
        expected += sorted((f"p{number}", face["face_id"]) for face in done["faces"])
    faces = pages(client, f"{PEOPLE}/faces", limit)
    assert [(face["person"], face["face_id"]) for face in faces] == expected
    assert not any({"vector", "embedding", "source"} & set(face) for face in faces)
    assert [p["person"] for p in pages(client, f"{PEOPLE}/persons", limit)] == [
        "p0", "p1", "p2", "p3",
    ]  # fmt: skip
    only = pages(client, f"{PEOPLE}/faces?person=p2", limit)
    assert [face["face_id"] for face in only] == [i for name, i in expected if name == "p2"]


def pages(client, path, limit):
    items, cursor = [], None
    while True:
        params = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        page = client.get(path, params=params if "?" not in path else params | {"person": "p2"})
        page = page.json()
        assert len(page["items"]) <= limit
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return items


def test_cursors_cannot_be_altered_or_used_elsewhere(client):
    for number in range(3):
        enrol(client, f"p{number}", picture(number))
    cursor = client.get(f"{PEOPLE}/persons?limit=1").json()["next_cursor"]
    for place, letter in enumerate(cursor):
        altered = cursor[:place] + ("A" if letter != "A" else "B") + cursor[place + 1 :]
        # The last letter of base64 has bits that mean nothing.
        if place < len(cursor) - 1:
            response = client.get(f"{PEOPLE}/persons", params={"cursor": altered})
            check_failure(response, 400, "bad_cursor")
    for path in (f"{PEOPLE}/faces", "/v1/galleries"):
        check_failure(client.get(path, params={"cursor": cursor}), 400, "bad_cursor")
    for cursor in ("", "A", "ä", "AAAA" * 20, "%00", "=" * 9):
        response = client.get(f"{PEOPLE}/persons", params={"cursor": cursor})
        assert (
            response.status_code == 200
            if not cursor
            else check_failure(response, 400, "bad_cursor")
        )


def test_identify_knows_who_is_enrolled_and_nobody_else(client):
    for number in range(3):
        enrol(client, f"p{number}", picture(number))
    response = client.post(
        f"{PEOPLE}/identify?threshold=0.9", files={"file": picture(1, 8, note="new")}
    ).json()
    known, unknown = response["faces"]
    assert (known["decision"], known["person"]) == ("known", "p1")
    assert known["similarity"] == pytest.approx(1, abs=1e-4)
    assert (unknown["decision"], unknown["person"]) == ("unknown", None)
    assert response["threshold"] == {
        "value": 0.9, "fpir": None, "enrolled": 3, "calibrated_on": None,
    }  # fmt: skip
    assert "embedding" not in json.dumps(response)


def test_identify_in_an_empty_gallery_knows_nobody(client):
    found = client.post(f"{PEOPLE}/identify?threshold=0.9", files={"file": picture(1)}).json()
    assert [(face["decision"], face["candidates"]) for face in found["faces"]] == [("unknown", [])]
    assert (
        client.post(f"{PEOPLE}/identify?threshold=0.9", files={"file": b"nobody"}).json()["faces"]
        == []
    )


def test_a_gallery_of_another_network_is_not_used(client, tmp_path):
    Gallery.create(
        tmp_path / "galleries" / "foreign", space="other@1/x", dim=DIM, key=Key(bytes(range(32)))
    )
    for response in (
        enrol(client, "Ada", picture(1), gallery="/v1/galleries/foreign"),
        client.post("/v1/galleries/foreign/identify?threshold=0.9", files={"file": picture(1)}),
    ):
        check_failure(response, 409, "space_mismatch")


def test_a_damaged_or_foreign_gallery_is_unavailable_and_names_no_path(client, tmp_path):
    Gallery.create(tmp_path / "galleries" / "locked", space=SPACE, dim=DIM, key=Key.generate())
    response = client.get("/v1/galleries/locked")
    check_failure(response, 503, "gallery_unavailable")
    assert str(tmp_path) not in response.text


def test_what_another_process_does_is_seen_at_once(client, tmp_path, key_file):
    from vultus.faces import Embedding
    from vultus.gallery import Enrolment

    other = Gallery.open(tmp_path / "galleries" / "people", Key.load(key_file))
    other.enroll([Enrolment("Eve", Embedding([1.0] * DIM, SPACE), "s", "d")])
    assert names(client) == ["Eve"]


def test_the_audit_log_says_who_did_what_without_names_or_templates(serve, tmp_path, key_file):
    log = tmp_path / "audit.jsonl"
    client = serve(audit_log=log)
    client.post("/v1/galleries", json={"name": "people"})
    face = enrol(client, "Ada Lovelace", picture(1)).json()["faces"][0]["face_id"]
    client.post(f"{PEOPLE}/identify?threshold=0.9", files={"file": picture(1)})
    client.delete(f"{PEOPLE}/persons/Ada Lovelace")
    client.delete(f"{PEOPLE}/persons/Bob")
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(e["action"], e.get("phase")) for e in entries] == [
        ("create_gallery", "begin"),
        ("create_gallery", "done"),
        ("enrol", "begin"),
        ("enrol", "done"),
        ("search", None),
        ("delete_person", "begin"),
        ("delete_person", "done"),
        ("delete_person", "begin"),
        ("delete_person", "failed"),
    ]
    assert entries[3]["face_ids"] == [face]
    assert entries[3]["person"] == person_ref(Key.load(key_file), "Ada Lovelace")
    assert {e["key"] for e in entries} == {"anonymous"}
    text = log.read_text()
    assert not any(word in text for word in ("Ada", "Lovelace", "vector", str(tmp_path)))
    assert log.stat().st_mode & 0o077 == 0


def test_nothing_happens_where_the_audit_log_cannot_be_written(serve, tmp_path):
    (tmp_path / "audit").mkdir()
    client = serve(audit_log=tmp_path / "audit")
    response = client.post("/v1/galleries", json={"name": "people"})
    check_failure(response, 503, "audit_unavailable")
    assert client.get("/v1/galleries").json()["items"] == []


@pytest.mark.parametrize("threshold", ["2", "nan", "x"])
def test_bad_thresholds_are_refused(client, threshold):
    response = client.post(
        f"{PEOPLE}/identify", params={"threshold": threshold}, files={"file": picture(1)}
    )
    check_failure(response, 422, "bad_parameter")
