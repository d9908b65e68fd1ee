"""Taking one file out of an archive that may be hostile or damaged."""

from __future__ import annotations

import contextlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vultus.errors import WeightsError
from vultus.runtime.sources import extract_member

PAYLOAD = bytes(range(256)) * 20
MEMBER = "pack/data/net.bin"


def make_tar(path: Path, *names: str, kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w:gz") as bundle:
        for name in names:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            info.size = len(PAYLOAD) if kind == tarfile.REGTYPE else 0
            bundle.addfile(info, io.BytesIO(PAYLOAD))
    return path


def make_zip(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in names:
            bundle.writestr(name, PAYLOAD)
    return path


@pytest.mark.parametrize("prefix", ["", "pack-1.0/", "pack-1.0/src/", "./"])
def test_member_is_found_in_source_archives(tmp_path: Path, prefix: str) -> None:
    archive = make_tar(tmp_path / "a.tar.gz", "other/net.bin", prefix + MEMBER)
    extract_member(archive, MEMBER, tmp_path / "out", len(PAYLOAD))
    assert (tmp_path / "out").read_bytes() == PAYLOAD


def test_member_is_found_in_wheels(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.whl", "other/net.bin", MEMBER)
    extract_member(archive, MEMBER, tmp_path / "out", len(PAYLOAD))
    assert (tmp_path / "out").read_bytes() == PAYLOAD


def test_names_in_the_archive_choose_no_path(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "a.tar.gz", "../../evil", "/etc/evil", "../" + MEMBER)
    target = tmp_path / "deep" / "out"
    target.parent.mkdir()
    extract_member(archive, MEMBER, target, len(PAYLOAD))
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.tar.gz", "deep", "out"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_special_files_are_refused(tmp_path: Path, kind: bytes) -> None:
    archive = make_tar(tmp_path / "a.tar.gz", MEMBER, kind=kind)
    with pytest.raises(WeightsError, match="not a regular file"):
        extract_member(archive, MEMBER, tmp_path / "out", len(PAYLOAD))


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_too_long_and_absent_members_are_refused(tmp_path: Path, make: object) -> None:
    suffix = "tar.gz" if make is make_tar else "whl"
    archive = make(tmp_path / f"a.{suffix}", MEMBER)  # type: ignore[operator]
    with pytest.raises(WeightsError, match="more than the 100 bytes"):
        extract_member(archive, MEMBER, tmp_path / "out", 100)
    with pytest.raises(WeightsError, match="no member"):
        extract_member(archive, "pack/net.bin", tmp_path / "out", 100)


@pytest.mark.parametrize("suffix", ["tar.gz", "whl"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(cut=st.integers(0, 400), position=st.integers(0, 400), value=st.integers(0, 255))
def test_damage_raises_one_kind_of_error(
    tmp_path: Path, suffix: str, cut: int, position: int, value: int
) -> None:
    make = make_tar if suffix == "tar.gz" else make_zip
    archive = make(tmp_path / f"a.{suffix}", MEMBER)
    data = bytearray(archive.read_bytes())
    data[position % len(data)] = value
    archive.write_bytes(data[: len(data) - cut % len(data)])
    with contextlib.suppress(WeightsError):
        extract_member(archive, MEMBER, tmp_path / "out", len(PAYLOAD))
