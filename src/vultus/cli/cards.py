"""Commands on model cards: make, check, show."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vultus.cli.output import FAILED, JsonOption, fail, note, print_json

if TYPE_CHECKING:
    from vultus.audit.model_cards import ModelCard, Plan

app = typer.Typer(
    help="Model cards: made from frozen predictions, per group; checked offline.",
    no_args_is_help=True,
)

TableOption = Annotated[
    Path | None, typer.Option(help="Frozen predictions, .parquet or .csv.", show_default=False)
]


class Rule(StrEnum):
    """How a threshold is chosen."""

    ACCURACY = "accuracy"
    EQUAL_ERROR = "equal-error"
    FPR = "fpr"


class Format(StrEnum):
    """What a card is printed as."""

    MARKDOWN = "markdown"
    JSON = "json"
    HUB = "hub"


@app.command()
def make(
    description: Annotated[
        Path | None, typer.Argument(help="YAML in which the author describes the model.")
    ] = None,
    table: TableOption = None,
    weights: Annotated[
        bool, typer.Option("--weights", help="Make the card of every weight of the package.")
    ] = False,
    systems: Annotated[
        bool, typer.Option("--systems", help="Make the card of every system of the catalogue.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for ID.json, ID.md and figures.")] = Path(
        "docs/cards"
    ),
    split: Annotated[str, typer.Option(help="Split to evaluate.")] = "test",
    dev: Annotated[str, typer.Option(help="Split that the threshold is chosen on.")] = "dev",
    rule: Annotated[Rule, typer.Option(help="How the threshold is chosen.")] = Rule.ACCURACY,
    target: Annotated[
        float | None, typer.Option(help="False positive rate for --rule fpr.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="A threshold fixed beforehand, in place of a rule.")
    ] = None,
    factor: Annotated[
        list[str] | None, typer.Option(help="Factor to report over; all if not given.")
    ] = None,
    most: Annotated[
        int | None, typer.Option(min=1, help="Most factors in a combination; all if not given.")
    ] = None,
    resamples: Annotated[int, typer.Option(min=1000, help="Bootstrap resamples.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    json: JsonOption = False,
) -> None:
    """Make a card from a description and a frozen table, or those of all weights or systems."""
    from vultus.audit import model_cards as cards

    if (description is not None) + weights + systems != 1:
        fail("give one of a description, --weights and --systems")
    made = []
    if weights:
        made = cards.weight_cards()
    elif systems:
        from vultus.reproduction.runner import repository

        made = cards.system_cards(repository() / "reproductions" / "results")
    elif description is not None:
        plan = cards.Plan(
            split=split,
            dev=dev,
            rule=rule.value,
            target=target,
            threshold=threshold,
            factors=tuple(factor) if factor else None,
            most=most,
            resamples=resamples,
            seed=seed,
        )
        made = [_card_of(description, table, plan)]
    files = [str(cards.save_card(card, out)) for card in made]
    if json:
        print_json(files)
    else:
        for file in files:
            typer.echo(file)


def _card_of(description: Path, table: Path | None, plan: Plan) -> ModelCard:
    from vultus.audit import model_cards as cards

    command = shlex.join(["vultus", "cards", "make", description.name])
    if table is not None:
        command += f" --table {table.name}"
    described = cards.read_description(description)
    return cards.make_card(described, table, command=command, plan=plan)


@app.command()
def check(
    paths: Annotated[list[Path], typer.Argument(help="Cards (.json), or folders of cards.")],
    table: TableOption = None,
    json: JsonOption = False,
) -> None:
    """Check cards; with --table also compute one card's numbers anew. Exit with 1 on a fault."""
    from vultus.audit import model_cards as cards
    from vultus.audit.model_cards.files import card_files

    files = card_files(paths)
    if not files:
        fail(f"no cards in {', '.join(map(str, paths))}")
    if table is not None and len(files) != 1:
        fail(f"a table belongs to one card, got {len(files)}")
    found = {str(file): cards.check_file(file) for file in files}
    if table is not None and not found[str(files[0])]:
        found[str(files[0])] = cards.table_problems(cards.load_card(files[0]), table)
    if json:
        print_json({file: [str(p) for p in faults] for file, faults in found.items()})
    else:
        for file, faults in found.items():
            typer.echo(f"{file}: {'ok' if not faults else f'{len(faults)} problems'}")
            for fault in faults:
                typer.echo(f"  {fault}")
    if any(found.values()):
        note(f"{sum(map(bool, found.values()))} of {len(found)} cards do not pass")
        raise typer.Exit(FAILED)


@app.command()
def show(
    card: Annotated[Path, typer.Argument(help="Card (.json).", show_default=False)],
    format: Annotated[
        Format, typer.Option(help="hub is Markdown with the front matter of a model hub.")
    ] = Format.MARKDOWN,
    json: JsonOption = False,
) -> None:
    """Print a card."""
    from vultus.audit import model_cards as cards

    found = cards.load_card(card)
    if json or format is Format.JSON:
        typer.echo(cards.to_json(found), nl=False)
    elif format is Format.HUB:
        typer.echo(cards.to_hub(found), nl=False)
    else:
        typer.echo(cards.to_markdown(found), nl=False)
