"""Opening pictures safely, finding them in folders, and saving them.

One call takes whatever holds a picture and gives uint8 RGB pixels the right way up, or raises one
:class:`~vultus.errors.ImageError` that says which picture and why.
"""

from __future__ import annotations

import io
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vultus.decoding import FORMATS, Limits, UInt8Array, decode, rgb, rgb_from_array
from vultus.errors import ConfigError, ImageError

__all__ = ["FORMATS", "Limits", "describe", "find_images", "open_image", "save_image"]

ImageSource: TypeAlias = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | IO[bytes]
    | Image.Image
    | NDArray[np.generic]
)

#: File names that :func:`find_images` takes for pictures.
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".tif", ".tiff"}
    | {".bmp", ".dib", ".ppm", ".pgm", ".pbm", ".pnm"}
)

_SAVE_OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {"compress_level": 3}),
    ".jpg": ("JPEG", {"subsampling": 0}),
    ".jpeg": ("JPEG", {"subsampling": 0}),
    ".webp": ("WEBP", {}),
}


def open_image(
    source: ImageSource,
    *,
    limits: Limits = Limits(),
    order: Literal["rgb", "bgr"] = "rgb",
    truncated: bool = False,
) -> UInt8Array:
    """Open a picture.

    Parameters
    ----------
    source
        Path, encoded bytes, binary file (read from where it stands), PIL image, or array as in
        :func:`vultus.decoding.rgb_from_array`. Files may be of the formats in :data:`FORMATS`,
        whatever their name; of several pages or frames the first is taken.
    limits
        Checked before decoding. Arrays and PIL images are measured against the sizes too.
    order
        Channel order of an array; ``"bgr"`` for what OpenCV reads. Other sources say their own.
    truncated
        Accept a JPEG file that ends too early; what is missing is grey.

    Returns
    -------
    uint8 (H, W, 3) RGB, C-contiguous, EXIF orientation applied, colour profile converted to sRGB,
    transparency laid on white, 16-bit samples cut to their high byte. Shares memory with the
    source only where that is an array of this very kind.

    Raises
    ------
    ImageError
        If the source is no whole, allowed picture. One line: its name, the reason, what to do.
    ConfigError
        If the order is not one of the two.
    """
    if order not in ("rgb", "bgr"):
        raise ConfigError(f"order must be 'rgb' or 'bgr', got {order!r}")
    name = describe(source)
    if isinstance(source, np.ndarray):
        if source.ndim >= 2:
            limits.check_size(source.shape[1], source.shape[0], name)
        return rgb_from_array(source, name, order)
    if isinstance(source, Image.Image):
        limits.check_size(*source.size, name)
        try:
            return rgb(source, name)
        except ImageError:
            raise
        except Exception as error:
            raise ImageError(name, f"PIL cannot load it: {_one_line(error)}") from error
    return decode(_read(source, name, limits), name, limits, truncated=truncated)


def describe(source: object) -> str:
    """Return a short, printable, one-line name of a picture source for messages."""
    if isinstance(source, (str, os.PathLike)):
        return _printable(os.fspath(source)) or "''"
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"{memoryview(source).nbytes:,} bytes"
    if isinstance(source, np.ndarray):
        return f"{source.dtype} array {source.shape}"
    if isinstance(source, Image.Image):
        return f"PIL image {source.width}x{source.height} {source.mode}"
    if hasattr(source, "read"):
        named = getattr(source, "name", None)
        return _printable(named) if isinstance(named, str) and named else "file object"
    return f"{type(source).__name__} object"


def find_images(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], recursive: bool = True
) -> list[Path]:
    """List the pictures under files and folders.

    Parameters
    ----------
    paths
        Files, taken whatever they are called, and folders, searched for the names in
        :data:`SUFFIXES`.
    recursive
        Whether to look into folders within folders.

    Returns
    -------
    Sorted paths, each real file once. Hidden files and folders are left out unless named; links
    are followed, but no folder is entered twice.

    Raises
    ------
    ImageError
        If a path does not exist, or a folder cannot be read.
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    found: dict[str, Path] = {}
    entered: set[tuple[int, int]] = set()
    for path in sorted(Path(p) for p in paths):
        try:
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                for real, picture in _walk(path, recursive, entered):
                    found.setdefault(real, picture)
            elif stat.S_ISREG(mode):
                found.setdefault(os.path.realpath(path), path)
            else:
                raise ImageError(describe(path), "neither a file nor a folder")
        except (OSError, ValueError) as error:
            at = getattr(error, "filename", None) or path
            raise ImageError(describe(at), _one_line(error)) from error
    return sorted(found.values())


def save_image(path: str | os.PathLike[str], image: UInt8Array, *, quality: int = 95) -> None:
    """Write a picture; a reader never meets a half-written file.

    Parameters
    ----------
    path
        Its suffix tells the format: .png, .jpg, .jpeg or .webp. An existing file is replaced.
    image
        uint8 (H, W, 3) RGB.
    quality
        1 to 100, for JPEG (without chroma subsampling) and WebP.

    Raises
    ------
    ImageError
        If the suffix or the array is another, or the file cannot be written.
    ConfigError
        If the quality lies outside its range.
    """
    if not 1 <= quality <= 100:
        raise ConfigError(f"quality must be 1 to 100, got {quality}")
    target, name = Path(path), describe(path)
    if target.suffix.lower() not in _SAVE_OPTIONS:
        raise ImageError(name, f"cannot write this; use one of {', '.join(_SAVE_OPTIONS)}")
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        raise ImageError(name, f"expected a uint8 RGB array, got {describe(image)}")
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ImageError(name, f"expected shape (H, W, 3), got {image.shape}")
    file_format, options = _SAVE_OPTIONS[target.suffix.lower()]
    encoded = io.BytesIO()
    try:
        picture = Image.fromarray(np.ascontiguousarray(image))
        picture.save(encoded, file_format, quality=quality, **options)
    except (OSError, ValueError) as error:
        raise ImageError(name, f"cannot be encoded: {_one_line(error)}") from error
    try:
        _replace(target, encoded.getvalue())
    except (OSError, ValueError) as error:
        raise ImageError(name, _one_line(error)) from error


def _read(source: object, name: str, limits: Limits) -> bytes:
    """Return the bytes of an encoded source, never more than the limit allows."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        limits.check_bytes(memoryview(source).nbytes, name)
        return bytes(source)
    if isinstance(source, (str, os.PathLike)):
        return _read_path(os.fsdecode(source), name, limits)
    if hasattr(source, "read"):
        return _read_stream(source, name, limits)
    raise ImageError(name, "not a picture; pass a path, bytes, binary file, PIL image or array")


def _read_path(path: str, name: str, limits: Limits) -> bytes:
    if path.startswith(("http://", "https://")):
        raise ImageError(name, "addresses are not fetched; download the picture first")
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(name, "this is a folder; find_images() lists the pictures in it")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(name, "not a regular file")
        limits.check_bytes(status.st_size, name)
        with open(path, "rb", opener=_open_at_once) as file:
            return _read_stream(file, name, limits)
    except (OSError, ValueError) as error:
        raise ImageError(name, _one_line(error)) from error


def _open_at_once(path: str, flags: int) -> int:
    # Should the file have become a pipe since it was looked at, opening it must not wait.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read_stream(file: Any, name: str, limits: Limits) -> bytes:
    data = bytearray()
    while len(data) <= limits.max_bytes:
        try:
            chunk = file.read(limits.max_bytes + 1 - len(data))
        except Exception as error:
            # Files may be sockets, archives or anything else, with errors of their own.
            raise ImageError(name, f"cannot be read: {_one_line(error)}") from error
        if isinstance(chunk, str):
            raise ImageError(name, "the file is open as text; open it with mode 'rb'")
        if not chunk:
            break
        data += chunk
    limits.check_bytes(len(data), name)
    return bytes(data)


def _walk(root: Path, recursive: bool, entered: set[tuple[int, int]]) -> Iterator[tuple[str, Path]]:
    """Yield the real and the given path of each picture; add the folders seen to ``entered``."""
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        status = folder.stat()
        if (status.st_dev, status.st_ino) in entered:
            continue
        entered.add((status.st_dev, status.st_ino))
        real = os.path.realpath(folder)
        inner = []
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    inner.append(folder / entry.name)
                elif entry.is_file() and Path(entry.name).suffix.lower() in SUFFIXES:
                    file = os.path.join(real, entry.name)
                    yield (
                        os.path.realpath(file) if entry.is_symlink() else file,
                        folder / entry.name,
                    )
        if recursive:
            waiting.extend(reversed(inner))


def _replace(target: Path, data: bytes) -> None:
    temporary = target.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        # Mode "xb" leaves the permissions to the umask, unlike tempfile.
        with open(temporary, "xb") as file:
            file.write(data)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _printable(name: str | bytes) -> str:
    text = os.fsdecode(name)
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= 200 else f"{text[:60]}...{text[-137:]}"


def _one_line(error: Exception) -> str:
    # str() of an OSError repeats the path, which the message names already.
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return _printable(" ".join(text.split()))
