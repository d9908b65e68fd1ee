"""Keys: where they come from, and what they refuse."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from vultus.errors import GalleryError
from vultus.gallery import Key

SECRET = bytes(range(200, 232))
posix = pytest.mark.skipif(os.name != "posix", reason="file modes are a POSIX notion")


def test_a_saved_key_loads_again(tmp_path: Path) -> None:
    key = Key.generate()
    key.save(tmp_path / "key")
    assert Key.load(tmp_path / "key") == key


@posix
def test_a_saved_key_is_its_owners_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        Key.generate().save(tmp_path / "key")
    finally:
        os.umask(old)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o644])
def test_a_key_that_others_may_open_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "key"
    Key.generate().save(file)
    file.chmod(mode)
    with pytest.raises(GalleryError, match=f"chmod 600 .*{file.name}"):
        Key.load(file)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    first = Key.generate()
    first.save(tmp_path / "key")
    with pytest.raises(GalleryError, match="exists already"):
        Key.generate().save(tmp_path / "key")
    assert Key.load(tmp_path / "key") == first


@pytest.mark.parametrize(
    "text",
    [
        SECRET.hex(),
        SECRET.hex().upper() + "\n",
        base64.b64encode(SECRET).decode(),
        base64.urlsafe_b64encode(SECRET).decode(),
    ],
)
def test_the_environment_holds_a_key_as_hex_or_base64(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("VULTUS_KEY", text)
    assert Key.load() == Key(SECRET)


@pytest.mark.parametrize("text", ["short", "zz" * 32, SECRET.hex()[:-2], "ä" * 64, "AAAA" * 20])
def test_what_is_not_a_key_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("VULTUS_KEY", text)
    with pytest.raises(GalleryError, match="VULTUS_KEY does not hold a key") as caught:
        Key.load()
    assert text not in str(caught.value)


def test_no_key_says_how_to_make_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VULTUS_KEY", raising=False)
    with pytest.raises(GalleryError, match=r"Key\.generate\(\)\.save"):
        Key.load()
    with pytest.raises(GalleryError, match=r"absent: .*No such file"):
        Key.load(tmp_path / "absent")


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33), "a" * 32])
def test_a_key_has_32_bytes(secret: bytes) -> None:
    with pytest.raises(GalleryError, match="32 bytes"):
        Key(secret)


def test_secrets_do_not_show() -> None:
    key = Key(SECRET)
    assert SECRET.hex() not in repr(key) + str(key) + key.fingerprint
    assert repr(SECRET) not in repr(key)


def test_fingerprint_and_derived_secrets_are_known_answers() -> None:
    # HMAC-SHA256 computed with another implementation (OpenSSL's command line).
    assert Key(bytes(range(32))).fingerprint == "14ef4f8bb00fb8da"
    assert Key(bytes(32)).fingerprint != Key(bytes(range(32))).fingerprint


def test_derived_secrets_depend_on_every_part() -> None:
    key = Key(SECRET)
    derived = {
        key.derive("a"),
        key.derive("b"),
        key.derive("a", b""),
        key.derive("a", b"", b""),
        key.derive("a", b"bc", b"d"),
        key.derive("a", b"b", b"cd"),
        Key(bytes(32)).derive("a"),
    }
    assert len(derived) == 7
