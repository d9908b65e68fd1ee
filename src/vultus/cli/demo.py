"""The main job on real photographs, from nothing: ``vultus demo``."""

from __future__ import annotations

import json as jsonlib
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vultus.cli.output import fail, table
from vultus.cli.pictures import draw_analysis, drawn_names

if TYPE_CHECKING:
    from vultus.analysis import Analyzer
    from vultus.people import Clustering

#: Public-domain portraits that ship with libraries: (name, package, file in it).
PORTRAITS = (
    ("Eileen Collins", "skimage", "data/astronaut.png"),
    ("Grace Hopper", "matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
)


def demo(
    photos: Annotated[
        list[Path] | None,
        typer.Argument(help="Your own pictures and folders; two public-domain portraits if none."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("out/demo"),
) -> None:
    """Find, compare, enrol, identify and group the faces of some photographs.

    Ends with a table, a JSON file and a picture with the faces drawn in.
    """
    from vultus.analysis import Analyzer
    from vultus.images import find_images

    out.mkdir(parents=True, exist_ok=True)
    paths = find_images(photos) if photos else _portraits(out / "photographs")
    if not paths:
        fail("no pictures there")
    analyzer = Analyzer()
    grouped = _group(analyzer, paths, out)
    report: dict[str, Any] = {
        "detector": analyzer.detector.name,
        "space": analyzer.embedder.space,
        "faces": [
            {"picture": Path(f.source).name, "person": f.person} | f.face.to_dict(embedding=False)
            for f in grouped.faces
        ],
        "skipped": [{"picture": name, "reason": reason} for name, reason in grouped.skipped],
        "comparisons": _compare(grouped),
    }
    if not photos:
        report["identifications"] = _identify(analyzer, paths)
    (out / "faces.json").write_text(jsonlib.dumps(report, indent=2))
    typer.echo(f"\nresults in {out}: faces.json, and the pictures with what was found drawn in")


def _portraits(folder: Path) -> list[Path]:
    """Copy the portraits out of their libraries, each with an altered copy to recognise."""
    import numpy as np

    from vultus.images import open_image, save_image

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, package, member in PORTRAITS:
        try:
            data = (resources.files(package) / member).read_bytes()
        except (ModuleNotFoundError, FileNotFoundError):
            fail(f"the portraits need the 'demo' extra: {package} is not here; or name pictures")
        portrait = open_image(data)
        altered = np.ascontiguousarray(portrait[::2, ::-2])
        for suffix, image in (("", portrait), (" mirrored, half size", altered)):
            paths.append(folder / f"{name}{suffix}.png")
            save_image(paths[-1], image)
    return paths


def _group(analyzer: Analyzer, paths: Sequence[Path], out: Path) -> Clustering:
    from vultus.people import cluster

    grouped = cluster(paths, analyzer=analyzer)
    rows = [
        [Path(f.source).name, f.index, f"person {f.person + 1}", f.face.score, round(f.face.height)]
        for f in grouped.faces
    ]
    table(("picture", "face", "grouped as", "score", "px high"), rows, title="Faces")
    for name, reason in grouped.skipped:
        typer.echo(f"skipped {name}: {reason}", err=True)
    names = drawn_names(list(paths))
    labels = {(f.source, f.index): f"person {f.person + 1}" for f in grouped.faces}
    for path, result in zip(
        paths, analyzer.stream(paths, embed=False, keep_images=True), strict=True
    ):
        marks = [labels[result.source, i] for i in range(len(result.faces))]
        draw_analysis(out / names[path], result, marks)
    return grouped


def _compare(grouped: Clustering, most: int = 6) -> list[dict[str, Any]]:
    from itertools import combinations

    rows = []
    for a, b in combinations(grouped.faces[:most], 2):
        similarity = a.face.embedding.similarity(b.face.embedding)
        rows.append(
            [Path(a.source).stem, Path(b.source).stem, similarity, similarity >= grouped.threshold]
        )
    if rows:
        title = f"Comparisons (cosine; the same person from {grouped.threshold:.3f})"
        table(
            ("face of", "face of", "similarity", "same"),
            [[*row[:3], "yes" if row[3] else "no"] for row in rows],
            title=title,
        )
    return [dict(zip(("a", "b", "similarity", "same"), row, strict=True)) for row in rows]


def _identify(analyzer: Analyzer, paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Enrol the first portrait, then look for the altered copies of both."""
    from vultus.gallery import Gallery, Key
    from vultus.people import enroll, identify, search_threshold
    from vultus.verbs import calibration_of

    with tempfile.TemporaryDirectory() as folder:
        gallery = Gallery.create(
            Path(folder) / "gallery",
            space=analyzer.embedder.space,
            dim=analyzer.embedder.dim,
            key=Key.generate(),
        )
        known, *others = paths
        enroll(gallery, [(known, known.stem)], analyzer=analyzer)
        limit = search_threshold(calibration_of(analyzer), 1)
        answers = [
            {"picture": Path(found.source).stem} | one.to_dict()
            for found, identified in identify(gallery, others, limit, analyzer=analyzer)
            for one in identified
        ]
    table(
        ("picture", "decision", "person", "similarity"),
        [
            [a["picture"], a["decision"], a["person"] or "", a["candidates"][0]["similarity"]]
            for a in answers
        ],
        title=f"Identification ({known.stem} is enrolled, nobody else is)",
    )
    return answers
