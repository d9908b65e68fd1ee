"""Changes that can be taken back."""

from __future__ import annotations

import numpy as np
import pytest

from vultus.errors import GalleryError, SpaceMismatchError
from vultus.faces import Embedding
from vultus.gallery import Enrolment, Gallery, Key
from vultus.gallery import store as stores
from vultus.gallery.moving import assign, put_back, withdraw

SPACE, DIM = "scripted@0123456789ab/none", 32


def enrolment(person: str, number: int) -> Enrolment:
    vector = np.random.default_rng(number).standard_normal(DIM).astype(np.float32)
    return Enrolment(
        person, Embedding(vector, SPACE), "upload", f"{number:064x}", (1, 2, 30, 40), 0.5,
        {"score": 0.9},
    )  # fmt: skip


@pytest.fixture
def gallery(tmp_path):
    made = Gallery.create(tmp_path / "g", space=SPACE, dim=DIM, key=Key(bytes(32)))
    made.enroll([enrolment("Ada", 1), enrolment("Ada", 2), enrolment("O'Neil", 3)])
    return made


def ids(gallery, person):
    return [face.face_id for face in gallery.faces(person)]


def test_a_face_is_given_to_a_new_person_and_back(gallery):
    first, second = ids(gallery, "Ada")
    before = assign(gallery, {first: "Grace's double"})
    assert before == {first: "Ada"}
    assert gallery.persons() == {"Ada": 1, "Grace's double": 1, "O'Neil": 1}
    assert gallery.identify([enrolment("x", 2).template], 0.9)[0].person in (
        "Ada",
        "Grace's double",
    )
    assign(gallery, before)
    assert sorted(ids(gallery, "Ada")) == sorted([first, second])


def test_several_people_at_once_are_one_commit_and_search_sees_it(gallery):
    a, b = ids(gallery, "Ada")
    (c,) = ids(gallery, "O'Neil")
    gallery.identify([enrolment("x", 3).template], 0.9)
    before = assign(gallery, {a: "One", b: "Two", c: "Two"})
    assert gallery.persons() == {"One": 1, "Two": 2}
    assert gallery.identify([enrolment("x", 3).template], 0.9)[0].person == "Two"
    assign(gallery, before)
    assert gallery.persons() == {"Ada": 2, "O'Neil": 1}


def test_what_is_gone_is_left_out_and_bad_names_change_nothing(gallery):
    (face,) = ids(gallery, "O'Neil")
    assert assign(gallery, {"0" * 32: "Ada"}) == {}
    assert assign(gallery, {}) == {}
    with pytest.raises(GalleryError, match="control characters"):
        assign(gallery, {face: "a\nb"})
    assert gallery.persons() == {"Ada": 2, "O'Neil": 1}


def test_withdrawn_faces_come_back_as_they_were(gallery):
    faces, (names, vectors) = gallery.faces(), gallery.templates()
    taken = withdraw(gallery, "person", ["Ada"])
    assert len(taken) == 2
    assert gallery.persons() == {"O'Neil": 1}
    assert gallery.identify([enrolment("x", 1).template], 0.9)[0].person is None
    report = put_back(gallery, taken)
    assert (report.added, report.unchanged, report.conflicts) == (2, 0, ())
    assert gallery.faces() == faces
    order = dict(zip(*gallery.templates(), strict=True))
    for name, vector in zip(names, vectors, strict=True):
        np.testing.assert_allclose(order[name], vector, atol=1e-6)
    assert gallery.identify([enrolment("x", 1).template], 0.9)[0].person == "Ada"
    assert put_back(gallery, taken).added == 0


def test_no_file_holds_a_withdrawn_template(gallery):
    (face,) = ids(gallery, "O'Neil")
    table = gallery._session.read(lambda store: store.table(["vector"], "person = 'O''Neil'"))
    raw = stores.vectors(table).tobytes()

    def holders():
        return [p for p in gallery.path.rglob("*") if p.is_file() and raw in p.read_bytes()]

    assert holders()
    withdraw(gallery, "face_id", [face])
    assert not holders()


def test_unknown_names_are_refused_and_nothing_is_erased(gallery):
    with pytest.raises(GalleryError, match="no person 'Eve'"):
        withdraw(gallery, "person", ["Ada", "Eve"])
    assert gallery.persons() == {"Ada": 2, "O'Neil": 1}


def test_withdrawn_faces_do_not_go_into_another_space(gallery, tmp_path):
    taken = withdraw(gallery, "person", ["Ada"])
    other = Gallery.create(tmp_path / "h", space="other@0/none", dim=DIM, key=Key(bytes(32)))
    with pytest.raises(SpaceMismatchError):
        put_back(other, taken)
