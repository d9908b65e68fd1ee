"""Settings: strict types, unknown keys refused, the file and the key in every error."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from vultus.errors import ConfigError
from vultus.settings import load_yaml, parse_value, plain, read_settings, settings


@settings
class Inner:
    kind: Literal["a", "b"]
    sizes: tuple[int, ...] = ()


@settings
class Outer:
    inner: Inner
    rate: float = 0.5
    name: str | None = None

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ValueError("rate must not be negative")


def test_reads_nested_values() -> None:
    outer = read_settings(Outer, {"inner": {"kind": "b", "sizes": [1, 2]}, "rate": 1}, "f.yaml")
    assert outer == Outer(inner=Inner(kind="b", sizes=(1, 2)), rate=1.0)
    assert read_settings(Outer, plain(outer), "again") == outer


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, ["model.inner", "required"]),
        ({"inner": {"kind": "c"}}, ["model.inner.kind", "'a' or 'b'", "'c'"]),
        ({"inner": {"kind": "a", "sizs": []}}, ["model.inner.sizs", "unknown key"]),
        ({"inner": {"kind": "a"}, "rate": "fast"}, ["model.rate", "number", "'fast'"]),
        ({"inner": {"kind": "a"}, "rate": True}, ["model.rate", "number"]),
        ({"inner": {"kind": "a", "sizes": [1.5]}}, ["model.inner.sizes.0", "integer"]),
        ({"inner": 3}, ["model.inner", "mapping"]),
        ({"inner": {"kind": "a"}, "rate": -1}, ["rate must not be negative"]),
        ({"inner": {"kind": "a"}, "rate": float("nan")}, ["f.yaml"]),
    ],
)
def test_refuses_what_does_not_fit(values: dict[str, object], words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        read_settings(Outer, values, "f.yaml", "model")
    for word in ["f.yaml", *words]:
        assert word in str(error.value)


def test_yaml_reads_exponents_as_numbers_and_refuses_repeated_keys(tmp_path: Path) -> None:
    assert parse_value("5e-4") == 5e-4
    assert parse_value("[1, a]") == [1, "a"]
    assert parse_value("1e4x") == "1e4x"
    file = tmp_path / "r.yaml"
    file.write_text("a: 1\nb: {c: 1, c: 2}\n")
    with pytest.raises(ConfigError, match=r"r\.yaml.*twice"):
        load_yaml(file)


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "a: [", "!!python/object:os.system {}"])
def test_yaml_that_is_no_plain_mapping(tmp_path: Path, text: str) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"r\.yaml"):
        load_yaml(file)


def test_yaml_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        load_yaml(tmp_path / "none.yaml")
