"""Commands on landmarks: evaluate landmarks, and data lift."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vultus.cli.evaluation import OutOption, RootArgument, SvgOption, _show
from vultus.cli.output import (
    JsonOption,
    ProviderOption,
    ThreadsOption,
    fail,
    print_json,
    progress_bar,
    table,
)

if TYPE_CHECKING:
    from vultus.detection import Detector
    from vultus.evaluation import Report
    from vultus.landmarks.lifting import Pictures

FanOption = Annotated[
    list[Path] | None,
    typer.Option(
        help="Run of fan-alignment, or a released 2DFAN or 3DFAN file, in place of --network; "
        "repeat for a sweep over networks.",
        show_default=False,
    ),
]


def landmarks(
    root: RootArgument,
    network: Annotated[
        str, typer.Option(help="A landmark network of the manifest.")
    ] = "kd-landmarks",
    fan: FanOption = None,
    part: Annotated[
        str | None, typer.Option(help="Part of the set, such as helen_test; all by default.")
    ] = None,
    start: Annotated[
        str, typer.Option(help="First crop from the detector, a true box, or the true points.")
    ] = "detector",
    passes: Annotated[int, typer.Option(min=1, help="Looks at each face; not with --fan.")] = 2,
    flip: Annotated[bool, typer.Option(help="Look at mirror images too.")] = True,
    noise: Annotated[
        str | None, typer.Option(help="With --fan: also with boxes off by percents, as 10,20,30.")
    ] = None,
    faces: Annotated[
        str | None, typer.Option(help="With --fan: also with faces of so many pixels, as 16,32,64.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the noise of boxes.")] = 0,
    out: OutOption = None,
    svg: SvgOption = False,
    json: JsonOption = False,
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = None,
) -> None:
    """Compare 68 points with annotations: .pts files beside pictures, or landmarks.csv.

    With --fan also AFLW2000-3D and files of faces: errors by the box's size, by yaw, and swept.
    """
    from vultus.detection import Detector
    from vultus.evaluation.landmarks import STARTS, evaluate_landmarks
    from vultus.landmarks import LandmarkPredictor

    if start not in STARTS:
        fail(f"--start must be {', '.join(STARTS)}, not {start!r}")
    if fan and start == "points":
        fail("--fan starts from a box: take --start box or --start detector")
    if not fan and (noise or faces):
        fail("--noise and --faces sweep over the networks that --fan names")
    detector = Detector(provider=provider, threads=threads) if start == "detector" else None
    if fan:
        shares = tuple(value / 100 for value in _numbers(noise, "--noise"))
        sizes = tuple(_numbers(faces, "--faces"))
        report = _boxed(root, fan, detector, part, flip, shares, sizes, seed, threads)
        _show([report], out, svg, json)
        return
    predictor = LandmarkPredictor(network, provider, threads)
    with progress_bar("Locating", None) as step:
        report = evaluate_landmarks(
            root,
            predictor=predictor,
            detector=detector,
            start=STARTS[start],
            split=part,
            passes=passes,
            flip=flip,
            progress=step,
        )
    _show([report], out, svg, json)


def lift(
    root: RootArgument,
    out: Annotated[Path, typer.Argument(help="New folder to write.", show_default=False)],
    network: Annotated[
        Path, typer.Option(help="Run of fan-alignment with task lift.", show_default=False)
    ],
    depth: Annotated[
        Path | None,
        typer.Option(help="Run with task depth, or the released file: also write depth."),
    ] = None,
    part: Annotated[str | None, typer.Option(help="Part of the set; all by default.")] = None,
    pictures: Annotated[
        str, typer.Option(help="link to the pictures, copy them, or none.")
    ] = "link",
    flip: Annotated[bool, typer.Option(help="Look at mirror images too.")] = True,
    json: JsonOption = False,
) -> None:
    """Annotate faces anew: from points on the visible outline to points projected from the head.

    Reads .pts files beside pictures, or landmarks.csv; writes .pts files, as LS3D-W was made.
    """
    from dataclasses import asdict

    from vultus.evaluation.fan_networks import open_depth, open_lifter
    from vultus.landmarks.lifting import lift_folder

    ways: dict[str, Pictures] = {"link": "link", "copy": "copy", "none": "none"}
    if pictures not in ways:
        fail(f"--pictures must be {', '.join(ways)}, not {pictures!r}")
    lifter = open_lifter(network)
    deepens = None if depth is None else open_depth(depth)
    with progress_bar("Lifting", None) as step:
        done = lift_folder(
            root,
            out,
            lifter,
            depth=deepens,
            part=part,
            pictures=ways[pictures],
            flip=flip,
            progress=step,
        )
    if json:
        print_json(asdict(done) | {"out": str(out)})
        return
    table(("", ""), [[name, value] for name, value in asdict(done).items()])
    typer.echo(out)


def _boxed(
    root: Path,
    runs: list[Path],
    detector: Detector | None,
    part: str | None,
    flip: bool,
    noise: tuple[float, ...],
    faces: tuple[int, ...],
    seed: int,
    threads: int | None,
) -> Report:
    import torch

    from vultus.evaluation.boxed_landmarks import Sweeps, evaluate_boxed
    from vultus.evaluation.fan_networks import open_aligner

    if threads is not None:
        torch.set_num_threads(threads)
    networks = [open_aligner(run) for run in runs]
    with progress_bar("Locating", None) as step:
        return evaluate_boxed(
            root,
            networks,
            detector=detector,
            part=part,
            flip=flip,
            sweeps=Sweeps(noise=noise, faces=faces, seed=seed),
            progress=step,
        )


def _numbers(text: str | None, option: str) -> list[int]:
    try:
        values = [int(word) for word in text.split(",")] if text else []
    except ValueError:
        fail(f"{option} takes whole numbers with commas between, not {text!r}")
    if any(value < 1 for value in values):
        fail(f"{option} takes numbers from 1 on, got {text!r}")
    return values
