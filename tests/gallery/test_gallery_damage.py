"""Damaged files: either everything is still there, or a clear error says what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vultus.errors import GalleryError
from vultus.gallery import Enrolment, Gallery, Key, Match
from vultus.gallery import store as stores

People = Callable[..., list[Enrolment]]
KINDS = [
    "gallery.json",
    ".lock",
    "*.lance/data/*.lance",
    "*.lance/_versions/*.manifest",
    "*.lance/_versions/*.json",
    "*.lance/_transactions/*.txn",
    "*.lance/_deletions/*.arrow",
]


def damaged(folder: Path, pattern: str, share: float | None) -> list[Path]:
    """Shorten each file of a kind, or delete it where ``share`` is None, in its own copy."""
    copies = []
    for number, file in enumerate(sorted(folder.glob(pattern))):
        copy = folder.parent / f"copy {number}"
        shutil.copytree(folder, copy)
        target = copy / file.relative_to(folder)
        if share is None:
            target.unlink()
        else:
            data = target.read_bytes()
            target.write_bytes(data[: int(len(data) * share)])
        copies.append(copy)
    return copies


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("pattern", KINDS)
def test_truncated_files(
    gallery: Gallery, people: People, key: Key, pattern: str, share: float
) -> None:
    items = people(20)
    gallery.enroll(items[:40])
    gallery.enroll(items[40:])
    gallery.rename("person 1", "one")
    wanted = gallery.search([item.template for item in items], 5)
    copies = damaged(gallery.path, pattern, share)
    assert copies, f"no file matches {pattern}: the layout has changed"
    refused = [error for copy in copies if (error := refusal(copy, key, items, wanted))]
    for error in refused:
        assert "restore" in str(error)
        assert error.__cause__ is None
    needed = pattern in ("gallery.json", "*.lance/data/*.lance", "*.lance/_deletions/*.arrow")
    assert not needed or len(refused) == len(copies)


def refusal(
    folder: Path, key: Key, items: list[Enrolment], wanted: list[list[Match]]
) -> GalleryError | None:
    """Return the error of a gallery that cannot be used; None if it answers as it should."""
    try:
        found = Gallery.open(folder, key).search([item.template for item in items], 5)
    except GalleryError as error:
        with pytest.raises(GalleryError):
            Gallery.open(folder, key).verify()
        with pytest.raises(GalleryError):
            Gallery.open(folder, key).enroll(items)
        return error
    assert found == wanted
    return None


@pytest.mark.parametrize("pattern", ["*.lance/data/*.lance", "*.lance/_deletions/*.arrow"])
def test_missing_files(gallery: Gallery, people: People, key: Key, pattern: str) -> None:
    gallery.enroll(people(20))
    gallery.rename("person 1", "one")
    for copy in damaged(gallery.path, pattern, None):
        with pytest.raises(GalleryError, match="restore the folder"):
            Gallery.open(copy, key).search([people(1)[0].template])


def test_a_missing_table(gallery: Gallery, key: Key) -> None:
    shutil.rmtree(next(gallery.path.glob("*.lance")))
    with pytest.raises(GalleryError, match="restore the folder"):
        Gallery.open(gallery.path, key)
    with pytest.raises(GalleryError, match="restore the folder"):
        len(gallery)


def test_a_folder_that_vanishes_while_it_is_open(gallery: Gallery, people: People) -> None:
    gallery.enroll(people(2))
    shutil.rmtree(gallery.path)
    with pytest.raises(GalleryError, match="the gallery is gone"):
        gallery.search([people(1)[0].template])
    with pytest.raises(GalleryError, match="the gallery is gone"):
        gallery.enroll(people(3))


def test_templates_changed_on_disk_are_noticed(gallery: Gallery, people: People, key: Key) -> None:
    items = people(3)
    gallery.enroll(items)
    rows = gallery._session.read(lambda store: store.table(["vector"]))
    template = stores.vectors(rows)[4]
    (file,) = gallery.path.glob("*.lance/data/*.lance")
    data = file.read_bytes()
    assert data.count(template.tobytes()) == 1
    file.write_bytes(data.replace(template.tobytes(), (2 * template).tobytes()))
    again = Gallery.open(gallery.path, key)
    (problem,) = again.verify().problems
    assert "template of length 2, not 1" in problem
    with pytest.raises(GalleryError, match="template of length 2"):
        again.search([items[0].template])


def header_of(gallery: Gallery) -> dict[str, object]:
    fields: dict[str, object] = json.loads((gallery.path / "gallery.json").read_text())
    return fields


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "use the version that wrote it"),
        ({"format": "1"}, "header is damaged"),
        ({"space": "other@1/arcface112"}, "was altered"),
        ({"dim": 64}, "was altered"),
        ({"salt": "00" * 16}, "was altered"),
        ({"generation": 2}, "was altered"),
        ({"mac": None}, "was altered"),
        ({"key": "0" * 16}, "wrong key"),
        ({"more": 1}, "header is damaged"),
    ],
)
def test_an_altered_header(
    gallery: Gallery, key: Key, change: dict[str, object], message: str
) -> None:
    fields = header_of(gallery) | change
    (gallery.path / "gallery.json").write_text(json.dumps(fields))
    with pytest.raises(GalleryError, match=message):
        Gallery.open(gallery.path, key)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"format": 1}', "\0\0"])
def test_a_header_that_is_none(gallery: Gallery, key: Key, text: str) -> None:
    (gallery.path / "gallery.json").write_text(text)
    with pytest.raises(GalleryError, match="restore this file"):
        Gallery.open(gallery.path, key)


def test_the_header_is_sealed_but_readable(gallery: Gallery, key: Key) -> None:
    fields = header_of(gallery)
    assert fields["key"] == key.fingerprint
    assert key.secret.hex() not in json.dumps(fields)
    assert (fields["format"], fields["dim"], fields["generation"]) == (1, 32, 1)
