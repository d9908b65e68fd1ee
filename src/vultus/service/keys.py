"""API keys: a file of salted scrypt hashes, scopes, revocation, comparison in constant time."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vultus.errors import ConfigError

#: ``admin`` includes ``read`` and ``write``; ``templates`` must be given by name.
SCOPES = ("read", "write", "admin", "templates")
_KEY = re.compile(r"vk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
#: RFC 7914 parameters: 16 MiB and about 50 ms a hash.
_N, _R, _P = 2**14, 8, 1
_FORMAT = 1
_DUMMY_SALT = "00" * 16
_CACHED = 1024


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is stored of a key; the key itself is not.

    Parameters
    ----------
    id
        12 hexadecimal digits, also part of the key.
    label
        For people.
    scopes
        Some of :data:`SCOPES`.
    salt, hash
        Hexadecimal digits; scrypt with the parameters ``n``, ``r``, ``p``.
    created, revoked
        ISO 8601 times; ``revoked`` is None while the key is good.
    """

    id: str
    label: str
    scopes: tuple[str, ...]
    salt: str
    hash: str
    created: str
    revoked: str | None = None
    n: int = _N
    r: int = _R
    p: int = _P


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the key's id, or ``anonymous`` where no keys are needed."""

    id: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Return whether the caller has a scope, directly or through ``admin``."""
        return scope in self.scopes or ("admin" in self.scopes and scope in ("read", "write"))


ANONYMOUS = Caller("anonymous", frozenset(SCOPES))


def add_key(file: Path, label: str, scopes: Iterable[str]) -> tuple[ApiKey, str]:
    """Add a key to a file, making the file if need be; return the record and the key.

    The key is shown this once: the file holds only its hash.

    Raises
    ------
    ConfigError
        If a scope is unknown, or the file cannot be read or written.
    """
    wanted = tuple(sorted(set(scopes), key=lambda scope: (*SCOPES, scope).index(scope)))
    unknown = set(wanted) - set(SCOPES)
    if unknown or not wanted:
        raise ConfigError(f"scopes are some of {', '.join(SCOPES)}; got {sorted(unknown)}")
    identifier, salt = secrets.token_hex(6), secrets.token_hex(16)
    key = f"vk_{identifier}_{secrets.token_urlsafe(32)}"
    record = ApiKey(identifier, label, wanted, salt, _hash(key, salt, _N, _R, _P).hex(), _now())
    with _locked(file):
        _write(file, [*(read_keys(file) if file.exists() else []), record])
    return record, key


def revoke_key(file: Path, identifier: str) -> ApiKey:
    """Mark a key as revoked; services that read the file refuse it from their next request on.

    Raises
    ------
    ConfigError
        If there is no such key.
    """
    with _locked(file):
        records = read_keys(file)
        found = next((record for record in records if record.id == identifier), None)
        if found is None:
            raise ConfigError(f"{file}: no key {identifier!r}; 'vultus serve keys list' names them")
        gone = found if found.revoked else replace(found, revoked=_now())
        _write(file, [gone if record.id == identifier else record for record in records])
    return gone


def read_keys(file: Path) -> list[ApiKey]:
    """Return the records of a key file.

    Raises
    ------
    ConfigError
        If it cannot be read, is damaged, or may be written by other users.
    """
    try:
        with file.open("rb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            data = stream.read()
        if os.name == "posix" and mode & 0o077:
            raise ConfigError(f"{file}: other users may open it; run: chmod 600 {file}")
        document = json.loads(data)
        if document["format"] != _FORMAT:
            raise ConfigError(f"{file}: layout {document['format']} is of another version")
        return [_record(values) for values in document["keys"]]
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file}: damaged; restore it, or make new keys") from error


class KeyRing:
    """Checks keys against a file, which is read again whenever it changes.

    A hash takes a few hundredths of a second, so a key that was found good is remembered, under a
    secret of this process, until the file changes.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._secret = secrets.token_bytes(32)
        self._stamp: tuple[int, ...] | None = None
        self._records: dict[str, ApiKey] = {}
        self._good: dict[bytes, Caller] = {}
        # One at a time: a flood of wrong keys takes one thread and 16 MiB, not more.
        self._pool = ThreadPoolExecutor(1, "vultus-keys")
        self._refresh()

    @property
    def active(self) -> int:
        """How many keys are not revoked."""
        self._refresh()
        return sum(record.revoked is None for record in self._records.values())

    def known(self, key: str) -> Caller | None:
        """Return who a key stands for if it was checked before."""
        self._refresh()
        return self._good.get(self._mark(key))

    def standing(self, identifier: str) -> Caller | None:
        """Return who the key of an id stands for, or None once it is revoked or gone."""
        self._refresh()
        record = self._records.get(identifier)
        if record is None or record.revoked is not None:
            return None
        return Caller(record.id, frozenset(record.scopes))

    async def check(self, key: str) -> Caller | None:
        """Return who a key stands for, or None. Takes as long for an unknown key as for any."""
        self._refresh()
        match = _KEY.fullmatch(key)
        record = self._records.get(match[1]) if match else None
        salt, n, r, p = (
            (record.salt, record.n, record.r, record.p) if record else (_DUMMY_SALT, _N, _R, _P)
        )
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._pool, _hash, key, salt, n, r, p)
        expected = bytes.fromhex(record.hash) if record else bytes(32)
        same = hmac.compare_digest(found, expected)
        # The file may have changed during the hash.
        self._refresh()
        if record is None or not same or self._records.get(record.id) != record:
            return None
        if record.revoked is not None:
            return None
        caller = Caller(record.id, frozenset(record.scopes))
        if len(self._good) >= _CACHED:
            self._good.clear()
        self._good[self._mark(key)] = caller
        return caller

    def close(self) -> None:
        """Stop the thread that hashes."""
        self._pool.shutdown(cancel_futures=True)

    def _mark(self, key: str) -> bytes:
        return hmac.new(self._secret, key.encode(), hashlib.sha256).digest()

    def _refresh(self) -> None:
        try:
            status = self._file.stat()
        except OSError as error:
            raise ConfigError(f"{self._file}: cannot be read: {error.strerror}") from error
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        if stamp != self._stamp:
            self._records = {record.id: record for record in read_keys(self._file)}
            self._good.clear()
            self._stamp = stamp


def _hash(key: str, salt: str, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        key.encode(), salt=bytes.fromhex(salt), n=n, r=r, p=p, maxmem=64 * 2**20, dklen=32
    )


def _record(values: dict[str, Any]) -> ApiKey:
    record = ApiKey(**(values | {"scopes": tuple(values["scopes"])}))
    if len(bytes.fromhex(record.hash)) != 32 or set(record.scopes) - set(SCOPES):
        raise ValueError("hash or scopes")
    return record


def _write(file: Path, records: list[ApiKey]) -> None:
    text = json.dumps({"format": _FORMAT, "keys": [asdict(r) for r in records]}, indent=1)
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=".keys-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _locked(file: Path) -> Any:
    from filelock import FileLock

    if not file.parent.is_dir():
        raise ConfigError(f"{file}: the folder {file.parent} does not exist")
    return FileLock(file.with_name(f".{file.name}.lock"), timeout=20)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
