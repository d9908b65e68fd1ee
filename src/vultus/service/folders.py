"""The galleries of a folder, by name."""

from __future__ import annotations

import importlib
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from vultus.errors import ConfigError, GalleryError, GalleryFullError
from vultus.gallery import Gallery, Key
from vultus.gallery import header as headers
from vultus.gallery import store as stores
from vultus.service.errors import ApiError

T = TypeVar("T")

NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"
#: How the names of galleries that are being deleted begin; no gallery is called so.
_GOING = ".deleted-"


class Galleries:
    """Opens, makes and deletes the galleries of one folder. Thread safe.

    Every failure comes out as an :class:`ApiError` that names no path.

    Parameters
    ----------
    space, dim
        Embedding space and length of the templates of new galleries; others are not opened.
    lock_seconds
        How long a write waits for another process.
    """

    def __init__(self, root: Path, key: Key, *, space: str, dim: int, lock_seconds: float) -> None:
        self._root = root
        self._key = key
        self._space = space
        self._dim = dim
        self._lock_seconds = lock_seconds
        self._open: dict[str, Gallery] = {}
        self._guard = threading.Lock()
        # The first request must not wait for the storage library, which takes seconds to load.
        importlib.import_module("lancedb")
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for leftover in root.glob(f"{_GOING}*"):
                shutil.rmtree(leftover, ignore_errors=True)
        except OSError as error:
            raise ConfigError(f"{root}: cannot be the folder of galleries: {error}") from error

    def names(self) -> list[str]:
        """Return the names of all galleries, in order."""
        return sorted(
            entry.name
            for entry in self._root.iterdir()
            if re.fullmatch(NAME, entry.name) and (entry / headers.FILE).is_file()
        )

    def usable(self) -> bool:
        """Return whether the folder can be read."""
        try:
            self.names()
        except OSError:
            return False
        return True

    def create(self, name: str) -> Gallery:
        """Make an empty gallery; raise 409 if there is one of this name."""
        path = self._path(name)
        with self._guard, _told(name, path):
            if (path / headers.FILE).exists():
                raise ApiError(409, "conflict", "there is a gallery of this name")
            gallery = Gallery.create(
                path,
                space=self._space,
                dim=self._dim,
                key=self._key,
                lock_timeout=self._lock_seconds,
            )
            self._open[name] = gallery
            return gallery

    def require(self, name: str) -> None:
        """Raise 404 if there is no gallery of this name. One look at the file system, no thread."""
        if not (self._path(name) / headers.FILE).is_file():
            raise _unknown(name)

    def use(self, name: str, work: Callable[[Gallery], T]) -> T:
        """Run some work on a gallery; raise 404 if there is none of this name."""
        path = self._path(name)
        with _told(name, path):
            return work(self._opened(name, path))

    def delete(self, name: str) -> int:
        """Erase a gallery and return how many faces it had."""
        path = self._path(name)
        with _told(name, path):
            count = len(self._opened(name, path))
            with stores.writing(path, self._lock_seconds), self._guard:
                self._open.pop(name, None)
                if not (path / headers.FILE).exists():
                    raise _unknown(name)
                # One step: from here on the gallery is gone, whatever happens next.
                gone = self._root / f"{_GOING}{secrets.token_hex(8)}"
                path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        return count

    def _opened(self, name: str, path: Path) -> Gallery:
        with self._guard:
            if not (path / headers.FILE).is_file():
                self._open.pop(name, None)
                raise _unknown(name)
            if name not in self._open:
                self._open[name] = Gallery.open(path, self._key, lock_timeout=self._lock_seconds)
            gallery = self._open[name]
        if gallery.space != self._space:
            raise ApiError(
                409, "space_mismatch", "the gallery was made with another network or alignment"
            )
        return gallery

    def _path(self, name: str) -> Path:
        if not re.fullmatch(NAME, name):
            raise _unknown(name)
        return self._root / name


@contextmanager
def _told(name: str, path: Path) -> Iterator[None]:
    """Turn errors of the gallery into answers."""
    try:
        yield
    except stores.LockedError as error:
        raise ApiError(
            503,
            "gallery_busy",
            "another process is writing to the gallery",
            {"retry_after": 1},
            {"Retry-After": "1"},
        ) from error
    except GalleryFullError:
        # Said before anything else: a gallery that could not be made has no header either.
        raise
    except GalleryError as error:
        text = str(error).removeprefix(f"{path}: ")
        if text.startswith("no person "):
            raise ApiError(404, "not_found", "there is no such person in the gallery") from error
        if text.startswith("no face "):
            raise ApiError(404, "not_found", "there is no such face in the gallery") from error
        if " exists already; use merge" in text:
            raise ApiError(409, "conflict", "there is a person of this name; merge them") from error
        if text.startswith("a person's name "):
            raise ApiError(
                422,
                "bad_parameter",
                "a person's name is text of 1 to 1024 characters without control characters",
            ) from error
        if not (path / headers.FILE).is_file():
            raise _unknown(name) from error
        raise


def _unknown(name: str) -> ApiError:
    return ApiError(404, "not_found", "there is no gallery of this name")
