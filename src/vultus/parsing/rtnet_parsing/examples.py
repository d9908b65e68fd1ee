"""Training examples: rendered heads, and photographs with labels where a teacher gave them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

import numpy as np

from vultus.parsing.rtnet_parsing.augmentation import (
    Augmentation,
    jittered,
    mirrored,
    photographed,
    with_neighbour,
)
from vultus.parsing.rtnet_parsing.portraits import Backdrops, Portraits, Sitters, read_sitters
from vultus.parsing.rtnet_parsing.renders import Heads, Renders, heads_of
from vultus.settings import settings


@settings
class Faces:
    """What is learned from.

    Parameters
    ----------
    renders
        Rendered heads with exact masks.
    portraits
        Photographs with a teacher's labels, for training only.
    augmentation
        How pictures are changed.
    """

    renders: Renders = field(default_factory=Renders)
    portraits: Portraits | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)


class FaceExamples:
    """Faces with their masks; a share of the draws shows a portrait.

    Parameters
    ----------
    config
        What is drawn.
    seed
        Of the rendered pictures.
    """

    def __init__(self, config: Faces, seed: int) -> None:
        self.config = config
        self.heads: Heads = heads_of(config.renders, "train", seed)
        self.sitters: Sitters | None = None
        if config.portraits is not None:
            self.sitters = read_sitters(config.portraits, config.renders.size)
            self.backdrops = Backdrops(config.renders.size, seed)

    def __len__(self) -> int:
        return len(self.heads)

    def example(self, index: int, rng: np.random.Generator) -> Mapping[str, Any]:
        """Return ``image`` uint8 (S, S, 3), ``parts`` uint8 (S, S), ``box`` and ``angle``."""
        change = self.config.augmentation
        portraits, sitters = self.config.portraits, self.sitters
        if sitters is not None and portraits is not None and rng.random() < portraits.share:
            image, parts, box = sitters.picture(
                int(rng.integers(len(sitters))), self.backdrops, rng
            )
        else:
            heads = self.heads
            image, parts, box = heads.images[index], heads.parts[index], heads.boxes[index]
            if rng.random() < change.neighbour:
                other = int(rng.integers(len(heads)))
                image, parts = with_neighbour(
                    image, parts, heads.images[other], heads.parts[other], rng
                )
        if rng.random() < change.flip:
            image, parts, box = mirrored(image, parts, box)
        image = photographed(image, rng, change.colour, change.camera)
        box = jittered(box[None], rng, change.scale, change.shift)[0]
        angle = np.float32(np.deg2rad(rng.uniform(-change.angle, change.angle)))
        return {
            "image": image,
            "parts": np.ascontiguousarray(parts),
            "box": box,
            "angle": angle,
        }
