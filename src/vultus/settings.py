"""Typed settings: frozen dataclasses that are read from YAML and refuse what they do not know."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, field
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform

from vultus.errors import ConfigError

T = TypeVar("T")

_EXPECTED = {
    "missing": "this key is required",
    "unexpected_keyword_argument": "unknown key",
    "dataclass_type": "expected a mapping of keys",
}


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def settings(cls: type[T]) -> type[T]:
    """Make a class a frozen, keyword-only dataclass that checks the type of every field.

    Values are not coerced, except that an integer is a valid float and a list a valid tuple;
    checks between fields belong into ``__post_init__``.
    """
    from pydantic import ConfigDict
    from pydantic.dataclasses import dataclass

    config = ConfigDict(extra="forbid", strict=True)
    return dataclass(config=config, frozen=True, kw_only=True)(cls)  # type: ignore[return-value]


def read_settings(cls: type[T], values: Mapping[str, Any], where: str, prefix: str = "") -> T:
    """Build a settings class from plain values.

    Parameters
    ----------
    cls
        A class marked with :func:`settings`.
    values
        What YAML or JSON holds: mappings, lists, strings, numbers.
    where
        File or source, for the error message.
    prefix
        Dotted path of ``values`` inside that file.

    Raises
    ------
    ConfigError
        Naming the source, every offending key and what was expected there.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        text = json.dumps(values, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}; use numbers, strings, lists and mappings") from error
    try:
        # Strict JSON mode is the one that takes a list for a tuple and refuses the rest.
        return TypeAdapter(cls).validate_json(text)
    except ValidationError as error:
        lines = [_explain(detail, prefix) for detail in error.errors(include_url=False)]
        raise ConfigError(f"{where}: " + "; ".join(lines)) from error


def _explain(detail: Any, prefix: str) -> str:
    key = ".".join(part for part in (prefix, *map(str, detail["loc"])) if part) or "(top level)"
    expected = _EXPECTED.get(detail["type"])
    if expected is None:
        expected = detail["msg"].removeprefix("Value error, ")
        expected = re.sub(r"^Input should be", "expected", expected)
        if not isinstance(detail["input"], Mapping):
            expected += f", got {detail['input']!r}"
    return f"{key}: {expected}"


def plain(value: Any) -> dict[str, Any]:
    """Return a settings object as mappings, lists, strings and numbers, ready for JSON."""
    converted: dict[str, Any] = json.loads(json.dumps(asdict(value)))
    return converted


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping with YAML 1.2 floats, so that ``5e-4`` is a number.

    Raises
    ------
    ConfigError
        If the file is missing, is no valid YAML, repeats a key, or is not a mapping.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text: {error}") from error
    try:
        values = _loader()(text).get_single_data()
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a mapping of keys at the top level")
    return values


def parse_value(text: str) -> Any:
    """Return what YAML reads in a short text such as ``0.1`` or ``[1, 2]``.

    Raises
    ------
    ConfigError
        If it is no YAML.
    """
    import yaml

    try:
        return _loader()(text).get_single_data()
    except yaml.YAMLError as error:
        raise ConfigError(f"{text!r} is not a YAML value: {error}") from error


def _loader() -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """A safe loader that reads ``1e-4`` as a float and refuses repeated keys."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
            twice = {str(key) for key in keys if keys.count(key) > 1}
            if twice:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key given twice: {sorted(twice)}", node.start_mark
                )
            return super().construct_mapping(node, deep=deep)

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
        list("-+.0123456789"),
    )
    return Loader
