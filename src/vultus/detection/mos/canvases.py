"""Training pictures: heads on backgrounds, or photographs, each a function of its number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from vultus.detection.mos.anchors import Faces, anchors, targets
from vultus.detection.mos.heads import SPLITS, Heads, Sprites, heads_of, paste
from vultus.detection.mos.mosaics import Entry, Mosaic, entry, mosaic
from vultus.detection.mos.sampling import GRID, HARD, PLAIN, STITCHED, Choice
from vultus.detection.mos.teacher import Labelled, Photos, label
from vultus.errors import ConfigError
from vultus.geometry import FloatArray, UInt8Array, box_iou, warp
from vultus.images import open_image
from vultus.settings import settings
from vultus.worlds import DOMAINS, capture
from vultus.worlds.backgrounds import procedural_background

#: Places tried for a head before it is left out.
_TRIES = 8
#: A photograph is enlarged by at most this factor.
_GROWTH = 2.0


@settings
class MosData:
    """Pictures to train and develop on.

    Parameters
    ----------
    size
        Side of a picture in pixels, a multiple of 32.
    train, development
        Number of pictures.
    faces
        Most faces per picture.
    sides
        Range of face sides in pixels; evenly drawn on a log scale.
    least
        Smaller faces, such as stitching makes, are ignored.
    small
        Faces below this side count as small.
    pose_from
        Side from which a face's pose teaches.
    heads
        The rendered heads.
    photos
        Real photographs to mix in, for training only.
    mosaic
        Cells of photographs and renderings on one canvas to mix in, if any; the photographs, in
        memory, then stand in cells alone.
    domains
        Capture domains, names of :data:`vultus.worlds.DOMAINS`.
    """

    size: int = 256
    train: int = 20000
    development: int = 200
    faces: int = 8
    sides: tuple[float, float] = (12.0, 200.0)
    least: float = 8.0
    small: float = 24.0
    pose_from: float = 16.0
    heads: Heads = field(default_factory=Heads)
    photos: Photos | None = None
    mosaic: Mosaic | None = None
    domains: tuple[str, ...] = ("phone", "webcam", "studio")

    def __post_init__(self) -> None:
        if self.size < 64 or self.size % 64:
            raise ValueError("size must be a multiple of 64, so that half of it is one of 32")
        if not 1 <= self.least <= self.sides[0] <= self.sides[1]:
            raise ValueError("need 1 <= least <= sides[0] <= sides[1]")
        if min(self.train, self.development, self.faces) < 1:
            raise ValueError("train, development and faces must be at least 1")
        unknown = sorted(set(self.domains) - DOMAINS.keys())
        if unknown or not self.domains:
            raise ValueError(f"unknown domains {unknown}; known: {sorted(DOMAINS)}")


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """uint8 RGB (S, S, 3) and its faces."""

    image: UInt8Array
    faces: Faces


class Canvases:
    """The pictures of a split; picture i is the same whenever it is drawn.

    Parameters
    ----------
    config
        What is drawn.
    split
        ``train``, ``development`` or ``test``; splits share no person.
    seed
        Of the pictures.
    count
        Number of pictures.
    """

    def __init__(self, config: MosData, split: str, seed: int, count: int) -> None:
        self.config, self.count = config, count
        self._key = (seed, SPLITS.index(split), 14)
        self._sprites: Sprites = heads_of(config.heads, split, seed)
        self._photos: Labelled | None = None
        self._cells: list[Entry] = []
        self._scenes: list[Entry] = []
        held = 0 if config.photos is None else config.photos.held
        if config.photos is not None and (split == "train" or (split == "development" and held)):
            self._photos = label(config.photos).part(split == "development")
        if config.mosaic is not None and (split == "train" or self._photos is not None):
            self._remember(config.mosaic)

    def __len__(self) -> int:
        return self.count

    def _remember(self, config: Mosaic) -> None:
        """Keep photographs and drawn scenes in memory."""
        size, longest = self.config.size, config.longest
        for number in range(min(config.scenes, self.count)):
            drawn = self._scene(np.random.default_rng((*self._key, number, 1)), size)
            self._scenes.append(entry(drawn.image, drawn.faces, size))
        if self._photos is not None:
            pairs = zip(self._photos.paths, self._photos.faces, strict=True)
            self._cells = [entry(open_image(path), faces, longest) for path, faces in pairs]

    def picture(self, index: int, size: int | None = None) -> Picture:
        """Draw a picture, or the same scene smaller.

        Raises
        ------
        ConfigError
            If there is no such picture.
        """
        if not 0 <= index < self.count:
            raise ConfigError(f"pictures 0 to {self.count - 1} can be drawn, not {index}")
        rng = np.random.default_rng((*self._key, index))
        size = size or self.config.size
        tiling, photos = self.config.mosaic, self._photos
        if self._scenes and tiling is not None and rng.random() < tiling.share:
            found = self._mosaic(tiling, rng, size)
        elif (
            photos is not None
            and not self._cells
            and rng.random() < getattr(self.config.photos, "share", 0.0)
        ):
            found = self._photograph(photos, rng, size)
        else:
            found = self._scene(rng, size)
        faces = found.faces
        tiny = faces.sides < self.config.least
        posed = faces.posed & (faces.sides >= self.config.pose_from)
        return replace(found, faces=replace(faces, ignored=faces.ignored | tiny, posed=posed))

    def _mosaic(self, tiling: Mosaic, rng: np.random.Generator, size: int) -> Picture:
        full = self.config.size
        image, faces = mosaic(self._cells, self._scenes, tiling, full, self.config.sides, rng)
        if size == full:
            return Picture(image, faces)
        small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
        return Picture(np.asarray(small, np.uint8), faces.moved(size / full))

    def _scene(self, rng: np.random.Generator, size: int) -> Picture:
        """Paste heads on a procedural background; the layout does not depend on the size."""
        light = procedural_background(np.random.default_rng(rng.integers(1 << 32)), size)
        light = np.ascontiguousarray(light)
        ratio = size / self.config.size
        placed: list[Faces] = []
        for which, side, middle in self._layout(rng):
            face = self._sprites.faces.take(np.array([which]))
            scale = side / float(face.sides[0]) * ratio
            centre = (face.boxes[0, :2] + face.boxes[0, 2:]) / 2
            x, y = (round(float(v)) for v in middle * ratio - centre * scale)
            exact = paste(light, self._sprites.radiance[which], scale, x, y)
            placed.append(face.moved(exact, x, y))
        domain = DOMAINS[str(rng.choice(self.config.domains))]
        image = capture(light, domain.sample(rng), rng)
        return Picture(image, Faces.joined(placed))

    def _layout(self, rng: np.random.Generator) -> list[tuple[int, float, FloatArray]]:
        """Return head, side and middle of each face, smallest first."""
        size = self.config.size
        low, high = self.config.sides
        layout: list[tuple[int, float, FloatArray]] = []
        boxes = np.empty((0, 4), np.float32)
        for _ in range(int(rng.integers(0, self.config.faces)) + 1):
            side = float(np.exp(rng.uniform(np.log(low), np.log(min(high, 0.8 * size)))))
            which = int(rng.integers(len(self._sprites)))
            for _ in range(_TRIES):
                middle = rng.uniform(0.3 * side, size - 0.3 * side, 2).astype(np.float32)
                # Heads are larger than faces: keep hair off the neighbours.
                box = np.concatenate([middle - 0.7 * side, middle + 0.7 * side])
                if not (box_iou(box, boxes) > 0).any():
                    layout.append((which, side, middle))
                    boxes = np.concatenate([boxes, box[None]])
                    break
        return sorted(layout, key=lambda entry: entry[1])

    def _photograph(self, photos: Labelled, rng: np.random.Generator, size: int) -> Picture:
        """Show a photograph so that one of its sure faces gets a drawn side and place."""
        number = int(rng.integers(len(photos)))
        image, faces = open_image(photos.paths[number]), photos.faces[number]
        chosen = int(rng.choice(np.flatnonzero(~faces.ignored)))
        ratio = size / self.config.size
        low, high = self.config.sides
        side = np.exp(rng.uniform(np.log(low), np.log(min(high, 0.8 * self.config.size)))) * ratio
        scale = float(min(side / faces.sides[chosen], _GROWTH))
        half = float(faces.sides[chosen]) * scale / 2
        middle = (faces.boxes[chosen, :2] + faces.boxes[chosen, 2:]) / 2 * scale
        room = max(size - half, half + 1)
        x, y = (float(v) for v in rng.uniform(min(half, room - 1), room, 2) - middle)
        # Between pixel edges: a pixel centre lies half a pixel further on either side.
        affine = np.array([[scale, 0, x + (scale - 1) / 2], [0, scale, y + (scale - 1) / 2]])
        shown = warp(image, affine[None], size)[0]
        under = procedural_background(np.random.default_rng(rng.integers(1 << 32)), size)
        canvas = (np.clip(under, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)
        spans = np.array([image.shape[1], image.shape[0]]) * scale + (x, y)
        left, top = (int(np.clip(np.ceil(v), 0, size)) for v in (x, y))
        right, bottom = (int(np.clip(np.floor(v), 0, size)) for v in spans)
        canvas[top:bottom, left:right] = shown[top:bottom, left:right]
        moved = faces.moved(scale, x, y)
        middles = (moved.boxes[:, :2] + moved.boxes[:, 2:]) / 2
        inside = np.flatnonzero(((middles >= 0) & (middles < size)).all(1))
        return Picture(canvas, moved.take(inside))

    def stitched(self, index: int, rng: np.random.Generator) -> Picture:
        """Show four pictures at half their size: one, and three drawn ones."""
        half = self.config.size // 2
        others = rng.integers(self.count, size=3)
        image = np.empty((2 * half, 2 * half, 3), np.uint8)
        parts = []
        for place, number in enumerate((index, *others)):
            y, x = (half * v for v in divmod(place, 2))
            part = self.picture(int(number), half)
            image[y : y + half, x : x + half] = part.image
            parts.append(part.faces.moved(1.0, x, y))
        return Picture(image, Faces.joined(parts))

    def with_region(self, choice: Choice, rng: np.random.Generator) -> Picture:
        """Paste a region with a false detection into a drawn picture, away from its faces.

        Where the region touches a face, or finds no room, its own picture is shown again.
        """
        source = self.picture(choice.canvas)
        size = self.config.size
        x, y, side = (round(v * size / GRID) for v in (choice.x, choice.y, choice.side))
        box = np.array([x, y, x + side, y + side], np.float32)
        if (box_iou(box, source.faces.boxes) > 0).any():
            return source
        target = self.picture(int(rng.integers(self.count)))
        for _ in range(_TRIES):
            left, top = (int(v) for v in rng.integers(size - side + 1, size=2))
            there = np.array([left, top, left + side, top + side], np.float32)
            if not (box_iou(there, target.faces.boxes) > 0).any():
                image = target.image.copy()
                image[top : top + side, left : left + side] = source.image[
                    y : y + side, x : x + side
                ]
                return Picture(image, target.faces)
        return source


class CanvasExamples:
    """Pictures as the sampler chooses them, mirrored at random, with targets at every anchor.

    Fields: ``image`` uint8 (S, S, 3) RGB; ``choice``, the packed choice; ``flipped``; and those
    of :func:`~vultus.detection.mos.anchors.targets`.
    """

    def __init__(self, canvases: Canvases) -> None:
        self.canvases = canvases
        size = canvases.config.size
        self.grid = anchors(size, size)

    def __len__(self) -> int:
        return len(self.canvases)

    def example(self, index: int, rng: np.random.Generator) -> Mapping[str, Any]:
        """Return one example."""
        choice = Choice.unpacked(index)
        flipped = bool(rng.random() < 0.5)
        if choice.mode == STITCHED:
            picture = self.canvases.stitched(choice.canvas, rng)
        elif choice.mode == HARD:
            picture = self.canvases.with_region(choice, rng)
        else:
            assert choice.mode == PLAIN
            picture = self.canvases.picture(choice.canvas)
        image, faces = picture.image, picture.faces
        if flipped:
            image, faces = np.asarray(cv2.flip(image, 1), np.uint8), faces.mirrored(image.shape[1])
        found = targets(faces, self.grid, self.canvases.config.small)
        return {"image": image, "choice": np.int64(index), "flipped": flipped, **found}
