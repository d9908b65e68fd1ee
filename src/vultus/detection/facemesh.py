"""FaceMesh: 468 points on a face, and whether there is one.

Kartynnik et al., "Real-time facial surface geometry from monocular video on mobile GPUs" (2019).
The network looks at an upright square crop of 192 pixels around a face and gives points in crop
pixels and a logit for the presence of a face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vultus.faces import Face
from vultus.geometry import (
    FloatArray,
    UInt8Array,
    invert_affine,
    transform_points,
    warp,
)
from vultus.runtime import Session, resolve

WEIGHTS = "facemesh-468"

#: Side of the crop in pixels, and how much of the surroundings it shows: crop / face box.
SIZE, CONTEXT = 192, 1.5

#: Six points around each eye opening, the nose tip, and the mouth corners, by mesh index.
_LEFT_EYE = (33, 160, 158, 133, 153, 144)
_RIGHT_EYE = (362, 385, 387, 263, 373, 380)
_NOSE, _LEFT_MOUTH, _RIGHT_MOUTH = 4, 61, 291
_FOREHEAD, _CHIN = 10, 152

#: The mesh ends below the hairline and within the chin. Boxes reach beyond it by these parts of
#: the distance from forehead to chin, medians over faces found by both FaceMesh and YuNet, whose
#: boxes follow the annotation of WIDER FACE.
ABOVE, BELOW = 0.145, 0.035


@dataclass(frozen=True, slots=True, eq=False)
class Meshes:
    """What the network says of K crops.

    Parameters
    ----------
    points
        float32 (K, 468, 2) in picture pixels.
    presence
        float32 (K,): probability in [0, 1] that the crop shows a face from near the front. Faces
        in profile score low.
    depth
        float32 (K, 468) in picture pixels along the line of sight, smaller is nearer; or None.
    """

    points: FloatArray
    presence: FloatArray
    depth: FloatArray | None = None

    def keypoints(self) -> FloatArray:
        """Return (K, 5, 2): eye centres, nose tip, mouth corners, as in ``Face.keypoints``."""
        parts = (_LEFT_EYE, _RIGHT_EYE, [_NOSE], [_LEFT_MOUTH], [_RIGHT_MOUTH])
        return np.stack([self.points[:, part].mean(1) for part in parts], 1)

    def boxes(self) -> FloatArray:
        """Return (K, 4) boxes xyxy around the mesh, widened to the hairline and the chin's edge."""
        forehead, chin = self.points[:, _FOREHEAD], self.points[:, _CHIN]
        axis = forehead - chin
        ends = np.stack([forehead + ABOVE * axis, chin - BELOW * axis], 1)
        outline = np.concatenate([self.points, ends], 1)
        return np.concatenate([outline.min(1), outline.max(1)], 1) + np.float32(0.5)


class FaceMesh:
    """The network on batches of crops. Thread safe."""

    def __init__(self, *, provider: str = "cpu", threads: int | None = None) -> None:
        self._session = Session(resolve(WEIGHTS), provider=provider, threads=threads)

    def predict(self, crops: UInt8Array, maps: FloatArray) -> Meshes:
        """Return the meshes on crops, uint8 RGB (K, 192, 192, 3).

        Parameters
        ----------
        crops
            As :func:`upright_crops` cuts them.
        maps
            (K, 2, 3) affine maps from picture to crop pixels.
        """
        values, logits = self._session.run(crops.astype(np.float32) / 255)
        space = values.reshape(len(crops), -1, 3)
        presence = 1 / (1 + np.exp(-np.clip(logits.reshape(-1), -50, 50)))
        points = transform_points(invert_affine(maps), space[:, :, :2])
        # Depth is in crop pixels, as far as width goes.
        depth = space[:, :, 2] / np.linalg.norm(maps[:, 0, :2], axis=1)[:, None]
        return Meshes(
            points.astype(np.float32), presence.astype(np.float32), depth.astype(np.float32)
        )


def upright_crops(
    image: UInt8Array, boxes: FloatArray, points: FloatArray
) -> tuple[UInt8Array, FloatArray]:
    """Cut the crops that the network wants.

    Parameters
    ----------
    image
        uint8 RGB (H, W, 3).
    boxes
        (K, 4) xyxy, from the brows to the chin.
    points
        (K, 6, 2) coarse points, of which the eyes and the mouth tell which way is up.

    Returns
    -------
    crops
        uint8 (K, 192, 192, 3).
    maps
        float32 (K, 2, 3) from picture to crop pixels.
    """
    maps = _upright_maps(boxes, points)
    return warp(image, maps, SIZE), maps


def mesh_of_faces(mesh: FaceMesh, image: UInt8Array, faces: Sequence[Face]) -> Meshes:
    """Return the meshes of faces that any detector found in a picture, after two looks at each.

    The second look is at the crop that the first mesh asks for: upright, and centred on the mesh.
    """
    boxes = np.array([face.box for face in faces], np.float32).reshape(-1, 4)
    five = np.array([face.keypoints for face in faces], np.float32).reshape(-1, 5, 2)
    # Boxes begin at the hairline, the crop is to be around what lies below the forehead.
    down = five[:, 3:].mean(1) - five[:, :2].mean(1)
    down /= np.maximum(np.linalg.norm(down, axis=1, keepdims=True), 1e-6)
    shift = down * (boxes[:, 3:] - boxes[:, 1:2]) * np.float32((ABOVE - BELOW) / 2)
    boxes = boxes + np.concatenate([shift, shift], 1)
    first = _look(mesh, image, boxes, five)
    tight = np.concatenate([first.points.min(1), first.points.max(1)], 1) + np.float32(0.5)
    return _look(mesh, image, tight, first.keypoints())


def _look(mesh: FaceMesh, image: UInt8Array, boxes: FloatArray, five: FloatArray) -> Meshes:
    eyes_nose_mouth = np.concatenate([five[:, :3], five[:, 3:].mean(1, keepdims=True)], 1)
    crops, maps = upright_crops(image, boxes, eyes_nose_mouth)
    return mesh.predict(crops, maps)


def _upright_maps(boxes: FloatArray, points: FloatArray) -> FloatArray:
    left, right, mouth = points[:, 0], points[:, 1], points[:, 3]
    down = mouth - (left + right) / 2
    # The line of the eyes is short in profile, the line from eyes to mouth from above.
    across = (right - left) + np.stack([down[:, 1], -down[:, 0]], 1)
    angle = np.arctan2(across[:, 1], across[:, 0])
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 - 0.5
    side = (boxes[:, 2:] - boxes[:, :2]).max(1) * CONTEXT
    cosine, sine = np.cos(angle) * SIZE / side, np.sin(angle) * SIZE / side
    linear = np.stack([np.stack([cosine, sine], -1), np.stack([-sine, cosine], -1)], -2)
    offset = (SIZE - 1) / 2 - np.einsum("kij,kj->ki", linear, centre)
    return np.concatenate([linear, offset[..., None]], -1).astype(np.float32)
