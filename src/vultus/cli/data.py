"""Commands on data sets: list and check."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from vultus.cli.output import JsonOption, print_json, table

app = typer.Typer(
    help="Data sets: which are known, their terms, which are here. None is downloaded.",
    no_args_is_help=True,
)

RootOption = Annotated[
    Path | None, typer.Option(help="Data folder; the variable VULTUS_DATA if not given.")
]


@app.command("list")
def list_(root: RootOption = None, json: JsonOption = False) -> None:
    """List the known sets with tasks and terms, and where each lies."""
    from vultus.datasets.catalogue import ENTRIES, find
    from vultus.errors import ConfigError

    places: dict[str, Path | None]
    try:
        places = {entry.key: find(entry.key, root) for entry in ENTRIES}
    except ConfigError:
        if root is not None:
            raise
        places = {entry.key: None for entry in ENTRIES}
    if json:
        print_json(
            [
                entry.to_dict() | {"path": str(places[entry.key]) if places[entry.key] else None}
                for entry in ENTRIES
            ]
        )
        return
    table(
        ("set", "tasks", "commercial use", "terms", "here"),
        [
            [e.key, ", ".join(e.tasks), e.commercial, e.terms, "yes" if places[e.key] else "no"]
            for e in ENTRIES
        ],
    )


@app.command()
def check(
    key: Annotated[str, typer.Argument(help="Key of a known set.", show_default=False)],
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Read the lists of a set and count its pictures, people and splits."""
    from vultus.datasets.catalogue import read

    data = read(key, root)
    people = {record.identity for record in data} - {None}
    splits = Counter(record.split or "none" for record in data)
    summary = {
        "set": data.name,
        "folder": str(data.root),
        "pictures": len(data),
        "people": len(people) or None,
        "splits": dict(splits),
    }
    if json:
        print_json(summary)
    else:
        table(("", ""), [[name, str(value)] for name, value in summary.items()])
