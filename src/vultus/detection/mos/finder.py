"""Finds faces with an exported network; needs no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from vultus.detection.mos.anchors import anchors
from vultus.detection.mos.decoding import Detections, decode, to_input
from vultus.errors import WeightsError
from vultus.faces import Face, Pose
from vultus.geometry import FloatArray, UInt8Array, restated_angles
from vultus.runtime import Session, resolve

WEIGHTS = "mos-light"

#: Threshold of the packaged network: on photographs of crowds set aside for it, a box in two
#: pictures is false.
PACKAGED_SCORE = 0.9

#: Pictures that are run together, which bounds memory.
_CHUNK = 16


class MosFinder:
    """Boxes, five points and, where the network has it, pose. Thread safe.

    A picture is seen once, shrunk or grown to the size that was exported, so the smallest face
    that can be found is about 3 % of the longer side with an input of 320 pixels.

    Parameters
    ----------
    file
        An ONNX file that ``vultus export`` wrote from a run of ``mos``; the packaged one if not
        given.
    provider, threads
        See :class:`vultus.runtime.Session`.

    Raises
    ------
    WeightsError
        If the file is no such network.
    """

    #: The paper's.
    default_min_score = 0.55
    weights: tuple[str, ...] = (WEIGHTS,)

    def __init__(
        self, file: Path | str | None = None, *, provider: str = "cpu", threads: int | None = None
    ) -> None:
        packaged = file is None
        file = resolve(WEIGHTS) if file is None else file
        self._session = Session(file, provider=provider, threads=threads)
        shape = self._session.inputs[0].shape
        if len(shape) != 4 or shape[1] != 3 or not shape[2] or not shape[3]:
            raise WeightsError(f"{file}: wanted one input (N, 3, height, width), got {shape}")
        if len(self._session.outputs) not in (3, 4):
            raise WeightsError(
                f"{file}: wanted scores, boxes, points and maybe bins, got "
                f"{[info.name for info in self._session.outputs]}"
            )
        if packaged:
            self.default_min_score = PACKAGED_SCORE
        else:
            self.weights = (f"{Path(file).name}@{self._session.digest}",)
        self._height, self._width = int(shape[2]), int(shape[3])
        self._grid = anchors(self._height, self._width)

    def find(self, images: Sequence[UInt8Array], min_score: float) -> list[list[Face]]:
        """Return each picture's faces, best first, with scores of at least ``min_score``."""
        found: list[list[Face]] = []
        for start in range(0, len(images), _CHUNK):
            some = images[start : start + _CHUNK]
            canvases = np.zeros((len(some), self._height, self._width, 3), np.uint8)
            scales = [self._place(*pair) for pair in zip(some, canvases, strict=True)]
            outputs = self._session.run(to_input(canvases))
            for row, scale in enumerate(scales):
                values = [output[row] for output in outputs]
                found.append(_faces(decode(values, self._grid, min_score), scale))
        return found

    def _place(self, image: UInt8Array, canvas: UInt8Array) -> FloatArray:
        """Write the resized picture into the top left of an input; return input / picture size."""
        height, width = image.shape[:2]
        scale = min(self._height / height, self._width / width)
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        canvas[: size[1], : size[0]] = cv2.resize(image, size, interpolation=method)
        return np.array([size[0] / width, size[1] / height], np.float32)


def _faces(found: Detections, scale: FloatArray) -> list[Face]:
    faces = []
    # The network learns heads that are rolled last.
    poses = None if found.poses is None else restated_angles(found.poses)
    for i in range(len(found)):
        box = found.boxes[i] / np.tile(scale, 2)
        if not box[0] < box[2] or not box[1] < box[3]:
            continue
        # Faces count from pixel centres in their points.
        face = Face(box, float(found.scores[i]), found.points[i] / scale - 0.5)
        if poses is not None:
            face = face.replace(pose=Pose(*(float(a) for a in poses[i])))
        faces.append(face)
    return faces
