"""F1 and IoU of a learner in the frame of the pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vultus.measure.parsing import pixel_confusion
from vultus.parsing.classes import BACKGROUND, CLASSES, HAIR
from vultus.parsing.rtnet_parsing.learner import RTNetLearner
from vultus.parsing.rtnet_parsing.renders import Heads

UInt8Array = NDArray[np.uint8]

#: Classes inside the face, without skin.
INNER = tuple(range(2, HAIR))


def confusions(predicted: Sequence[UInt8Array], truth: Sequence[UInt8Array]) -> NDArray[np.int64]:
    """Return the confusion matrix of each picture, int64 (N, 11, 11)."""
    pairs = zip(predicted, truth, strict=True)
    return np.stack([pixel_confusion(p, t, len(CLASSES)) for p, t in pairs])


def figures(matrices: NDArray[np.int64]) -> dict[str, float]:
    """Return F1 of each class over all pictures together, and means without the background.

    ``mean_f1``, ``mean_iou``, ``inner_f1`` (brows, eyes, nose, lips and mouth), and ``f1_CLASS``.
    Classes that never occur and are never predicted are left out.
    """
    total = matrices.sum(0).astype(np.float64)
    right, either = np.diag(total), total.sum(0) + total.sum(1)
    known = either > 0
    f1 = np.divide(2 * right, either, out=np.zeros(len(CLASSES)), where=known)
    iou = np.divide(right, either - right, out=np.zeros(len(CLASSES)), where=known)
    fore, inner = known.copy(), np.zeros_like(known)
    fore[BACKGROUND] = False
    inner[list(INNER)] = known[list(INNER)]
    found = {"mean_f1": float(f1[fore].mean()), "mean_iou": float(iou[fore].mean())}
    found["inner_f1"] = float(f1[inner].mean()) if inner.any() else 0.0
    return found | {f"f1_{name}": float(f1[i]) for i, name in enumerate(CLASSES) if known[i]}


def score(learner: RTNetLearner, heads: Heads) -> dict[str, float]:
    """Return the figures of a learner in evaluation mode on heads, from their true boxes."""
    return figures(confusions(list(learner.parse(heads.images, heads.boxes)), list(heads.parts)))
