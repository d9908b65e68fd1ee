"""Squared distances between unit vectors and the triplet loss on them (FaceNet, section 3.1)."""

from __future__ import annotations

from torch import Tensor


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return ||a_i - b_j||^2, float32 (N, M) in [0, 4], of unit vectors (N, D) and (M, D)."""
    return (2 - 2 * (a.float() @ b.float().T)).clamp(0, 4)


def triplet_loss(positive: Tensor, negative: Tensor, margin: float = 0.2) -> Tensor:
    """Return [d_ap - d_an + margin]_+ per triplet, float (T,), of squared distances (T,)."""
    return (positive - negative + margin).clamp(min=0)
