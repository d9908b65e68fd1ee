"""Triplets from a batch: all positives, and which negative goes with each.

All distances are squared and lie in [0, 4]; the margin is on that scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Negatives = Literal["semi-hard", "random", "hardest", "violating"]
Positives = Literal["all", "hardest"]

#: Pairs looked at together; bounds the memory to this times the batch.
_CHUNK = 8192


@dataclass(frozen=True, slots=True)
class Triplets:
    """Indices of anchors, positives and negatives, int64 (T,), and what the batch looked like.

    Parameters
    ----------
    pairs
        Number of anchor-positive pairs from which the triplets were made.
    """

    anchor: Tensor
    positive: Tensor
    negative: Tensor
    pairs: int


def mine(
    distances: Tensor,
    labels: Tensor,
    *,
    margin: float = 0.2,
    negatives: Negatives = "semi-hard",
    positives: Positives = "all",
    other_labels: Tensor | None = None,
) -> Triplets:
    """Choose triplets (FaceNet, section 3.2).

    Parameters
    ----------
    distances
        Squared distances between all samples, (N, N).
    labels
        int64 (N,) person of each.
    margin
        alpha.
    negatives
        ``semi-hard``: the nearest sample of another person that is farther than the positive and
        inside the margin; where all others are nearer than the positive, the farthest of them;
        where those that are farther lie outside the margin, no triplet. ``hardest``: the nearest
        of another person. ``violating``: any inside the margin, at random, however near (what a
        widely used re-implementation does). ``random``: any.
    positives
        All pairs of a person, or for each anchor the farthest.
    other_labels
        Labels that decide which samples may be the anchor's negatives, where they differ from
        ``labels``.
    """
    size = len(labels)
    same = labels[:, None] == labels[None]
    pairs = same & ~torch.eye(size, dtype=torch.bool, device=labels.device)
    if positives == "hardest":
        farthest = distances.masked_fill(~pairs, -1).argmax(1)
        only = torch.zeros_like(pairs)
        only[torch.arange(size, device=labels.device), farthest] = True
        pairs &= only
    anchor, positive = torch.nonzero(pairs, as_tuple=True)
    allowed = ~same if other_labels is None else other_labels[:, None] != other_labels[None]
    kept, chosen = [], []
    for start in range(0, len(anchor), _CHUNK):
        part = slice(start, start + _CHUNK)
        rows = distances[anchor[part]]
        near = distances[anchor[part], positive[part]][:, None]
        index, valid = _negative(rows, near, allowed[anchor[part]], margin, negatives)
        chosen.append(index)
        kept.append(valid)
    if not chosen:
        return Triplets(anchor, positive, anchor.clone(), 0)
    valid = torch.cat(kept)
    return Triplets(anchor[valid], positive[valid], torch.cat(chosen)[valid], len(anchor))


def _negative(
    rows: Tensor, near: Tensor, allowed: Tensor, margin: float, rule: Negatives
) -> tuple[Tensor, Tensor]:
    """Return an index per row and whether the row gives a triplet."""
    far = torch.finfo(rows.dtype).max
    if rule == "hardest":
        return rows.masked_fill(~allowed, far).argmin(1), allowed.any(1)
    if rule in ("random", "violating"):
        pool = allowed if rule == "random" else allowed & (rows < near + margin)
        return torch.rand_like(rows).masked_fill(~pool, -1).argmax(1), pool.any(1)
    farther = allowed & (rows > near)
    semi = farther & (rows < near + margin)
    nearest = rows.masked_fill(~semi, far).argmin(1)
    least_hard = rows.masked_fill(~allowed, -1).argmax(1)
    none_farther = ~farther.any(1) & allowed.any(1)
    return torch.where(none_farther, least_hard, nearest), semi.any(1) | none_farther
