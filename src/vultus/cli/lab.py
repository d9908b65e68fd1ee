"""Commands of the lab: systems, train, export, reproduce."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vultus.cli.output import JsonOption, fail, note, print_json, table

if TYPE_CHECKING:
    from vultus.training.run import Accelerator


def systems(json: JsonOption = False) -> None:
    """List the published systems: paper, room, recipe, and how their claims fared."""
    from vultus.reproduction import systems_table

    rows = systems_table()
    if json:
        print_json([asdict(row) for row in rows])
        return
    verdicts = ("supported", "not supported", "inconclusive")
    table(
        ("system", "paper", "room", "recipe", *verdicts, ""),
        [
            [row.slug, row.paper, row.task, "yes" if row.recipe else "no"]
            + [row.verdicts.get(verdict, 0) for verdict in verdicts]
            + [row.summary]
            for row in rows
        ],
    )


def train(
    recipe: Annotated[
        str, typer.Argument(help="YAML file, or the name of one in recipes/.", show_default=False)
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings to change: optimizer.lr=0.1 ...")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; runs/NAME if not given.")
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="The recipe's variant that runs in seconds.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint of the run.")
    ] = False,
    devices: Annotated[int, typer.Option(min=1, help="Processes; batches are shared out.")] = 1,
    accelerator: Annotated[str, typer.Option(help="cpu, gpu or auto.")] = "cpu",
    json: JsonOption = False,
) -> None:
    """Train a system from its recipe."""
    from vultus.training import train as run

    path = _recipe(recipe)
    folder = out or Path("runs") / path.stem
    try:
        result = run(
            path,
            overrides or (),
            debug=debug,
            out=folder,
            resume=resume,
            devices=devices,
            accelerator=_accelerator(accelerator),
        )
    except KeyboardInterrupt:
        fail(f"{folder}: interrupted; the same command with --resume goes on", code=1)
    if json:
        print_json(asdict(result) | {"out": str(result.out), "checkpoint": str(result.checkpoint)})
        return
    table(("development metric", "value"), [[name, v] for name, v in result.metrics.items()])
    typer.echo(f"{result.step} steps in {result.seconds:.1f} s; checkpoint {result.checkpoint}")


def export(
    run: Annotated[
        Path, typer.Argument(help="Folder of a run or of one checkpoint.", show_default=False)
    ],
    out: Annotated[Path, typer.Argument(help="ONNX file to write.", show_default=False)],
    network: Annotated[
        str | None, typer.Option(help="Which network, where the system has several.")
    ] = None,
    id: Annotated[
        str | None, typer.Option(help="Weight id; the system's name if not given.")
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Store the weights as float16: half the size.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Write a trained network as ONNX, check it against PyTorch, and draft its manifest entry."""
    from vultus.training import export as write

    done = write(run, out, network=network, weight_id=id, half=half)
    if json:
        print_json(asdict(done) | {"path": str(done.path)})
        return
    typer.echo(f"{done.path}: {done.bytes / 1e6:.2f} MB, SHA-256 {done.sha256}")
    typer.echo(f"largest difference to PyTorch: {done.parity.absolute:.2g}")
    typer.echo(f"manifest entry drafted in {done.path.with_suffix('.toml')}")


def reproduce(
    slug: Annotated[str | None, typer.Argument(help="System, or all.", show_default=False)] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Check the mechanics in seconds; no verdict, no file.")
    ] = False,
    seeds: Annotated[int | None, typer.Option(help="Number of seeds, three or more.")] = None,
    budget: Annotated[
        str | None, typer.Option(help="One of the reproduction's budgets; cpu if not given.")
    ] = None,
    page: Annotated[
        bool, typer.Option("--page", help="Write docs/reproductions.md from the stored results.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Measure what a system's paper claims, with baseline and method side by side.

    Seeds that were measured before with the same code and budget are kept.
    """
    from vultus.reproduction import render_page
    from vultus.reproduction import reproduce as measure

    if slug is None and not page:
        fail("name a system, or all, or ask for --page")
    outcomes = []
    if slug is not None:
        outcomes = measure(slug, smoke=smoke, seeds=seeds, budget=budget, report=note)
    if page:
        render_page()
    if json:
        print_json(
            [
                {"slug": o.slug, "verdicts": {c: asdict(v) for c, v in o.verdicts.items()}}
                for o in outcomes
            ]
        )
        return
    rows = [
        [o.slug, claim, v.outcome, f"{v.interval.mean:.4g}", v.reason]
        for o in outcomes
        for claim, v in o.verdicts.items()
    ]
    if rows:
        table(("system", "claim", "verdict", "method - baseline", ""), rows)
    for outcome in outcomes:
        if outcome.file is not None:
            typer.echo(outcome.file)


def _recipe(name: str) -> Path:
    given = Path(name)
    if given.suffix in (".yaml", ".yml") or given.is_file():
        return given
    from vultus.reproduction.runner import repository

    path = repository() / "recipes" / f"{name}.yaml"
    if not path.exists():
        folder = repository() / "recipes"
        places = (p.relative_to(folder).with_suffix("") for p in folder.rglob("*.yaml"))
        known = ", ".join(sorted(place.as_posix() for place in places))
        fail(f"no recipe {name!r} in {folder}; known: {known}")
    return path


def _accelerator(name: str) -> Accelerator:
    known: dict[str, Accelerator] = {"cpu": "cpu", "gpu": "gpu", "auto": "auto"}
    if name not in known:
        fail(f"--accelerator must be {', '.join(known)}, not {name!r}")
    return known[name]
