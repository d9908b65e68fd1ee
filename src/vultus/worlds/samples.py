"""One generated picture with everything that is known about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One generated picture with its labels; arrays as in :class:`~vultus.worlds.render.View`.

    Parameters
    ----------
    index, identity
        Number of the picture in its world, and of the person shown.
    colour
        uint8 (S, S, 3), sRGB.
    depth
        float32 (S, S) centimetres, infinite on the background.
    pose
        float32 (3,) yaw, pitch, roll in degrees of the face in the picture.
    expression, emotion
        float32 (E,) weights in the order of the head's names, and the label they were drawn for.
    infrared, thermal
        float32 (S, S): near-infrared radiance; degrees Celsius; None unless asked for.
    domain, species
        Labels.
    live
        Whether it is bona fide.
    """

    index: int
    identity: int
    colour: UInt8Array
    depth: FloatArray
    normals: FloatArray
    parts: UInt8Array
    occluded: BoolArray
    landmarks: FloatArray
    landmarks3d: FloatArray
    visible: BoolArray
    box: FloatArray
    keypoints: FloatArray
    pose: FloatArray
    expression: FloatArray
    emotion: str
    infrared: FloatArray | None
    thermal: FloatArray | None
    domain: str
    species: str

    @property
    def live(self) -> bool:
        """Whether the presentation is bona fide."""
        return self.species == "bona_fide"

    def facts(self) -> dict[str, Any]:
        """Return the labels that are not pictures as plain values for JSON."""
        return {
            "index": self.index,
            "identity": self.identity,
            "emotion": self.emotion,
            "domain": self.domain,
            "species": self.species,
            "live": self.live,
            "pose": self.pose.tolist(),
            "box": self.box.tolist(),
            "keypoints": self.keypoints.tolist(),
            "landmarks": self.landmarks.tolist(),
            "landmarks3d": self.landmarks3d.tolist(),
            "visible": self.visible.tolist(),
            "expression": self.expression.tolist(),
        }
