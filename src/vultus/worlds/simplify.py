"""Mesh simplification that keeps a subset of the vertices, so that linear bases carry over."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]


def simplify(
    points: FloatArray,
    triangles: IntArray,
    target: int,
    *,
    keep: IntArray,
    importance: FloatArray,
    group: NDArray[np.uint8],
) -> IntArray:
    """Collapse edges onto one of their ends until few triangles are left.

    Garland and Heckbert (1997) quadrics price each collapse. A round collapses every edge that is
    the cheapest of its neighbourhood, so a mesh of 50,000 triangles takes about twenty rounds.

    Parameters
    ----------
    points
        float32 (V, 3).
    triangles
        int32 (F, 3).
    target
        Number of triangles to stop at; the result is at most a few percent below.
    keep
        Vertices that must stay.
    importance
        float32 (V,) factor on the price of removing a vertex.
    group
        uint8 (F,) label of each triangle; edges between labels, and open edges, are only
        collapsed along themselves.

    Returns
    -------
    int32 (F',4): three vertices of the old numbering, and the old group.
    """
    faces = np.concatenate([triangles, group[:, None]], 1).astype(np.int64)
    fixed = np.zeros(len(points), bool)
    fixed[keep] = True
    quadrics = _quadrics(points.astype(np.float64), faces)
    for _ in range(200):
        if len(faces) <= target:
            break
        faces, removed = _round(
            points.astype(np.float64), faces, quadrics, fixed, importance, target
        )
        if not removed:
            break
    return faces.astype(np.int32)


def _quadrics(points: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.float64]:
    a, b, c = (points[faces[:, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    area = np.linalg.norm(normal, axis=1, keepdims=True)
    normal = normal / np.maximum(area, 1e-12)
    plane = np.concatenate([normal, -(normal * a).sum(1, keepdims=True)], 1)
    outer = plane[:, :, None] * plane[:, None, :] * area[:, :, None]
    total = np.zeros((len(points), 4, 4))
    for i in range(3):
        np.add.at(total, faces[:, i], outer)
    edges, rim, first = _edges(faces, len(points))
    # Borders keep their course through walls that stand on them, at right angles to the surface.
    p, q = points[edges[rim, 0]], points[edges[rim, 1]]
    wall = np.cross(q - p, normal[first[rim] % len(faces)])
    length = np.linalg.norm(wall, axis=1, keepdims=True)
    wall = wall / np.maximum(length, 1e-12)
    plane = np.concatenate([wall, -(wall * p).sum(1, keepdims=True)], 1)
    outer = 10.0 * plane[:, :, None] * plane[:, None, :] * (length**2)[:, :, None]
    for i in range(2):
        np.add.at(total, edges[rim, i], outer)
    return total


def _round(
    points: NDArray[np.float64],
    faces: NDArray[np.int64],
    quadrics: NDArray[np.float64],
    fixed: NDArray[np.bool_],
    importance: FloatArray,
    target: int,
) -> tuple[NDArray[np.int64], int]:
    edges, rim, _ = _edges(faces, len(points))
    on_rim = np.zeros(len(points), bool)
    on_rim[edges[rim].ravel()] = True
    half = np.concatenate([edges, edges[:, ::-1]])
    along = np.concatenate([rim, rim])
    # half[:, 0] goes, half[:, 1] stays.
    allowed = ~fixed[half[:, 0]] & (~on_rim[half[:, 0]] | along)
    half = half[allowed]
    if not len(half):
        return faces, 0
    place = np.concatenate([points[half[:, 1]], np.ones((len(half), 1))], 1)
    span = ((points[half[:, 0]] - points[half[:, 1]]) ** 2).sum(1)
    price = np.einsum("ei,eij,ej->e", place, quadrics[half[:, 0]], place)
    price = (np.maximum(price, 0) + 1e-3 * span**2) * importance[half[:, 0]]
    price[_folds(points, faces, half)] = np.inf
    order = np.argsort(price, kind="stable")
    order = order[np.isfinite(price[order])]
    want = max((len(faces) - target) // 2, 1)
    half = half[order[: max(len(order) // 3, want)]]
    chosen = half[_independent(half, edges, len(points))][:want]
    if not len(chosen):
        return faces, 0
    quadrics[chosen[:, 1]] += quadrics[chosen[:, 0]]
    target_of = np.arange(len(points))
    target_of[chosen[:, 0]] = chosen[:, 1]
    moved = faces.copy()
    moved[:, :3] = target_of[faces[:, :3]]
    a, b, c = moved[:, 0], moved[:, 1], moved[:, 2]
    return moved[(a != b) & (b != c) & (a != c)], len(chosen)


def _edges(
    faces: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.intp]]:
    """Return edges (E, 2), whether each is a border, and its place among the faces' three sides."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    pairs.sort(axis=1)
    label = np.tile(faces[:, 3], 3)
    key = pairs[:, 0] * count + pairs[:, 1]
    unique, first, uses = np.unique(key, return_index=True, return_counts=True)
    position = np.searchsorted(unique, key)
    low = np.full(len(unique), np.iinfo(np.int64).max)
    high = np.full(len(unique), -1)
    np.minimum.at(low, position, label)
    np.maximum.at(high, position, label)
    return pairs[first], (uses != 2) | (low != high), first


def _folds(
    points: NDArray[np.float64], faces: NDArray[np.int64], half: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Tell which collapses would turn a triangle over, or make a sliver of it."""
    corner = faces[:, :3].ravel()
    order = np.argsort(corner, kind="stable")
    starts = np.searchsorted(corner[order], np.arange(len(points) + 1))
    counts = starts[half[:, 0] + 1] - starts[half[:, 0]]
    edge = np.repeat(np.arange(len(half)), counts)
    offset = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
    face = order[starts[half[edge, 0]] + offset] // 3
    before = faces[face, :3]
    after = np.where(before == half[edge, 0][:, None], half[edge, 1][:, None], before)
    vanishes = (before == half[edge, 1][:, None]).any(1)
    n0 = np.cross(
        points[before[:, 1]] - points[before[:, 0]], points[before[:, 2]] - points[before[:, 0]]
    )
    n1 = np.cross(
        points[after[:, 1]] - points[after[:, 0]], points[after[:, 2]] - points[after[:, 0]]
    )
    cosine = (n0 * n1).sum(1)
    size = np.linalg.norm(n0, axis=1) * np.linalg.norm(n1, axis=1)
    longest = np.max(
        [((points[after[:, i]] - points[after[:, i - 1]]) ** 2).sum(1) for i in range(3)], axis=0
    )
    thin = np.linalg.norm(n1, axis=1) < 0.12 * longest
    bad = np.zeros(len(half), bool)
    bad[edge[~vanishes & ((cosine < 0.3 * size) | thin)]] = True
    return bad


def _independent(
    half: NDArray[np.int64], edges: NDArray[np.int64], count: int
) -> NDArray[np.bool_]:
    """Tell which edges, given best first, are best among all that touch their neighbourhood."""
    rank = np.arange(len(half))
    best = np.full(count, len(half))
    for end in (0, 1):
        np.minimum.at(best, half[:, end], rank)
    spread = best.copy()
    np.minimum.at(spread, edges[:, 0], best[edges[:, 1]])
    np.minimum.at(spread, edges[:, 1], best[edges[:, 0]])
    return np.asarray((spread[half[:, 0]] == rank) & (spread[half[:, 1]] == rank), bool)
