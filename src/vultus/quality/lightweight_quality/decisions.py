"""Thresholds of the gate, and what a gate does to error rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vultus.errors import ConfigError

#: Threshold at which the paper's accept or reject is counted.
EVEN = 0.5


def threshold_at_rejection(quality: ArrayLike, share: float) -> float:
    """Return the highest threshold that refuses at most a share of development pictures."""
    q = np.sort(np.asarray(quality, np.float64))
    if not 0 <= share < 1 or not len(q):
        raise ConfigError(f"need pictures and a share in [0, 1), got {len(q)} and {share}")
    return float(q[int(np.floor(share * len(q)))])


def threshold_at_fnmr(
    quality: ArrayLike, genuine: ArrayLike, decision: float, target: float
) -> float:
    """Return the lowest threshold at which FNMR after gating is at most a target.

    Parameters
    ----------
    quality, genuine
        (N,) of development comparisons: the probe's quality, and the score.
    decision
        Threshold of the comparison.
    target
        Wanted false non-match rate among accepted probes.

    Raises
    ------
    ConfigError
        If no threshold reaches the target.
    """
    q, wrong = np.asarray(quality, np.float64), np.asarray(genuine) < decision
    order = np.argsort(-q, kind="stable")
    rates = np.cumsum(wrong[order]) / np.arange(1, len(q) + 1)
    # All probes of equal quality are taken together.
    last = np.append(np.diff(q[order]) != 0, True)
    fits = np.flatnonzero((rates <= target) & last)
    if not len(fits):
        raise ConfigError(f"no quality threshold brings the FNMR down to {target}")
    return float(q[order][fits[-1]])


@dataclass(frozen=True, slots=True)
class Gated:
    """Error rates before and after a gate, at one decision threshold.

    Parameters
    ----------
    frr_before
        False rejections among all genuine comparisons.
    frr_after
        Among those that passed the gate; NaN if none did.
    frr_of_all
        Refused probes and false rejections among all: what a user meets.
    far_before, far_after
        False acceptances among impostor comparisons, all and passed.
    fta
        Share of genuine probes that the gate refused.
    cosine_before, cosine_after
        Mean genuine score.
    n
        Genuine comparisons.
    """

    frr_before: float
    frr_after: float
    frr_of_all: float
    far_before: float
    far_after: float
    fta: float
    cosine_before: float
    cosine_after: float
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Return the rates by name."""
        return {name: getattr(self, name) for name in self.__slots__}


def gated(
    genuine: ArrayLike,
    genuine_quality: ArrayLike,
    impostor: ArrayLike,
    impostor_quality: ArrayLike,
    decision: float,
    gate: float,
) -> Gated:
    """Measure a gate; scores (N,) and (M,) with the quality of their probes."""
    g, i = np.asarray(genuine, np.float64), np.asarray(impostor, np.float64)
    passed = np.asarray(genuine_quality) >= gate
    through = np.asarray(impostor_quality) >= gate
    wrong = g < decision

    def mean(values: Any) -> float:
        return float(np.mean(values)) if len(values) else float("nan")

    return Gated(
        frr_before=mean(wrong),
        frr_after=mean(wrong[passed]),
        frr_of_all=mean(wrong | ~passed),
        far_before=mean(i >= decision),
        far_after=mean(i[through] >= decision),
        fta=mean(~passed),
        cosine_before=mean(g),
        cosine_after=mean(g[passed]),
        n=len(g),
    )


def best_shots(quality: ArrayLike, tracks: ArrayLike, count: int = 1) -> list[np.ndarray]:
    """Return, per track in ascending order, the rows of its best frames, the best first.

    Parameters
    ----------
    quality, tracks
        (N,) of frames: overall quality, and the number of the track (one person in one clip).
    count
        Frames to keep per track.
    """
    q, t = np.asarray(quality, np.float64), np.asarray(tracks)
    order = np.lexsort((-q, t))
    _, starts = np.unique(t[order], return_index=True)
    return [rows[:count] for rows in np.split(order, starts[1:])] if len(order) else []
