"""Opening whatever holds a picture, within limits; finding and saving picture files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vultus.errors import ConfigError, ImageError
from vultus.images import Limits, describe, find_images, open_image, save_image


def encode(image: Image.Image, file_format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, file_format, **options)
    return out.getvalue()


PIXELS = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
PICTURE = Image.fromarray(PIXELS)
PNG = encode(PICTURE, "PNG")


class Trickling:
    """A file that hands out seven bytes at a time, as a socket may."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, count: int) -> bytes:
        return self._file.read(min(count, 7))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".txt", ""])
def test_the_content_decides_and_not_the_name(tmp_path, suffix):
    path = tmp_path / f"picture{suffix}"
    path.write_bytes(PNG)
    np.testing.assert_array_equal(open_image(path), PIXELS)


@pytest.mark.parametrize(
    "source",
    [
        PNG,
        bytearray(PNG),
        memoryview(PNG),
        memoryview(np.repeat(np.frombuffer(PNG, np.uint8), 2))[::2],
        io.BytesIO(PNG),
        Trickling(PNG),
        PICTURE,
        PICTURE.convert("RGBA"),
        Image.open(io.BytesIO(PNG)),
        PIXELS,
        PIXELS / 255,
    ],
    ids=lambda source: type(source).__name__,
)
def test_every_kind_of_source_gives_the_same_pixels(source):
    pixels = open_image(source)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    np.testing.assert_array_equal(pixels, PIXELS)


def test_paths_may_be_strings_or_paths_with_any_letters(tmp_path):
    path = tmp_path / "Zoë ñandú 王.png"
    path.write_bytes(PNG)
    for source in (path, str(path), path.open("rb")):
        np.testing.assert_array_equal(open_image(source), PIXELS)


def test_a_bgr_array_is_turned_and_files_are_not():
    np.testing.assert_array_equal(open_image(PIXELS[..., ::-1], order="bgr"), PIXELS)
    np.testing.assert_array_equal(open_image(PNG, order="bgr"), PIXELS)
    with pytest.raises(ConfigError, match="order"):
        open_image(PIXELS, order="gbr")


@pytest.mark.parametrize(
    "source", [PNG, io.BytesIO(PNG), PICTURE, PIXELS], ids=["bytes", "file", "pil", "array"]
)
def test_every_limit_holds_at_its_edge(source):
    exact = Limits(max_bytes=len(PNG), max_pixels=48, max_side=8)
    assert open_image(source, limits=exact).shape == (6, 8, 3)
    for limits in (Limits(max_pixels=47), Limits(max_side=7)):
        if isinstance(source, io.BytesIO):
            source.seek(0)
        with pytest.raises(ImageError, match="exceed the limit max_"):
            open_image(source, limits=limits)


def test_a_long_file_is_not_read_beyond_the_limit(tmp_path):
    path = tmp_path / "long.png"
    path.write_bytes(PNG + bytes(10_000))
    file = path.open("rb")
    for source in (path, file, path.read_bytes()):
        with pytest.raises(ImageError, match=r"bytes exceed the limit of 1,000; raise it with"):
            open_image(source, limits=Limits(max_bytes=1000))
    assert file.tell() == 1001


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (Path("a/b.jpg"), str(Path("a/b.jpg"))),
        ("a\n\tb.jpg", r"a\n\tb.jpg"),
        ("\udcff.jpg", r"\udcff.jpg"),
        (b"12345" * 1000, "5,000 bytes"),
        (np.zeros((4, 5), np.uint16), "uint16 array (4, 5)"),
        (PICTURE, "PIL image 8x6 RGB"),
        (io.BytesIO(), "file object"),
        (3.5, "float object"),
    ],
)
def test_describe_names_a_source_in_a_few_words(source, name):
    assert describe(source) == name


def test_describe_shortens_long_names():
    name = describe("a" * 900 + ".jpg")
    assert len(name) == 200
    assert name.endswith("aaa.jpg")


@pytest.fixture
def album(tmp_path):
    """Two folders deep, with links that loop and names that are no pictures."""
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.png", "in/c.webp", "in/.git/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(PNG)
    (tmp_path / "in" / "up").symlink_to(tmp_path)
    (tmp_path / "z.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "broken.png").symlink_to(tmp_path / "nowhere")
    return tmp_path


def names(found: list[Path], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in found]


def test_find_images_lists_each_picture_once_in_order(album):
    assert names(find_images([album]), album) == ["a.png", "b.JPG", "in/c.webp"]
    assert names(find_images(album, recursive=False), album) == ["a.png", "b.JPG"]
    again = [album / "in", album, album / "b.JPG", str(album / "in" / ".." / "a.png")]
    assert len(find_images(again)) == 3


def test_find_images_takes_named_files_whatever_they_are_called(album):
    assert names(find_images([album / "notes.txt"]), album) == ["notes.txt"]
    assert names(find_images([album / ".hidden.png"]), album) == [".hidden.png"]
    assert find_images([]) == []


@pytest.mark.parametrize("name", ["nowhere", "broken.png", "a\0b"])
def test_find_images_refuses_what_is_not_there(album, name):
    with pytest.raises(ImageError, match=r"No such file|null"):
        find_images([album, album / name])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".webp"])
def test_a_saved_picture_reads_back(tmp_path, suffix, astronaut):
    path = tmp_path / f"out{suffix}"
    path.write_bytes(b"old")
    save_image(path, astronaut)
    error = np.abs(open_image(path).astype(int) - astronaut)
    assert error.mean() == 0 if suffix == ".png" else error.mean() < 2.5
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("name", "image", "reason"),
    [
        ("a.gif", PIXELS, "use one of .png"),
        ("a", PIXELS, "use one of .png"),
        ("a.png", PIXELS / 255, "uint8"),
        ("a.png", PIXELS[..., 0], "expected shape"),
        ("a.png", PIXELS[:0], "expected shape"),
        ("a.png", PICTURE, "uint8"),
        ("a.webp", np.zeros((1, 20_000, 3), np.uint8), "cannot be encoded"),
        ("nowhere/a.png", PIXELS, "No such file"),
        ("taken.png", PIXELS, "directory"),
    ],
)
def test_a_picture_that_cannot_be_saved_leaves_nothing_behind(tmp_path, name, image, reason):
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(ImageError, match=reason):
        save_image(tmp_path / name, image)
    assert [p.name for p in tmp_path.iterdir()] == ["taken.png"]


def test_saving_refuses_an_impossible_quality(tmp_path):
    with pytest.raises(ConfigError, match="quality"):
        save_image(tmp_path / "a.jpg", PIXELS, quality=0)
