"""Commands on data: list, check, crop, and get what is free to fetch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vultus.cli.output import (
    JsonOption,
    ThreadsOption,
    byte_progress,
    fail,
    note,
    print_json,
    progress_bar,
    table,
)

if TYPE_CHECKING:
    from vultus.datasets import Dataset

app = typer.Typer(
    help="Data sets: which are known, their terms, which are here; none is downloaded. "
    "'get' fetches models that are free for every use.",
    no_args_is_help=True,
)

RootOption = Annotated[
    Path | None, typer.Option(help="Data folder; the variable VULTUS_DATA if not given.")
]


@app.command("list")
def list_(root: RootOption = None, json: JsonOption = False) -> None:
    """List the known sets with tasks and terms, and where each lies."""
    from vultus.datasets.catalogue import ENTRIES, find
    from vultus.errors import ConfigError

    places: dict[str, Path | None]
    try:
        places = {entry.key: find(entry.key, root) for entry in ENTRIES}
    except ConfigError:
        if root is not None:
            raise
        places = {entry.key: None for entry in ENTRIES}
    if json:
        print_json(
            [
                entry.to_dict() | {"path": str(places[entry.key]) if places[entry.key] else None}
                for entry in ENTRIES
            ]
        )
        return
    table(
        ("set", "tasks", "commercial use", "terms", "here"),
        [
            [e.key, ", ".join(e.tasks), e.commercial, e.terms, "yes" if places[e.key] else "no"]
            for e in ENTRIES
        ],
    )


@app.command()
def check(
    key: Annotated[str, typer.Argument(help="Key of a known set.", show_default=False)],
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Read the lists of a set and count its pictures, people and splits."""
    from vultus.datasets.catalogue import read

    data = read(key, root)
    people = {record.identity for record in data} - {None}
    splits = Counter(record.split or "none" for record in data)
    summary = {
        "set": data.name,
        "folder": str(data.root),
        "pictures": len(data),
        "people": len(people) or None,
        "splits": dict(splits),
    }
    if json:
        print_json(summary)
    else:
        table(("", ""), [[name, str(value)] for name, value in summary.items()])


@app.command()
def crops(
    keys: Annotated[list[str], typer.Argument(help="Keys of known sets.", show_default=False)],
    out: Annotated[Path, typer.Option(help="File to write (.safetensors).", show_default=False)],
    size: Annotated[int, typer.Option(min=8, help="Side of the crops in pixels.")] = 80,
    template: Annotated[str, typer.Option(help="Alignment template.")] = "dlib150",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Pictures per set, spread over it.")
    ] = None,
    root: RootOption = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Find, align and store the faces of sets with their labels, to train on."""
    import numpy as np

    from vultus.datasets.catalogue import read
    from vultus.datasets.crops import save_labelled
    from vultus.detection import Detector
    from vultus.evaluation.crops import labelled_crops, scaled_template
    from vultus.geometry import template as named

    sets = [read(key, root) for key in keys]
    if limit is not None:
        sets = [
            s.take(np.unique(np.linspace(0, len(s) - 1, min(limit, len(s))).round().astype(int)))
            for s in sets
        ]
    target = scaled_template(named(template), size)
    with progress_bar("Aligning", sum(map(len, sets))) as step:
        found, missed = labelled_crops(sets, Detector(threads=threads), target, progress=step)
    save_labelled(out, found)
    summary = {
        "file": str(out),
        "crops": len(found),
        "no_face": missed,
        "template": target.name,
        "labels": sorted(found.labels),
    }
    if json:
        print_json(summary)
    else:
        note(f"{len(found)} crops, {missed} pictures without a face: {out}")


@app.command()
def presentations(
    keys: Annotated[
        list[str], typer.Argument(help="Keys of sets of photographs.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="File to write (.safetensors).", show_default=False)],
    part: Annotated[
        str, typer.Option(help="learn: training and development people; test: others.")
    ] = "learn",
    view: Annotated[
        str, typer.Option(help="box: 1.3 times the box; window: 2.7 times, inside the picture.")
    ] = "box",
    size: Annotated[
        int | None,
        typer.Option(min=24, help="Side of the crops in pixels; 96, or 80 for windows."),
    ] = None,
    people: Annotated[int, typer.Option(min=4, help="Rendered people to train on.")] = 120,
    limit: Annotated[int, typer.Option(min=4, help="Photographs of each set to train on.")] = 250,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    root: RootOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Draw bona fide presentations and simulated attacks, to train and measure liveness.

    Of rendered heads and of photographs; a quarter of the numbers is drawn for development and
    for the test part, which has attacks and cameras that are not trained on.
    """
    from vultus.datasets.catalogue import read
    from vultus.detection import Detector
    from vultus.evaluation.presentations import presentations as drawn
    from vultus.evaluation.wide_presentations import wide_presentations
    from vultus.liveness.cdcn.presentations import save_presentations

    if part not in ("learn", "test"):
        fail(f"--part must be learn or test, not {part!r}")
    if view not in ("box", "window"):
        fail(f"--view must be box or window, not {view!r}")
    sets = [read(key, root) for key in keys]
    draw = wide_presentations if view == "window" else drawn
    found = draw(
        "learn" if part == "learn" else "test",
        sets,
        Detector(threads=threads),
        size=size or (80 if view == "window" else 96),
        people=people,
        limit=limit,
        seed=seed,
        progress=note,
    )
    save_presentations(out, found)
    note(f"{len(found)} presentations, {int(found.live.sum())} of them bona fide: {out}")


@app.command()
def leaks(
    first: Annotated[
        str, typer.Argument(help="Key of a set, or KEY:SPLIT for a part.", show_default=False)
    ],
    second: Annotated[
        str, typer.Argument(help="Another, such as a test part.", show_default=False)
    ],
    pictures: Annotated[
        bool,
        typer.Option(help="Also look for near copies, for which every picture is decoded."),
    ] = True,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Look for people, files and near copies that two sets share; exit code 1 if there are any.

    People are compared by name: both sets must name them alike.
    """
    from vultus.datasets.leaks import find_leaks

    one, other = (_part(name, root) for name in (first, second))
    found = find_leaks(one, other, pictures=pictures)
    if json:
        print_json(found.to_dict())
    else:
        table(
            (first, second, ""),
            [["person", name, ""] for name in found.identities]
            + [[str(one[i].path), str(other[j].path), "same bytes"] for i, j in found.copies]
            + [
                [str(one[i].path), str(other[j].path), f"{bits} of 256 bits differ"]
                for i, j, bits in found.near_copies
            ],
        )
        note(
            f"{len(found.identities)} people, {len(found.copies)} copies and "
            f"{len(found.near_copies)} near copies in both"
        )
    if found:
        raise typer.Exit(1)


def _part(name: str, root: Path | None) -> Dataset:
    """Return a set, or one of its splits as KEY:SPLIT."""
    from vultus.datasets.catalogue import read

    key, _, split = name.partition(":")
    data = read(key, root)
    if not split:
        return data
    kept = [i for i, record in enumerate(data) if record.split == split]
    if not kept:
        known = ", ".join(sorted({str(record.split) for record in data}))
        fail(f"{key} has no split {split!r}; splits here: {known}")
    return data.take(kept)


@app.command()
def textures(
    key: Annotated[str, typer.Argument(help="Key of a known set.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write to.", show_default=False)],
    size: Annotated[int, typer.Option(min=64, max=2048, help="Side in texels.")] = 512,
    limit: Annotated[int | None, typer.Option(min=1, help="Pictures, spread over the set.")] = None,
    landmarks: Annotated[
        str | None, typer.Option(help="Landmark network; the default one if not given.")
    ] = None,
    root: RootOption = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Project photographed faces to skins that rendered heads wear (textures of a world).

    A second call goes on where the first was stopped.
    """
    import numpy as np

    from vultus.datasets.catalogue import read
    from vultus.detection import Detector
    from vultus.evaluation.textures import photo_textures
    from vultus.landmarks import LandmarkPredictor
    from vultus.landmarks.predictor import DEFAULT

    data = read(key, root)
    if limit is not None:
        spread = np.linspace(0, len(data) - 1, min(limit, len(data)))
        data = data.take(np.unique(spread.round().astype(int)))
    network = LandmarkPredictor(landmarks or DEFAULT, threads=threads)
    with progress_bar("Projecting", len(data)) as step:
        written, missed = photo_textures(
            data, out, Detector(threads=threads), network, size=size, progress=step
        )
    if json:
        print_json({"folder": str(out), "textures": written, "no_face": missed})
    else:
        note(f"{written} textures, {missed} pictures without one: {out}")


@app.command()
def get(
    key: Annotated[
        str | None,
        typer.Argument(help="What to fetch; lists what there is if not given.", show_default=False),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(help="Address of a mirror with the same files.", show_default=False),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Fetch data under a free licence into VULTUS_HOME, verified; a second call goes on."""
    from vultus.assets import ASSETS, asset, fetch_asset, is_whole
    from vultus.places import default_home

    if key is None:
        rows = [
            {
                "key": a.key,
                "licence": a.licence,
                "bytes": a.bytes,
                "title": a.title,
                "here": is_whole(a, default_home() / a.target),
            }
            for a in ASSETS
        ]
        if json:
            print_json(rows)
            return
        columns = ("key", "licence", "size", "title", "here")
        table(
            columns,
            [
                [r["key"], r["licence"], f"{a.bytes / 1e6:.0f} MB", r["title"],
                 "yes" if r["here"] else "no"]
                for a, r in zip(ASSETS, rows, strict=True)
            ],
        )  # fmt: skip
        return
    wanted = asset(key)
    note(
        f"{wanted.title}: licence {wanted.licence}, {len(wanted.files())} files, "
        f"{wanted.bytes / 1e6:.0f} MB from {wanted.homepage}"
    )
    with byte_progress(key) as step:
        path = fetch_asset(wanted, source=source, progress=step)
    summary = {
        "key": key,
        "path": str(path),
        "licence": wanted.licence,
        "source": source or wanted.source,
        "downloaded_bytes": wanted.bytes,
        "bytes": path.stat().st_size,
        "content_sha256": wanted.sha256,
    }
    if json:
        print_json(summary)
    else:
        typer.echo(f"{key}: {path}")
