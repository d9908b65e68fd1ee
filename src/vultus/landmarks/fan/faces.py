"""Pictures of one face each with its points under both conventions, and one file that holds them.

*Contour* points follow the outline that is seen, as annotators draw it; *projected* points are
fixed on the head and projected. They differ along the jaw of turned heads, and one is never to be
measured with the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import DatasetError
from vultus.geometry import FloatArray, UInt8Array, transform_points, warp
from vultus.landmarks.crops import DEVELOPMENT, TRAIN
from vultus.landmarks.heatmaps import REFERENCE, crop_maps, face_boxes
from vultus.points68 import COUNT
from vultus.writing import replacing

if TYPE_CHECKING:
    from vultus.worlds import World

Convention = Literal["contour", "projected"]

#: Side of a stored picture over that of the network's crop, so that turned views find something.
ROOM = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Pictures, one face in each.

    Parameters
    ----------
    images
        uint8 RGB (N, S, S, 3).
    contour
        float32 (N, 68, 2) picture pixels, NaN where not annotated.
    projected
        float32 (N, 68, 3): x, y and depth in picture pixels, depth relative to the mean of the
        points and positive towards the camera; NaN where not known.
    boxes
        float32 (N, 4) xyxy, ear to ear and chin to hairline.
    yaw
        float32 (N,) degrees, NaN where not known.
    split
        uint8 (N,): :data:`~vultus.landmarks.crops.TRAIN` or ``DEVELOPMENT``.
    """

    images: UInt8Array
    contour: FloatArray
    projected: FloatArray
    boxes: FloatArray
    yaw: FloatArray
    split: NDArray[np.uint8]

    def __post_init__(self) -> None:
        n, shape = len(self.images), self.images.shape[1:]
        fits = (
            len(shape) == 3
            and shape[0] == shape[1]
            and shape[2] == 3
            and self.contour.shape == (n, COUNT, 2)
            and self.projected.shape == (n, COUNT, 3)
            and self.boxes.shape == (n, 4)
            and self.yaw.shape == self.split.shape == (n,)
        )
        if not fits:
            shapes = {f.name: getattr(self, f.name).shape for f in fields(self)}
            raise DatasetError(f"faces must be (N, S, S, 3) with labels of N rows; got {shapes}")

    def __len__(self) -> int:
        return len(self.images)

    def points(self, convention: Convention) -> FloatArray:
        """Return the points (N, 68, 2) under a convention."""
        return self.contour if convention == "contour" else self.projected[..., :2]

    def take(self, rows: ArrayLike) -> Faces:
        """Return the faces of a mask (N,) or of indices."""
        keep = np.asarray(rows)
        return Faces(*(getattr(self, f.name)[keep] for f in fields(self)))

    def known(self, convention: Convention) -> Faces:
        """Return the faces whose points are all known under a convention."""
        return self.take(np.isfinite(self.points(convention)).all((1, 2)))


def joined(parts: Sequence[Faces]) -> Faces:
    """Put faces in pictures of one size side by side.

    Raises
    ------
    DatasetError
        If there are none.
    """
    if not parts:
        raise DatasetError("there are no faces to join")
    return Faces(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Faces)))


def render_faces(
    head: str,
    count: int,
    seed: int,
    *,
    size: int = 96,
    development: float = 0.08,
    pitch: float = 25.0,
    roll: float = 20.0,
    worn: bool = True,
) -> Faces:
    """Draw heads turned up to profile, two pictures of each person, who are others for every seed.

    Parameters
    ----------
    head
        ``procedural`` or ``ict``.
    count, seed
        Pictures; of the draw.
    size
        Side of the pictures in pixels.
    development
        Share of the people who are development people.
    pitch, roll
        Greatest angles in degrees.
    worn
        Whether glasses, hats, make-up and things in the way occur.
    """
    from vultus.worlds import CameraSpec, PoseSpec, WearSpec, World, WorldSpec

    people = max(count // 2, 2)
    spec = WorldSpec(
        head=head,
        size=size,
        detail="low" if size <= 160 else "high",
        population=seed,
        identities=people,
        pose=PoseSpec(yaw=(-90, 90), pitch=(-pitch, pitch), roll=(-roll, roll), normal=False),
        camera=CameraSpec(fill=(0.6, 0.9)),
        wear=WearSpec(glasses=0.2 * worn, hat=0.08 * worn, makeup=0.2 * worn, occluder=0.1 * worn),
    )
    first = min(max(round(people * (1 - development)), 1), people - 1)
    return _drawn(World(spec), seed, count, first)


def _drawn(world: World, seed: int, count: int, first: int) -> Faces:
    """Return the first pictures of a world; people from ``first`` on are of development."""
    from vultus.worlds.camera import HEAD_HEIGHT

    shots = [world.shot(seed, index) for index in range(count)]
    samples = [world.picture(shot) for shot in shots]
    pixels = [shot.camera.fill * world.spec.size / HEAD_HEIGHT for shot in shots]
    projected = []
    for sample, scale in zip(samples, pixels, strict=True):
        depth = sample.landmarks3d[:, 2]
        projected.append(np.column_stack([sample.landmarks, scale * (depth - depth.mean())]))
    return Faces(
        np.stack([s.colour for s in samples]),
        np.stack([world.contour(shot) for shot in shots]),
        np.stack(projected).astype(np.float32),
        np.stack([s.box for s in samples]),
        np.array([s.pose[0] for s in samples], np.float32),
        np.array([DEVELOPMENT if s.identity >= first else TRAIN for s in samples], np.uint8),
    )


def cut_faces(
    annotated: Iterable[tuple[UInt8Array, ArrayLike | None, ArrayLike | None, float]],
    *,
    size: int = 384,
    split: int = TRAIN,
    reference: float = REFERENCE,
) -> Faces:
    """Cut annotated faces out of photographs, upright, with room for turned views.

    Parameters
    ----------
    annotated
        Pictures, uint8 RGB (H, W, 3), contour points (68, 2) or None, projected points (68, 2 or 3)
        or None, in picture pixels, and yaw in degrees, NaN if not known.
    size
        Side of the pictures that are kept.
    split
        See :class:`Faces`.
    reference
        Of the crop that has to fit, see :func:`~vultus.landmarks.heatmaps.crop_maps`.

    Raises
    ------
    DatasetError
        If there is no face, or one has other than 68 points.
    """
    rows = []
    for image, contour, projected, yaw in annotated:
        flat = _padded(contour, 2)
        space = _padded(projected, 3)
        box = face_boxes(flat if contour is not None else space)
        maps = crop_maps(box, size, reference / ROOM)
        corners = transform_points(maps[0], box.reshape(2, 2)).reshape(4)
        depth = (space[:, 2:] - space[:, 2:].mean()) * maps[0, 0, 0]
        moved = np.concatenate([transform_points(maps[0], space[:, :2]), depth], 1)
        picture = warp(image, maps, size)[0]
        rows.append((picture, transform_points(maps[0], flat), moved, corners, yaw))
    if not rows:
        raise DatasetError("there are no faces to cut")
    images, contours, spaces, boxes, yaws = zip(*rows, strict=True)
    return Faces(
        np.stack(images),
        np.stack(contours),
        np.stack(spaces).astype(np.float32),
        np.stack(boxes),
        np.array(yaws, np.float32),
        np.full(len(rows), split, np.uint8),
    )


def _padded(points: ArrayLike | None, width: int) -> FloatArray:
    out = np.full((COUNT, width), np.nan, np.float32)
    if points is not None:
        given = np.asarray(points, np.float32)
        if given.ndim != 2 or len(given) != COUNT or not 2 <= given.shape[1] <= width:
            raise DatasetError(f"a face needs 68 points of 2 to {width} numbers, got {given.shape}")
        out[:, : given.shape[1]] = given
    return out


def save_faces(path: Path, faces: Faces) -> None:
    """Write faces to a safetensors file, whole or not at all."""
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {f.name: np.ascontiguousarray(getattr(faces, f.name)) for f in fields(faces)}
    with replacing(path) as part:
        save_file(arrays, part)


def load_faces(path: Path | str) -> Faces:
    """Read what :func:`save_faces` wrote; :class:`DatasetError` if it is something else."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
        return Faces(*(arrays[f.name] for f in fields(Faces)))
    except (OSError, SafetensorError, KeyError) as error:
        raise DatasetError(f"{path}: not a file of faces: {error}") from error
