"""Reading folders and lists so that what is missing is named."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from vultus.errors import DatasetError
from vultus.images import SUFFIXES

#: Entries that a message about a folder lists.
_SHOWN = 5


def folder(root: Path | str, expected: str) -> Path:
    """Return the folder as a path.

    Parameters
    ----------
    root
        What the caller gave.
    expected
        The layout that the reader knows, for the message.

    Raises
    ------
    DatasetError
        If it is not a folder.
    """
    path = Path(root)
    if not path.is_dir():
        state = "is not a folder" if path.exists() else "does not exist"
        raise DatasetError(f"{path} {state}; expected {expected}")
    return path


def unexpected(root: Path, expected: str) -> DatasetError:
    """Return the error for a folder of another layout: what was expected and what is there."""
    names = sorted(entry.name + "/" * entry.is_dir() for entry in root.iterdir())
    shown = ", ".join(names[:_SHOWN]) or "nothing"
    if len(names) > _SHOWN:
        shown += f" and {len(names) - _SHOWN} more"
    return DatasetError(f"{root}: expected {expected}; found {shown}")


def pictures(root: Path) -> list[Path]:
    """Return the picture files directly inside a folder, sorted; hidden files are left out."""
    return sorted(
        path
        for path in root.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def folders(root: Path) -> list[Path]:
    """Return the folders directly inside a folder, sorted; hidden ones are left out."""
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def lines(path: Path, expected: str) -> list[str]:
    """Return the lines of a text file without the line ends and the empty lines at its end.

    Raises
    ------
    DatasetError
        If there is no such file or it is not text.
    """
    try:
        return path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except FileNotFoundError:
        raise DatasetError(f"{path} does not exist; expected {expected}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{path}: cannot be read as text ({error}); expected {expected}"
        ) from error


def rows(
    path: Path, columns: Sequence[str], width: int, expected: str
) -> list[tuple[str, list[str]]]:
    """Return the rows of a CSV file below its header, each with its place for messages.

    Parameters
    ----------
    path
        The file.
    columns
        Names that the header starts with.
    width
        Number of fields of every row.
    expected
        The layout, for messages.

    Raises
    ------
    DatasetError
        If the file is missing, is not CSV, has another header, or a row has other fields.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            found = [(f"{path}, line {reader.line_num}", row) for row in reader if row]
    except FileNotFoundError:
        raise DatasetError(f"{path} does not exist; expected {expected}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: cannot be read as CSV: {error}") from error
    if header[: len(columns)] != list(columns):
        raise DatasetError(f"{path}: expected {expected}")
    for where, row in found:
        if len(row) != width:
            raise DatasetError(f"{where}: {len(row)} fields, expected {width}")
    return found


def numbers(fields: Iterable[str], where: str) -> list[float]:
    """Return fields as numbers; raise :class:`DatasetError` naming the place."""
    values = []
    for text in fields:
        try:
            values.append(float(text))
        except ValueError:
            raise DatasetError(f"{where}: {text!r} is not a number") from None
    return values
