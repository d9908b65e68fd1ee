"""Whatever is no sound picture is refused in one line that says which and why; nothing else."""

from __future__ import annotations

import io
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vultus.errors import ImageError
from vultus.images import describe, open_image


def encode(image: Image.Image, file_format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, file_format, **options)
    return out.getvalue()


PIXELS = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
PICTURE = Image.fromarray(PIXELS)
PNG, JPEG = encode(PICTURE, "PNG"), encode(PICTURE, "JPEG")
LONG_JPEG = encode(PICTURE.resize((200, 200)), "JPEG", quality=99)


def png(width: int, height: int, data: bytes = b"", depth: int = 8, colour: int = 2) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def jpeg(width: int, height: int, bits: int = 8, layers: int = 1) -> bytes:
    """Change the frame header of a sound file."""
    start = JPEG.index(b"\xff\xc0")
    head = struct.pack(">BHHB", bits, height, width, layers)
    return JPEG[: start + 4] + head + JPEG[start + 10 :]


def bmp(width: int, height: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info


def gif(screen: int, frame: int) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", screen, screen, 0x80, 0, 0) + bytes(6)
    return head + b"," + struct.pack("<HHHHB", 0, 0, frame, frame, 0) + b"\2\2\x44\1\0;"


def webp(width: int, height: int) -> bytes:
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiled_tiff(tile: int) -> bytes:
    """A deflated TIFF of 16x16 pixels whose only tile is larger than that."""
    data = zlib.compress(bytes(tile * tile))
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1}
    tags |= {322: tile, 323: tile, 324: 8, 325: len(data)}
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + body + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory


def whole(values: np.ndarray) -> bytes:
    return encode(Image.fromarray(values), "TIFF")


NOT_READ = "Vultus reads JPEG, PNG, WebP"

# name -> (bytes, what the message must say)
BROKEN = {
    "empty": (b"", "no data"),
    "one byte": (b"\xff", NOT_READ),
    "zeros": (bytes(5000), "not a known picture format"),
    "noise": (np.random.default_rng(5).bytes(5000), NOT_READ),
    "text": (b"This is my holiday photo.\n" * 9, "this is text"),
    "json": (b'{"image": "aGVsbG8="}', "this is text"),
    "html": (b"\n<!DOCTYPE html><title>404</title>", "an HTML page"),
    "svg": (b"<?xml version='1.0'?>\n<svg width='9'></svg>", "an SVG drawing"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a PostScript"),
    "binary eps": (b"\xc5\xd0\xd3\xc6" + bytes(30), "a PostScript"),
    "heic": (b"\0\0\0\x18ftypheic" + bytes(40), "a HEIC picture"),
    "avif": (b"\0\0\0\x18ftypavif" + bytes(40), "an AVIF picture"),
    "video": (b"\0\0\0\x18ftypisom" + bytes(40), "a video"),
    "jpeg xl": (b"\xff\x0a\xfa\x1f" + bytes(9), "a JPEG XL picture"),
    "jpeg 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture"),
    "photoshop": (b"8BPS\0\1" + bytes(40), "a Photoshop document"),
    "icon": (b"\0\0\1\0\1\0" + bytes(40), "an icon"),
    "zip": (b"PK\3\4" + bytes(40), "an archive"),
    "gzip": (b"\x1f\x8b\x08" + bytes(40), "an archive"),
    "numpy file": (b"\x93NUMPY\1\0" + bytes(40), "pass the array"),
    "git lfs pointer": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "pcx": (encode(PICTURE, "PCX"), NOT_READ),
    "tga": (encode(PICTURE, "TGA"), NOT_READ),
    "sgi": (encode(PICTURE, "SGI"), NOT_READ),
    "dds": (encode(PICTURE, "DDS"), NOT_READ),
    "jpeg, first bytes": (JPEG[:4], "the JPEG header cannot be read"),
    "jpeg, half a header": (JPEG[:200], "the JPEG header cannot be read"),
    "jpeg, half the data": (LONG_JPEG[:-400], "truncated.*pass truncated=True"),
    "jpeg of no width": (jpeg(0, 6), "the JPEG header"),
    "jpeg of 12 bits": (jpeg(8, 6, bits=12), "12-bit"),
    "jpeg of 2 layers": (jpeg(8, 6, layers=2), "2-layer"),
    "jpeg that lies": (jpeg(65000, 65000), "max_pixels"),
    "png, signature only": (PNG[:8], "the PNG header"),
    "png, half": (PNG[: len(PNG) // 2], "truncated|broken"),
    "png, damaged": (PNG[:45] + b"\xff\xff" + PNG[47:], "the PNG"),
    "png of no width": (png(0, 6), "the PNG header"),
    "png bomb": (png(50_000, 50_000, bytes(9999)), r"50000x50000 .* max_pixels=100,000,000"),
    "png ribbon": (png(90_000, 1, bytes(270_001)), "max_side=32,767"),
    "png that promises more": (png(900, 900, bytes(99)), "truncated"),
    "png of bad depth": (png(8, 6, bytes(99), depth=7), "the PNG"),
    "png, bad zlib": (PNG.replace(b"IDATx", b"IDATy"), "broken|the PNG"),
    "gif, header only": (b"GIF89a" + bytes(7), "the GIF header"),
    "gif, cut": (encode(PICTURE, "GIF")[:-20], "the GIF data"),
    "gif, frame over its screen": (gif(8, 12_000), "max_pixels"),
    "webp, header only": (b"RIFF\x20\0\0\0WEBPVP8 ", "the WebP header"),
    "webp, half": (encode(PICTURE, "WEBP")[:60], "the WebP"),
    "webp bomb": (webp(16_000, 16_000), "bomb"),
    "bmp, header only": (b"BM" + bytes(12), "the BMP header"),
    "bmp bomb": (bmp(40_000, 30_000), "max_pixels"),
    "bmp of no width": (bmp(0, 5), "the BMP header"),
    "bmp, no data": (bmp(100, 100), "the BMP data"),
    "tiff, header only": (b"II*\0\x08\0\0\0", "the TIFF"),
    "tiff, far directory": (b"MM\0*\xff\xff\xff\xf0", "the TIFF"),
    "tiff, a bomb in a tile": (tiled_tiff(10_016), "10016x10016 .* max_pixels"),
    "tiff, 32 bit integers": (whole(np.full((4, 4), 9, np.int32)), "no known range"),
    "tiff, floats to 255": (whole(np.full((4, 4), 255, np.float32)), r"lie in \[0, 1\]"),
    "tiff, not a number": (whole(np.full((4, 4), np.nan, np.float32)), "nan"),
    "ppm, no data": (b"P6 100 100 255\n", "the PNM data"),
    "ppm, no size": (b"P6\n", "the PNM header"),
    "ppm, bad size": (b"P6 -5 5 255\n" + bytes(75), "the PNM header"),
    "ppm, zero size": (b"P5 0 5 255\n", "the PNM header"),
    "ppm, bad levels": (b"P5 2 2 0\n" + bytes(4), "maxval"),
    "ppm bomb": (b"P4 99999 99999\n" + bytes(9), "max_pixels"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_refused_in_one_line_with_the_reason(kind, tmp_path, capfd):
    data, reason = BROKEN[kind]
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=reason) as caught:
        open_image(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    assert len(message) < len(str(path)) + 300
    assert capfd.readouterr() == ("", "")


def test_a_tile_larger_than_its_picture_is_fine_within_the_limits():
    np.testing.assert_array_equal(open_image(tiled_tiff(64)), np.zeros((16, 16, 3)))


def special_files(folder: Path) -> dict[str, tuple[object, str]]:
    os.mkfifo(folder / "pipe")
    (folder / "gone").symlink_to(folder / "nowhere")
    (folder / "loop").symlink_to(folder / "loop")
    return {
        "missing": (folder / "no.jpg", "No such file"),
        "folder": (folder, "this is a folder"),
        "pipe": (folder / "pipe", "not a regular file"),
        "device": ("/dev/zero", "not a regular file"),
        "broken link": (folder / "gone", "No such file"),
        "looping link": (folder / "loop", "symbolic links"),
        "below a file": (f"{__file__}/a.jpg", "Not a directory"),
        "null byte": ("a\0b.jpg", "null"),
        "no name": ("", "No such file"),
        "long name": ("x" * 5000, "too long"),
        "line break": ("a\nb.jpg", "No such file"),
        "address": ("https://example.org/a.jpg", "not fetched"),
        "nothing": (None, "not a picture"),
        "number": (7, "not a picture"),
        "list": ([[1, 2], [3, 4]], "not a picture"),
    }


@pytest.mark.skipif(os.name != "posix", reason="makes a named pipe")
def test_what_is_no_file_is_refused(tmp_path):
    for kind, (source, reason) in special_files(tmp_path).items():
        with pytest.raises(ImageError, match=reason) as caught:
            open_image(source)
        message = str(caught.value)
        assert message.isprintable(), kind
        assert message.startswith(describe(source)), kind


def test_a_file_without_permission_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)

    def deny(*_: object) -> int:
        raise PermissionError(13, "Permission denied", "/somewhere/else")

    monkeypatch.setattr(os, "open", deny)
    with pytest.raises(ImageError) as caught:
        open_image(path)
    assert str(caught.value) == f"{path}: Permission denied"


class Failing(io.RawIOBase):
    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        raise RuntimeError("the line\nwas cut")


def closed_file() -> io.BytesIO:
    file = io.BytesIO(PNG)
    file.close()
    return file


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (io.StringIO("text"), "mode 'rb'"),
        (closed_file(), "closed file"),
        (Failing(), "the line was cut"),
        (io.BytesIO(), "already read to its end"),
    ],
)
def test_a_file_object_that_gives_no_bytes_is_refused(file, reason):
    with pytest.raises(ImageError, match=reason) as caught:
        open_image(file)
    assert str(caught.value).startswith("file object: ")


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros(5, np.uint8), "expected shape"),
        (np.zeros((0, 5, 3), np.uint8), "empty"),
        (np.zeros((3, 20, 30), np.uint8), "transpose"),
        (np.zeros((20, 30, 2), np.uint8), "expected shape"),
        (np.zeros((2, 20, 30, 3), np.uint8), "one picture at a time"),
        (np.zeros((20, 30, 3), np.int64), "expected samples"),
        (np.zeros((20, 30, 3), np.int8), "expected samples"),
        (np.zeros((20, 30, 3), np.uint32), "expected samples"),
        (np.zeros((20, 30, 3), complex), "expected samples"),
        (np.zeros((20, 30, 3), object), "expected samples"),
        (np.full((20, 30, 3), 200.0), r"reach from 200 to 200"),
        (np.full((20, 30, 3), -0.1), r"\[0, 1\]"),
        (np.full((20, 30, 3), np.nan), r"\[0, 1\]"),
        (np.full((20, 30, 3), np.inf), r"\[0, 1\]"),
    ],
)
def test_an_array_that_could_mean_two_things_is_refused(array, reason):
    with pytest.raises(ImageError, match=reason) as caught:
        open_image(array)
    assert str(caught.value).startswith(f"{array.dtype} array {array.shape}: ")


def test_a_pil_image_that_cannot_load_is_refused():
    cut = Image.open(io.BytesIO(LONG_JPEG[:-400]))
    with pytest.raises(ImageError, match="PIL image 200x200 RGB: PIL cannot load it"):
        open_image(cut)


@pytest.mark.skipif(os.name != "posix", reason="makes a named pipe")
def test_a_pipe_put_in_place_of_a_file_does_not_block(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    status = os.stat(path)
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(os, "stat", lambda *_, **__: status)
    caught: list[BaseException] = []

    def attempt() -> None:
        try:
            open_image(path)
        except ImageError as error:
            caught.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert "no data" in str(caught[0])


OTHER = PICTURE.rotate(180)
EXIF_TAGS = Image.Exif()
EXIF_TAGS[274], EXIF_TAGS[271], EXIF_TAGS[282] = 6, "a camera maker", 72.0
EXIF = EXIF_TAGS.tobytes()
FUZZED = {
    "jpeg": encode(PICTURE, "JPEG", exif=EXIF[:20]),
    "progressive": encode(PICTURE, "JPEG", progressive=True),
    "cmyk": encode(PICTURE.convert("CMYK"), "JPEG"),
    "mpo": encode(PICTURE, "MPO", save_all=True, append_images=[OTHER]),
    "png": encode(PICTURE, "PNG", exif=EXIF[:-12]),
    "png 16": png(8, 6, bytes(range(49)) * 6, depth=16),
    "palette png": encode(PICTURE.quantize(16), "PNG", transparency=3),
    "apng": encode(PICTURE, "PNG", save_all=True, append_images=[OTHER]),
    "webp": encode(PICTURE, "WEBP", exif=EXIF[:12] + b"\xff" * 60),
    "webp lossless": encode(PICTURE, "WEBP", lossless=True),
    "gif": encode(PICTURE, "GIF", save_all=True, append_images=[OTHER], transparency=0),
    "bmp": encode(PICTURE, "BMP"),
    "tiff": encode(PICTURE, "TIFF"),
    "tiff lzw": encode(PICTURE, "TIFF", compression="tiff_lzw"),
    "tiff 16": encode(Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257), "TIFF"),
    "ppm": encode(PICTURE, "PPM"),
    "pgm text": b"P2 2 2 255 1 2 3 4",
}


@settings(max_examples=1000, deadline=None)
@given(
    kind=st.sampled_from(sorted(FUZZED)),
    edits=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255), st.integers(0, 3))),
    cut=st.none() | st.integers(0, 2**16),
)
def test_a_mutilated_file_gives_a_picture_or_an_image_error(kind, edits, cut):
    data = bytearray(FUZZED[kind])
    for place, value, action in edits:
        at = place % (len(data) + 1)
        if action == 0:
            del data[at : at + value % 9]
        elif action == 1:
            data[at:at] = bytes([value]) * (1 + value % 5)
        else:
            data[at : at + 1] = bytes([value])
    if cut is not None:
        del data[cut % (len(data) + 1) :]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            pixels = open_image(bytes(data), truncated=len(data) % 2 == 0)
        except ImageError as error:
            message = str(error)
            assert message.startswith(f"{len(data):,} bytes: ")
            assert message.isprintable()
            assert "site-packages" not in message
            assert str(Path.cwd()) not in message
            return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
