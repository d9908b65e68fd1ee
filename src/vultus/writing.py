"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a place beside a file to write to; it takes the file's place when the block ends.

    After an error, also one of the block, the file is as it was, and the place is cleared. Two
    processes that write the same file do not meet; the last one to end leaves its content.

    Parameters
    ----------
    path
        The file; its folder must exist.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
