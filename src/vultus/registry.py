"""The one decorator that makes a published system known to the whole package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from vultus.errors import ConfigError

T = TypeVar("T", bound=Callable[..., Any])


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
    """Mark a class or function as the way into a system, and return it unchanged."""

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
