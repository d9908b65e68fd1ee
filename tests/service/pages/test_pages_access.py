"""Signing in, scopes, and forms that come from elsewhere."""

from __future__ import annotations

import pytest
from scripted_analyzer import picture
from visiting import ACCEPT, Visitor

from vultus.service.keys import read_keys, revoke_key
from vultus.service.pages.entrance import local
from vultus.service.pages.sessions import IDLE, LONGEST, Sessions

READING = {"/theme", "/sign-out", "/galleries/people/identify"}


def sign_in(client, key, **fields):
    visitor = Visitor(client)
    visitor.get("/sign-in")
    return visitor, visitor.post("/sign-in", {"key": key} | fields)


def session_cookie(page):
    return next(c for c in page.headers.get_list("set-cookie") if c.startswith("vultus_session"))


def test_without_a_session_pages_lead_to_the_sign_in_and_back(guarded, keys):
    visitor = Visitor(guarded)
    page = visitor.get("/galleries?cursor=")
    assert page.path == "/sign-in"
    assert 'name="next" value="/galleries?cursor="' in page.html
    assert 'aria-label="Main"' not in page.html
    page = visitor.post("/sign-in", {"key": keys["read"], "next": "/galleries"})
    assert (page.status, page.path) == (200, "/galleries")
    assert "people" in page.text


def test_the_cookie_is_for_the_browser_and_this_site_alone(guarded, keys):
    visitor = Visitor(guarded)
    visitor.get("/sign-in")
    answer = visitor.post("/sign-in", {"key": keys["read"]}, follow=False)
    cookie = next(
        c for c in answer.headers.get_list("set-cookie") if c.startswith("vultus_session")
    )
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert f"Max-Age={LONGEST}" in cookie
    assert "Secure" not in cookie
    assert keys["read"] not in cookie
    other = Visitor(guarded)
    other.get("/sign-in")
    secure = other.post("/sign-in", {"key": keys["read"]}, follow=False, origin="https://127.0.0.1")
    assert "Secure" in session_cookie(secure)


@pytest.mark.parametrize("key", ["", "nonsense", "vk_0123456789ab_" + "x" * 43, "ä", "x" * 300])
def test_wrong_keys_are_told_without_being_repeated(guarded, key):
    _, page = sign_in(guarded, key)
    assert page.status == 401
    assert "not known here" in page.text
    assert not key or key not in page.html
    assert "vultus_session" not in guarded.cookies


def test_too_many_wrong_keys_are_slowed_down(serve, tmp_path, keys):
    from vultus.service.settings import Rates

    client = serve(api_keys=tmp_path / "keys.json", rates=Rates(failures_per_minute=2))
    answers = [sign_in(client, f"vk_{i:012x}_" + "x" * 43)[1] for i in range(3)]
    assert [page.status for page in answers] == [401, 401, 429]
    assert "Too many wrong keys" in answers[-1].text


def test_signing_out_ends_the_session_on_the_server(guarded, keys):
    visitor, _ = sign_in(guarded, keys["read"])
    stolen = guarded.cookies["vultus_session"]
    assert visitor.get("/galleries").path == "/galleries"
    assert visitor.post("/sign-out").path == "/sign-in"
    guarded.cookies.set("vultus_session", stolen)
    assert visitor.get("/galleries").path == "/sign-in"


def test_a_revoked_key_ends_its_session_at_once(guarded, keys, tmp_path):
    visitor, _ = sign_in(guarded, keys["read"])
    file = tmp_path / "keys.json"
    revoke_key(file, next(r.id for r in read_keys(file) if r.label == "read"))
    assert visitor.get("/galleries").path == "/sign-in"


def test_a_session_is_no_key_of_the_interface_for_programs(guarded, keys):
    sign_in(guarded, keys["admin"])
    assert guarded.get("/v1/galleries").status_code == 401


def test_sessions_end_by_time_and_by_rest():
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    first = sessions.begin("abc")
    now[0] = IDLE - 1
    assert sessions.key_of(first) == "abc"
    now[0] += IDLE + 1
    assert sessions.key_of(first) is None
    second = sessions.begin("abc")
    for _ in range(LONGEST // (IDLE - 10) + 1):
        now[0] += IDLE - 10
        last = sessions.key_of(second)
    assert last is None
    assert sessions.key_of("made up") is None


def test_readers_see_no_action_that_they_may_not_use(guarded, keys):
    admin, _ = sign_in(guarded, keys["admin"])
    assert admin.enrol("people", "Ada", picture(1)).status == 200
    path = admin.person("people", "Ada")
    everything = admin.get("/galleries/people").forms() + admin.get(path).forms()
    for action in ("/galleries/people/faces", "/galleries/people/delete", f"{path}/rename"):
        assert action in everything
    reader, _ = sign_in(guarded, keys["read"])
    for page in (reader.get("/galleries"), reader.get("/galleries/people"), reader.get(path)):
        assert page.status == 200
        assert set(page.forms()) <= READING
        assert 'type="checkbox"' not in page.html
    for action, fields in [
        ("/galleries", {"name": "new"}),
        ("/galleries/people/delete", {"confirm": "people"}),
        ("/galleries/people/merge", {"into": "x"}),
        (f"{path}/rename", {"name": "Eve"}),
        (f"{path}/delete", {}),
        (f"{path}/faces", {"do": "delete", "face": "0" * 32}),
        ("/undo", {"slip": "x"}),
    ]:
        page = reader.post(action, fields)
        assert (page.status, "lacks the scope" in page.text) == (403, True), action
    page = reader.post("/galleries/people/faces", {"person": "Eve"}, [("file", picture(2))])
    assert page.status == 403
    writer, _ = sign_in(guarded, keys["write"])
    assert writer.get("/").status == 403


@pytest.mark.parametrize("token", ["", "made-up", "A" * 40])
def test_forms_without_a_good_token_change_nothing(visitor, token):
    visitor.get("/galleries")
    page = visitor.post("/galleries", {"name": "evil"}, token=token)
    assert page.status == 403
    assert "load it again" in page.text
    page = visitor.post("/", {}, [("file", picture(1))], token=token)
    assert page.status == 403
    assert visitor.client.get("/v1/galleries").json()["items"] == ["people"]


def test_a_token_is_good_for_its_own_visitor_only(serve):
    client = serve()
    first, second = Visitor(client), Visitor(client)
    token = first.get("/galleries").value("csrf")
    client.cookies.clear()
    second.get("/galleries")
    assert second.post("/galleries", {"name": "evil"}, token=token).status == 403
    assert second.post("/galleries", {"name": "good"}).status == 200


def test_signing_in_changes_the_token(guarded, keys):
    visitor = Visitor(guarded)
    before = visitor.get("/sign-in").value("csrf")
    visitor.post("/sign-in", {"key": keys["admin"]})
    assert visitor.post("/galleries", {"name": "evil"}, token=before).status == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"host": "evil.example"}, 421),
        ({"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1"}, 200),
    ],
)
def test_posts_of_other_sites_are_refused(visitor, headers, status):
    visitor.get("/galleries")
    page = visitor.post("/galleries", {"name": "made"}, **headers)
    assert page.status == status
    made = "made" in visitor.client.get("/v1/galleries").json()["items"]
    assert made == (status == 200)


@pytest.mark.parametrize(
    "path",
    ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "", "x",
     "/a\nb", "///x", "/" + "x" * 3000],
)  # fmt: skip
def test_the_way_back_stays_on_this_site(path):
    assert local(path) == "/"


@pytest.mark.parametrize("path", ["/", "/galleries?cursor=a%2Fb", "/galleries/people/people/x"])
def test_own_paths_are_kept(path):
    assert local(path) == path


def test_programs_are_answered_as_before(guarded):
    plain = guarded.get("/galleries", headers={"accept": "*/*"}, follow_redirects=False)
    assert plain.status_code == 401
    assert plain.json()["error"]["code"] == "unauthorized"
    page = guarded.get("/v1/galleries", headers={"accept": ACCEPT})
    assert page.json()["error"]["code"] == "unauthorized"
