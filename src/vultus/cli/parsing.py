"""The command that measures masks: evaluate parsing."""

from __future__ import annotations

from typing import Annotated

import typer

from vultus.cli.evaluation import OutOption, RootArgument, SvgOption, _show
from vultus.cli.output import JsonOption, ProviderOption, ThreadsOption, progress_bar


def parsing(
    root: RootArgument,
    network: Annotated[
        str, typer.Option(help="A parsing network of the manifest.")
    ] = "rtnet-parsing",
    part: Annotated[
        str | None, typer.Option(help="Part of the set, such as frontal02; all by default.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, test or all.")] = "test",
    out: OutOption = None,
    svg: SvgOption = False,
    json: JsonOption = False,
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = None,
) -> None:
    """Compare masks with drawn ones (FASSEG): F1 and IoU per class, detection included."""
    from vultus.detection import Detector
    from vultus.evaluation.parsing import evaluate_parsing
    from vultus.parsing.predictor import ParsingPredictor

    predictor = ParsingPredictor(network, provider, threads)
    detector = Detector(provider=provider, threads=threads)
    with progress_bar("Parsing", None) as step:
        report = evaluate_parsing(
            root,
            predictor=predictor,
            detector=detector,
            split=None if split == "all" else split,
            part=part,
            progress=step,
        )
    _show([report], out, svg, json)
