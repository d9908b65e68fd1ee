"""Places in a list as opaque, signed text."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from typing import Any

from vultus.service.errors import ApiError

_SEAL = 16


class Cursors:
    """Makes and reads cursors. One is good for the list that it was made for, and no other.

    Parameters
    ----------
    secret
        Key of the seal; processes that share it understand each other's cursors.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def make(self, of: str, place: list[Any]) -> str:
        """Return the cursor of a place in a list named ``of``."""
        data = json.dumps(place, ensure_ascii=False).encode()
        return base64.urlsafe_b64encode(self._seal(of, data) + data).decode().rstrip("=")

    def read(self, of: str, cursor: str) -> list[Any]:
        """Return the place; raise :class:`ApiError` 400 for anything not made for this list."""
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            raw = b""
        seal, data = raw[:_SEAL], raw[_SEAL:]
        if not hmac.compare_digest(seal, self._seal(of, data)):
            raise ApiError(400, "bad_cursor", "the cursor was not made for this list")
        place: list[Any] = json.loads(data)
        return place

    def _seal(self, of: str, data: bytes) -> bytes:
        message = len(of).to_bytes(4, "big") + of.encode() + data
        return hmac.new(self._secret, message, hashlib.sha256).digest()[:_SEAL]
