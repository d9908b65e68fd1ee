"""BlazeFace: boxes and six coarse points, at several scales.

Bazarevsky et al., "BlazeFace: Sub-millisecond neural face detection on mobile GPUs" (2019), in
MediaPipe's full-range variant: one fully convolutional feature map at a quarter of the input's
resolution, one anchor a cell. Each cell gives a logit and 16 numbers in input pixels: the box
centre relative to the cell's centre, the box size, and six points relative to the cell's centre.

The network was trained at 192 x 192 and answers best to faces of 12 to 80 input pixels. Being
fully convolutional it also runs on other sizes, which is how faces of all sizes are found: the
picture is looked at small first, and looked at larger only where that can show more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.geometry import FloatArray, UInt8Array, box_iou
from vultus.runtime import Session, resolve

WEIGHTS = "blazeface-full-range"

#: Long side of the first, coarse look, in pixels.
FIRST = 128
#: Long side of the look for faces that fill or exceed the frame.
CLOSE_UP = 64
#: Finer looks grow by at most this factor, up to half of the picture and to this long side.
GROWTH, LARGEST = 3, 1024
#: A score above this makes a face certain enough not to search on for its sake.
CONFIDENT = 0.5
#: A face of fewer pixels than this, seen with at least this score, calls for a finer look.
SMALL, HINT = 24, 0.1
#: One that is seen this well does so below this many pixels only.
SMALL_BUT_CLEAR, CLEAR = 16, 0.7
#: Boxes that overlap by more are views of one face.
SAME_FACE = 0.3
#: A box with more of its area inside a better one is a part of that face.
INSIDE = 0.75

_STRIDE = 4
#: Both sides of an input are multiples of the network's total stride.
_MULTIPLE = 32
#: Pixels of input that are run at once, which bounds memory.
_BATCH_PIXELS = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Possible faces of one picture.

    Parameters
    ----------
    boxes
        float32 (K, 4), xyxy in picture pixels, from the brows to the chin.
    scores
        float32 (K,) in [0, 1].
    points
        float32 (K, 6, 2) in picture pixels: image-left eye, image-right eye, nose tip, middle of
        the mouth, image-left ear, image-right ear.
    """

    boxes: FloatArray
    scores: FloatArray
    points: FloatArray

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def none(cls) -> Candidates:
        """Return no candidates."""
        shapes = (0, 4), (0,), (0, 6, 2)
        return cls(*(np.empty(shape, np.float32) for shape in shapes))

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> Candidates:
        """Return some of them, by index or mask."""
        return Candidates(self.boxes[which], self.scores[which], self.points[which])

    def joined(self, other: Candidates) -> Candidates:
        """Return these and the others."""
        return Candidates(
            np.concatenate([self.boxes, other.boxes]),
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.points, other.points]),
        )


class BlazeFace:
    """The network with its search over scales. Thread safe."""

    def __init__(self, *, provider: str = "cpu", threads: int | None = None) -> None:
        self._session = Session(resolve(WEIGHTS), provider=provider, threads=threads)

    def find(self, images: Sequence[UInt8Array], min_score: float) -> list[Candidates]:
        """Return each picture's candidates, best first, with scores of at least ``min_score``.

        Parameters
        ----------
        images
            uint8 RGB (H, W, 3) each.
        min_score
            Network score below which candidates are dropped.
        """
        found = [Candidates.none() for _ in images]
        todo = [(i, FIRST) for i in range(len(images))]
        while todo:
            looks = self._look(images, todo)
            further = []
            for (i, canvas), seen in zip(todo, looks, strict=True):
                found[i] = found[i].joined(seen.take(seen.scores >= min_score))
                shape = images[i].shape[:2]
                further += [(i, size) for size in _further_looks(shape, canvas, seen)]
            todo = further
        return [merge(candidates) for candidates in found]

    def _look(
        self, images: Sequence[UInt8Array], todo: Sequence[tuple[int, int]]
    ) -> list[Candidates]:
        """Run the network once for each (picture, long side), equal input shapes together."""
        groups: dict[tuple[int, int], list[int]] = {}
        for k, (i, canvas) in enumerate(todo):
            groups.setdefault(_input_shape(images[i].shape[:2], canvas), []).append(k)
        looks: dict[int, Candidates] = {}
        for shape, members in groups.items():
            step = max(_BATCH_PIXELS // (shape[0] * shape[1]), 1)
            for start in range(0, len(members), step):
                some = members[start : start + step]
                batch = np.zeros((len(some), *shape, 3), np.uint8)
                scales = [
                    _place(images[todo[k][0]], todo[k][1], canvas)
                    for k, canvas in zip(some, batch, strict=True)
                ]
                values, logits = self._session.run(batch.astype(np.float32) / 127.5 - 1)
                for row, k in enumerate(some):
                    looks[k] = _decode(values[row], logits[row, :, 0], shape[1], scales[row])
        return [looks[k] for k in range(len(todo))]


def _scaled(size: tuple[int, int], canvas: int) -> tuple[int, int]:
    """Return height and width shrunk or grown so that the longer one is ``canvas``."""
    scale = canvas / max(size)
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def _input_shape(size: tuple[int, int], canvas: int) -> tuple[int, int]:
    height, width = _scaled(size, canvas)
    return -(-height // _MULTIPLE) * _MULTIPLE, -(-width // _MULTIPLE) * _MULTIPLE


def _place(image: UInt8Array, canvas: int, into: UInt8Array) -> FloatArray:
    """Write the resized picture into the top left of an input; return input / picture size."""
    height, width = _scaled(image.shape[:2], canvas)
    shrink = max(image.shape[:2]) / canvas
    # OpenCV averages areas fast at whole factors only: one to come near, and 2 at the end, reached
    # by interpolation. The first cuts the rest of the division off.
    whole = max(min(int(shrink / 2), *image.shape[:2]), 1)
    seen = np.array(image.shape[1::-1]) // whole
    if whole > 1:
        cut = image[: seen[1] * whole, : seen[0] * whole]
        image = np.asarray(cv2.resize(cut, seen.tolist(), interpolation=cv2.INTER_AREA), np.uint8)
    if shrink > 1:
        twice = (2 * width, 2 * height)
        image = np.asarray(cv2.resize(image, twice, interpolation=cv2.INTER_LINEAR), np.uint8)
    method = cv2.INTER_AREA if shrink > 1 else cv2.INTER_LINEAR
    into[:height, :width] = cv2.resize(image, (width, height), interpolation=method)
    scale: FloatArray = (np.array([width, height]) / (seen * whole)).astype(np.float32)
    return scale


def _decode(values: FloatArray, logits: FloatArray, width: int, scale: FloatArray) -> Candidates:
    """Turn the network's numbers for one input into candidates in picture pixels.

    Parameters
    ----------
    values
        (cells, 16), cells by row.
    logits
        (cells,).
    width
        Of the input in pixels.
    scale
        (2,) input pixels per picture pixel.
    """
    scores = 1 / (1 + np.exp(-np.clip(logits, -50, 50)))
    cells = np.flatnonzero(scores >= HINT)
    columns = width // _STRIDE
    centres = (np.stack([cells % columns, cells // columns], 1) + 0.5) * _STRIDE
    pairs = values[cells].reshape(-1, 8, 2).astype(np.float32)
    middle = pairs[:, 0] + centres
    half = np.abs(pairs[:, 1]) / 2
    boxes = np.concatenate([(middle - half) / scale, (middle + half) / scale], 1)
    # Boxes span pixel edges, points are relative to the centre of the first pixel.
    points = (pairs[:, 2:] + centres[:, None]) / scale - 0.5
    return Candidates(
        boxes.astype(np.float32), scores[cells].astype(np.float32), points.astype(np.float32)
    )


def _further_looks(size: tuple[int, int], canvas: int, seen: Candidates) -> list[int]:
    """Return the long sides at which a picture should be looked at next.

    Parameters
    ----------
    size
        (H, W) of the picture.
    canvas
        Long side of the look that was just taken.
    seen
        What it showed, down to scores of :data:`HINT`.
    """
    if canvas < FIRST:
        return []
    certain = bool((seen.scores >= CONFIDENT).any())
    looks = [CLOSE_UP] if canvas == FIRST and not certain else []
    finest = min(-(-max(size) // (2 * _MULTIPLE)) * _MULTIPLE, LARGEST)
    if finest > canvas and (not certain or _hints_at_more(seen, canvas / max(size))):
        looks.append(min(canvas * GROWTH, finest))
    return looks


def _hints_at_more(seen: Candidates, scale: float) -> bool:
    faces = merge(seen)
    pixels = (faces.boxes[:, 2] - faces.boxes[:, 0]) * scale
    return bool((pixels < np.where(faces.scores >= CLEAR, SMALL_BUT_CLEAR, SMALL)).any())


def merge(candidates: Candidates) -> Candidates:
    """Join views of one face: boxes and points become means weighted by score, scores the best.

    Candidates that lie mostly inside a better one are parts of that face and are dropped.

    Returns
    -------
    One candidate per face, best first.
    """
    rest = candidates.take(np.argsort(-candidates.scores, kind="stable"))
    boxes, scores, points = [], [], []
    while len(rest):
        same = box_iou(rest.boxes[:1], rest.boxes)[0] > SAME_FACE
        same[0] = True
        group = rest.take(same)
        boxes.append(np.average(group.boxes, 0, group.scores))
        points.append(np.average(group.points, 0, group.scores))
        scores.append(group.scores[0])
        rest = rest.take(~same)
    merged = Candidates(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(points, np.float32).reshape(-1, 6, 2),
    )
    return merged.take(distinct(merged.boxes)[0])


def distinct(boxes: FloatArray) -> tuple[NDArray[np.intp], FloatArray]:
    """Keep boxes that are no part or view of a better one.

    Parameters
    ----------
    boxes
        (K, 4) xyxy, best first.

    Returns
    -------
    kept
        Indices of the boxes that are kept, in order.
    covered
        float32, for each of them: the largest part of its area in [0, 1] that a better one covers.
    """
    kept: list[int] = []
    covered: list[float] = []
    for i, box in enumerate(boxes):
        better = boxes[kept]
        sides = np.minimum(better[:, 2:], box[2:]) - np.maximum(better[:, :2], box[:2])
        shared = np.prod(np.maximum(sides, 0), 1) / np.prod(box[2:] - box[:2])
        if not ((shared > INSIDE) | (box_iou(box, better)[0] > SAME_FACE)).any():
            kept.append(i)
            covered.append(float(shared.max(initial=0)))
    return np.array(kept, np.intp), np.array(covered, np.float32)
