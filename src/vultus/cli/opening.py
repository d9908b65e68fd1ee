"""Which gallery a command means, and the key that opens it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vultus.cli.output import note

if TYPE_CHECKING:
    from vultus.gallery import Gallery, Key

GalleryArgument = Annotated[Path, typer.Argument(help="Folder of the gallery.", show_default=False)]
KeyOption = Annotated[
    Path | None,
    typer.Option(
        help="File with the gallery's key. If not given: the variable VULTUS_KEY, then the "
        "user's default key file, which the first enrolment makes."
    ),
]


def default_key_file() -> Path:
    """Return where the user's default gallery key lies."""
    import platformdirs

    return Path(platformdirs.user_config_dir("vultus")) / "gallery.key"


def gallery_key(path: Path | None, *, make: bool) -> Key:
    """Return the key of a file, of ``VULTUS_KEY``, or of the user's default file.

    With ``make`` a file that is not there is made.
    """
    import os

    from vultus.gallery import Key

    if path is None and os.environ.get("VULTUS_KEY"):
        return Key.load()
    path = path or default_key_file()
    return load_or_make(path) if make else Key.load(path)


def load_or_make(path: Path) -> Key:
    """Return the key of a file, which is made if it is not there."""
    from vultus.gallery import Key

    if path.exists():
        return Key.load(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    key = Key.generate()
    key.save(path)
    note(f"made the key {path}; without it the gallery is useless: keep a copy elsewhere")
    return key


def open_gallery(path: Path, key: Path | None, space: str | None = None) -> Gallery:
    """Open a gallery; with ``space``, one of these embeddings only."""
    from vultus.gallery import Gallery

    return Gallery.open(path, gallery_key(key, make=False), space=space)


def open_or_create(path: Path, key: Path | None, space: str, dim: int) -> Gallery:
    """Open a gallery, or make it, and if need be its key, where the folder is empty."""
    from vultus.gallery import Gallery

    if path.exists() and any(path.iterdir()):
        return open_gallery(path, key, space)
    return Gallery.create(path, space=space, dim=dim, key=gallery_key(key, make=True))
