"""Online feedback sampling: what the losses of one step decide about the next one's pictures.

Liu et al. (MOS, section "online feedback sampling"): add small faces where their share of the loss
is low, else add what was taken for a face by mistake. Small faces come from stitching four
pictures into one, as in Chen et al., "Dynamic scale training" (2020), from which the threshold is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vultus.errors import ConfigError, TrainingError
from vultus.nets.streams import Indices, Shuffled
from vultus.settings import settings

Stitching = Literal["feedback", "random", "none"]

PLAIN, STITCHED, HARD = 0, 1, 2
#: A region's place counts in these parts of the picture's side.
GRID = 64


@settings
class Feedback:
    """How the losses choose pictures.

    Parameters
    ----------
    stitching
        Stitch the next batch where small faces have too little of the loss (``feedback``), at
        random with probability ``rate``, or never.
    share
        Least share of the faces' loss that small faces should have.
    rate
        Of random stitching.
    hard
        Share of a batch that is not stitched that gets regions with false detections; 0 for none.
    regions
        False detections that are remembered.
    """

    stitching: Stitching = "feedback"
    share: float = 0.1
    rate: float = 0.0
    hard: float = 0.125
    regions: int = 256

    def __post_init__(self) -> None:
        if not all(0 <= v <= 1 for v in (self.share, self.rate, self.hard)) or self.regions < 1:
            raise ValueError("need share, rate and hard in [0, 1] and regions >= 1")


@dataclass(frozen=True, slots=True)
class Choice:
    """What one example is to be; packed into one number, which is what a sampler gives.

    Parameters
    ----------
    canvas
        Number of the picture; of the one that the region is cut from, for :data:`HARD`.
    mode
        :data:`PLAIN`, :data:`STITCHED` or :data:`HARD`.
    x, y, side
        Corner and side of the region in 1 / :data:`GRID` of the picture.
    """

    canvas: int
    mode: int = PLAIN
    x: int = 0
    y: int = 0
    side: int = 0

    def packed(self) -> int:
        """Return the number; plain pictures have their own."""
        place = (self.x * GRID + self.y) * (GRID + 1) + self.side
        return self.canvas | self.mode << 32 | place << 34

    @classmethod
    def unpacked(cls, number: int) -> Choice:
        """Return the choice of a number."""
        place, side = divmod(number >> 34, GRID + 1)
        x, y = divmod(place, GRID)
        return cls(number & 0xFFFFFFFF, number >> 32 & 3, x, y, side)


def region(canvas: int, box: np.ndarray[Any, Any], size: int) -> Choice:
    """Return the square around a false detection, with a margin of a quarter of its side.

    Parameters
    ----------
    canvas
        Number of the picture.
    box
        (4,) xyxy in pixels.
    size
        Side of the picture.
    """
    middle, side = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max()) * 1.5
    parts = int(np.clip(np.ceil(side / size * GRID), 2, GRID // 2))
    corner = np.clip(np.round(middle / size * GRID - parts / 2), 0, GRID - parts).astype(int)
    return Choice(canvas, HARD, int(corner[0]), int(corner[1]), parts)


class FeedbackSampler:
    """Pictures in shuffled order; the mode of a batch follows the losses before it.

    In training with several processes each follows its own share of the batch.

    Parameters
    ----------
    count, batch
        Number of pictures; examples per step.
    seed
        Of the orders.
    config
        How the losses choose.
    """

    def __init__(self, count: int, batch: int, seed: int, config: Feedback) -> None:
        if count >= 1 << 32:
            raise ConfigError(f"at most {(1 << 32) - 1} pictures can be numbered, got {count}")
        self._plain = Shuffled(count, batch, seed)
        self.count, self.size, self.seed, self.config = count, batch, seed, config
        self.short = False
        self.pool: list[int] = []
        self.stitched = self.steps = 0

    @property
    def rate(self) -> float:
        """Share of the steps so far whose batch was stitched."""
        return self.stitched / max(self.steps, 1)

    def batch(self, step: int) -> Indices:
        """Return int64 (batch,) packed choices."""
        rng = np.random.default_rng((self.seed, step, 14))
        canvases = self._plain.batch(step)
        if self._stitches(rng):
            return np.array([Choice(int(c), STITCHED).packed() for c in canvases], np.int64)
        hard = min(round(self.config.hard * self.size), len(self.pool))
        if hard:
            places = rng.choice(self.size, hard, replace=False)
            canvases[places] = rng.choice(np.array(self.pool, np.int64), hard, replace=False)
        return canvases

    def _stitches(self, rng: np.random.Generator) -> bool:
        kind = self.config.stitching
        if kind == "random":
            return bool(rng.random() < self.config.rate)
        return kind == "feedback" and self.short

    def feedback(self, value: Mapping[str, Any]) -> None:
        """Learn from a step.

        Parameters
        ----------
        value
            ``choice`` (B,): what was shown; ``loss`` and ``small`` (B,): each picture's loss over
            its faces, and over its small ones; ``regions``: packed false detections.
        """
        loss, small = float(np.sum(value["loss"])), float(np.sum(value["small"]))
        self.short = small < self.config.share * loss
        self.steps += 1
        self.stitched += Choice.unpacked(int(value["choice"][0])).mode == STITCHED
        fresh = [int(r) for r in value["regions"]]
        known = set(fresh)
        self.pool = [r for r in self.pool if r not in known] + list(dict.fromkeys(fresh))
        self.pool = self.pool[-self.config.regions :]

    def state(self) -> dict[str, Any]:
        """Return what was learned, in JSON types."""
        return {
            "short": self.short,
            "pool": list(self.pool),
            "stitched": self.stitched,
            "steps": self.steps,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what :meth:`state` gave; raise :class:`TrainingError` if it is not that."""
        try:
            self.short = bool(state["short"])
            self.pool = [int(r) for r in state["pool"]]
            self.stitched, self.steps = int(state["stitched"]), int(state["steps"])
        except (KeyError, TypeError, ValueError) as error:
            raise TrainingError(f"not the state of a feedback sampler: {error!r}") from error
