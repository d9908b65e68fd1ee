"""Exports: a gallery in one file and back."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vultus.errors import GalleryError
from vultus.gallery import Enrolment, EnrolReport, Gallery, Key

SPACE = "model@0123456789ab/arcface112"
DIM = 32
People = Callable[..., list[Enrolment]]


@pytest.fixture
def full(gallery: Gallery, people: People) -> Gallery:
    gallery.enroll(people(10))
    gallery.enroll([people(["no box"], 1)[0]])
    return gallery


def another(tmp_path: Path, key: Key, *, space: str = SPACE, dim: int = DIM) -> Gallery:
    return Gallery.create(tmp_path / "another", space=space, dim=dim, key=key)


def content(gallery: Gallery) -> list[object]:
    ids, vectors = gallery.templates()
    order = np.argsort(ids)
    return [gallery.faces(), np.round(vectors[order], 5).tolist()]


@pytest.mark.parametrize("plain", [False, True])
def test_a_round_trip_keeps_everything(
    full: Gallery, tmp_path: Path, key: Key, plain: bool
) -> None:
    assert full.export(tmp_path / "e.parquet", plain=plain) == 31
    copy = another(tmp_path, key)
    assert copy.import_(tmp_path / "e.parquet") == EnrolReport(added=31)
    assert copy.faces() == full.faces()
    for (ids, vectors), (wanted_ids, wanted) in [(copy.templates(), full.templates())]:
        order, wanted_order = np.argsort(ids), np.argsort(wanted_ids)
        np.testing.assert_allclose(vectors[order], wanted[wanted_order], atol=1e-6)
    assert copy.import_(tmp_path / "e.parquet") == EnrolReport(unchanged=31)


def test_only_a_plain_export_shows_templates(full: Gallery, tmp_path: Path) -> None:
    full.export(tmp_path / "hidden.parquet")
    full.export(tmp_path / "plain.parquet", plain=True)
    ids, vectors = full.templates()
    wanted = dict(zip(ids, vectors, strict=True))
    cosines = {}
    for name in ("hidden", "plain"):
        table = pq.read_table(tmp_path / f"{name}.parquet")
        rows = zip(table["face_id"].to_pylist(), table["vector"].to_pylist(), strict=True)
        cosines[name] = np.array([wanted[i] @ np.array(v, np.float32) for i, v in rows])
    np.testing.assert_allclose(cosines["plain"], 1, atol=1e-5)
    assert np.abs(cosines["hidden"]).mean() < 0.4


@pytest.mark.skipif(os.name != "posix", reason="file modes are a POSIX notion")
def test_an_export_is_its_owners_only(full: Gallery, tmp_path: Path) -> None:
    full.export(tmp_path / "e.parquet", plain=True)
    assert (tmp_path / "e.parquet").stat().st_mode & 0o077 == 0


def test_an_export_of_an_empty_gallery(gallery: Gallery, tmp_path: Path, key: Key) -> None:
    assert gallery.export(tmp_path / "e.parquet") == 0
    assert another(tmp_path, key).import_(tmp_path / "e.parquet") == EnrolReport()


def test_importing_back_after_rekeying(full: Gallery, tmp_path: Path, key: Key) -> None:
    """A plain export goes under the new key; a protected one of the old key does not."""
    full.export(tmp_path / "old.parquet")
    full.export(tmp_path / "plain.parquet", plain=True)
    before = content(full)
    full.rekey(Key(bytes(32)))
    with pytest.raises(GalleryError, match=rf"protected with key {key.fingerprint}"):
        full.import_(tmp_path / "old.parquet")
    full.remove(person="person 3")
    assert full.import_(tmp_path / "plain.parquet") == EnrolReport(added=3, unchanged=28)
    assert full.faces() == before[0]


def test_nothing_is_overwritten(full: Gallery, tmp_path: Path) -> None:
    (tmp_path / "e.parquet").write_text("mine")
    with pytest.raises(GalleryError, match="exists already"):
        full.export(tmp_path / "e.parquet")
    with pytest.raises(GalleryError, match="cannot write the export"):
        full.export(tmp_path / "absent" / "e.parquet")
    assert (tmp_path / "e.parquet").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e.parquet", "gallery"]


def test_exports_of_another_space_are_refused(full: Gallery, tmp_path: Path, key: Key) -> None:
    full.export(tmp_path / "e.parquet")
    with pytest.raises(GalleryError, match="a gallery of its own space"):
        another(tmp_path, key, space="other@1/arcface112").import_(tmp_path / "e.parquet")


def test_what_is_not_an_export_is_refused(full: Gallery, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no parquet at all")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "foreign.parquet")
    for name in ("text", "foreign.parquet", "absent"):
        with pytest.raises(GalleryError, match="export"):
            full.import_(tmp_path / name)
    assert len(full) == 31


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_export_is_refused(full: Gallery, tmp_path: Path, share: float) -> None:
    file = tmp_path / "e.parquet"
    full.export(file)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(GalleryError, match=r"e\.parquet: not a readable export"):
        full.import_(file)
    assert len(full) == 31


def test_templates_that_are_none_are_refused(full: Gallery, tmp_path: Path, key: Key) -> None:
    file = tmp_path / "e.parquet"
    full.export(file, plain=True)
    table = pq.read_table(file)
    vectors = np.array(table["vector"].to_pylist(), np.float32)
    vectors[4] = np.nan
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIM)
    number = table.schema.get_field_index("vector")
    pq.write_table(table.set_column(number, table.schema.field("vector"), column), file)
    with pytest.raises(GalleryError, match="template of length nan"):
        another(tmp_path, key).import_(file)
