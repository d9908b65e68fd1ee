"""Score crops of faces: ``python -m vultus.liveness NETWORK PICTURE...``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from vultus.errors import VultusError
from vultus.geometry import crop_boxes
from vultus.images import open_image
from vultus.liveness.predictor import LivenessPredictor, LivenessSpec


def main(
    network: Annotated[Path, typer.Argument(help="What 'vultus export' wrote (.onnx and .toml).")],
    pictures: Annotated[list[Path], typer.Argument(help="Pictures with one face each.")],
    box: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(help="x1 y1 x2 y2 of the face; else the picture is the crop itself."),
    ] = None,
) -> None:
    """Print a liveness score per picture, tab, path; higher looks more like bona fide."""
    predictor = LivenessPredictor(LivenessSpec.from_export(network))
    for path in pictures:
        image = open_image(path)
        if box:
            crop = predictor.crop(image, np.array([box]))
        else:
            whole = np.array([[0.0, 0.0, image.shape[1], image.shape[0]]])
            crop = crop_boxes(image, whole, 1.0, predictor.size)
        typer.echo(f"{predictor.predict(crop)[0]:.6f}\t{path}")


if __name__ == "__main__":
    try:
        typer.run(main)
    except VultusError as error:
        typer.echo(str(error), err=True)
        sys.exit(2)
