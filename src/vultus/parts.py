"""The parts of one face: what share of it each takes, and the mask, drawn when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import NotComputedError, VultusError

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]

#: Classes of face parsing in the order of their indices. Left and right are the picture's for an
#: upright face. Ears are skin; neck, clothes and hats are background.
PART_NAMES = (
    "background",
    "skin",
    "left_brow",
    "right_brow",
    "left_eye",
    "right_eye",
    "nose",
    "upper_lip",
    "inner_mouth",
    "lower_lip",
    "hair",
)

#: RGB colours for drawing, in the same order.
PART_COLOURS = (
    (0, 0, 0),
    (238, 187, 153),
    (128, 85, 0),
    (170, 128, 0),
    (0, 90, 255),
    (0, 170, 255),
    (0, 200, 120),
    (230, 0, 60),
    (255, 255, 255),
    (200, 0, 130),
    (110, 60, 160),
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FaceParts:
    """Which pixels of a picture are which part of one face.

    Parameters
    ----------
    shares
        Share of the head's pixels, background aside, by name of the part; they sum to 1, or are
        all 0 where no part was found.
    box
        float32 (4,): the region of interest of the tanh-polar picture, xyxy between pixel edges.
    polar
        uint8 (H, W, 11): probabilities times 255 on the tanh-polar picture, or None where only
        the shares were kept, as in JSON.
    """

    shares: Mapping[str, float]
    box: FloatArray | None = None
    polar: UInt8Array | None = field(default=None)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.shares) - set(PART_NAMES[1:]))
        if unknown:
            raise VultusError(f"FaceParts: unknown parts {unknown}; known: {PART_NAMES[1:]}")
        shares = {name: float(share) for name, share in self.shares.items()}
        object.__setattr__(self, "shares", MappingProxyType(shares))
        if (self.box is None) != (self.polar is None):
            raise VultusError("FaceParts: box and polar belong together")
        for name in ("box", "polar"):
            if (value := getattr(self, name)) is not None:
                array = np.array(value)
                array.flags.writeable = False
                object.__setattr__(self, name, array)

    def __repr__(self) -> str:
        return f"FaceParts({ {k: round(v, 3) for k, v in self.shares.items()} })"

    def __reduce__(self) -> tuple[Any, ...]:
        # A read-only view of a dictionary cannot be copied as it is.
        return FaceParts, (dict(self.shares), self.box, self.polar)

    def mask(self, shape: tuple[int, int]) -> UInt8Array:
        """Return the classes of a picture's pixels for this face, uint8 (H, W).

        Other people are background.

        Parameters
        ----------
        shape
            Height and width of the picture.

        Raises
        ------
        NotComputedError
            If only the shares were kept.
        """
        box, polar = self._map()
        sides = box[2:] - box[:2]
        # Beyond the last column of the polar picture everything is background.
        reach = np.arctanh(1 - 0.5 / polar.shape[1]) / np.sqrt(np.pi) * sides.max()
        centre = (box[:2] + box[2:]) / 2
        limit = np.array(shape[::-1])
        low = np.floor(centre - reach).clip(0, limit).astype(int)
        high = np.ceil(centre + reach).clip(0, limit).astype(int)
        out = np.zeros(shape, np.uint8)
        if (high > low).all():
            rows, columns = int(high[1] - low[1]), int(high[0] - low[0])
            region = np.concatenate([low, high])
            out[low[1] : high[1], low[0] : high[0]] = self.crop(region, (rows, columns))
        return out

    def crop(self, region: ArrayLike, shape: tuple[int, int]) -> UInt8Array:
        """Return the classes of a part of the picture, uint8 of a shape (rows, columns).

        Parameters
        ----------
        region
            (4,) xyxy between pixel edges; it may reach over the picture's edge.
        shape
            Rows and columns of the result.

        Raises
        ------
        NotComputedError
            If only the shares were kept.
        """
        box, polar = self._map()
        return polar_classes(polar, box, region, shape)

    def to_dict(self) -> dict[str, Any]:
        """Return the shares by name; masks stay out of JSON."""
        return dict(self.shares)

    def _map(self) -> tuple[FloatArray, UInt8Array]:
        if self.box is None or self.polar is None:
            raise NotComputedError(
                "the mask of this face was not kept: run the 'parts' predictor on its picture"
            )
        return self.box, self.polar


def polar_classes(
    polar: UInt8Array, box: ArrayLike, region: ArrayLike, shape: tuple[int, int]
) -> UInt8Array:
    """Return the most probable classes on a region, uint8 (rows, columns).

    Parameters
    ----------
    polar
        uint8 (H, W, C) probabilities on the tanh-polar picture, background first.
    box
        (4,) region of interest of that picture.
    region, shape
        As in :meth:`FaceParts.crop`.
    """
    from vultus.tanh_polar import restore_polar

    # What the map does not reach comes back as 0: inverted, that is certain background.
    values = polar.astype(np.float32)
    values[..., 0] = 255 - values[..., 0]
    back = restore_polar(values, box, shape, region=region)
    back[..., 0] = 255 - back[..., 0]
    classes: UInt8Array = back.argmax(2).astype(np.uint8)
    return classes
