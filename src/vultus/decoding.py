"""Encoded pictures, PIL images and arrays to upright RGB, under limits.

PIL decodes. Its plugins are called by name, never through ``Image.open``: so no plugin outside the
list below is ever tried, and PIL's process-wide switches stay as they are. ``cv2.imdecode`` uses
the same JPEG library, but writes that library's warnings to stderr, and lets no limit be checked
between the header and the pixels. ``benchmarks/pictures.py`` times both.
"""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NoReturn

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from vultus.errors import ConfigError, ImageError

UInt8Array = NDArray[np.uint8]

_READERS: tuple[tuple[str, re.Pattern[bytes], type[ImageFile]], ...] = (
    ("JPEG", re.compile(rb"\xff\xd8\xff"), JpegImageFile),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n"), PngImageFile),
    ("WebP", re.compile(rb"RIFF.{4}WEBP", re.DOTALL), WebPImageFile),
    ("BMP", re.compile(rb"BM"), BmpImageFile),
    ("GIF", re.compile(rb"GIF8[79]a"), GifImageFile),
    ("TIFF", re.compile(rb"II[*+]\0|MM\0[*+]"), TiffImageFile),
    ("PNM", re.compile(rb"P[1-6f]\s"), PpmImageFile),
)

#: Formats that :func:`decode` reads. JPEG includes the first picture of an MPO file; TIFF, GIF,
#: PNG and WebP give their first page or frame.
FORMATS = tuple(name for name, _, _ in _READERS)

_OTHERS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb".{4}ftyp(hei|hev|mif1|msf1)", re.DOTALL), "a HEIC picture"),
    (re.compile(rb".{4}ftypavi[fs]", re.DOTALL), "an AVIF picture"),
    (re.compile(rb".{4}ftyp", re.DOTALL), "a video"),
    (re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "), "a JPEG XL picture"),
    (re.compile(rb"\xff\x4f\xff\x51|\0\0\0\x0cjP"), "a JPEG 2000 picture"),
    (re.compile(rb"%!PS|\xc5\xd0\xd3\xc6"), "a PostScript document"),
    (re.compile(rb"%PDF"), "a PDF document"),
    (re.compile(rb"8BPS"), "a Photoshop document"),
    (re.compile(rb"\x00\x00[\x01\x02]\x00"), "an icon"),
    (re.compile(rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!"), "an archive"),
    (re.compile(rb"\x93NUMPY"), "a NumPy file (load it and pass the array)"),
    (re.compile(rb"version https://git-lfs"), "a Git LFS pointer (run: git lfs pull)"),
    (re.compile(rb".{0,400}<svg[\s>]", re.DOTALL), "an SVG drawing"),
    (re.compile(rb"\s*<(!doctype html|html|head|body)", re.IGNORECASE), "an HTML page"),
)

#: Encoders write about ten scans; thousands would keep the decoder busy for hours.
_MAX_SCANS = 100

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION, _BITS_PER_SAMPLE, _PHOTOMETRIC = 274, 258, 262
_TILE_WIDTH, _TILE_LENGTH = 322, 323

_STRIP_ROWS = 64
_WARNINGS = threading.Lock()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a picture may cost. All three are checked before any pixel is decoded.

    Parameters
    ----------
    max_bytes
        Size of the encoded picture.
    max_pixels
        Width times height.
    max_side
        Longer side in pixels.
    """

    max_bytes: int = 64 * 2**20
    max_pixels: int = 100_000_000
    max_side: int = 32_767

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels", "max_side"):
            if getattr(self, name) < 1:
                raise ConfigError(f"Limits.{name} must be at least 1, got {getattr(self, name)}")

    def check_bytes(self, count: int, source: str) -> None:
        """Raise :class:`ImageError` if an encoded picture is too long."""
        if count > self.max_bytes:
            raise ImageError(
                source,
                f"{count:,} bytes exceed the limit of {self.max_bytes:,}; "
                "raise it with limits=Limits(max_bytes=...)",
            )

    def check_size(self, width: int, height: int, source: str) -> None:
        """Raise :class:`ImageError` if a picture is empty or too large."""
        if width < 1 or height < 1:
            raise ImageError(source, f"a picture of {width}x{height} pixels is empty")
        if width * height > self.max_pixels:
            name, limit = "max_pixels", self.max_pixels
        elif max(width, height) > self.max_side:
            name, limit = "max_side", self.max_side
        else:
            return
        raise ImageError(
            source,
            f"{width}x{height} pixels exceed the limit {name}={limit:,}; "
            f"raise it with limits=Limits({name}=...)",
        )


def decode(data: bytes, source: str, limits: Limits, *, truncated: bool = False) -> UInt8Array:
    """Decode the bytes of a picture file.

    Parameters
    ----------
    data
        The whole file. Its first bytes tell the format, not its name.
    source
        Name for error messages.
    limits
        Checked against the length, and against the header before decoding.
    truncated
        Accept a JPEG that ends too early; what is missing is grey.

    Returns
    -------
    uint8 (H, W, 3) RGB, see :func:`rgb`.

    Raises
    ------
    ImageError
        For anything that is not a whole picture of a format in :data:`FORMATS`.
    """
    limits.check_bytes(len(data), source)
    name, reader = _identify(data, source)
    if truncated and name == "JPEG":
        # An end marker makes the decoder fill up what it has not seen.
        data += b"\xff\xd9"
    try:
        with _quiet():
            image = reader(io.BytesIO(data))
    except Exception as error:
        _fail(error, source, f"the {name} header cannot be read")
    limits.check_size(*image.size, source)
    if image.info.get("progressive") and data.count(b"\xff\xda") > _MAX_SCANS:
        raise ImageError(source, f"a progressive JPEG of more than {_MAX_SCANS} scans is refused")
    try:
        if isinstance(image, TiffImageFile) and _TILE_WIDTH in image.tag_v2:
            # A tile may be larger than the picture, and is decoded whole.
            tile = image.tag_v2[_TILE_WIDTH], image.tag_v2[_TILE_LENGTH]
            limits.check_size(*tile, source)
        pixels = rgb(image, source)
    except ImageError:
        raise
    except Exception as error:
        hint = " or pass truncated=True" if name == "JPEG" else ""
        _fail(error, source, f"the {name} data cannot be read", hint)
    limits.check_size(pixels.shape[1], pixels.shape[0], source)
    return pixels


def rgb(image: Image.Image, source: str) -> UInt8Array:
    """Return the pixels of a PIL image, upright, in sRGB.

    The EXIF orientation is applied and a damaged one ignored. Transparent pictures lie on white.
    A readable colour profile is converted to sRGB with perceptual intent. 16-bit samples keep
    their high byte; float samples must lie in [0, 1].

    Returns
    -------
    uint8 (H, W, 3), C-contiguous, its own memory.

    Raises
    ------
    ImageError
        If the samples have no known range. PIL's own errors pass through.
    """
    image = _upright(image)
    if image.mode.startswith("I;16"):
        return rgb_from_array(_sixteen_bits(image), source)
    if image.mode == "I" and image.format == "PPM":
        return rgb_from_array(np.asarray(image).astype(np.uint16), source)
    if image.mode == "F":
        return rgb_from_array(np.asarray(image), source)
    if image.mode == "I":
        raise ImageError(
            source, "32-bit integer samples have no known range; save it with 8 or 16 bits"
        )
    profile = image.info.get("icc_profile")
    if image.has_transparency_data:
        image = _on_white(image.convert("RGBA"))
    elif image.mode not in ("RGB", "L", "CMYK"):
        image = image.convert("RGB")
    if isinstance(profile, bytes) and (to_srgb := _to_srgb(profile, image.mode)):
        image = ImageCms.applyTransform(image, to_srgb) or image
    return _pixels(image if image.mode == "RGB" else image.convert("RGB"))


def rgb_from_array(
    array: NDArray[np.generic], source: str, order: Literal["rgb", "bgr"] = "rgb"
) -> UInt8Array:
    """Return an array of samples as RGB.

    Parameters
    ----------
    array
        (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of bool, uint8, uint16 (the high byte is kept)
        or floats in [0, 1]. A fourth channel is alpha; transparent pixels lie on white.
    source
        Name for error messages.
    order
        Order of the colour channels.

    Returns
    -------
    uint8 (H, W, 3) RGB, C-contiguous; the array itself where it is that already.

    Raises
    ------
    ImageError
        If the shape, type or range leaves doubt about what is meant.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if 0 in array.shape:
        raise ImageError(source, "the array is empty")
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        hint = ""
        if array.ndim == 4:
            hint = "; pass one picture at a time"
        elif array.ndim == 3 and array.shape[0] in (1, 3, 4):
            hint = "; for channels first, pass array.transpose(1, 2, 0)"
        raise ImageError(source, f"expected shape (H, W), (H, W, 3) or (H, W, 4){hint}")
    samples = np.ascontiguousarray(_eight_bits(array, source))
    if samples.ndim == 2:
        samples = cv2.cvtColor(samples, cv2.COLOR_GRAY2RGB)  # type: ignore[assignment]
    elif samples.shape[2] == 4:
        if order == "bgr":
            samples = cv2.cvtColor(samples, cv2.COLOR_BGRA2RGBA)  # type: ignore[assignment]
        samples = _pixels(_on_white(Image.fromarray(samples)))
    elif order == "bgr":
        samples = cv2.cvtColor(samples, cv2.COLOR_BGR2RGB)  # type: ignore[assignment]
    return samples


def _identify(data: bytes, source: str) -> tuple[str, type[ImageFile]]:
    for name, signature, reader in _READERS:
        if signature.match(data):
            return name, reader
    if not data:
        raise ImageError(source, "no data: the file is empty or was already read to its end")
    kind = next((text for signature, text in _OTHERS if signature.match(data)), None)
    if kind is None:
        printable = not re.search(rb"[\x00-\x08\x0e-\x1f\x7f]", data[:512])
        kind = "text" if printable else "not a known picture format"
    raise ImageError(source, f"this is {kind}; Vultus reads {', '.join(FORMATS)}")


def _fail(error: Exception, source: str, what: str, hint: str = "") -> NoReturn:
    if isinstance(error, Image.DecompressionBombError):
        raise ImageError(source, "decompression bomb: the header promises too large a picture")
    reason = "".join(c if c.isprintable() else " " for c in str(error))
    reason = " ".join(reason.split())[:160] or type(error).__name__
    if "truncated" in reason.lower():
        reason += f"; fetch the file again{hint}"
    raise ImageError(source, f"{what}: {reason}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep PIL's remarks on damaged metadata off stderr; such a picture is still a picture.

    The warning filters belong to the process: one thread at a time may swap them, only PIL's
    warnings are affected, and only TIFF pixels are decoded meanwhile.
    """
    with _WARNINGS, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _upright(image: Image.Image) -> Image.Image:
    if isinstance(image, TiffImageFile):
        # PIL turns TIFF itself, and reads the metadata again to do so.
        with _quiet():
            image.load()
        return image
    image.load()
    try:
        with _quiet():
            turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        # The EXIF parser raises whatever the damage leads to; the pixels are unharmed.
        return image
    if turn is None:
        return image
    turned = image.transpose(turn)
    turned.format = image.format
    return turned


def _sixteen_bits(image: Image.Image) -> NDArray[np.uint16]:
    samples: NDArray[np.uint16] = np.asarray(image).astype(np.uint16)
    if isinstance(image, TiffImageFile):
        if image.tag_v2.get(_BITS_PER_SAMPLE) == (12,):
            samples <<= 4
        if image.tag_v2.get(_PHOTOMETRIC) == 0:
            np.invert(samples, out=samples)
    return samples


def _eight_bits(array: NDArray[np.generic], source: str) -> UInt8Array:
    kind, width = array.dtype.kind, array.dtype.itemsize
    if array.dtype == np.uint8:
        return array.astype(np.uint8, copy=False)
    if kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if kind == "u" and width == 2:
        return (array.astype(np.uint16) >> 8).astype(np.uint8)
    if kind != "f":
        raise ImageError(source, "expected samples of bool, uint8, uint16 or float in [0, 1]")
    low, high = float(array.min()), float(array.max())
    # Interpolation leaves values a rounding error outside.
    if not (low >= -1e-6 and high <= 1 + 1e-6):
        raise ImageError(
            source,
            f"float samples must lie in [0, 1], these reach from {low:g} to {high:g}; "
            "scale them, or convert values of 0 to 255 to uint8",
        )
    scaled = np.rint(array.astype(np.float32) * 255)
    return np.clip(scaled, 0, 255).astype(np.uint8)


def _on_white(image: Image.Image) -> Image.Image:
    canvas = Image.new("RGB", image.size, "white")
    canvas.paste(image, mask=image)
    return canvas


@lru_cache(maxsize=32)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform of a profile to sRGB; None if it changes nothing or is unusable."""
    try:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        to_srgb = ImageCms.buildTransform(embedded, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None
    if mode == "CMYK":
        return to_srgb
    # Nearly every profile is sRGB itself; a probe of the cube spares a pass over the picture.
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    if mode == "L":
        probe = Image.fromarray(levels[None])
    else:
        cube = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(len(levels), -1, 3)
        probe = Image.fromarray(cube)
    before = np.asarray(probe.convert("RGB"), np.int16)
    after = np.asarray(ImageCms.applyTransform(probe, to_srgb), np.int16)
    return to_srgb if np.abs(after - before).max() > 1 else None


def _pixels(image: Image.Image) -> UInt8Array:
    """Copy an RGB image out; by strips that fit the cache, which is faster than PIL by itself."""
    width, height = image.size
    if width * height < 2**18:
        return np.array(image)
    out = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _STRIP_ROWS):
        bottom = min(top + _STRIP_ROWS, height)
        out[top:bottom] = np.asarray(image.crop((0, top, width, bottom)))
    return out
