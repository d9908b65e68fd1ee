"""The manifest of weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from vultus.errors import WeightsError
from vultus.geometry import template
from vultus.runtime import list_weights, manifest, read_manifest
from vultus.runtime.converters import converter
from vultus.runtime.manifest import (
    DistributionMember,
    Download,
    Figure,
    PackagedFile,
    Preprocessing,
    parse_manifest,
)

SHA = "ab" * 32

ENTRY = f"""
[some-net]
task = "recognition"
sha256 = "{SHA}"
bytes = 12
licence = "CC0-1.0"
commercial = "yes"
homepage = "https://example.org/net"
data = "Ten drawings."
"""

SOURCE = 'source = { kind = "package", path = "models/some.onnx" }\n'


def test_every_shipped_entry_names_things_that_exist() -> None:
    weights = manifest()
    assert weights["dlib-resnet29"].licence == "CC0-1.0"
    for weight in weights.values():
        if weight.convert is not None:
            converter(weight.convert)
        if weight.task == "recognition":
            assert weight.template is not None
            template(weight.template)
            assert weight.input is not None
        assert weight.data.strip()
        assert weight.homepage.startswith("https://")


def test_list_is_sorted_and_filtered_by_task() -> None:
    ids = [weight.id for weight in list_weights()]
    assert ids == sorted(manifest())
    recognition = list_weights("recognition")
    assert {weight.task for weight in recognition} == {"recognition"}
    assert list_weights("no such task") == []


def test_all_fields_are_read() -> None:
    text = (
        ENTRY
        + SOURCE
        + """
        template = "arcface112"
        convert = "tool"
        input = { order = "bgr", mean = [1.0, 2.0, 3.0], std = [127.5] }
        [[some-net.figures]]
        metric = "accuracy"
        value = 0.5
        n = 10
        interval = [0.2, 0.8]
        on = "drawings"
        command = "vultus evaluate"
        """
    )
    weight = parse_manifest(text, "here")["some-net"]
    assert weight.source == PackagedFile("models/some.onnx")
    assert weight.input == Preprocessing(order="bgr", mean=(1.0, 2.0, 3.0), std=(127.5,))
    assert weight.figures == (
        Figure("accuracy", 0.5, "drawings", "vultus evaluate", 10, (0.2, 0.8)),
    )
    assert weight.digest == "abababababab"


@pytest.mark.parametrize(
    ("table", "source"),
    [
        ('{ kind = "url", url = "https://example.org/a" }', Download("https://example.org/a")),
        (
            '{ kind = "distribution", distribution = "dist", version = "1.0", member = "dist/a", '
            f'archive = "wheel", archive_sha256 = ["{SHA}"], python = "3.11" }}',
            DistributionMember("dist", "1.0", "dist/a", "wheel", (SHA,), python="3.11"),
        ),
    ],
)
def test_sources(table: str, source: object) -> None:
    assert parse_manifest(f"{ENTRY}source = {table}", "here")["some-net"].source == source


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (f'sha256 = "{SHA}"', 'sha256 = "ABC"', "sha256"),
        ("bytes = 12", "bytes = 0", "bytes"),
        ("bytes = 12", 'bytes = "12"', "bytes"),
        ("bytes = 12", "bytes = true", "bytes"),
        ('commercial = "yes"', 'commercial = "maybe"', "commercial"),
        ('data = "Ten drawings."', "", "data"),
        ('data = "Ten drawings."', 'data = "Ten."\ncolour = "red"', "colour"),
        ("[some-net]", '["Some Net"]', "lower-case"),
        ("kind =", "sort =", "source.kind"),
        ('"package"', '"ftp"', "source.kind"),
        ("models/some.onnx", "../some.onnx", "not a path inside"),
        ("models/some.onnx", "/etc/passwd", "not a path inside"),
        (
            'kind = "package", path = "models/some.onnx"',
            'kind = "url", url = "http://a.org/b"',
            "https",
        ),
    ],
)
def test_malformed_entries_are_named(old: str, new: str, message: str) -> None:
    text = ENTRY + SOURCE
    assert old in text
    with pytest.raises(WeightsError, match=message) as caught:
        parse_manifest(text.replace(old, new), "here.toml")
    assert "here.toml, entry" in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"order": "grb"},
        {"mean": (1.0, 2.0)},
        {"std": (0.0,)},
        {"dtype": "uint8", "std": (255.0,)},
    ],
)
def test_impossible_preprocessing_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(WeightsError, match="preprocessing"):
        Preprocessing(**values)  # type: ignore[arg-type]


def test_files_that_are_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="absent"):
        read_manifest(tmp_path / "absent.toml")
    (tmp_path / "a.toml").write_text("not toml")
    with pytest.raises(WeightsError, match=r"a\.toml: not TOML"):
        read_manifest(tmp_path / "a.toml")
    (tmp_path / "b.toml").write_text("key = 3")
    with pytest.raises(WeightsError, match="entry 'key'"):
        read_manifest(tmp_path / "b.toml")
