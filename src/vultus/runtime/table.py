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
        use = {"yes": "free", "no": "research only"}.get(weight.commercial, weight.commercial)
        about = f"| {use} ({weight.licence}) | {_cell(weight.data)} |"
        head = f"| `{weight.id}` | {weight.task} | {weight.bytes / 1e6:.1f}"
        first = True
        for figure in weight.figures or (None,):
            measured = "| | " if figure is None else _measured(figure)
            lines.append(f"{head} | {measured} {about}" if first else f"| | | | {measured} | | |")
            first = False
    return "\n".join(lines)


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
