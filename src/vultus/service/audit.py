"""The audit log: who enrolled, searched and deleted, as lines of JSON that are only appended."""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vultus.gallery import Key
from vultus.gallery.header import is_full
from vultus.service.errors import ApiError, full


class AuditLog:
    """Appends entries to a file.

    An entry holds no template, no picture and no name: people stand in it as a keyed digest
    (:func:`person_ref`), so that deleting someone from a gallery leaves their name nowhere, while
    whoever has the gallery's key can still ask the log about a given name.

    The file is opened anew for each entry, so that it may be rotated; each entry is one write.
    """

    def __init__(self, file: Path | None, key: Key) -> None:
        self._file = file
        self._secret = key.derive("audit")

    @property
    def active(self) -> bool:
        """Whether there is a file to write to."""
        return self._file is not None

    def write(self, action: str, **facts: Any) -> None:
        """Append an entry and see it to the disk; raise :class:`ApiError` 503 or 507 if not."""
        if self._file is None:
            return
        entry = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "action": action}
        for name in ("person", "into"):
            if facts.get(name) is not None:
                facts[name] = _ref(self._secret, facts[name])
        line = json.dumps(entry | facts, separators=(",", ":")) + "\n"
        try:
            handle = os.open(self._file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                data = _after_the_last(handle) + line.encode()
                if os.write(handle, data) < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            if is_full(error):
                raise full("the audit log") from error
            raise ApiError(
                503, "audit_unavailable", "the audit log cannot be written; nothing was done"
            ) from error


def _after_the_last(handle: int) -> bytes:
    """Return what ends the last line, where a full disk cut it off."""
    size = os.fstat(handle).st_size
    return b"\n" if size and os.pread(handle, 1, size - 1) != b"\n" else b""


def person_ref(key: Key, person: str) -> str:
    """Return how the audit log names a person: 16 hexadecimal digits, from name and key."""
    return _ref(key.derive("audit"), person)


def _ref(secret: bytes, person: str) -> str:
    return hmac.new(secret, person.encode(), hashlib.sha256).hexdigest()[:16]
