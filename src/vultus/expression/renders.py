"""Rendered faces of known expression, cut like photographs, to train on without any label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vultus.datasets.crops import LabelledCrops
from vultus.expression.predictor import EXPRESSIONS
from vultus.geometry import Template, align, similarity_transform, template, transform_points
from vultus.worlds import DOMAINS, PoseSpec, WorldSpec, stream

#: Heads turned as far as photographs of expressions show them, seen by several cameras.
WORLD = WorldSpec(
    emotions=EXPRESSIONS,
    pose=PoseSpec(yaw=(-35, 35), pitch=(-20, 20)),
    domains=tuple(DOMAINS.values()),
    identities=2000,
)


def rendered_crops(
    count: int, size: int, seed: int, heads: tuple[str, ...] = ("procedural",)
) -> LabelledCrops:
    """Draw aligned crops with the label ``expression``, a code of :data:`EXPRESSIONS`.

    Parameters
    ----------
    count
        Pictures of each head.
    size
        Side of the crops, aligned to ``dlib150``.
    seed
        Of people, poses, lights and expressions.
    heads
        Sources of geometry, see :class:`~vultus.worlds.WorldSpec`.
    """
    base = template("dlib150")
    grid = (base.points + 0.5) * np.float32(size / base.size) - np.float32(0.5)
    target = Template(f"{base.name}@{size}", size, grid)
    images, points, codes = [], [], []
    for head in heads:
        world = replace(WORLD, head=head, size=max(round(1.4 * size), 16))
        for sample in stream(world, seed, count):
            images.append(align(sample.colour, sample.keypoints[None], target)[0])
            placed = similarity_transform(sample.keypoints, target.points)
            points.append(transform_points(placed, sample.keypoints))
            codes.append(EXPRESSIONS.index(sample.emotion))
    return LabelledCrops(
        np.stack(images),
        np.stack(points).astype(np.float32),
        {"expression": np.array(codes, np.int64)},
        {"expression": EXPRESSIONS},
    )
