"""Resumable downloads over https."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO

import vultus
from vultus.errors import WeightsError
from vultus.runtime.cache import writing
from vultus.runtime.sources import Progress

#: Seconds without a byte after which a connection counts as broken.
TIMEOUT = 60.0

#: Attempts, each going on where the last one broke off.
ATTEMPTS = 4

_CHUNK = 1 << 18
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to an address that would have been accepted at first."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _check_scheme(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(url: str, partial: Path, size: int, progress: Progress | None = None) -> None:
    """Download a file of known size, continuing what ``partial`` already holds.

    When the connection breaks for good, ``partial`` keeps what came, and the next call goes on
    from there. The caller verifies the hash and deletes or moves the file.

    Parameters
    ----------
    url
        https address; http only on this machine itself.
    partial
        File that grows; its folder exists.
    size
        Number of bytes that the file must have.
    progress
        Called with the bytes so far and ``size``.

    Raises
    ------
    WeightsError
        If the server fails, sends another size, or the file cannot be written.
    """
    _check_scheme(url)
    failure: Exception | None = None
    for _ in range(ATTEMPTS):
        try:
            _continue(url, partial, size, progress)
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError) as error:
            failure = error
            if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                break
        except TimeoutError as error:
            failure = error
        else:
            if partial.stat().st_size == size:
                return
            failure = ConnectionError(
                f"the connection ended at byte {partial.stat().st_size} of {size}"
            )
    raise WeightsError(
        f"{url}: download failed: {failure}; run the command again to go on from there"
    ) from failure


def _continue(url: str, partial: Path, size: int, progress: Progress | None) -> None:
    done = partial.stat().st_size if partial.exists() else 0
    if done >= size:
        # A complete or overlong leftover says nothing that the hash can use.
        partial.unlink()
        done = 0
    headers = {"User-Agent": f"vultus/{vultus.__version__}", "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    opener = urllib.request.build_opener(_SecureRedirects)
    with opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as response:
        if response.status != 206:
            done = 0
        _append(response, partial, done, size, progress)


def _append(
    response: IO[bytes], partial: Path, done: int, size: int, progress: Progress | None
) -> None:
    with writing(partial.parent, partial.name):
        file = partial.open("ab" if done else "wb")
    with file:
        while chunk := response.read(_CHUNK):
            done += len(chunk)
            if done > size:
                file.truncate(0)
                raise WeightsError(f"the server sent more than the {size} bytes expected")
            with writing(partial.parent, partial.name):
                file.write(chunk)
            if progress:
                progress(done, size)
        with writing(partial.parent, partial.name):
            file.flush()
            os.fsync(file.fileno())


def _check_scheme(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return
    raise WeightsError(f"{url}: only https addresses are downloaded")
