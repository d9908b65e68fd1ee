"""The secret that opens a gallery: where it comes from and how it is named without showing it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from vultus.errors import GalleryError

KEY_BYTES = 32
#: Environment variable that :meth:`Key.load` reads when it is given no file.
KEY_VARIABLE = "VULTUS_KEY"


@dataclass(frozen=True, slots=True)
class Key:
    """32 secret bytes from which the protection of every gallery is derived.

    Losing the key makes the templates of its galleries useless, and so does throwing it away on
    purpose. It never appears in ``repr`` or in an error message.
    """

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.secret, bytes) or len(self.secret) != KEY_BYTES:
            raise GalleryError(f"a key is {KEY_BYTES} bytes; make one with Key.generate()")

    @classmethod
    def generate(cls) -> Key:
        """Return a new key from the operating system's random source."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None) -> Key:
        """Read a key from a file, or from the environment variable ``VULTUS_KEY``.

        Parameters
        ----------
        path
            File that holds the key as hexadecimal digits or base64; None reads the variable.

        Raises
        ------
        GalleryError
            If there is no key, if it does not decode to 32 bytes, or if, on POSIX, the file may
            be read or written by anyone but its owner.
        """
        if path is None:
            text = os.environ.get(KEY_VARIABLE)
            if not text:
                raise GalleryError(
                    f"no gallery key: pass a key file or set {KEY_VARIABLE} (64 hexadecimal "
                    "digits, or 32 bytes in base64); Key.generate().save(path) makes one"
                )
            return cls(_decode(text, f"the environment variable {KEY_VARIABLE}"))
        file = Path(path)
        try:
            with file.open("rb") as stream:
                mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
                if os.name == "posix" and mode & 0o077:
                    raise GalleryError(
                        f"{file}: other users may open this key file (mode {mode:04o}); "
                        f"run: chmod 600 {file}"
                    )
                data = stream.read(4096)
        except OSError as error:
            raise GalleryError(f"{file}: cannot read the key file: {error.strerror}") from error
        return cls(_decode(data.decode("ascii", "replace"), str(file)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the key as hexadecimal digits to a new file that only its owner may open.

        Raises
        ------
        GalleryError
            If the file exists already (a key is never overwritten) or cannot be written.
        """
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise GalleryError(
                f"{path}: exists already; a key is never overwritten, choose another name"
            ) from None
        except OSError as error:
            raise GalleryError(f"{path}: cannot write the key file: {error.strerror}") from error
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(self.secret.hex() + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name the key and reveal nothing of it."""
        return self.derive("fingerprint")[:8].hex()

    def derive(self, purpose: str, *context: bytes) -> bytes:
        """Return 32 bytes for one purpose: HMAC-SHA256 of the purpose and length-prefixed context.

        Different purposes or contexts give independent secrets.
        """
        message = b"".join(
            len(part).to_bytes(4, "big") + part
            for part in (b"vultus gallery 1", purpose.encode(), *context)
        )
        return hmac.new(self.secret, message, hashlib.sha256).digest()


def _decode(text: str, where: str) -> bytes:
    text = text.strip()
    decoded = b""
    try:
        decoded = bytes.fromhex(text) if len(text) == 2 * KEY_BYTES else b""
        decoded = decoded or base64.b64decode(
            text, altchars=b"-_" if "-" in text or "_" in text else None, validate=True
        )
    except (ValueError, binascii.Error):
        decoded = b""
    if len(decoded) != KEY_BYTES:
        raise GalleryError(
            f"{where} does not hold a key: expected {2 * KEY_BYTES} hexadecimal digits, or "
            f"{KEY_BYTES} bytes in base64"
        )
    return decoded
