"""Commands on weights: list, get, verify, path, table."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vultus.cli.output import FAILED, JsonOption, byte_progress, note, print_json, table

app = typer.Typer(help="Weights: what there is, its licence, where it lies.", no_args_is_help=True)

IdsArgument = Annotated[
    list[str] | None, typer.Argument(help="Weight ids; all if none is given.", show_default=False)
]


@app.command("list")
def list_(
    license: Annotated[
        str | None, typer.Option(help="Only weights under this licence (SPDX name).")
    ] = None,
    commercial: Annotated[
        bool, typer.Option("--commercial", help="Only weights that may be used commercially.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """List the weights with task, licence, size, and whether they are on this machine."""
    from vultus import runtime

    weights = [
        w
        for w in runtime.list_weights()
        if (license is None or w.licence.lower() == license.lower())
        and (not commercial or w.commercial == "yes")
    ]
    if json:
        print_json([asdict(w) | {"status": runtime.verify(w.id)} for w in weights])
        return
    rows = [
        [w.id, w.task, w.licence, w.commercial, f"{w.bytes / 1e6:.1f} MB", runtime.verify(w.id)]
        for w in weights
    ]
    table(("id", "task", "licence", "commercial", "size", "here"), rows)


@app.command()
def get(
    ids: IdsArgument = None,
    default: Annotated[
        bool, typer.Option("--default", help="The weights that the commands use by default.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Fetch weights, verify them, and prepare them for use without a network."""
    from vultus import runtime
    from vultus.analysis import default_weights

    wanted = default_weights() if default else [w.id for w in runtime.list_weights()]
    chosen = ids or wanted
    paths = {}
    for name in chosen:
        with byte_progress(name) as step:
            paths[name] = str(runtime.fetch(name, progress=step))
        if not json:
            typer.echo(f"{name}: {paths[name]}")
    if json:
        print_json(paths)


@app.command()
def verify(ids: IdsArgument = None, json: JsonOption = False) -> None:
    """Check the hash of every weight on this machine; exit with 1 if one is damaged."""
    from vultus import runtime

    chosen = ids or [w.id for w in runtime.list_weights()]
    status = {name: runtime.verify(name) for name in chosen}
    if json:
        print_json(status)
    else:
        table(("id", "status"), status.items())
    damaged = [name for name, state in status.items() if state == "damaged"]
    if damaged:
        note(f"damaged: {', '.join(damaged)}; 'vultus models get' replaces them")
        raise typer.Exit(FAILED)


@app.command()
def path(id: Annotated[str, typer.Argument(help="Weight id.", show_default=False)]) -> None:
    """Print where a weight lies, fetching it if need be."""
    from vultus import runtime

    typer.echo(runtime.resolve(id))


@app.command("table")
def table_(
    write: Annotated[
        Path | None,
        typer.Option(help="Put it between <!-- weights --> and <!-- /weights --> of this file."),
    ] = None,
    brief: Annotated[
        bool, typer.Option("--brief", help="One line per weight: size, speed, first figure.")
    ] = False,
) -> None:
    """Print the weights with everything that was measured of them, as a Markdown table."""
    from vultus import runtime
    from vultus.runtime.table import brief_table, weights_table, write_marked

    text = (brief_table if brief else weights_table)(runtime.list_weights())
    if write is None:
        typer.echo(text)
    else:
        write_marked(write, "weights", text)
        note(f"written to {write}")
