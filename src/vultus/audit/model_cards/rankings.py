"""Areas under ROC curves that do not depend on a threshold, per group.

Dixon et al., "Measuring and mitigating unintended bias in text classification" (AIES 2018), for
pinned AUC; Borkan et al., "Nuanced metrics for measuring unintended bias" (WWW 2019), for the
others and for what pinned AUC hides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vultus.audit.model_cards.cells import Family
from vultus.audit.model_cards.measures import RANKINGS
from vultus.audit.model_cards.resampling import Units
from vultus.audit.model_cards.table import PredictionTable
from vultus.measure.arrays import Bool, Float
from vultus.measure.bootstrap import Resampling


def below(weights: Float, scores: Float) -> Float:
    """Return the weight below each item, items of equal score counting half, float64 (B, N).

    Parameters
    ----------
    weights
        float64 (B, N), of items in ascending order of their score.
    scores
        float64 (N,), ascending.
    """
    starts = np.flatnonzero(np.concatenate([[True], np.diff(scores) != 0]))
    if len(starts) == len(scores):
        return np.cumsum(weights, axis=1) - weights / 2
    tied = np.add.reduceat(weights, starts, axis=1)
    levels = np.cumsum(tied, axis=1) - tied / 2
    return np.repeat(levels, np.diff(starts, append=len(scores)), axis=1)


class Ranking:
    """The areas of any group under one block of resamples.

    Each area is the weight of pairs in which a positive outranks a negative, over that of all
    pairs. The sums over pairs with one side among all items are shared by all groups.

    Parameters
    ----------
    scores, truth
        float64 (N,) ascending, and bool (N,) whether each item is positive.
    weights
        float64 (B, N) weight of each item in each resample.
    """

    def __init__(self, scores: Float, truth: Bool, weights: Float) -> None:
        self.scores, self.truth = scores, truth
        self.negative, self.positive = weights * ~truth, weights * truth
        self.n, self.p = self.negative.sum(1), self.positive.sum(1)
        self.negative_below = below(self.negative, scores)
        self.positive_above = self.p[:, None] - below(self.positive, scores)
        self.pairs = (self.positive * self.negative_below).sum(1)

    def areas(self, members: Bool) -> dict[str, Float]:
        """Return the areas of a group, float64 (B,) each, NaN where a side has no weight.

        Pinned AUC pools the group with a random sample of all items as large as the group. Here
        the sample is replaced by its expectation, every item with weight n_group / n, so that the
        number does not depend on a draw.

        Parameters
        ----------
        members
            bool (N,), in the order of the scores.
        """
        kept = np.flatnonzero(members)
        if not kept.size:
            return {name: np.full(len(self.n), np.nan) for name in RANKINGS}
        negative, positive = self.negative[:, kept], self.positive[:, kept]
        n, p = negative.sum(1), positive.sum(1)
        inside = (positive * below(negative, self.scores[kept])).sum(1)
        group_negatives = (negative * self.positive_above[:, kept]).sum(1)
        group_positives = (positive * self.negative_below[:, kept]).sum(1)
        r = (n + p) / (self.n + self.p)
        pooled = inside + r * (group_negatives + group_positives) + r**2 * self.pairs
        return {
            "subgroup_auc": _share(inside, n * p),
            "pinned_auc": _share(pooled, (n + r * self.n) * (p + r * self.p)),
            "bpsn_auc": _share(group_negatives - inside, n * (self.p - p)),
            "bnsp_auc": _share(group_positives - inside, (self.n - n) * p),
        }


def ranking_replicates(
    table: PredictionTable, units: Units, cells: Sequence[Family], resampling: Resampling
) -> tuple[dict[str, Float], dict[str, Float]]:
    """Return the areas of every cell, and those of every resample.

    Returns
    -------
    Per measure float64 (C,), and float64 (B, C), the cells of all families side by side.
    """
    order = np.argsort(table.values["score"], kind="stable")
    scores, truth = table.values["score"][order], table.values["label"][order] == 1
    members = [family.member(i)[order] for family in cells for i in range(len(family))]
    codes = units.codes[order]

    def of(weights: Float) -> dict[str, Float]:
        ranking = Ranking(scores, truth, weights)
        found = [ranking.areas(m) for m in members]
        return {name: np.stack([f[name] for f in found], axis=1) for name in RANKINGS}

    values = of(np.ones((1, len(table))))
    drawn = [of(block[:, codes]) for block in units.blocks(resampling)]
    return (
        {name: values[name][0] for name in RANKINGS},
        {name: np.concatenate([d[name] for d in drawn]) for name in RANKINGS},
    )


def _share(part: Float, whole: Float) -> Float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole > 0, part / whole, np.nan)
