"""Training examples: one random frame of a clip, changed as the authors' training does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.liveness.cdcn.depth import to_map
from vultus.liveness.cdcn.presentations import PadCrops
from vultus.liveness.masks import EXPANSION
from vultus.settings import settings

UInt8 = NDArray[np.uint8]
FloatArray = NDArray[np.float32]

#: Pixels are (x - MEAN) / STD.
MEAN, STD = 127.5, 128.0


@settings
class Augmentation:
    """How training crops are changed; the defaults are the released recipe's.

    Parameters
    ----------
    expansion
        Range of the enlargement of the detector's box, at most 1.4.
    offset
        Each channel is moved by up to this many grey levels.
    gamma
        Range of the exponent on brightness.
    flip
        Probability of a mirrored crop and label.
    erase, erased
        Probability of random erasing, and the range of each patch's share of the area; one or two
        patches.
    cutout
        Largest side of the blank square as a share of the crop's side (49 of 256 pixels).
    """

    expansion: tuple[float, float] = (1.2, 1.4)
    offset: float = 40.0
    gamma: tuple[float, float] = (0.5, 1.5)
    flip: float = 0.5
    erase: float = 0.5
    erased: tuple[float, float] = (0.01, 0.05)
    cutout: float = 49 / 256

    def __post_init__(self) -> None:
        low, high = self.expansion
        if not 1 <= low <= high <= 1.4:
            raise ValueError("expansion must lie in [1, 1.4]")
        if not 0 < self.gamma[0] <= self.gamma[1] or not 0 <= self.cutout < 1:
            raise ValueError("gamma must be positive and cutout lie in [0, 1)")


#: Only what keeps a crop a crop: no change at all.
UNCHANGED = Augmentation(
    expansion=(EXPANSION, EXPANSION), offset=0, gamma=(1, 1), flip=0, erase=0, cutout=0
)


def pixels(crops: UInt8) -> FloatArray:
    """Return float32 (..., 3, S, S) from uint8 RGB crops (..., S, S, 3), as the network wants."""
    scaled = (crops.astype(np.float32) - np.float32(MEAN)) / np.float32(STD)
    return np.ascontiguousarray(np.moveaxis(scaled, -1, -3))


class ClipExamples:
    """Presentations as training examples; an example of a clip is one of its frames, at random.

    Fields: ``image`` float32 (3, S, S), ``depth`` float32 (S / 8, S / 8), ``live`` (0 or 1),
    ``frame``.

    Parameters
    ----------
    data
        Frames.
    size
        Side of the crops.
    stride
        Side of the crop over the side of the label.
    augmentation
        Of crops and labels together.
    """

    def __init__(self, data: PadCrops, size: int, stride: int, augmentation: Augmentation) -> None:
        self.data, self.size, self.side = data, size, size // stride
        self.augmentation = augmentation
        self.clips, first = np.unique(data.clips, return_index=True)
        self.frames = [np.flatnonzero(data.clips == c) for c in self.clips]
        self.live = data.live[first]

    def __len__(self) -> int:
        return len(self.clips)

    def example(self, index: int, rng: np.random.Generator) -> Mapping[str, Any]:
        """Return one example; all randomness comes from ``rng``."""
        frame = int(rng.choice(self.frames[index]))
        image, label = self._cut(frame, rng)
        image = retoned(image, self.augmentation, rng)
        image = erased(image, self.augmentation, rng)
        return {
            "image": pixels(image),
            "depth": to_map(label.astype(np.float32) / np.float32(255), self.side),
            "live": int(self.live[index]),
            "frame": frame,
        }

    def _cut(self, frame: int, rng: np.random.Generator) -> tuple[UInt8, UInt8]:
        """Return a random enlargement of the box, mirrored at random, of picture and label."""
        a, stored = self.augmentation, self.data.images.shape[1]
        window = self.data.size * float(rng.uniform(*a.expansion)) / EXPANSION
        scale = self.size / min(window, stored)
        mirror = bool(rng.random() < a.flip)
        # Centre on centre; pixel centres have whole coordinates.
        shift = (self.size - 1) / 2 - scale * (stored - 1) / 2
        affine = np.array([[scale, 0, shift], [0, scale, shift]])
        if mirror:
            affine[0] = [-scale, 0, self.size - 1 - shift]
        image, label = (
            cv2.warpAffine(
                source[frame],
                affine,
                (self.size, self.size),
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            for source in (self.data.images, self.data.depth)
        )
        return np.asarray(image, np.uint8), np.asarray(label, np.uint8)


def retoned(image: UInt8, a: Augmentation, rng: np.random.Generator) -> UInt8:
    """Return a crop (S, S, 3) with moved channels and another gamma."""
    offset = rng.uniform(-a.offset, a.offset, 3)
    gamma = rng.uniform(*a.gamma)
    levels = np.clip(np.arange(256)[:, None] + offset, 0, 255) / 255
    table = np.round(255 * levels**gamma).astype(np.uint8)
    return np.stack([table[image[..., c], c] for c in range(3)], -1)


def erased(image: UInt8, a: Augmentation, rng: np.random.Generator) -> UInt8:
    """Return a crop (S, S, 3) with patches of noise, and a blank square."""
    out, side = image.copy(), len(image)
    if rng.random() < a.erase:
        for _ in range(int(rng.integers(1, 3))):
            area = float(rng.uniform(*a.erased)) * side * side
            ratio = float(np.exp(rng.uniform(np.log(0.5), np.log(2))))
            height = int(np.clip(round((area * ratio) ** 0.5), 1, side))
            width = int(np.clip(round((area / ratio) ** 0.5), 1, side))
            top = int(rng.integers(side - height + 1))
            left = int(rng.integers(side - width + 1))
            patch = rng.integers(0, 256, (height, width, 3))
            out[top : top + height, left : left + width] = patch
    square = int(rng.integers(round(a.cutout * side) + 1))
    if square:
        y, x = rng.integers(side, size=2)
        half = square / 2
        rows = slice(max(round(y - half), 0), round(y + half))
        out[rows, max(round(x - half), 0) : round(x + half)] = 128
    return out
