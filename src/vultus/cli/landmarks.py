"""The command that measures landmarks: evaluate landmarks."""

from __future__ import annotations

from typing import Annotated

import typer

from vultus.cli.evaluation import OutOption, RootArgument, SvgOption, _show
from vultus.cli.output import JsonOption, ProviderOption, ThreadsOption, fail, progress_bar


def landmarks(
    root: RootArgument,
    network: Annotated[
        str, typer.Option(help="A landmark network of the manifest.")
    ] = "kd-landmarks",
    part: Annotated[
        str | None, typer.Option(help="Part of the set, such as helen_test; all by default.")
    ] = None,
    start: Annotated[
        str, typer.Option(help="First crop from the detector, a true box, or the true points.")
    ] = "detector",
    passes: Annotated[int, typer.Option(min=1, help="Looks at each face.")] = 2,
    flip: Annotated[bool, typer.Option(help="Look at mirror images too.")] = True,
    out: OutOption = None,
    svg: SvgOption = False,
    json: JsonOption = False,
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = None,
) -> None:
    """Compare 68 points with annotations: .pts files beside pictures, or landmarks.csv."""
    from vultus.detection import Detector
    from vultus.evaluation.landmarks import STARTS, evaluate_landmarks
    from vultus.landmarks import LandmarkPredictor

    if start not in STARTS:
        fail(f"--start must be {', '.join(STARTS)}, not {start!r}")
    detector = Detector(provider=provider, threads=threads) if start == "detector" else None
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
