"""Commands that run protocols: evaluate lfw, orl, folder, attributes, expression, liveness."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vultus.cli.output import (
    DetectorOption,
    JsonOption,
    ProviderOption,
    RecognizerOption,
    ThreadsOption,
    fail,
    print_json,
    progress_bar,
    table,
)
from vultus.cli.pictures import make_analyzer

if TYPE_CHECKING:
    from vultus.evaluation import Report
    from vultus.evaluation.liveness import Scorer
    from vultus.liveness.predictor import LivenessPredictor

app = typer.Typer(
    help="Measure on a data set, by its protocol, with intervals.",
    no_args_is_help=True,
)

RootArgument = Annotated[Path, typer.Argument(help="Folder of the data set.", show_default=False)]
CropsArgument = Annotated[
    Path, typer.Argument(help="File that 'vultus data crops' wrote.", show_default=False)
]
OutOption = Annotated[
    Path | None, typer.Option(help="Folder for report.json, scores.csv.gz and plots.")
]
SvgOption = Annotated[bool, typer.Option("--svg", help="Plots as SVG instead of PNG.")]


@app.command()
def lfw(
    root: RootArgument,
    view: Annotated[
        int | None,
        typer.Option(min=1, max=2, help="1 development, 2 reporting; 2 where its list is there."),
    ] = None,
    detector: DetectorOption = None,
    out: OutOption = None,
    svg: SvgOption = False,
    json: JsonOption = False,
    recognizer: RecognizerOption = None,
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = None,
) -> None:
    """Verify the pairs of Labeled Faces in the Wild, detection included."""
    from vultus.evaluation import evaluate_lfw

    _run(evaluate_lfw, root, out, svg, json, provider, threads, detector, recognizer,
         view=view)  # fmt: skip


@app.command()
def scenes(
    root: Annotated[
        Path,
        typer.Argument(
            help="Folder with faces.csv, or an XML file of dlib's tool.", show_default=False
        ),
    ],
    detector: Annotated[
        list[str] | None,
        typer.Option(help="Detector to measure; repeat for more. blazeface if not given."),
    ] = None,
    min_score: Annotated[
        list[float] | None,
        typer.Option(help="Threshold; repeat for more. Each detector's own if not given."),
    ] = None,
    judge: Annotated[
        Path | None, typer.Option(help="YuNet as ONNX: finds faces that nobody annotated.")
    ] = None,
    out: OutOption = None,
    svg: SvgOption = False,
    json: JsonOption = False,
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = None,
) -> None:
    """Count the faces of photographs that detectors find, and their false boxes."""
    from vultus.detection import Detector
    from vultus.evaluation.scenes import evaluate_scenes, yunet_judge

    scores: list[float | None] = [*min_score] if min_score else [None]
    known = {
        name if score is None else f"{name} at {score}": Detector(name, provider, threads, score)
        for name in detector or ["blazeface"]
        for score in scores
    }
    with progress_bar("Looking", None) as step:
        reports = evaluate_scenes(
            root,
            detectors=known,
            judge=None if judge is None else yunet_judge(judge, threads),
            progress=step,
        )
    _show(reports, out, svg, json)


@app.command()
def orl(
    root: RootArgument,
    seed: Annotated[int, typer.Option(help="Of the division of people.")] = 0,
    out: OutOption = None,
    svg: SvgOption = False,
    json: JsonOption = False,
    recognizer: RecognizerOption = None,
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = None,
) -> None:
    """Identify from one enrolled picture a person, closed and open set (ORL and its like)."""
    from vultus.evaluation import evaluate_orl

    _run(evaluate_orl, root, out, svg, json, provider, threads, recognizer=recognizer,
         seed=seed)  # fmt: skip


@app.command()
def folder(
    root: RootArgument,
    seed: Annotated[int, typer.Option(help="Of the division of people.")] = 0,
    out: OutOption = None,
    svg: SvgOption = False,
    json: JsonOption = False,
    recognizer: RecognizerOption = None,
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = None,
) -> None:
    """Verify, identify and cluster your own people: one folder of pictures each.

    Thresholds come from one half of the people and are applied to the other.
    """
    from vultus.evaluation import evaluate_folder

    _run(evaluate_folder, root, out, svg, json, provider, threads, recognizer=recognizer,
         seed=seed)  # fmt: skip


@app.command()
def attributes(
    crops: CropsArgument,
    network: Annotated[str, typer.Option(help="An attribute network of the manifest.")] = "age-sex",
    test: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the pictures that is measured; 1 for all.")
    ] = 0.12,
    out: OutOption = None,
    svg: SvgOption = False,
    json: JsonOption = False,
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = None,
) -> None:
    """Compare age and sex with the labels of aligned crops, by group."""
    from vultus.attributes.predictor import AttributePredictor
    from vultus.datasets.crops import load_labelled
    from vultus.evaluation.attributes import evaluate_attributes

    predictor = AttributePredictor(network, provider, threads)
    report = evaluate_attributes(load_labelled(crops), predictor, name=crops.name, test=test)
    _show([report], out, svg, json)


@app.command()
def expression(
    crops: CropsArgument,
    sets: Annotated[
        list[str], typer.Option("--set", help="Set to measure, or SET:SPLIT; repeat for more.")
    ],
    network: Annotated[
        str, typer.Option(help="An expression network of the manifest.")
    ] = "expression",
    groups: Annotated[
        bool, typer.Option("--groups", help="Also give accuracy by apparent sex and age.")
    ] = False,
    out: OutOption = None,
    svg: SvgOption = False,
    json: JsonOption = False,
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = None,
) -> None:
    """Compare the seven expressions with the labels of aligned crops, a report per set."""
    from vultus.attributes.predictor import AttributePredictor
    from vultus.datasets.crops import load_labelled
    from vultus.evaluation.attributes import evaluate_expression
    from vultus.expression.predictor import ExpressionPredictor

    predictor = ExpressionPredictor(network, provider, threads)
    wanted = {key: split for key, _, split in (text.partition(":") for text in sets)}
    appearance = AttributePredictor(provider=provider, threads=threads) if groups else None
    reports = evaluate_expression(
        load_labelled(crops), predictor, name=crops.name, sets=wanted, appearance=appearance
    )
    _show(reports, out, svg, json)


@app.command()
def liveness(
    learn: Annotated[
        Path | None,
        typer.Argument(help="File of 'vultus data presentations --part learn'."),
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="File of 'vultus data presentations --part test'.")
    ] = None,
    bona_fide: Annotated[
        list[Path] | None, typer.Option(help="Real pictures of living faces; repeatable.")
    ] = None,
    attacks: Annotated[
        list[Path] | None, typer.Option(help="Real pictures of attacks; repeatable.")
    ] = None,
    people: Annotated[
        str | None,
        typer.Option(help="Key of a set whose people of the test part are bona fide pictures."),
    ] = None,
    network: Annotated[
        str, typer.Option(help="A liveness network of the manifest, or what 'vultus export' wrote.")
    ] = "cdcn-light",
    out: OutOption = None,
    svg: SvgOption = False,
    json: JsonOption = False,
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = None,
) -> None:
    """Measure liveness by attack on simulated presentations, and on real pictures.

    APCER of every species, BPCER and ACER at the threshold of the development people, beside five
    hand features; on real pictures at the packaged threshold, or else that of the development
    people, detection included, beside the hand features where LEARN is given.
    """
    from vultus.evaluation.liveness import development_threshold, evaluate_liveness, hand_scorer
    from vultus.liveness.cdcn.presentations import load_presentations
    from vultus.liveness.predictor import LivenessPredictor, LivenessSpec

    if (learn is None) != (test is None):
        fail("measuring on simulated presentations needs both files: LEARN and --test TEST")
    named = LivenessSpec.from_export(network) if network.endswith(".onnx") else network
    predictor = LivenessPredictor(named, provider, threads)
    reports, threshold, hand = [], predictor.threshold, None
    if learn is not None and test is not None:
        drawn = load_presentations(learn)
        reports += evaluate_liveness(drawn, load_presentations(test), predictor)
        hand = hand_scorer(drawn, predictor)
        if threshold is None:
            threshold = development_threshold(drawn, predictor)
    real = _real_pictures(bona_fide or [], attacks or [], people)
    if real and threshold is None:
        fail(f"{network} has no packaged threshold: give LEARN and --test as well")
    if real and threshold is not None:
        reports += _on_pictures(real, predictor, threshold, hand, threads)
    if not reports:
        fail("give LEARN with --test, --bona-fide, --attacks or --people")
    _show(reports, out, svg, json)


def _real_pictures(
    bona_fide: Sequence[Path], attacks: Sequence[Path], people: str | None
) -> list[tuple[str, list[Any], list[Any]]]:
    """Return a title, living faces and attacks for each set of pictures that is asked for."""
    from vultus.evaluation.liveness import pictures_below

    real: list[tuple[str, list[Any], list[Any]]] = []
    if bona_fide or attacks:
        real.append(("pictures", pictures_below(bona_fide), pictures_below(attacks)))
    if people is not None:
        from vultus.datasets.catalogue import read
        from vultus.evaluation.presentations import records_of

        shown = [record.source() for record in records_of(read(people), "test")]
        real.append((f"{people}, test people", shown, []))
    return real


def _on_pictures(
    real: Sequence[tuple[str, list[Any], list[Any]]],
    predictor: LivenessPredictor,
    threshold: float,
    hand: tuple[Scorer, float] | None,
    threads: int | None,
) -> list[Report]:
    from vultus.detection import Detector
    from vultus.evaluation.liveness import crop_scorer, evaluate_pictures

    score, detector = crop_scorer(predictor), Detector(threads=threads)
    return [
        evaluate_pictures(
            genuine,
            fake,
            score,
            detector,
            threshold,
            name=predictor.name,
            title=title,
            hand=hand,
        )
        for title, genuine, fake in real
    ]


@app.command()
def quality(
    root: RootArgument,
    seed: Annotated[int, typer.Option(help="Of the division of people.")] = 0,
    degrade: Annotated[
        bool,
        typer.Option("--degrade", help="Add a copy of each picture that is worse at random."),
    ] = False,
    limit: Annotated[int | None, typer.Option(min=8, help="Most people to look at.")] = None,
    out: OutOption = None,
    svg: SvgOption = False,
    json: JsonOption = False,
    recognizer: RecognizerOption = None,
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = None,
) -> None:
    """Measure what quality is worth: errors left when the worst pictures are discarded.

    Curves and their areas for the overall score, each component and rivals; what the gate costs.
    The recogniser's threshold comes from one half of the people, all figures from the other.
    """
    from vultus.evaluation.quality import evaluate_quality

    _run(evaluate_quality, root, out, svg, json, provider, threads,
         recognizer=recognizer, seed=seed, degrade=degrade, limit=limit)  # fmt: skip


def _run(
    protocol: Callable[..., Report],
    root: Path,
    out: Path | None,
    svg: bool,
    json: bool,
    provider: str,
    threads: int | None,
    detector: str | None = None,
    recognizer: str | None = None,
    **options: Any,
) -> None:
    analyzer = make_analyzer(provider, threads, detector, recognizer)
    with progress_bar("Embedding", None) as step:
        report = protocol(root, analyzer=analyzer, progress=step, **options)
    _show([report], out, svg, json)


def _show(reports: Sequence[Report], out: Path | None, svg: bool, json: bool) -> None:
    """Write and print reports; more than one get a folder each."""
    written: list[Path] = []
    for report in reports if out else ():
        assert out is not None
        folder = out if len(reports) == 1 else out / report.protocol.replace(", ", "-")
        written += report.write(folder, suffix=".svg" if svg else ".png")
    if json:
        found = [report.to_dict() for report in reports]
        print_json(found[0] if len(found) == 1 else found)
        return
    for report in reports:
        _print(report)
    for path in written:
        typer.echo(path)


def _print(report: Report) -> None:
    rows = [
        [name, f"{e.value:.4f}" if e.estimable else "not estimable", _interval(e), e.n, e.note]
        for name, e in report.figures.items()
    ]
    table(("figure", "value", "95 % interval", "n", "note"), rows, title=report.protocol)
    facts = [[name, _short(value)] for name, value in {**report.system, **report.facts}.items()]
    table(("", ""), facts)


def _interval(estimate: Any) -> str:
    return f"{estimate.low:.4f} to {estimate.high:.4f}" if estimate.estimable else ""


def _short(value: Any, most: int = 8) -> str:
    if isinstance(value, list):
        more = f" and {len(value) - most} more" if len(value) > most else ""
        return ", ".join(map(str, value[:most])) + more
    if isinstance(value, Mapping) and any(isinstance(v, Mapping) for v in value.values()):
        # Whole curves: no table holds them.
        return f"{', '.join(map(str, value))} (in the JSON)"
    return str(value)
