"""What the pages of one application share: templates, files, sessions, ways back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from vultus import __version__
from vultus.service.pages import wording
from vultus.service.pages.sessions import Sessions
from vultus.service.pages.undoing import Shelf

_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file that pages load."""

    data: bytes
    kind: str


class Console:
    """Templates and files, loaded once, and what the process remembers of its visitors."""

    def __init__(self) -> None:
        self.sessions = Sessions()
        self.shelf = Shelf()
        self.files: Mapping[str, StaticFile] = _files()
        # One for all: scripts name one another by relative addresses.
        every = b"".join(self.files[name].data for name in sorted(self.files))
        self.edition = hashlib.sha256(every).hexdigest()[:12]
        self._environment = Environment(
            loader=PackageLoader("vultus.service.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {"asset": self.asset, "version": __version__}
        self._environment.filters |= wording.FILTERS

    def asset(self, name: str) -> str:
        """Return the address of a file of the package; it changes with the files."""
        assert name in self.files, name
        return f"/static/{self.edition}/{name}"

    def render(self, template: str, values: Mapping[str, Any]) -> str:
        """Return a template filled in."""
        return self._environment.get_template(template).render(values)


def _files() -> dict[str, StaticFile]:
    found = {}
    for entry in (resources.files("vultus.service.pages") / "static").iterdir():
        suffix = "." + entry.name.rpartition(".")[2]
        if suffix in _KINDS:
            found[entry.name] = StaticFile(entry.read_bytes(), _KINDS[suffix])
    return found
