"""A regression forest as tensors: grown by scikit-learn, run and exported by PyTorch.

Siblings lie side by side, so a step down a tree is ``left + (x > threshold)``; a leaf is its own
left child with an infinite threshold. All trees take the same number of steps, without branches.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from vultus.errors import TrainingError

Array = NDArray[Any]


class Forest(nn.Module):
    """Mean over trees of the leaf that a row falls into.

    Parameters
    ----------
    trees, leaves, depth
        Number of trees; most leaves and most steps down of one.
    """

    feature: Tensor
    threshold: Tensor
    left: Tensor
    value: Tensor

    def __init__(self, trees: int, leaves: int, depth: int) -> None:
        super().__init__()
        nodes = 2 * leaves - 1
        self.trees, self.nodes, self.depth = trees, nodes, depth
        self.register_buffer("feature", torch.zeros(trees, nodes, dtype=torch.int32))
        self.register_buffer("threshold", torch.full((trees, nodes), torch.inf))
        self.register_buffer("left", torch.arange(nodes, dtype=torch.int32).repeat(trees, 1))
        self.register_buffer("value", torch.zeros(trees, nodes))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N,) predictions for float32 features (N, F)."""
        first = torch.arange(self.trees, device=x.device) * self.nodes
        feature, left = self.feature.flatten().long(), self.left.flatten().long()
        threshold = self.threshold.flatten()
        node = torch.zeros(x.shape[0], self.trees, dtype=torch.long, device=x.device)
        for _ in range(self.depth):
            place = node + first
            right = x.gather(1, feature[place]) > threshold[place]
            node = left[place] + right.long()
        return self.value.flatten()[node + first].mean(1)

    def grow(self, regressor: Any) -> None:
        """Take over the trees of a fitted ``RandomForestRegressor``.

        Raises
        ------
        TrainingError
            If they do not fit into this forest.
        """
        if len(regressor.estimators_) != self.trees:
            raise TrainingError(f"{len(regressor.estimators_)} trees do not fit {self.trees}")
        for row, estimator in enumerate(regressor.estimators_):
            tree = estimator.tree_
            if tree.node_count > self.nodes or tree.max_depth > self.depth:
                raise TrainingError(f"tree {row} has {tree.node_count} nodes, at most {self.nodes}")
            for name, values in _laid_out(tree, self.nodes).items():
                getattr(self, name)[row] = torch.from_numpy(values)


def _laid_out(tree: Any, nodes: int) -> dict[str, Array]:
    """Return a scikit-learn tree with siblings side by side, padded with leaves."""
    feature, left = np.zeros(nodes, np.int32), np.arange(nodes, dtype=np.int32)
    threshold, value = np.full(nodes, np.inf, np.float32), np.zeros(nodes, np.float32)
    place, free = {0: 0}, 1
    # A parent comes before its children in scikit-learn's order too.
    for node in range(tree.node_count):
        here = place[node]
        value[here] = tree.value[node].ravel()[0]
        if tree.children_left[node] < 0:
            continue
        feature[here], left[here] = tree.feature[node], free
        threshold[here] = at_most(tree.threshold[node])
        place[int(tree.children_left[node])] = free
        place[int(tree.children_right[node])] = free + 1
        free += 2
    return {"feature": feature, "left": left, "threshold": threshold, "value": value}


def at_most(threshold: float) -> np.float32:
    """Return the largest float32 that is not above a number.

    scikit-learn compares float32 features with float64 thresholds; with this float32 in their
    place every comparison ``x <= threshold`` of a float32 x comes out the same.
    """
    near = np.float32(threshold)
    return near if float(near) <= threshold else np.nextafter(near, np.float32(-np.inf))


def grown(features: ArrayLike, labels: ArrayLike, seed: int, **options: Any) -> Any:
    """Return a fitted ``RandomForestRegressor`` with out-of-bag predictions.

    Parameters
    ----------
    features, labels
        (N, F) and (N,).
    seed
        Of the bootstrap and of the choice of features.
    options
        ``n_estimators``, ``max_features`` and others of scikit-learn.
    """
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        bootstrap=True, oob_score=True, random_state=seed, n_jobs=1, **options
    )
    return forest.fit(np.asarray(features, np.float32), np.asarray(labels, np.float64))
