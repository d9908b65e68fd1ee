"""The command that measures what similarities mean."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer

from vultus.cli.output import (
    JsonOption,
    ProviderOption,
    RecognizerOption,
    ThreadsOption,
    note,
    print_json,
    progress_bar,
    table,
)
from vultus.cli.pictures import SubjectOption, make_analyzer, parse_subject


def calibrate(
    root: Annotated[
        Path,
        typer.Argument(
            help="Folder with one folder of pictures per person, or of LFW's development view "
            "(then its DevTrain people are taken).",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="JSON file to write, for --calibration.")],
    held_apart: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Take only this share of the people, by their names: those that training with "
            "the same share has kept apart.",
        ),
    ] = None,
    subject: SubjectOption = "central",
    json: JsonOption = False,
    recognizer: RecognizerOption = None,
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = None,
) -> None:
    """Measure the error rates of thresholds over all pairs of pictures of many people.

    Use people whom neither the networks nor your tests have seen.
    """
    from vultus.evaluation import calibrate_people
    from vultus.evaluation.folder import development_people

    name, people = development_people(root, held_apart)
    analyzer = make_analyzer(provider, threads, recognizer=recognizer)
    with progress_bar("Embedding", len(people)) as step:
        measured, embedded = calibrate_people(
            people,
            data=name,
            command=_command(root, out, held_apart, recognizer),
            analyzer=analyzer,
            subject=parse_subject(subject),
            progress=step,
        )
    out.write_text(jsonlib.dumps(measured.to_dict(), indent=1))
    note(f"{int(embedded.found.sum())} of {len(people)} pictures used; written to {out}")
    if json:
        print_json(measured.to_dict())
        return
    rows = [
        [
            f"{rate:g}",
            measured.threshold_at(rate),
            f"{measured.fnmr_at(measured.threshold_at(rate)):.4f}",
        ]
        for rate in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
        if rate >= measured.smallest_fmr
    ]
    table(("FMR", "threshold", "FNMR"), rows)


def _command(root: Path, out: Path, held_apart: float | None, recognizer: str | None) -> str:
    parts = [f"vultus calibrate {root.name} --out {out.name}"]
    if held_apart is not None:
        parts.append(f"--held-apart {held_apart:g}")
    if recognizer is not None:
        parts.append(f"--recognizer {recognizer}")
    return " ".join(parts)
