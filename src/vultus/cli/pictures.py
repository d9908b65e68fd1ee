"""Commands on pictures: detect, analyze, embed, verify."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vultus.cli.output import (
    BAD_INPUT,
    FAILED,
    SKIPPED,
    CalibrationOption,
    DetectorOption,
    JsonOption,
    ProviderOption,
    RecognizerOption,
    SourcesArgument,
    ThreadsOption,
    fail,
    note,
    pictures,
    print_json,
    print_line,
    table,
    track,
)

if TYPE_CHECKING:
    from vultus.analysis import Analysis, Analyzer, Subject

DrawOption = Annotated[
    Path | None,
    typer.Option(help="Folder for copies of the pictures with what was found drawn in."),
]
SubjectOption = Annotated[
    str, typer.Option(help="Face meant where there are several: largest, central, only.")
]


def detect(
    sources: SourcesArgument,
    draw: DrawOption = None,
    detector: DetectorOption = None,
    json: JsonOption = False,
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = None,
) -> None:
    """Find faces: boxes, scores and five keypoints.

    With --json, one JSON document per picture and line.
    """
    _report(make_analyzer(provider, threads, detector), sources, draw, json)


def analyze(
    sources: SourcesArgument,
    draw: DrawOption = None,
    json: JsonOption = False,
    templates: Annotated[
        bool, typer.Option(help="Include the templates (biometric data) in the JSON.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Run these predictors and what they need; repeatable."),
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option(help="Do not run these predictors; repeatable.")
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(help="Run these predictors besides the usual ones; repeatable."),
    ] = None,
    attributes: Annotated[
        bool, typer.Option("--attributes", help="Also guess age and sex as they appear.")
    ] = False,
    network: Annotated[
        list[str] | None,
        typer.Option(
            help="Weight that fills a field, as FIELD=ID, such as landmarks=kd-landmarks; "
            "repeatable. 'vultus models list' has the ids."
        ),
    ] = None,
    recognizer: RecognizerOption = None,
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = None,
) -> None:
    """Find faces and say everything that is known of them.

    With --json, one JSON document per picture and line. Predictors: landmarks, pose, quality,
    embedding; only where asked for by name: attributes, expression, parts, and liveness, which
    has learned from simulated attacks alone and is no security control.
    """
    from vultus.predictors import EMBEDDING, choose

    # Templates are shown in JSON only, and there only where they are asked for.
    unseen = () if templates else (EMBEDDING,)
    besides = (*(also or ()), *(("attributes",) if attributes else ()))
    fields = choose(only, {*(skip or ()), *unseen} - set(only or ()), besides)
    analyzer = make_analyzer(
        provider, threads, recognizer=recognizer, networks=_pairs(network, "--network FIELD=ID")
    )
    _report(analyzer, sources, draw, json, fields=fields, templates=templates)


def embed(
    sources: SourcesArgument,
    out: Annotated[Path, typer.Option(help="File to write: .npz or .parquet.")],
    subject: Annotated[
        str | None,
        typer.Option(help="One face per picture: largest, central, only. All faces if not given."),
    ] = None,
    json: JsonOption = False,
    recognizer: RecognizerOption = None,
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = None,
) -> None:
    """Compute templates of faces and write them to a file, with source, box and space."""
    from vultus import verbs
    from vultus.templates import TemplateWriter

    found = pictures(sources)
    analyzer = make_analyzer(provider, threads, recognizer=recognizer)
    skipped = 0
    with TemplateWriter(out, analyzer.embedder.space) as writer:
        results = verbs.embed(
            found, subject=parse_subject(subject) if subject else None, analyzer=analyzer
        )
        for result in track(results, "Embedding", len(found)):
            skipped += _note_error(result)
            writer.add(result.source, result.faces)
    summary = {"file": str(out), "faces": writer.count, "pictures": len(found), "skipped": skipped}
    if json:
        print_json(summary | {"space": analyzer.embedder.space})
    else:
        typer.echo(f"{writer.count} templates of {len(found) - skipped} pictures in {out}")
    _exit(skipped, len(found))


def verify(
    first: Annotated[Path, typer.Argument(help="Picture of one face.", show_default=False)],
    second: Annotated[Path, typer.Argument(help="Picture of another.", show_default=False)],
    fmr: Annotated[float, typer.Option(help="False match rate that the decision may have.")] = 1e-3,
    threshold: Annotated[
        float | None, typer.Option(help="Cosine similarity to decide at instead.")
    ] = None,
    calibration: CalibrationOption = None,
    subject: SubjectOption = "largest",
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 where the persons differ.")
    ] = False,
    json: JsonOption = False,
    recognizer: RecognizerOption = None,
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = None,
) -> None:
    """Decide whether two pictures show the same person."""
    from vultus import verbs

    analyzer = make_analyzer(provider, threads, recognizer=recognizer)
    result = verbs.verify(
        first,
        second,
        fmr=fmr,
        threshold=threshold,
        subject=parse_subject(subject),
        analyzer=analyzer,
        calibration=verbs.calibration_of(analyzer, calibration),
    )
    if json:
        print_json(result.to_dict())
    else:
        limit = result.threshold
        typer.echo("same person" if result.same else "different persons")
        typer.echo(f"cosine similarity {result.similarity:.3f}, threshold {limit.value:.3f}")
        if limit.fmr is not None and limit.fnmr is not None:
            typer.echo(
                f"at this threshold {limit.fmr:.2g} of different pairs match and "
                f"{limit.fnmr:.2g} of same pairs do not, measured on {limit.calibrated_on}"
            )
        else:
            typer.echo("this threshold has no measured error rate")
    if exit_code and not result.same:
        raise typer.Exit(FAILED)


def make_analyzer(
    provider: str,
    threads: int | None,
    detector: str | None = None,
    recognizer: str | None = None,
    networks: Mapping[str, str] | None = None,
) -> Analyzer:
    """Build an analyzer from the command line's options."""
    from vultus.analysis import Analyzer
    from vultus.detection import Detector
    from vultus.recognition import Embedder

    return Analyzer(
        detector=None if detector is None else Detector(detector, provider, threads),
        embedder=None if recognizer is None else Embedder(recognizer, provider, threads),
        provider=provider,
        threads=threads,
        networks=networks,
    )


def _pairs(texts: list[str] | None, form: str) -> dict[str, str]:
    pairs = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            fail(f"{form} is expected, got {text!r}")
        pairs[name] = value
    return pairs


def parse_subject(name: str) -> Subject:
    """Return a subject policy; end the command on an unknown name."""
    from vultus.analysis import SUBJECTS

    if name not in SUBJECTS:
        fail(f"--subject must be {', '.join(SUBJECTS)}, not {name!r}")
    return SUBJECTS[name]


def _report(
    analyzer: Analyzer,
    sources: list[Path],
    draw: Path | None,
    json: bool,
    *,
    fields: Sequence[str] = (),
    templates: bool = False,
) -> None:
    found = pictures(sources)
    rows: list[list[object]] = []
    skipped = 0
    warnings: set[str] = set()
    shown = [field for field in fields if field in _SHOWN]
    stream = analyzer.stream(
        found, embed="embedding" in fields, fields=fields, keep_images=draw is not None
    )
    names = drawn_names(found)
    for path, result in zip(found, track(stream, "Looking for faces", len(found)), strict=True):
        skipped += _note_error(result)
        if draw and result.image is not None:
            draw_analysis(draw / names[path], result)
        if json:
            print_line(result.to_dict(embedding=templates))
        elif result.error is None:
            rows += _rows(result, shown)
            if "liveness" in fields:
                warnings |= {str(face.liveness["warning"]) for face in result.faces}
    if not json:
        table((*_COLUMNS, *(_SHOWN[field][0] for field in shown)), rows)
        for warning in sorted(warnings):
            note(f"liveness: {warning}")
        if draw:
            typer.echo(f"pictures drawn in {draw}")
    _exit(skipped, len(found))


def drawn_names(paths: list[Path]) -> dict[Path, str]:
    """Return a distinct PNG name for each picture, kept close to its own."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for path in paths:
        name, n = path.stem, 1
        while name in taken:
            n += 1
            name = f"{path.stem}-{n}"
        taken.add(name)
        names[path] = f"{name}.png"
    return names


def draw_analysis(path: Path, result: Analysis, labels: list[str] | None = None) -> None:
    """Write a copy of an analysed picture with its faces drawn in."""
    from vultus.drawing import draw_faces
    from vultus.images import save_image

    if result.image is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    save_image(path, draw_faces(result.image, result.faces, labels, parts=True))


_COLUMNS = ("picture", "face", "score", "x1", "y1", "x2", "y2", "px high")

#: Fields that have a column in the table of faces: its heading, and what stands there.
_SHOWN: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "pose": ("yaw pitch roll", lambda p: f"{p.yaw:.0f} {p.pitch:.0f} {p.roll:.0f}"),
    "quality": ("quality", lambda q: _worded(q)),
    "liveness": (
        "liveness",
        lambda a: f"{a['decision']}, {a['score']:.2f} (from {a['threshold']:.2f})",
    ),
    "expression": ("expression", lambda e: _strongest(e)),
    "attributes": (
        "appears as",
        lambda a: f"{a['age']:.0f} ± {a['age_deviation']:.0f} years, {a['sex']}",
    ),
    "parts": ("skin hair", lambda p: f"{p.shares['skin']:.0%} {p.shares['hair']:.0%}"),
}


def _worded(quality: Mapping[str, Any]) -> str:
    return ". ".join([f"{100 * quality['overall']:.0f} of 100", *quality["reasons"]])


def _strongest(expression: Mapping[str, float]) -> str:
    classes = {k: v for k, v in expression.items() if k not in ("valence", "arousal")}
    name = max(classes, key=lambda key: classes[key])
    return f"{name} {classes[name]:.0%}"


def _rows(result: Analysis, shown: Sequence[str] = ()) -> list[list[object]]:
    if not result.faces:
        return [[result.source, "none", *[""] * (len(_COLUMNS) - 2 + len(shown))]]
    return [
        [result.source, i, face.score, *(round(float(v)) for v in face.box), round(face.height)]
        + [_SHOWN[field][1](getattr(face, field)) for field in shown]
        for i, face in enumerate(result.faces)
    ]


def _note_error(result: Analysis) -> bool:
    if result.error is not None:
        note(f"skipped {result.source}: {result.error}")
    return result.error is not None


def _exit(skipped: int, total: int) -> None:
    if skipped:
        note(f"{skipped} of {total} pictures skipped")
        raise typer.Exit(BAD_INPUT if skipped == total else SKIPPED)
