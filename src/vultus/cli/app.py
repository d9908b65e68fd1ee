"""The command line: one Typer application, commands grouped by what they work on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from vultus import __version__
from vultus.cli import (
    calibration,
    cards,
    data,
    demo,
    evaluation,
    galleries,
    lab,
    landmarks,
    models,
    parsing,
    pictures,
    serve,
    system,
)

app = typer.Typer(
    name="vultus",
    help="Find, compare, enrol, identify and group faces, offline, with measured decisions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 failed, 2 bad input, 3 done but some pictures were skipped.",
)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"vultus {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


_COMMANDS: tuple[Callable[..., None], ...] = (
    pictures.detect,
    pictures.analyze,
    pictures.embed,
    pictures.verify,
    galleries.enroll,
    galleries.identify,
    galleries.cluster,
    calibration.calibrate,
    system.doctor,
    demo.demo,
    lab.systems,
    lab.train,
    lab.export,
    lab.reproduce,
)
for _command in _COMMANDS:
    app.command()(_command)
app.add_typer(galleries.app, name="gallery")
evaluation.app.command()(landmarks.landmarks)
evaluation.app.command()(parsing.parsing)
data.app.command()(landmarks.lift)
app.add_typer(evaluation.app, name="evaluate")
app.add_typer(models.app, name="models")
app.add_typer(cards.app, name="cards")
app.add_typer(data.app, name="data")
app.add_typer(serve.app, name="serve")


def main() -> None:
    """Run the command line; errors made for users become one line and exit code 2."""
    from vultus.errors import VultusError

    try:
        app()
    except VultusError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except BrokenPipeError:
        # The reader of a pipe went away, as 'head' does.
        sys.stderr.close()
        sys.exit(1)
