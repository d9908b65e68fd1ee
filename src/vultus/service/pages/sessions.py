"""Who is signed in: random identifiers in a cookie, what they stand for in memory."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

#: Seconds after which a session ends, whether used or not; and without any request.
LONGEST = 8 * 3600
IDLE = 3600
#: Sessions kept at a time; the least used goes first.
_MOST = 4096


@dataclass(slots=True)
class _Session:
    key: str
    begun: float
    used: float


class Sessions:
    """Signed-in browsers of one process. Sessions end with it, by time, and by signing out.

    Only digests of the identifiers are kept, and no key: a session knows the key's id, so that a
    key that is revoked ends its sessions with the next request.

    Parameters
    ----------
    clock
        Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: OrderedDict[bytes, _Session] = OrderedDict()

    def begin(self, key: str) -> str:
        """Start a session of a key's id and return its identifier."""
        identifier = secrets.token_urlsafe(32)
        now = self._clock()
        self._sessions[_mark(identifier)] = _Session(key, now, now)
        if len(self._sessions) > _MOST:
            self._sessions.popitem(last=False)
        return identifier

    def key_of(self, identifier: str) -> str | None:
        """Return the key's id of a session, or None where there is none or it has ended."""
        mark = _mark(identifier)
        session = self._sessions.get(mark)
        if session is None:
            return None
        now = self._clock()
        if now - session.begun > LONGEST or now - session.used > IDLE:
            del self._sessions[mark]
            return None
        session.used = now
        self._sessions.move_to_end(mark)
        return session.key

    def end(self, identifier: str) -> None:
        """End a session, if there is one."""
        self._sessions.pop(_mark(identifier), None)


def _mark(identifier: str) -> bytes:
    return hashlib.sha256(identifier.encode("utf-8", "replace")).digest()
