"""Every kind of sound picture decodes to the right pixels, and metadata does no harm."""

from __future__ import annotations

import io
import struct
import warnings
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile

from vultus.decoding import Limits, rgb_from_array
from vultus.errors import ConfigError, ImageError
from vultus.images import open_image

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def encode(image: Image.Image, file_format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, file_format, **options)
    return out.getvalue()


def solid(mode: str, value: object, size: tuple[int, int] = (8, 6)) -> Image.Image:
    return Image.new(mode, size, value)


def second_of_two() -> Image.Image:
    image = solid("P", 1)
    image.putpalette([10, 20, 30, 200, 0, 0])
    return image


def tiff(
    data: bytes, size: tuple[int, int], bits: int, photometric: int = 1, kind: int = 1
) -> bytes:
    """An uncompressed little-endian TIFF of one strip and one sample per pixel."""
    tags = {256: size[0], 257: size[1], 258: bits, 259: 1, 262: photometric, 273: 8}
    tags |= {277: 1, 278: size[1], 279: len(data), 339: kind}
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + body + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory


def icc(gamma: float, class_: bytes = b"mntr", space: bytes = b"RGB ") -> bytes:
    """An ICC 2 matrix profile with the sRGB primaries (adapted to D50) and a power curve."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    columns = {
        b"rXYZ": (0.4360, 0.2225, 0.0139),
        b"gXYZ": (0.3851, 0.7169, 0.0971),
        b"bXYZ": (0.1431, 0.0606, 0.7141),
        b"wtpt": (0.9642, 1.0, 0.8249),
    }
    parts = {name: b"XYZ \0\0\0\0" + fixed(*xyz) for name, xyz in columns.items()}
    curve = b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(gamma * 256), 0)
    parts |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC", b"kTRC"), curve)
    table, body, offset = b"", b"", 128 + 4 + 12 * len(parts)
    for name, part in parts.items():
        table += name + struct.pack(">II", offset + len(body), len(part))
        body += part
    total = offset + len(body)
    head = struct.pack(">I4xI", total, 0x02100000) + class_ + space + b"XYZ " + bytes(12)
    head += b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + struct.pack(">I", len(parts)) + table + body


def progressive_of_many_scans() -> bytes:
    data = encode(Image.fromarray(RAMP).resize((64, 64)), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    return data[:start] + data[start:-2] * 150 + data[-2:]


GREY16 = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
COLOUR16 = np.stack([GREY16, GREY16[::-1], np.ascontiguousarray(GREY16.T)], -1)


def cv2_encode(suffix: str, bgr: np.ndarray) -> bytes:
    return cv2.imencode(suffix, bgr)[1].tobytes()


def packed_12_bits(values: np.ndarray) -> bytes:
    pairs = values.reshape(-1, 2).astype(np.uint32)
    joined = pairs[:, 0] << 12 | pairs[:, 1]
    return b"".join(int(v).to_bytes(3, "big") for v in joined)


WHITE, RED = (255, 255, 255), (255, 0, 0)
CLEAR = solid("RGBA", (0, 0, 255, 0))

# name -> (bytes, the one colour that every pixel has, tolerance)
SOLID = {
    "grey jpeg": (encode(solid("L", 90), "JPEG"), (90, 90, 90), 1),
    "progressive jpeg": (encode(solid("RGB", (9, 80, 40)), "JPEG", progressive=1), (9, 80, 40), 3),
    "cmyk jpeg": (encode(solid("CMYK", (0, 255, 255, 0)), "JPEG", quality=100), RED, 3),
    "cmyk jpeg, black ink": (encode(solid("CMYK", (0, 0, 0, 255)), "JPEG"), (0, 0, 0), 3),
    "cmyk tiff": (encode(solid("CMYK", (255, 0, 0, 0)), "TIFF"), (0, 255, 255), 0),
    "ycbcr tiff": (encode(solid("YCbCr", (76, 85, 255)), "TIFF"), RED, 2),
    "lab tiff": (encode(solid("LAB", (255, 128, 128)), "TIFF"), WHITE, 2),
    "palette png": (encode(second_of_two(), "PNG"), (200, 0, 0), 0),
    "1 bit png": (encode(solid("1", 1), "PNG"), WHITE, 0),
    "1 bit tiff, fax": (encode(solid("1", 1), "TIFF", compression="group4"), WHITE, 0),
    "pbm text": (b"P1\n2 2\n1 1\n1 1\n", (0, 0, 0), 0),
    "pgm text, 10 levels": (b"P2 2 1 10 5 5", (128, 128, 128), 0),
    "ppm, a comment": (b"P6\n# by hand\n1 1\n255\n\1\2\3", (1, 2, 3), 0),
    "float pfm": (encode(solid("F", 0.5), "PPM"), (128, 128, 128), 0),
    "clear png": (encode(CLEAR, "PNG"), WHITE, 0),
    "clear webp": (encode(CLEAR, "WEBP", lossless=True, exact=True), WHITE, 0),
    "png, a fifth of black": (encode(solid("RGBA", (0, 0, 0, 51)), "PNG"), (204, 204, 204), 0),
    "grey alpha png": (encode(solid("LA", (100, 255)), "PNG"), (100, 100, 100), 0),
    "palette, index clear": (encode(second_of_two(), "PNG", transparency=1), WHITE, 0),
    "palette, alpha": (encode(second_of_two(), "PNG", transparency=b"\xff\0"), WHITE, 0),
    "palette, other clear": (encode(second_of_two(), "PNG", transparency=0), (200, 0, 0), 0),
    "rgb, clear colour": (encode(solid("RGB", RED), "PNG", transparency=RED), WHITE, 0),
    "grey, clear level": (encode(solid("L", 9), "PNG", transparency=9), WHITE, 0),
    "clear gif": (encode(second_of_two(), "GIF", transparency=1), WHITE, 0),
    "bmp": (encode(solid("RGB", (1, 2, 3)), "BMP"), (1, 2, 3), 0),
    "tiff, lzw": (encode(solid("RGB", RED), "TIFF", compression="tiff_lzw"), RED, 0),
    "tiff, float": (tiff(np.full(12, 0.2, "<f4").tobytes(), (4, 3), 32, kind=3), (51, 51, 51), 0),
    "jpeg, junk behind": (encode(solid("L", 90), "JPEG") + b"junk" * 99, (90, 90, 90), 1),
}


@pytest.mark.parametrize("kind", SOLID)
def test_a_picture_of_one_colour_has_that_colour(kind):
    data, colour, tolerance = SOLID[kind]
    pixels = open_image(data).astype(int)
    assert np.abs(pixels - colour).max() <= tolerance


FIRST, SECOND = solid("RGB", (250, 10, 10)), solid("RGB", (10, 10, 250))


@pytest.mark.parametrize(
    "data",
    [
        encode(FIRST, "GIF", save_all=True, append_images=[SECOND]),
        encode(FIRST, "PNG", save_all=True, append_images=[SECOND]),
        encode(FIRST, "WEBP", save_all=True, append_images=[SECOND], quality=100),
        encode(FIRST, "TIFF", save_all=True, append_images=[SECOND]),
        encode(FIRST, "MPO", save_all=True, append_images=[SECOND]),
    ],
    ids=["gif", "apng", "webp", "tiff", "mpo"],
)
def test_the_first_of_several_frames_is_taken(data):
    assert np.abs(open_image(data).astype(int) - (250, 10, 10)).max() < 12


@pytest.mark.parametrize(
    "data",
    [
        encode(Image.fromarray(GREY16), "PNG"),
        encode(Image.fromarray(GREY16), "TIFF"),
        encode(Image.fromarray(GREY16.astype(np.int32)), "PPM"),
        cv2_encode(".png", GREY16),
        tiff((65535 - GREY16).astype("<u2").tobytes(), (16, 16), 16, photometric=0),
        tiff(packed_12_bits(GREY16 >> 4), (16, 16), 12),
    ],
    ids=["png", "tiff", "pgm", "png by opencv", "tiff, white is zero", "tiff of 12 bits"],
)
def test_16_bit_grey_is_scaled_to_its_high_byte(data):
    np.testing.assert_array_equal(open_image(data), np.stack([RAMP] * 3, -1))


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".ppm"])
def test_16_bit_colour_is_scaled_to_its_high_byte(suffix):
    data = cv2_encode(suffix, COLOUR16[..., ::-1].copy())
    np.testing.assert_array_equal(open_image(data), COLOUR16 >> 8)


def test_16_bit_colour_with_alpha_lies_on_white():
    alpha = np.full((16, 16, 1), 65535, np.uint16)
    alpha[:8] = 0
    data = cv2_encode(".png", np.concatenate([COLOUR16[..., ::-1], alpha], -1))
    pixels = open_image(data)
    assert (pixels[:8] == 255).all()
    np.testing.assert_array_equal(pixels[8:], COLOUR16[8:] >> 8)


#: What each orientation does to the stored rows to show them upright (TIFF 6.0, tag 274).
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}
STORED = np.arange(4 * 7 * 3, dtype=np.uint8).reshape(4, 7, 3) * 3


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_the_exif_orientation_is_applied(file_format, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = encode(Image.fromarray(STORED), file_format, exif=exif, **options)
    expected = UPRIGHT[orientation](STORED)
    np.testing.assert_array_equal(open_image(data), expected)
    np.testing.assert_array_equal(open_image(Image.open(io.BytesIO(data))), expected)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_the_exif_orientation_of_a_jpeg_is_applied(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    stored = np.zeros((32, 64, 3), np.uint8)
    stored[:16, :16], stored[:16, 48:] = 255, 128
    pixels = open_image(encode(Image.fromarray(stored), "JPEG", exif=exif, quality=100))
    expected = UPRIGHT[orientation](stored).astype(int)
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).max() < 12


def damaged_exif() -> list[bytes]:
    exif = Image.Exif()
    exif[274], exif[271], exif[282] = 6, "a camera maker", 72.0
    whole = exif.tobytes()
    return [
        whole[:20],
        whole[:-12],
        whole[:12] + b"\xff" * (len(whole) - 12),
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\x7f",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12" * 40,
        whole.replace(b"\0\x06", b"\0\x63"),
        whole.replace(b"\x06\0", b"\x63\0"),
    ]


@pytest.mark.parametrize("exif", damaged_exif())
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_a_damaged_exif_block_harms_nothing(exif, file_format, recwarn):
    data = encode(solid("RGB", (90, 90, 90), (9, 5)), file_format, exif=exif)
    pixels = open_image(data)
    assert pixels.shape[:2] in ((5, 9), (9, 5))
    assert np.abs(pixels.astype(int) - 90).max() < 3
    assert not recwarn.list


def test_pil_warnings_do_not_leak_and_the_filters_stay(recwarn):
    exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0\x0f\x01\x02\0\xff\0\0\0\x40\0\0\0\x12\x01\x03\0\1\0\0\0"
    data = encode(solid("RGB", 0), "JPEG", exif=exif)
    with pytest.warns(UserWarning, match="EXIF"):
        dict(Image.open(io.BytesIO(data)).getexif())
    before = list(warnings.filters)
    recwarn.clear()
    open_image(data)
    assert not recwarn.list
    assert list(warnings.filters) == before


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_colour_profile_is_converted_to_srgb(file_format):
    # A linear 128/255 is 0.737 in sRGB (IEC 61966-2-1): level 188.
    data = encode(solid("RGB", (128, 128, 128)), file_format, icc_profile=icc(1.0))
    assert np.abs(open_image(data).astype(int) - 188).max() <= 2


def test_a_grey_colour_profile_is_converted_too():
    data = encode(solid("L", 128), "PNG", icc_profile=icc(1.0, space=b"GRAY"))
    assert np.abs(open_image(data).astype(int) - 188).max() <= 1


@pytest.mark.parametrize(
    "profile",
    [
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        b"no profile",
        icc(2.2)[:200],
        icc(1.0, space=b"CMYK"),
        icc(1.0, class_=b"link"),
        bytes(3000),
    ],
    ids=["srgb", "text", "cut", "wrong space", "device link", "zeros"],
)
def test_srgb_and_unusable_profiles_leave_the_pixels_alone(profile):
    image = Image.fromarray(STORED)
    np.testing.assert_array_equal(open_image(encode(image, "PNG", icc_profile=profile)), STORED)


def test_a_large_picture_is_copied_out_whole(rng):
    pixels = rng.integers(0, 256, (701, 803, 3), dtype=np.uint8)
    np.testing.assert_array_equal(open_image(encode(Image.fromarray(pixels), "BMP")), pixels)


def test_jpeg_pixels_agree_with_opencv(astronaut):
    data = encode(Image.fromarray(astronaut), "JPEG", quality=90)
    theirs = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(open_image(data).astype(int) - theirs).max() <= 2


def test_a_cut_jpeg_opens_only_when_asked(astronaut):
    data = encode(Image.fromarray(astronaut), "JPEG")
    with pytest.raises(ImageError, match="truncated=True"):
        open_image(data[: len(data) // 2])
    whole, part = open_image(data), open_image(data[: len(data) // 2], truncated=True)
    np.testing.assert_array_equal(part[:200], whole[:200])
    assert np.ptp(part[-8:]) == 0


def test_a_scan_bomb_is_refused():
    with pytest.raises(ImageError, match="more than 100 scans"):
        open_image(progressive_of_many_scans())


def test_nothing_of_pil_that_is_global_is_used(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("Image.open tries every plugin")

    data = encode(solid("RGB", (1, 2, 3)), "PNG")
    monkeypatch.setattr(Image, "open", refuse)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    assert open_image(data).shape == (6, 8, 3)
    assert Image.MAX_IMAGE_PIXELS == 4
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_threads_agree(astronaut):
    small = Image.fromarray(astronaut).resize((64, 64))
    exif = damaged_exif()[2]
    files = [encode(small, f, exif=exif) for f in ("JPEG", "PNG", "WEBP")]
    files.append(encode(small, "TIFF"))
    files.append(encode(small, "JPEG", icc_profile=icc(1.8)))
    alone = [open_image(f) for f in files]
    with ThreadPoolExecutor(8) as pool:
        for i, pixels in enumerate(pool.map(open_image, files * 20)):
            np.testing.assert_array_equal(pixels, alone[i % len(files)])


@pytest.mark.parametrize("name", ["max_bytes", "max_pixels", "max_side"])
def test_limits_below_one_are_refused(name):
    with pytest.raises(ConfigError, match=name):
        Limits(**{name: 0})


BGRA = np.array([[[1, 2, 3, 255], [9, 9, 9, 0]]], np.uint8)


@pytest.mark.parametrize(
    ("array", "order", "expected"),
    [
        (np.full((2, 3), 7, np.uint8), "rgb", 7),
        (np.full((2, 3, 1), 7, np.uint8), "bgr", 7),
        (np.full((2, 3), True), "rgb", 255),
        (np.full((2, 3, 3), 0xABCD, np.uint16), "rgb", 0xAB),
        (np.full((2, 3, 3), 0xABCD, ">u2"), "rgb", 0xAB),
        (np.full((2, 3, 3), 0.5), "rgb", 128),
        (np.full((2, 3), 1.0000001, np.float32), "rgb", 255),
        (np.full((2, 3), 0.25, np.float16), "rgb", 64),
        (np.array([[[1, 2, 3]]], np.uint8), "rgb", [[[1, 2, 3]]]),
        (np.array([[[1, 2, 3]]], np.uint8), "bgr", [[[3, 2, 1]]]),
        (np.arange(12, dtype=np.uint8).reshape(2, 2, 3)[:, ::-1, ::-1], "bgr",
         np.arange(12).reshape(2, 2, 3)[:, ::-1]),
        (BGRA, "bgr", [[[3, 2, 1], [255, 255, 255]]]),
        (BGRA, "rgb", [[[1, 2, 3], [255, 255, 255]]]),
        (np.array([[[0, 0, 0, 0.2]]]), "rgb", 204),
    ],
)  # fmt: skip
def test_arrays_of_every_declared_kind(array, order, expected):
    pixels = rgb_from_array(array, "array", order)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.shape == (*array.shape[:2], 3)
    np.testing.assert_array_equal(pixels, np.broadcast_to(expected, pixels.shape))
