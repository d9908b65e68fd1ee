"""The one decorator that makes a published system known to the whole package."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vultus.errors import ConfigError

T = TypeVar("T", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Entry:
    """What a system's declaration says, known without importing the system.

    Parameters
    ----------
    slug
        Name on the command line, in ``recipes/`` and in ``reproductions/``.
    paper
        Number of the paper in the project's list, 1 to 44.
    task
        Room that it lives in, for example ``liveness``.
    module
        Module whose import registers it.
    summary
        First line of the docstring of what the decorator marks.
    """

    slug: str
    paper: int
    task: str
    module: str
    summary: str


@dataclass(frozen=True, slots=True)
class System:
    """A published system.

    Parameters
    ----------
    slug
        Name on the command line, in ``recipes/`` and in ``reproductions/``.
    paper
        Number of the paper in the project's list, 1 to 44.
    task
        Room that it lives in, for example ``liveness``.
    build
        The class or function that the decorator marked.
    """

    slug: str
    paper: int
    task: str
    build: Callable[..., Any]


_SYSTEMS: dict[str, System] = {}


def system(slug: str, *, paper: int, task: str) -> Callable[[T], T]:
    """Mark a class or function as the way into a system, and return it unchanged.

    The arguments must be literals: :func:`catalogue` reads them from the source.

    Raises
    ------
    ConfigError
        If another class or function has the slug.
    """

    def mark(build: T) -> T:
        known = _SYSTEMS.get(slug)
        # A module that is loaded again declares its own system again; any other may not.
        if known and _place(known.build) != _place(build):
            raise ConfigError(f"system {slug!r} is declared twice: {known.build} and {build}")
        _SYSTEMS[slug] = System(slug, paper, task, build)
        return build

    return mark


def _place(build: Callable[..., Any]) -> tuple[str, str]:
    return build.__module__, build.__qualname__


def systems() -> dict[str, System]:
    """Return the systems whose modules were imported, by slug."""
    return dict(sorted(_SYSTEMS.items(), key=lambda item: item[1].paper))


def catalogue(package: Path | None = None) -> Mapping[str, Entry]:
    """Return every declared system by slug, in the order of the papers, importing none.

    The source files are searched for the decorator, so that its line stays the only place where
    a system is declared and a listing needs no PyTorch.

    Parameters
    ----------
    package
        Folder of the package; the installed one if not given.

    Raises
    ------
    ConfigError
        If a slug is declared twice or a declaration's arguments are not literals.
    """
    root = package or Path(__file__).parent
    found: dict[str, Entry] = {}
    for file in sorted(root.glob("*/**/*.py")):
        text = file.read_text(encoding="utf-8")
        if "@system(" not in text:
            continue
        parts = (root.name, *file.relative_to(root).with_suffix("").parts)
        module = ".".join(part for part in parts if part != "__init__")
        for entry in _declarations(text, module):
            if entry.slug in found:
                raise ConfigError(
                    f"system {entry.slug!r} is declared in {found[entry.slug].module} "
                    f"and in {module}"
                )
            found[entry.slug] = entry
    return dict(sorted(found.items(), key=lambda item: item[1].paper))


def _declarations(text: str, module: str) -> Iterator[Entry]:
    for node in ast.parse(text).body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        for call in node.decorator_list:
            if not (isinstance(call, ast.Call) and getattr(call.func, "id", "") == "system"):
                continue
            try:
                slug = ast.literal_eval(call.args[0])
                words = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
                paper, task = words["paper"], words["task"]
            except (ValueError, KeyError, IndexError) as error:
                raise ConfigError(
                    f"{module}, line {call.lineno}: write @system with literals, "
                    '@system("slug", paper=1, task="room")'
                ) from error
            summary = (ast.get_docstring(node) or "").split("\n", 1)[0]
            yield Entry(slug, paper, task, module, summary)


def load_system(slug: str) -> System:
    """Import the module that declares a system, and return it.

    Parameters
    ----------
    slug
        Of one of the package's systems, or ``module:Name`` for a system of one's own.

    Raises
    ------
    ConfigError
        If there is no such system.
    """
    if ":" in slug:
        module, _, name = slug.partition(":")
        try:
            return System(slug, 0, "own", getattr(importlib.import_module(module), name))
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"system {slug!r} cannot be imported: {error}") from error
    if slug not in _SYSTEMS:
        known = catalogue()
        if slug not in known:
            raise ConfigError(f"unknown system {slug!r}; known: {sorted(known)}")
        importlib.import_module(known[slug].module)
    return _SYSTEMS[slug]
