"""Templates of 128 bytes, identification by neighbours, and clusters (FaceNet, section 5)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import VultusError

Float = NDArray[np.float32]

#: Components of unit vectors beyond this many standard deviations (of a random one) are clipped.
_DEVIATIONS = 4.0


def quantise(vectors: ArrayLike) -> NDArray[np.int8]:
    """Return unit vectors (N, D) as int8 (N, D): D bytes each, the same scale for all."""
    v = np.asarray(vectors, np.float32)
    if v.ndim != 2 or not np.isfinite(v).all():
        raise VultusError(f"quantise needs finite vectors (N, D), got shape {v.shape}")
    steps = np.round(v * (127 / _limit(v.shape[1])))
    return steps.clip(-127, 127).astype(np.int8)


def dequantise(codes: NDArray[np.int8]) -> Float:
    """Return unit vectors, float32 (N, D), of :func:`quantise` codes."""
    v = codes.astype(np.float32) * np.float32(_limit(codes.shape[1]) / 127)
    unit: Float = v / np.linalg.norm(v, axis=1, keepdims=True).clip(1e-12)
    return unit


def _limit(dim: int) -> float:
    return min(_DEVIATIONS / math.sqrt(dim), 1.0)


def squared_distances(a: ArrayLike, b: ArrayLike) -> Float:
    """Return ||a_i - b_j||^2, float32 (N, M) in [0, 4], of unit vectors."""
    products = np.asarray(a, np.float32) @ np.asarray(b, np.float32).T
    return np.asarray((2 - 2 * products).clip(0, 4), np.float32)


def identify(gallery: ArrayLike, people: ArrayLike, probes: ArrayLike, k: int = 1) -> NDArray[Any]:
    """Return the person of each probe by a vote of its k nearest templates.

    Parameters
    ----------
    gallery, people
        Unit vectors (N, D) and who they show, (N,).
    probes
        Unit vectors (M, D).
    k
        Voters; the nearer one wins a tie.
    """
    names = np.asarray(people)
    order = np.argsort(squared_distances(probes, gallery), axis=1, kind="stable")[:, :k]
    votes = names[order]
    return np.array([max(row, key=lambda who: (row == who).sum()) for row in votes])


def cluster(vectors: ArrayLike, threshold: float = 1.1) -> NDArray[np.int64]:
    """Return a cluster number per unit vector, (N,), by agglomeration.

    Parameters
    ----------
    vectors
        (N, D).
    threshold
        Clusters whose mean squared distance is below it are joined; 1.1 is the paper's example.
    """
    from sklearn.cluster import AgglomerativeClustering

    v = np.asarray(vectors, np.float32)
    if len(v) < 2:
        return np.zeros(len(v), np.int64)
    model = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=threshold
    )
    return np.asarray(model.fit_predict(squared_distances(v, v)), np.int64)
