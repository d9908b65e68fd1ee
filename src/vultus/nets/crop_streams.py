"""Labelled crops as training examples, and networks run over many crops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vultus.nets.augmentation import Augmentation, to_network

UInt8 = NDArray[np.uint8]


class AugmentedCrops:
    """Crops with targets, augmented anew each time.

    Fields: ``image`` float32 (3, S, S) in [-1, 1], and the targets under their names.

    Parameters
    ----------
    images
        uint8 (N, C, C, 3), of any side C.
    targets
        Arrays (N, ...) by name.
    size
        Side S of the examples.
    augmentation
        How crops are changed.
    """

    def __init__(
        self,
        images: UInt8,
        targets: Mapping[str, NDArray[Any]],
        size: int,
        augmentation: Augmentation,
    ) -> None:
        self.images, self.targets = images, targets
        self.size, self.augmentation = size, augmentation

    def __len__(self) -> int:
        return len(self.images)

    def example(self, index: int, rng: np.random.Generator) -> Mapping[str, Any]:
        """Return one example."""
        image, _ = self.augmentation.crop(self.images[index], self.size, rng)
        return {
            "image": to_network(image),
            **{name: values[index] for name, values in self.targets.items()},
        }


@torch.inference_mode()
def run(network: nn.Module, images: UInt8, size: int, batch: int = 256) -> Tensor:
    """Return the outputs on uint8 crops (N, C, C, 3), on the CPU, in their order."""
    plain = Augmentation(
        rotation=0, scale=0, shift=0, flip=0, contrast=0, brightness=0, gamma=0, colour=0,
        grey=0, blur=0, jpeg=0, noise=0, cover=0,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    device = next(network.parameters()).device
    outputs = []
    for start in range(0, len(images), batch):
        crops = [to_network(plain.crop(i, size, rng)[0]) for i in images[start : start + batch]]
        outputs.append(network(torch.from_numpy(np.stack(crops)).to(device)).cpu())
    return torch.cat(outputs)
