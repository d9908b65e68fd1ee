"""What commands share: options, JSON or text on standard output, progress and errors on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

T = TypeVar("T")

#: Exit codes, the same for every command.
OK, FAILED, BAD_INPUT, SKIPPED = 0, 1, 2, 3

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
ProviderOption = Annotated[
    str, typer.Option(help="Where networks run: cpu, cuda, openvino. Never replaced silently.")
]
DetectorOption = Annotated[
    str | None,
    typer.Option(
        help="Which detector: blazeface, dlib-frontal, mos, mos-mesh; blazeface if not given."
    ),
]
RecognizerOption = Annotated[
    str | None,
    typer.Option(
        "--recognizer",
        help="Which recogniser: compact-recogniser (if not given) or dlib-resnet29. "
        "Templates of different recognisers are never compared.",
    ),
]
ThreadsOption = Annotated[
    int | None, typer.Option(min=1, help="Threads per network; the runtime's choice if not given.")
]
CalibrationOption = Annotated[
    Path | None,
    typer.Option(help="Thresholds measured by 'vultus calibrate', instead of the packaged ones."),
]
MinQualityOption = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Refuse faces of a lower overall quality; the measured one if not given."
    ),
]
NoQualityGateOption = Annotated[
    bool, typer.Option("--no-quality-gate", help="Take faces of any quality.")
]
SourcesArgument = Annotated[
    list[Path], typer.Argument(help="Pictures and folders of pictures.", show_default=False)
]


def print_json(data: Any) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(data, indent=2, allow_nan=False))


def print_line(data: Any) -> None:
    """Print one JSON document on one line, for streams of results."""
    typer.echo(json.dumps(data, allow_nan=False))


def note(message: str) -> None:
    """Tell the user something on standard error."""
    typer.echo(message, err=True)


def fail(message: str, code: int = BAD_INPUT) -> NoReturn:
    """End the command with a one-line error."""
    note(f"error: {message}")
    raise typer.Exit(code)


@contextmanager
def progress_bar(description: str, total: int | None) -> Iterator[Callable[[object], None]]:
    """Show a progress bar on standard error, if that is a terminal.

    Yields
    ------
    A function that advances the bar by one; what it is given does not matter.
    """
    if not sys.stderr.isatty() or total == 1:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total)
        yield lambda _: progress.advance(task)


@contextmanager
def byte_progress(description: str) -> Iterator[Callable[[int, int | None], None] | None]:
    """Show how much of a file has come, on standard error, if that is a terminal.

    Yields
    ------
    A function of the bytes so far and the total, or None where nothing is shown.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield the items with a progress bar."""
    with progress_bar(description, total) as step:
        for item in items:
            yield item
            step(item)


def table(columns: Iterable[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Print a table on standard output; numbers are right-aligned."""
    from rich.console import Console
    from rich.table import Table

    rows = list(rows)
    out = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[i], (int, float)) for row in rows)
        out.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        out.add_row(*(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row))
    # Wide enough for scripts, where there is no terminal to ask for its width.
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(out)


def least_quality(min_quality: float | None, no_gate: bool) -> float | None:
    """Return the threshold of the quality gate, or None for none."""
    from vultus.quality.gate import MIN_QUALITY

    if no_gate and min_quality is not None:
        fail("give --min-quality or --no-quality-gate, not both")
    if no_gate:
        return None
    return MIN_QUALITY if min_quality is None else min_quality


def pictures(paths: list[Path]) -> list[Path]:
    """Return the pictures below the given paths; end the command if there are none."""
    from vultus.images import find_images

    found = find_images(paths)
    if not found:
        fail(f"no pictures in {', '.join(map(str, paths))}")
    return found
