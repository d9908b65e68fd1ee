"""The manifest as a Markdown table: what each weight is, costs, and was measured at."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from vultus.errors import ConfigError
from vultus.runtime.manifest import Figure, Weight

_HEAD = "| weight | task | MB | measured | on | n | use | trained on |\n|-|-|-|-|-|-|-|-|"


def weights_table(weights: Iterable[Weight]) -> str:
    """Return a Markdown table with a line for every figure of every weight.

    Figures and their commands are those of the manifest; the model cards hold the commands.
    """
    lines = [_HEAD]
    for weight in weights:
        about = f"| {_use(weight)} | {_cell(weight.data)} |"
        head = f"| `{weight.id}` | {weight.task} | {weight.bytes / 1e6:.1f}"
        first = True
        for figure in weight.figures or (None,):
            measured = "| | " if figure is None else _measured(figure)
            lines.append(f"{head} | {measured} {about}" if first else f"| | | | {measured} | | |")
            first = False
    return "\n".join(lines)


def brief_table(weights: Iterable[Weight]) -> str:
    """Return a Markdown table with one line per weight: size, speed, first figure, use.

    The first figure of a weight that is no time is its headline; times are processor milliseconds
    of one face or picture on one thread.
    """
    lines = ["| weight | task | MB | ms | measured | on | n | use |\n|-|-|-|-|-|-|-|-|"]
    for weight in weights:
        times = [f for f in weight.figures if f.metric.startswith("milliseconds")]
        others = [f for f in weight.figures if not f.metric.startswith("milliseconds")]
        time = f"{times[0].value:g}" if times else ""
        head = f"| `{weight.id}` | {weight.task} | {weight.bytes / 1e6:.1f} | {time}"
        measured = _measured(others[0]) if others else "| | "
        lines.append(f"{head} | {measured} | {_use(weight)} |")
    return "\n".join(lines)


def _use(weight: Weight) -> str:
    use = {"yes": "free", "no": "research only"}.get(weight.commercial, weight.commercial)
    return f"{use} ({weight.licence})"


def _measured(figure: Figure) -> str:
    value = f"{figure.value:g}"
    if figure.interval is not None:
        value += f" [{figure.interval[0]:g}, {figure.interval[1]:g}]"
    count = "" if figure.n is None else str(figure.n)
    return f"{_cell(figure.metric)}: {value} | {_cell(figure.on)} | {count}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def write_marked(path: Path, name: str, text: str) -> None:
    """Replace what stands between ``<!-- NAME -->`` and ``<!-- /NAME -->`` in a file.

    Raises
    ------
    ConfigError
        If the file cannot be read or lacks the two marks.
    """
    try:
        page = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    if len(pattern.findall(page)) != 1:
        raise ConfigError(f"{path}: expected {start} and {end} once, around the table")
    path.write_text(pattern.sub(lambda _: f"{start}\n{text}\n{end}", page), encoding="utf-8")
