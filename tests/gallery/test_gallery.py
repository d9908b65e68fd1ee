"""Enrolment, search and identification."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vultus.errors import GalleryError, SpaceMismatchError
from vultus.faces import Embedding
from vultus.gallery import Enrolment, EnrolReport, Gallery, Key, face_id

SPACE = "model@0123456789ab/arcface112"
DIM = 32
People = Callable[..., list[Enrolment]]


def matrix(items: list[Enrolment]) -> np.ndarray:
    return np.stack([item.template.vector for item in items])


def test_every_face_finds_itself(gallery: Gallery, people: People) -> None:
    items = people(20)
    assert gallery.enroll(items) == EnrolReport(added=60)
    found = gallery.search([item.template for item in items], 1)
    for item, (match,) in zip(items, found, strict=True):
        assert (match.person, match.source, match.face_id) == (
            item.person,
            item.source,
            item.face_id,
        )
        assert match.similarity == pytest.approx(1, abs=3e-5)


def test_search_is_comparing_with_everyone(gallery: Gallery, people: People) -> None:
    items, probes = people(40), matrix(people(10, 4)[3::4])
    gallery.enroll(items)
    cosines = probes @ matrix(items).T
    for row, matches in zip(cosines, gallery.search(probes, 12), strict=True):
        order = np.argsort(-row)[:12]
        assert [m.face_id for m in matches] == [items[i].face_id for i in order]
        np.testing.assert_allclose([m.similarity for m in matches], row[order], atol=3e-5)


@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_the_order_of_enrolment_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, people: People, key: Key, data: st.DataObject
) -> None:
    items = people(6)
    shuffled = data.draw(st.permutations(items))
    batch = data.draw(st.integers(1, 20))
    probes = [item.template for item in people(6, 1, seed=5)]
    answers = []
    for order, size in ((items, 100), (shuffled, batch)):
        folder = tmp_path_factory.mktemp("order") / "gallery"
        gallery = Gallery.create(folder, space=SPACE, dim=DIM, key=key)
        gallery.enroll(order, batch=size)
        answers.append(
            (
                [[m.face_id for m in found] for found in gallery.search(probes, 8)],
                gallery.persons(),
                [face.face_id for face in gallery.faces()],
            )
        )
    assert answers[0] == answers[1]


def test_enrolling_again_changes_nothing(gallery: Gallery, people: People) -> None:
    items = people(5)
    gallery.enroll(items[:8])
    assert gallery.enroll(items) == EnrolReport(added=7, unchanged=8)
    assert gallery.enroll(reversed(items), batch=4) == EnrolReport(unchanged=15)
    assert len(gallery) == 15
    assert gallery.verify().ok


def test_a_face_twice_in_one_batch_is_stored_once(gallery: Gallery, people: People) -> None:
    items = people(2)
    assert gallery.enroll(items + items) == EnrolReport(added=6, unchanged=6)
    assert len(gallery) == 6


def test_a_face_belongs_to_one_person(gallery: Gallery, people: People) -> None:
    (item,) = people(["Ann"], 1)
    gallery.enroll([item])
    report = gallery.enroll([replace(item, person="Bob")])
    assert report == EnrolReport(conflicts=((item.face_id, "Ann", "Bob"),))
    both = people(["Eve"], 1)[0]
    report = gallery.enroll([both, replace(both, person="Zoe")])
    assert report == EnrolReport(added=1, conflicts=((both.face_id, "Eve", "Zoe"),))
    assert gallery.persons() == {"Ann": 1, "Eve": 1}


def test_an_identifier_is_a_picture_and_a_place_in_it() -> None:
    same = [
        face_id("abc", (1.0, 2.0, 30.4, 40.2)),
        face_id("abc", (1.4, 1.6, 29.6, 40.0)),
        face_id("abc", np.array([1, 2, 30, 40], np.float32)),
    ]
    assert len(set(same)) == 1
    # SHA-256 of 'abc', a zero byte, and four little-endian 64-bit integers, by coreutils.
    assert same[0] == "8c70398522f3c3b8b132ada355787d4b"
    other = {face_id("abc", None), face_id("abd", (1, 2, 30, 40)), face_id("abc", (1, 2, 30, 41))}
    assert len(other | set(same)) == 4


def test_stored_faces_come_back(gallery: Gallery, people: People) -> None:
    (item,) = people(["Zoë O'Neil \U0001f600"], 1)
    item = replace(item, metadata={"list": [1, None, "ü"], "deep": {"x": 1.5}}, quality=None)
    gallery.enroll([item, *people(["Ann"], 2)])
    (face,) = gallery.faces(item.person)
    assert face.person == item.person
    assert face.box == (1.0, 2.0, 30.5, 40.25)
    assert face.quality is None
    assert face.metadata == {"list": [1, None, "ü"], "deep": {"x": 1.5}}
    assert face.source_digest == item.source_digest
    assert face.enrolled.tzinfo is not None
    assert len(gallery.faces()) == 3
    assert gallery.faces("nobody") == []
    assert gallery.digests() == {face.source_digest for face in gallery.faces()}


def test_templates_come_back_plain(gallery: Gallery, people: People) -> None:
    items = people(4)
    gallery.enroll(items)
    wanted = {item.face_id: item.template.vector for item in items}
    ids, vectors = gallery.templates()
    assert sorted(ids) == sorted(wanted)
    np.testing.assert_allclose(vectors, np.stack([wanted[i] for i in ids]), atol=1e-6)
    ids, vectors = gallery.templates("person 2")
    assert len(ids) == len(vectors) == 3


def test_identification_is_open_set(gallery: Gallery, people: People) -> None:
    gallery.enroll(people(10))
    known = people(["person 1"], 4)[3].template
    stranger = people(["nobody"], 1, seed=99)[0].template
    first, second = gallery.identify([known, stranger], threshold=0.6)
    assert first.person == "person 1"
    assert first.similarity == first.candidates[0].similarity >= first.threshold == 0.6
    assert second.person is None
    assert second.similarity == second.candidates[0].similarity < 0.6


def test_the_threshold_itself_is_reached(gallery: Gallery, people: People) -> None:
    gallery.enroll(people(3))
    probe = people(["person 1"], 4)[3].template
    ((best, *_),) = gallery.search([probe], 1)
    (reached,) = gallery.identify([probe], best.similarity)
    (missed,) = gallery.identify([probe], float(np.nextafter(best.similarity, 2)))
    assert reached.person == best.person
    assert missed.person is None


def test_candidates_are_different_people(gallery: Gallery, people: People) -> None:
    """Also when one person's faces fill the first hundreds of matches."""
    crowd = people(["many"], 600)
    gallery.enroll([*crowd, *people(6, seed=3)])
    (answer,) = gallery.identify([crowd[0].template], threshold=0.5, k=4)
    names = [match.person for match in answer.candidates]
    assert names[0] == "many"
    assert len(set(names)) == 4
    similarities = [match.similarity for match in answer.candidates]
    assert similarities == sorted(similarities, reverse=True)
    ids, vectors = gallery.templates()
    owner = {face.face_id: face.person for face in gallery.faces()}
    cosines = vectors @ crowd[0].template.vector
    best: dict[str, float] = {}
    for identifier, cosine in zip(ids, cosines.tolist(), strict=True):
        best[owner[identifier]] = max(cosine, best.get(owner[identifier], -1))
    wanted = sorted(best.values(), reverse=True)[:4]
    np.testing.assert_allclose(similarities, wanted, atol=3e-5)


def test_search_among_some_people(gallery: Gallery, people: People) -> None:
    items = people(8)
    gallery.enroll(items)
    probe = items[0].template
    (found,) = gallery.search([probe], 30, persons=["person 3", "person 5", "unheard of"])
    assert {match.person for match in found} == {"person 3", "person 5"}
    assert len(found) == 6
    (answer,) = gallery.identify([probe], 0.9, persons=["person 3"])
    assert [match.person for match in answer.candidates] == ["person 3"]
    assert gallery.search([probe], persons=[]) == [[]]


def test_an_empty_gallery_knows_nobody(gallery: Gallery, people: People) -> None:
    probe = people(1, 1)[0].template
    assert gallery.search([probe]) == [[]]
    (answer,) = gallery.identify([probe], 0.5)
    assert (answer.person, answer.similarity, answer.candidates) == (None, -1.0, ())
    assert gallery.search([]) == []
    assert gallery.persons() == {}
    assert gallery.faces() == []
    assert gallery.templates()[1].shape == (0, DIM)
    assert gallery.verify().ok


def test_new_faces_are_found_at_once_by_another_reader(
    gallery: Gallery, people: People, key: Key
) -> None:
    reader = Gallery.open(gallery.path, key)
    probe = people(3, 1)[0].template
    seen = []
    for name in ("a", "b", "c"):
        gallery.enroll(people([name], 2, seed=ord(name)))
        seen.append(len(reader.search([probe], 100)[0]))
    assert seen == [2, 4, 6]


def test_many_small_enrolments_are_merged_on_disk(gallery: Gallery, people: People) -> None:
    items = people(150, 1)
    for item in items:
        gallery.enroll([item])
    assert len(list(gallery.path.glob("*.lance/data/*"))) < 110
    assert sorted(gallery.persons()) == sorted(item.person for item in items)
    assert gallery.search([items[7].template], 1)[0][0].person == items[7].person


def test_stats(gallery: Gallery, people: People, key: Key) -> None:
    gallery.enroll(people(4))
    stats = gallery.stats()
    assert (stats.faces, stats.persons, stats.space, stats.dim) == (12, 4, SPACE, DIM)
    assert stats.key == key.fingerprint
    on_disk = sum(f.stat().st_size for f in gallery.path.rglob("*") if f.is_file())
    assert stats.bytes == on_disk


def test_opening_again(gallery: Gallery, people: People, key: Key) -> None:
    gallery.enroll(people(3))
    again = Gallery.open(str(gallery.path), key, space=SPACE)
    assert (again.space, again.dim, len(again)) == (SPACE, DIM, 9)


def test_a_wrong_key_is_refused_at_once(gallery: Gallery) -> None:
    with pytest.raises(GalleryError, match="wrong key"):
        Gallery.open(gallery.path, Key(bytes(32)))


def test_another_space_is_refused(gallery: Gallery, key: Key) -> None:
    with pytest.raises(GalleryError, match="enrol the pictures again"):
        Gallery.open(gallery.path, key, space="other@1/arcface112")


def test_foreign_embeddings_are_refused(gallery: Gallery, people: People) -> None:
    foreign = Embedding(np.ones(DIM, np.float32), "other@1/arcface112")
    with pytest.raises(SpaceMismatchError, match="other@1"):
        gallery.search([foreign])
    with pytest.raises(SpaceMismatchError, match="other@1"):
        gallery.identify([foreign], 0.5)
    with pytest.raises(SpaceMismatchError, match="other@1"):
        gallery.enroll([replace(people(1, 1)[0], template=foreign)])
    assert len(gallery) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"person": ""}, "1 to 1024 characters"),
        ({"person": "  "}, "1 to 1024 characters"),
        ({"person": "x" * 1025}, "1 to 1024 characters"),
        ({"person": None}, "1 to 1024 characters"),
        ({"person": "a\0b"}, "control characters"),
        ({"person": "a\nb"}, "control characters"),
        ({"person": "\ud800"}, "control characters"),
        ({"source": "\udcff"}, "source and digest"),
        ({"source_digest": ""}, "digest is missing"),
        ({"box": (1, 2, 3)}, "four finite numbers"),
        ({"box": (1, 2, 3, float("nan"))}, "four finite numbers"),
        ({"box": "abcd"}, "must be real number"),
        ({"quality": float("inf")}, "quality"),
        ({"metadata": {"x": float("nan")}}, "JSON"),
        ({"metadata": {"x": object()}}, "JSON"),
        ({"metadata": [1]}, "mapping"),
        ({"template": Embedding(np.ones(DIM + 1, np.float32), SPACE)}, "gallery's is 32"),
    ],
)
def test_what_cannot_be_stored_is_refused(
    gallery: Gallery, people: People, change: dict[str, object], message: str
) -> None:
    good = people(3, 1)
    with pytest.raises(GalleryError, match=message):
        gallery.enroll([*good, replace(good[0], **change)])
    assert len(gallery) == 0


def test_queries_of_another_length_are_refused(gallery: Gallery) -> None:
    short = Embedding(np.ones(DIM - 1, np.float32), SPACE)
    with pytest.raises(GalleryError, match="length 32"):
        gallery.search([short])


@pytest.mark.parametrize(
    "queries",
    [
        np.ones(DIM),
        np.ones((2, DIM + 1)),
        np.zeros((1, DIM)),
        np.full((1, DIM), np.nan),
        np.full((1, DIM), np.inf),
        np.ones((1, 1, DIM)),
    ],
)
def test_bad_queries_are_refused(gallery: Gallery, queries: np.ndarray) -> None:
    with pytest.raises(GalleryError, match="queries must"):
        gallery.search(queries)


def test_bad_numbers_are_refused(gallery: Gallery, people: People) -> None:
    probe = [people(1, 1)[0].template]
    with pytest.raises(GalleryError, match="k must be"):
        gallery.search(probe, 0)
    with pytest.raises(GalleryError, match="k must be"):
        gallery.identify(probe, 0.5, 0)
    with pytest.raises(GalleryError, match="threshold"):
        gallery.identify(probe, float("nan"))
    with pytest.raises(GalleryError, match="batch"):
        gallery.enroll(people(1), batch=0)


def test_creating_refuses_a_folder_in_use(gallery: Gallery, key: Key, tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="not empty"):
        Gallery.create(gallery.path, space=SPACE, dim=DIM, key=key)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    with pytest.raises(GalleryError, match=r"letter\.txt"):
        Gallery.create(tmp_path / "other", space=SPACE, dim=DIM, key=key)
    with pytest.raises(GalleryError, match="cannot make this folder"):
        Gallery.create(tmp_path / "other" / "letter.txt", space=SPACE, dim=DIM, key=key)
    assert Gallery.open(gallery.path, key).space == SPACE


@pytest.mark.parametrize(("space", "dim"), [("", 128), (SPACE, 1), (SPACE, 0), (SPACE, 10**6)])
def test_creating_refuses_impossible_arguments(
    tmp_path: Path, key: Key, space: str, dim: int
) -> None:
    with pytest.raises(GalleryError, match="dimensions"):
        Gallery.create(tmp_path / "g", space=space, dim=dim, key=key)


def test_opening_what_is_not_a_gallery(tmp_path: Path, key: Key) -> None:
    with pytest.raises(GalleryError, match=r"Gallery\.create"):
        Gallery.open(tmp_path, key)
    with pytest.raises(GalleryError, match=r"Gallery\.create"):
        Gallery.open(tmp_path / "absent", key)


def test_threads_share_a_gallery(gallery: Gallery, people: People) -> None:
    """Writers and readers at once: every answer is of one version, and nothing is lost."""
    parts = [people([f"t{n} p{i}" for i in range(8)], 4, seed=n) for n in range(3)]
    gallery.enroll(people(["first"], 1, seed=77))
    probe = people(["first"], 1, seed=77)[0].template
    done, errors = threading.Event(), []

    def write(items: list[Enrolment]) -> None:
        for start in range(0, len(items), 4):
            gallery.enroll(items[start : start + 4])

    def read() -> None:
        last = 0
        while not done.is_set():
            (found,) = gallery.search([probe], 1000)
            counts: dict[str, int] = {}
            for match in found:
                counts[match.person] = counts.get(match.person, 0) + 1
            # Each commit holds the four faces of one person.
            torn = {n: c for n, c in counts.items() if c != 4 and n != "first"}
            if torn or len(found) < last or found[0].person != "first":
                errors.append((torn, len(found), last))
            last = len(found)

    readers = [threading.Thread(target=read) for _ in range(2)]
    writers = [threading.Thread(target=write, args=(part,)) for part in parts]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    assert errors == []
    assert len(gallery) == 1 + 3 * 32
    assert gallery.verify().ok
