"""Removing, renaming, merging and re-keying: whole or not at all, and really gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vultus.errors import GalleryError
from vultus.gallery import Enrolment, Gallery, Key
from vultus.gallery import header as headers
from vultus.gallery import store as stores

SPACE = "model@0123456789ab/arcface112"
DIM = 32
NEW = Key(bytes(range(100, 132)))
People = Callable[..., list[Enrolment]]


class Killed(BaseException):
    """Stands for the death of the process."""


def stored(gallery: Gallery) -> dict[str, bytes]:
    """Return the exact stored float32 template of every face."""
    table = gallery._session.read(lambda store: store.table(["face_id", "vector"]))
    ids = table["face_id"].to_pylist()
    return {i: v.tobytes() for i, v in zip(ids, stores.vectors(table), strict=True)}


def on_disk(folder: Path) -> bytes:
    """Return the bytes of all files of a folder, one after the other."""
    return b"|".join(f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file())


def answers(gallery: Gallery, items: list[Enrolment]) -> list[list[str]]:
    found = gallery.search([item.template for item in items], 5)
    return [[match.person for match in matches] for matches in found]


@pytest.mark.parametrize("faces", [3, 3000])
def test_a_removed_template_is_on_disk_no_more(
    gallery: Gallery, people: People, faces: int
) -> None:
    """Also where one row in thousands goes, which the storage layer alone would only mark."""
    gallery.enroll(people(["kept"], faces))
    gallery.enroll(people(["gone", "kept too"], 2))
    gallery.rename("gone", "gone soon")
    vectors = stored(gallery)
    faces_gone = gallery.faces("gone soon")
    gone = [vectors[face.face_id] for face in faces_gone]
    before = on_disk(gallery.path)
    assert all(template in before for template in gone)
    assert b"gone soon" in before
    assert gallery.remove(person="gone soon") == 2
    after = on_disk(gallery.path)
    assert not any(template in after for template in gone)
    assert b"gone soon" not in after
    left = stored(gallery)
    assert set(left) == set(vectors) - {face.face_id for face in faces_gone}
    assert all(template in after for template in list(left.values())[-100:])


def test_single_faces_and_several_people_are_removed(gallery: Gallery, people: People) -> None:
    items = people(6)
    gallery.enroll(items)
    assert gallery.remove(face_id=items[0].face_id) == 1
    assert gallery.remove(face_id=[items[1].face_id, items[3].face_id]) == 2
    assert gallery.remove(person=("person 4", "person 5")) == 6
    assert gallery.persons() == {"person 0": 1, "person 1": 2, "person 2": 3, "person 3": 3}
    assert gallery.verify().ok


def test_a_removed_face_can_be_enrolled_again(gallery: Gallery, people: People) -> None:
    items = people(3)
    gallery.enroll(items)
    gallery.remove(person="person 1")
    assert gallery.enroll(items).added == 3
    assert answers(gallery, items[3:6])[0][:3] == ["person 1"] * 3


def test_everyone_can_be_removed(gallery: Gallery, people: People) -> None:
    gallery.enroll(people(2))
    gallery.remove(person=["person 0", "person 1"])
    assert len(gallery) == 0
    assert gallery.search([people(1)[0].template]) == [[]]


def test_removing_a_stranger_removes_nobody(gallery: Gallery, people: People) -> None:
    gallery.enroll(people(2))
    with pytest.raises(GalleryError, match="no person 'Mallory' in the gallery"):
        gallery.remove(person=["person 0", "Mallory"])
    with pytest.raises(GalleryError, match=r"no face 'abc' .*nor 1 others"):
        gallery.remove(face_id=["abc", "abd"])
    with pytest.raises(GalleryError, match="either person= or face_id="):
        gallery.remove()
    with pytest.raises(GalleryError, match="either person= or face_id="):
        gallery.remove(person="person 0", face_id="abc")
    assert gallery.persons() == {"person 0": 3, "person 1": 3}


def test_renaming(gallery: Gallery, people: People) -> None:
    items = people(3)
    gallery.enroll(items)
    assert answers(gallery, items[:1])[0][0] == "person 0"
    assert gallery.rename("person 0", "Ann O'Neil") == 3
    assert answers(gallery, items[:1])[0][0] == "Ann O'Neil"
    assert gallery.persons() == {"Ann O'Neil": 3, "person 1": 3, "person 2": 3}
    assert gallery.rename("Ann O'Neil", "Ann O'Neil") == 0
    with pytest.raises(GalleryError, match="no person 'person 0'"):
        gallery.rename("person 0", "x")
    with pytest.raises(GalleryError, match=r"use merge\(\['person 1'\], into='person 2'\)"):
        gallery.rename("person 1", "person 2")
    with pytest.raises(GalleryError, match="1 to 1024"):
        gallery.rename("person 1", "")


def test_enrolling_after_renaming_does_not_double(gallery: Gallery, people: People) -> None:
    items = people(2)
    gallery.enroll(items)
    gallery.rename("person 1", "Bob")
    report = gallery.enroll(items)
    assert (report.added, report.unchanged) == (0, 3)
    assert {conflict[1:] for conflict in report.conflicts} == {("Bob", "person 1")}
    assert gallery.persons() == {"Bob": 3, "person 0": 3}


def test_merging(gallery: Gallery, people: People) -> None:
    items = people(5)
    gallery.enroll(items)
    assert gallery.merge(["person 0", "person 2"], into="person 2") == 3
    assert gallery.merge(["person 3", "person 4"], into="new") == 6
    assert gallery.persons() == {"new": 6, "person 1": 3, "person 2": 6}
    assert answers(gallery, items[:1])[0][0] == "person 2"
    with pytest.raises(GalleryError, match="no person 'person 0'"):
        gallery.merge(["person 1", "person 0"], into="x")
    assert gallery.merge(["new"], into="new") == 0
    assert gallery.persons() == {"new": 6, "person 1": 3, "person 2": 6}


@settings(max_examples=15, deadline=None)
@given(
    name=st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(
        str.strip
    )
)
def test_any_name_survives_the_storage_layer(
    tmp_path_factory: pytest.TempPathFactory, key: Key, people: People, name: str
) -> None:
    gallery = Gallery.create(tmp_path_factory.mktemp("g"), space=SPACE, dim=DIM, key=key)
    gallery.enroll(people(["someone"], 1))
    gallery.rename("someone", name)
    assert [face.person for face in gallery.faces(name)] == [name]
    gallery.merge([name], into=name + "'")
    assert gallery.persons() == {name + "'": 1}
    assert gallery.remove(person=name + "'") == 1


def test_rekeying_revokes_the_old_key(gallery: Gallery, people: People, key: Key) -> None:
    items = people(8)
    gallery.enroll(items)
    before = gallery.search([item.template for item in items], 4)
    old = list(stored(gallery).values())
    gallery.rekey(NEW)
    after = gallery.search([item.template for item in items], 4)
    assert [[m.face_id for m in row] for row in after] == [
        [m.face_id for m in row] for row in before
    ]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_allclose([m.similarity for m in a], [m.similarity for m in b], atol=3e-5)
    after_bytes = on_disk(gallery.path)
    assert not any(template in after_bytes for template in old)
    with pytest.raises(GalleryError, match="wrong key"):
        Gallery.open(gallery.path, key)
    assert Gallery.open(gallery.path, NEW).verify().ok
    assert gallery.enroll(items).unchanged == 24


def test_a_reader_with_the_old_key_is_told(gallery: Gallery, people: People, key: Key) -> None:
    items = people(2)
    gallery.enroll(items)
    reader = Gallery.open(gallery.path, key)
    reader.search([items[0].template])
    gallery.rekey(NEW)
    with pytest.raises(GalleryError, match=r"wrong key.*re-keyed"):
        reader.search([items[0].template])


def test_rekeying_with_the_same_key_renews_the_templates(
    gallery: Gallery, people: People, key: Key
) -> None:
    """The salt changes, so that a leaked copy cannot be compared with the new templates."""
    gallery.enroll(people(50, 1))
    before = np.stack([np.frombuffer(v, np.float32) for _, v in sorted(stored(gallery).items())])
    gallery.rekey(key)
    after = np.stack([np.frombuffer(v, np.float32) for _, v in sorted(stored(gallery).items())])
    assert abs((before * after).sum(1).mean()) < 4 / np.sqrt(50 * DIM)


@pytest.mark.parametrize("operation", ["remove", "rekey"])
@pytest.mark.parametrize("moment", ["writing rows", "before the header", "after the header"])
def test_an_interrupted_rewrite_is_old_or_new(
    gallery: Gallery,
    people: People,
    key: Key,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    moment: str,
) -> None:
    items = people(4)
    gallery.enroll(items)
    gone = [stored(gallery)[face.face_id] for face in gallery.faces("person 3")]

    def die(*_: object) -> None:
        raise Killed

    def write_and_die(path: Path, header: headers.Header, key: Key) -> None:
        written(path, header, key)
        raise Killed

    written = headers.write
    with monkeypatch.context() as patch:
        patch.setattr(stores, "sweep", lambda *_: None)
        if moment == "writing rows":
            patch.setattr(stores.Store, "create", die)
        elif moment == "before the header":
            patch.setattr(headers, "write", die)
        else:
            patch.setattr(headers, "write", write_and_die)
        rewrite = {
            "remove": lambda: gallery.remove(person="person 3"),
            "rekey": lambda: gallery.rekey(NEW),
        }[operation]
        with pytest.raises(Killed):
            rewrite()
    done = moment == "after the header"
    again = Gallery.open(gallery.path, NEW if operation == "rekey" and done else key)
    assert again.verify().ok
    removed = operation == "remove" and done
    assert len(again) == (9 if removed else 12)
    assert answers(again, items[:2])[0][0] == "person 0"
    # Opening has deleted the table that no header names.
    assert len(list(again.path.glob("*.lance"))) == 1
    left = on_disk(again.path)
    assert [template in left for template in gone] == [not done] * 3
    assert again.enroll(items).added == (3 if removed else 0)


@pytest.mark.parametrize("late", [False, True])
def test_a_failing_disk_never_costs_the_current_table(
    gallery: Gallery, people: People, key: Key, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """An error from the operating system before, or just after, the header is replaced."""
    gallery.enroll(people(4))
    written = headers.write

    def fail(path: Path, header: headers.Header, key: Key) -> None:
        if late:
            written(path, header, key)
        raise GalleryError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(headers, "write", fail)
        with pytest.raises(GalleryError, match="No space"):
            gallery.remove(person="person 3")
    for opened in (gallery, Gallery.open(gallery.path, key)):
        assert len(opened) == (9 if late else 12)
        assert opened.verify().ok
    assert gallery.enroll(people(4)).added == (3 if late else 0)
    assert len(list(gallery.path.glob("*.lance"))) == 1


def test_an_interrupted_creation_can_be_repeated(
    tmp_path: Path, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(headers, "write", die)
        with pytest.raises(Killed):
            Gallery.create(tmp_path / "g", space=SPACE, dim=DIM, key=key)
    with pytest.raises(GalleryError, match="no gallery here"):
        Gallery.open(tmp_path / "g", key)
    assert len(Gallery.create(tmp_path / "g", space=SPACE, dim=DIM, key=key)) == 0


def test_two_galleries_cannot_be_linked_by_their_templates(
    tmp_path: Path, people: People, key: Key
) -> None:
    """What lies on disk of the same people, under two keys, is as similar as strangers."""
    items = people(400, 1)
    seen = []
    for number, secret in enumerate((key, NEW)):
        one = Gallery.create(tmp_path / str(number), space=SPACE, dim=DIM, key=secret)
        one.enroll(items)
        rows = stored(one)
        seen.append(np.stack([np.frombuffer(rows[i], np.float32) for i in sorted(rows)]))
    genuine = (seen[0] * seen[1]).sum(1)
    # The two keys differ by a random rotation R: the mean over directions is tr(R) / D, whose
    # standard deviation is 1 / D, beside the sampling of 400 people; five deviations of each.
    assert abs(genuine.mean()) < 5 * np.sqrt(1 / DIM**2 + 1 / (DIM * 400))
    assert abs(genuine.var() * DIM - 1) < 5 * np.sqrt(2 / DIM**2 + 2 / 400)


def test_readers_keep_up_with_every_change(gallery: Gallery, people: People, key: Key) -> None:
    """A reader that follows step by step ends like one that starts afresh."""
    rng = np.random.default_rng(3)
    reader = Gallery.open(gallery.path, key)
    probes = np.stack([item.template.vector for item in people(30, 1)])
    for step in range(14):
        names = list(gallery.persons())
        kind = ("enroll", "rename", "remove", "merge")[step % 4] if len(names) > 3 else "enroll"
        if kind == "enroll":
            gallery.enroll(people([f"s{step} p{i}" for i in range(5)], 2))
        elif kind == "rename":
            gallery.rename(str(rng.choice(names)), f"renamed {step}")
        elif kind == "merge":
            gallery.merge([str(n) for n in rng.choice(names, 2, replace=False)], into=f"m {step}")
        else:
            gallery.remove(person=str(rng.choice(names)))
        if step % 3:
            continue
        fresh = Gallery.open(gallery.path, key).search(probes, 50)
        assert reader.search(probes, 50) == fresh
