"""Files of crops with 68 points to train from: ``python -m vultus.landmarks COMMAND --help``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from vultus.landmarks import prepare
from vultus.landmarks.crops import TAUGHT, PointCrops, joined, load_points, save_points
from vultus.landmarks.mesh import (
    Correspondence,
    MeshTeacher,
    fit_correspondence,
    fit_regression,
    regress,
)

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)

Out = Annotated[Path, typer.Option(help="The file to write.")]
Teacher = Annotated[Path, typer.Option(help="face_landmarks_detector.tflite (478 points).")]
Head = Annotated[str, typer.Option(help="procedural or ict.")]
Count = Annotated[int, typer.Option(help="Pictures to draw.")]
Seed = Annotated[int, typer.Option(help="Of the draw.")]
Side = Annotated[int, typer.Option(help="Side of the stored pictures, 1.5 times the crop's.")]


@app.command()
def renders(out: Out, head: Head = "procedural", count: Count = 2000, seed: Seed = 0) -> None:
    """Draw heads, whose points are exact."""
    save_points(out, prepare.render_crops(head, count, seed))


@app.command()
def correspond(
    out: Out, teacher: Teacher, head: Head = "procedural", count: Count = 600, seed: Seed = 99
) -> None:
    """Fit, on rendered heads, what the teacher's mesh says of the 68 points."""
    meshes, points = prepare.meshes_of_renders(MeshTeacher(teacher), head, count, seed)
    fitted = fit_correspondence(meshes, points)
    fitted.save(out)
    typer.echo(
        f"{len(meshes)} of {count} heads; residual of the points: "
        f"median {np.median(fitted.residual):.4f}, largest {fitted.residual.max():.4f}"
    )


@app.command()
def photos(
    folders: Annotated[list[str], typer.Argument(help="FOLDER:x1,y1,x2,y2[:every] ...")],
    out: Out,
    teacher: Teacher,
    correspondence: Annotated[Path, typer.Option(help="What `correspond` wrote.")],
) -> None:
    """Label photographs of one face each; the box is in shares of the picture's sides."""
    mesh, parts, meshes = MeshTeacher(teacher), [], []
    for spec in folders:
        folder, box, every = _folder(spec)
        files = prepare.pictures(folder, every)
        part, found = prepare.taught_crops(
            mesh, files, prepare.share_of_picture(box), Correspondence.load(correspondence)
        )
        typer.echo(f"{folder}: {len(part)} of {len(files)}")
        parts.append(part)
        meshes.append(found)
    save_points(out, joined(parts))
    np.save(out.with_suffix(".mesh.npy"), np.concatenate(meshes).astype(np.float32))


@app.command()
def labelled(
    root: Annotated[Path, typer.Argument(help="Folder with landmarks.csv.")],
    out: Out,
    sets: Annotated[str, typer.Option(help="Sets to take, with commas between.")],
    teacher: Annotated[Path | None, typer.Option(help="Also write its meshes.")] = None,
) -> None:
    """Cut annotated faces."""
    crops = prepare.labelled_crops(root, sets.split(","))
    save_points(out, crops)
    if teacher is not None:
        boxes = np.concatenate([crops.points.min(1), crops.points.max(1)], 1)
        found = MeshTeacher(teacher).locate(list(crops.images), boxes, passes=3)
        held = (found.presence > prepare.PRESENCE) & (found.moved < prepare.MOVED)
        typer.echo(f"the mesh holds on {int(held.sum())} of {len(held)} faces")
        np.save(out.with_suffix(".mesh.npy"), np.where(held[:, None, None], found.points, np.nan))


@app.command()
def faces(
    out: Out, head: Head = "procedural", count: Count = 2000, seed: Seed = 0, size: Side = 384
) -> None:
    """Draw faces up to profile, with points on the visible outline, projected points, depth."""
    from vultus.landmarks.fan.faces import render_faces, save_faces

    save_faces(out, render_faces(head, count, seed, size=size))


@app.command("faces-labelled")
def faces_labelled(
    root: Annotated[Path, typer.Argument(help="Folder of an annotated set.")],
    out: Out,
    layout: Annotated[str, typer.Option(help="300w-lp, 300w, table or aflw2000.")] = "300w",
    sets: Annotated[str | None, typer.Option(help="Sets to take, with commas between.")] = None,
    size: Side = 384,
    seed: Seed = 0,
) -> None:
    """Cut annotated faces for fan-alignment; 300w-lp has the points of both conventions."""
    from vultus.landmarks.fan.faces import save_faces
    from vultus.landmarks.fan_labelled import labelled_faces

    wanted = None if sets is None else sets.split(",")
    save_faces(out, labelled_faces(root, layout, wanted, size=size, seed=seed))


@app.command()
def relabel(
    annotated: Annotated[Path, typer.Argument(help="What `labelled --teacher` wrote.")],
    taught: Annotated[Path, typer.Argument(help="What `photos` wrote.")],
    out: Out,
    trust: Annotated[float, typer.Option(help="Weight of the new points.")] = 0.7,
) -> None:
    """Give photographs the points that annotated faces teach to read off the mesh."""
    known, mesh = load_points(annotated), np.load(annotated.with_suffix(".mesh.npy"))
    usable = np.isfinite(mesh).all((1, 2))
    train = usable & (known.split == 0)
    matrix, mean = fit_regression(mesh[train], known.points[train])
    check = usable & (known.split == 1)
    error = np.linalg.norm(regress(mesh[check], matrix, mean) - known.points[check], axis=2)
    eyes = np.linalg.norm(known.points[check][:, 36] - known.points[check][:, 45], axis=1)
    typer.echo(f"development faces: {100 * float((error.mean(1) / eyes).mean()):.2f} % NME")
    crops = load_points(taught)
    points = regress(np.load(taught.with_suffix(".mesh.npy")), matrix, mean)
    weights = np.full_like(crops.weights, trust)
    source = np.full_like(crops.source, TAUGHT)
    save_points(out, PointCrops(crops.images, points, weights, source, crops.split))


def _folder(spec: str) -> tuple[Path, prepare.Box, int]:
    folder, _, rest = spec.partition(":")
    box, _, every = rest.partition(":")
    values = [float(v) for v in box.split(",")] if box else []
    if len(values) != 4:
        raise typer.BadParameter(f"{spec!r} is not FOLDER:x1,y1,x2,y2[:every]")
    return Path(folder), (values[0], values[1], values[2], values[3]), int(every or 1)


if __name__ == "__main__":
    app()
