"""Masks and mannequins: three-dimensional attacks made from the head itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vultus.worlds.appearance import Appearance, Makeup
from vultus.worlds.heads import FloatArray, Head
from vultus.worlds.mesh import neighbour_mean
from vultus.worlds.species import MASKS

#: Share of each expression that a mask lets through.
MOTION = {"mask_paper": 0.0, "mask_rigid": 0.0, "mask_flexible": 0.45, "mannequin": 0.0}


def masked_look(species: str, look: Appearance) -> Appearance:
    """Return the looks of a mask of a person: evenly coloured, without marks, shiny or dull."""
    if species not in MOTION:
        return look
    gloss = {"mask_paper": 0.15, "mask_rigid": 2.2, "mask_flexible": 1.4, "mannequin": 1.9}[species]
    return replace(
        look,
        blotches=0.15 if species != "mask_flexible" else 0.4,
        asymmetry=0.1,
        freckles=0.0,
        moles=0,
        haemoglobin=0.75 * look.haemoglobin,
        lip_redness=0.8 * look.lip_redness,
        gloss=gloss,
        # The edge of the eye holes.
        makeup=Makeup(liner=0.9 if species != "mannequin" else 0.3),
    )


def masked_weights(species: str, head: Head, weights: FloatArray) -> FloatArray:
    """Return the expression of a masked face: eyes look about, everything else is damped."""
    if species not in MOTION:
        return weights
    free = np.array([n.startswith("eyeLook") for n in head.expression_names])
    kept = np.where(free & (species != "mannequin"), 1.0, MOTION[species])
    return (weights * kept).astype(np.float32)


def masked_shape(
    species: str, head: Head, vertices: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Return vertices (V, 3) of a mask over a face: thicker and smoother, and creased if paper."""
    if species not in MASKS or species in ("mannequin", "glasses"):
        return vertices
    from vultus.worlds.raster import vertex_normals

    region = _mask_region(head)
    smooth = neighbour_mean(vertices, head.triangles, 2)
    softness = {"mask_paper": 0.9, "mask_rigid": 0.5, "mask_flexible": 0.25}[species]
    thickness = {"mask_paper": 0.25, "mask_rigid": 0.35, "mask_flexible": 0.12}[species]
    normals = vertex_normals(vertices, head.triangles)
    # Near the eyes the mask ends; a thick one there would swallow them.
    out = vertices + (smooth - vertices) * (softness * region)[:, None]
    out = out + normals * (thickness * region)[:, None]
    if species == "mask_paper":
        direction = rng.standard_normal(3)
        wave = np.sin(vertices @ (direction / np.linalg.norm(direction)) * 1.6 + rng.uniform(0, 6))
        out = out + normals * (0.10 * np.sign(wave) * np.sqrt(np.abs(wave)) * region)[:, None]
    return np.asarray(out, np.float32)


def _mask_region(head: Head) -> NDArray[np.float32]:
    """Return how much each vertex belongs to a mask, float32 (V,): face yes, eyes and ears no."""
    points = head.neutral
    front = np.clip((points[:, 2] - 3.5) / 2.0, 0, 1) * np.clip((points[:, 1] + 9.0) / 1.5, 0, 1)
    marks = points[head.landmarks]
    for eye in (marks[36:42].mean(0), marks[42:48].mean(0)):
        away = np.linalg.norm((points - eye)[:, :2], axis=1)
        front = front * np.clip((away - 1.3) / 0.6, 0, 1)
    mouth = marks[48:68].mean(0)
    away = np.linalg.norm((points - mouth)[:, :2] / np.array([1.6, 0.8]), axis=1)
    return np.asarray(front * np.clip((away - 0.9) / 0.6, 0.15, 1), np.float32)
