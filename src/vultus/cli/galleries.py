"""Commands on people: enroll, identify, cluster, and the gallery itself."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vultus.cli.opening import (
    GalleryArgument,
    KeyOption,
    load_or_make,
    open_gallery,
    open_or_create,
)
from vultus.cli.output import (
    BAD_INPUT,
    FAILED,
    SKIPPED,
    CalibrationOption,
    JsonOption,
    MinQualityOption,
    NoQualityGateOption,
    ProviderOption,
    RecognizerOption,
    SourcesArgument,
    ThreadsOption,
    fail,
    least_quality,
    note,
    pictures,
    print_json,
    print_line,
    progress_bar,
    table,
)
from vultus.cli.pictures import (
    DrawOption,
    SubjectOption,
    draw_analysis,
    drawn_names,
    make_analyzer,
    parse_subject,
)

if TYPE_CHECKING:
    from vultus.people import Clustering, SearchThreshold

app = typer.Typer(help="Galleries: people, faces, keys, export and import.", no_args_is_help=True)


def enroll(
    gallery: GalleryArgument,
    sources: SourcesArgument,
    person: Annotated[
        str | None,
        typer.Option(help="Whose pictures these are; if not given, the folder's name: Alice/1.jpg"),
    ] = None,
    key: KeyOption = None,
    subject: SubjectOption = "largest",
    min_quality: MinQualityOption = None,
    no_quality_gate: NoQualityGateOption = False,
    json: JsonOption = False,
    recognizer: RecognizerOption = None,
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = None,
) -> None:
    """Add people to a gallery, making it if need be.

    Running it again changes nothing, so an interrupted enrolment is simply run again. Pictures
    that are not good enough are skipped, with what to do about them.
    """
    from vultus import people

    least = least_quality(min_quality, no_quality_gate)
    found = pictures(sources)
    analyzer = make_analyzer(provider, threads, recognizer=recognizer)
    store = open_or_create(gallery, key, analyzer.embedder.space, analyzer.embedder.dim)
    named = [(path, person) for path in found] if person else people.people_of(found)
    with progress_bar("Enrolling", len(found)) as step:
        done = people.enroll(
            store,
            named,
            subject=parse_subject(subject),
            min_quality=least,
            analyzer=analyzer,
            progress=step,
        )
    report = done.report
    if json:
        print_json(
            {
                "added": report.added,
                "unchanged": report.unchanged,
                "conflicts": [list(conflict) for conflict in report.conflicts],
                "skipped": [list(pair) for pair in done.skipped],
            }
        )
    else:
        typer.echo(f"{report.added} faces added, {report.unchanged} were there already")
    for _, stored, offered in report.conflicts:
        note(f"left with {stored!r}: the same picture was offered as {offered!r}")
    _report_skipped(done.skipped, len(found))


def identify(
    gallery: GalleryArgument,
    sources: SourcesArgument,
    key: KeyOption = None,
    fpir: Annotated[
        float, typer.Option(help="Rate at which someone not enrolled may be taken for somebody.")
    ] = 0.01,
    threshold: Annotated[
        float | None, typer.Option(help="Cosine similarity to decide at instead.")
    ] = None,
    calibration: CalibrationOption = None,
    candidates: Annotated[int, typer.Option(min=1, help="People to list for each face.")] = 3,
    draw: DrawOption = None,
    min_quality: MinQualityOption = None,
    no_quality_gate: NoQualityGateOption = False,
    json: JsonOption = False,
    recognizer: RecognizerOption = None,
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = None,
) -> None:
    """Say who is in the pictures; the answer may be unknown, or refused for its quality.

    With --json, one JSON document per picture and line.
    """
    from vultus import people
    from vultus.verbs import calibration_of

    least = least_quality(min_quality, no_quality_gate)
    found = pictures(sources)
    analyzer = make_analyzer(provider, threads, recognizer=recognizer)
    store = open_gallery(gallery, key, analyzer.embedder.space)
    limit = people.search_threshold(
        calibration_of(analyzer, calibration), store.stats().faces, fpir=fpir, threshold=threshold
    )
    names, rows, skipped = drawn_names(found), [], []
    answers = people.identify(
        store,
        found,
        limit,
        k=candidates,
        min_quality=least,
        keep_images=draw is not None,
        analyzer=analyzer,
    )
    with progress_bar("Identifying", len(found)) as step:
        for path, (result, faces) in zip(found, answers, strict=True):
            step(result)
            if result.error is not None:
                skipped.append((result.source, result.error))
            if json:
                entry = {"source": result.source, "threshold": limit.to_dict()}
                named = {"faces": [face.to_dict() for face in faces]}
                print_line(entry | (named if result.error is None else {"error": result.error}))
            rows += [
                [result.source, i, face.person or face.decision, face.similarity or "",
                 face.refused or ""]
                for i, face in enumerate(faces)
            ]  # fmt: skip
            if draw:
                labels = [face.person or face.decision for face in faces]
                draw_analysis(draw / names[path], result, labels)
    if not json:
        table(("picture", "face", "person", "similarity", "why not"), rows)
        typer.echo(_described(limit))
    _report_skipped(skipped, len(found))


def _described(limit: SearchThreshold) -> str:
    """Return a line that says what a threshold promises, and where it comes from."""
    rate = "no measured rate" if limit.fpir is None else f"expected FPIR {limit.fpir:.2g}"
    source = f", from {limit.calibrated_on}" if limit.calibrated_on else ""
    return f"threshold {limit.value:.3f}: {rate} among {limit.enrolled} templates{source}"


def cluster(
    sources: SourcesArgument,
    threshold: Annotated[
        float | None, typer.Option(help="Cosine similarity at which faces are linked.")
    ] = None,
    calibration: CalibrationOption = None,
    must_link: Annotated[
        list[str] | None,
        typer.Option(help="Two faces of one person: 'a.jpg#0=b.jpg#1'. Repeatable."),
    ] = None,
    cannot_link: Annotated[
        list[str] | None,
        typer.Option(help="Two faces of different people, written likewise. Repeatable."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for one contact sheet per person, and people.json.")
    ] = None,
    json: JsonOption = False,
    recognizer: RecognizerOption = None,
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = None,
) -> None:
    """Group the faces of a photo collection into people."""
    from vultus import people
    from vultus.verbs import calibration_of

    found = pictures(sources)
    analyzer = make_analyzer(provider, threads, recognizer=recognizer)
    with progress_bar("Reading faces", len(found)) as step:
        grouped = people.cluster(
            found,
            threshold=threshold,
            must_link=_links(must_link),
            cannot_link=_links(cannot_link),
            analyzer=analyzer,
            calibration=calibration_of(analyzer, calibration),
            progress=step,
        )
    document = _clusters_document(grouped)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / "people.json").write_text(jsonlib.dumps(document, indent=2))
        _sheets(grouped, out)
    if json:
        print_json(document)
    else:
        groups = grouped.people()
        rows = [
            [n + 1, len(group), ", ".join(f"{Path(f.source).name}#{f.index}" for f in group[:6])]
            for n, group in enumerate(groups)
        ]
        table(("person", "faces", "for example"), rows)
        typer.echo(f"{len(grouped.faces)} faces, {len(groups)} people")
    _report_skipped(list(grouped.skipped), len(found))


@app.command()
def info(gallery: GalleryArgument, key: KeyOption = None, json: JsonOption = False) -> None:
    """Print size, embedding space and key fingerprint, and check every row."""
    store = open_gallery(gallery, key)
    stats, checked = store.stats(), store.verify()
    document = {
        "faces": stats.faces,
        "persons": stats.persons,
        "space": stats.space,
        "dim": stats.dim,
        "key": stats.key,
        "bytes": stats.bytes,
        "problems": list(checked.problems),
    }
    if json:
        print_json(document)
    else:
        table(("", ""), [[name, str(value)] for name, value in document.items()])
    if not checked.ok:
        raise typer.Exit(FAILED)


@app.command()
def people(gallery: GalleryArgument, key: KeyOption = None, json: JsonOption = False) -> None:
    """List the people and how many faces each has."""
    counts = open_gallery(gallery, key).persons()
    if json:
        print_json(counts)
    else:
        table(("person", "faces"), [[name, n] for name, n in counts.items()])


@app.command()
def remove(
    gallery: GalleryArgument,
    person: Annotated[str, typer.Argument(help="Whose templates to delete.", show_default=False)],
    key: KeyOption = None,
) -> None:
    """Delete a person; the templates are gone from disk when this returns."""
    count = open_gallery(gallery, key).remove(person=person)
    typer.echo(f"{count} faces of {person} deleted")


@app.command()
def rename(
    gallery: GalleryArgument,
    person: Annotated[str, typer.Argument(help="Name now.", show_default=False)],
    new: Annotated[str, typer.Argument(help="Name to give.", show_default=False)],
    key: KeyOption = None,
) -> None:
    """Rename a person."""
    typer.echo(f"{open_gallery(gallery, key).rename(person, new)} faces are now of {new}")


@app.command()
def merge(
    gallery: GalleryArgument,
    persons: Annotated[list[str], typer.Argument(help="Who are one person.", show_default=False)],
    into: Annotated[str, typer.Option(help="The name that stays.")],
    key: KeyOption = None,
) -> None:
    """Make several people one."""
    typer.echo(f"{open_gallery(gallery, key).merge(persons, into)} faces are now of {into}")


@app.command()
def export(
    gallery: GalleryArgument,
    file: Annotated[Path, typer.Argument(help="File to write.", show_default=False)],
    key: KeyOption = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Write templates that anyone can compare.")
    ] = False,
) -> None:
    """Write everything to a Parquet file; templates stay protected unless --plain."""
    count = open_gallery(gallery, key).export(file, plain=plain)
    typer.echo(f"{count} faces in {file}")


@app.command("import")
def import_(
    gallery: GalleryArgument,
    file: Annotated[Path, typer.Argument(help="File that 'export' wrote.", show_default=False)],
    key: KeyOption = None,
) -> None:
    """Add the faces of an exported file; those already there stay as they are."""
    report = open_gallery(gallery, key).import_(file)
    typer.echo(f"{report.added} faces added, {report.unchanged} were there already")


@app.command()
def rekey(
    gallery: GalleryArgument,
    new_key: Annotated[Path, typer.Argument(help="File for the new key; made if absent.")],
    key: KeyOption = None,
) -> None:
    """Protect the templates with a new key; the old key then opens nothing."""
    store = open_gallery(gallery, key)
    store.rekey(load_or_make(new_key))
    typer.echo(f"{gallery} now opens with {new_key} only")


def _links(texts: list[str] | None) -> list[tuple[str, str]]:
    pairs = []
    for text in texts or ():
        first, equals, second = text.partition("=")
        if not (first and equals and second):
            fail(f"a link is written 'PICTURE#FACE=PICTURE#FACE', got {text!r}")
        pairs.append((first, second))
    return pairs


def _clusters_document(grouped: Clustering) -> dict[str, Any]:
    return {
        "threshold": grouped.threshold,
        "people": [
            [{"source": f.source, "index": f.index, "box": f.face.box.tolist()} for f in group]
            for group in grouped.people()
        ],
        "skipped": [{"source": name, "reason": reason} for name, reason in grouped.skipped],
    }


def _sheets(grouped: Clustering, out: Path) -> None:
    from vultus.drawing import contact_sheet
    from vultus.geometry import crop_boxes
    from vultus.images import open_image, save_image

    most = 48
    for n, group in enumerate(grouped.people()):
        crops = [crop_boxes(open_image(f.source), [f.face.box], 1.5, 112)[0] for f in group[:most]]
        save_image(out / f"person-{n + 1:04d}.png", contact_sheet(crops, columns=8))


def _report_skipped(skipped: list[tuple[str, str]] | tuple[tuple[str, str], ...], n: int) -> None:
    for name, reason in skipped:
        note(f"skipped {name}: {reason}")
    if skipped:
        note(f"{len(skipped)} of {n} pictures skipped")
        raise typer.Exit(BAD_INPUT if len(skipped) == n else SKIPPED)
