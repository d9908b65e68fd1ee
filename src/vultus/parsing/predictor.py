"""Pictures and boxes in, parts of faces out: an exported RTNet, without PyTorch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from vultus.errors import VultusError, WeightsError
from vultus.geometry import FloatArray, UInt8Array, expand_box
from vultus.parts import PART_NAMES, FaceParts, polar_classes
from vultus.runtime import Session, manifest, resolve
from vultus.tanh_polar import warp_polar, with_ratio

#: The network used where none is named.
DEFAULT = "rtnet-parsing"

#: Grey level outside the picture: zero once it is normalised, as in training.
_FILL = 128
#: Faces that are run together, which bounds memory.
_CHUNK = 32
#: Shares of the parts are counted on a square of this many sides of the box and of cells.
_CONTEXT, _CELLS = 2.6, 64
_TEMPLATE = re.compile(r"tanhpolar-(\d+)x(\d+)-(\d+(?:\.\d+)?)")


class ParsingPredictor:
    """Tells the parts of faces apart. Thread safe; keeps no state between calls.

    Parameters
    ----------
    name
        A parsing network of the manifest.
    provider, threads
        As in :class:`vultus.runtime.Session`.
    allow_licenses, offline
        As in :func:`vultus.runtime.resolve`.
    file, template
        An exported ONNX file instead, and the template that ``vultus export`` wrote for it, for
        example ``tanhpolar-96x96-0.78``.

    Attributes
    ----------
    name : str
        Identifier of the network.
    size : tuple of int
        Rows and columns of the tanh-polar pictures that it looks at.
    ratio : float
        Width / height that boxes are brought to.

    Raises
    ------
    WeightsError
        If the network cannot be had, or its template is not a tanh-polar one.
    """

    def __init__(
        self,
        name: str = DEFAULT,
        provider: str = "cpu",
        threads: int | None = None,
        *,
        allow_licenses: Iterable[str] | None = None,
        offline: bool | None = None,
        file: Path | str | None = None,
        template: str | None = None,
    ) -> None:
        if file is None:
            weight = manifest().get(name)
            if weight is None or weight.task != "parsing":
                known = sorted(key for key, w in manifest().items() if w.task == "parsing")
                raise WeightsError(f"unknown parsing network {name!r}; known: {known}")
            template = weight.template
            file = resolve(name, allow_licenses=allow_licenses, offline=offline)
        found = _TEMPLATE.fullmatch(template or "")
        if found is None:
            raise WeightsError(
                f"{name}: wanted a template like tanhpolar-96x96-0.78, got {template}"
            )
        self.name = name
        self.size, self.ratio = (int(found[1]), int(found[2])), float(found[3])
        self._session = Session(file, provider=provider, threads=threads)
        wanted = (None, 3, *self.size)
        if self._session.inputs[0].shape != wanted:
            raise WeightsError(
                f"{name}: takes {self._session.inputs[0].shape}, its template says {wanted}"
            )

    @property
    def weights(self) -> tuple[str, ...]:
        """Ids of the weight files that it uses."""
        return (self.name,)

    def predict(self, crops: UInt8Array) -> UInt8Array:
        """Return probabilities times 255, uint8 (N, H, W, 11), of tanh-polar pictures.

        Parameters
        ----------
        crops
            uint8 RGB (N, H, W, 3) of :attr:`size`, as :func:`vultus.tanh_polar.warp_polar` makes
            them, filled with 128, of boxes brought to :attr:`ratio`.

        Raises
        ------
        VultusError
            If the crops do not fit.
        """
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (*self.size, 3):
            raise VultusError(
                f"predict needs uint8 (N, {self.size[0]}, {self.size[1]}, 3), "
                f"got {crops.dtype} {crops.shape}"
            )
        out = np.empty((*crops.shape[:3], len(PART_NAMES)), np.uint8)
        for start in range(0, len(crops), _CHUNK):
            part = crops[start : start + _CHUNK].transpose(0, 3, 1, 2).astype(np.float32)
            found = self._session.run(part / np.float32(127.5) - 1)[0]
            out[start : start + _CHUNK] = np.rint(found * 255).transpose(0, 2, 3, 1)
        return out

    def parse(self, image: UInt8Array, boxes: ArrayLike) -> list[FaceParts]:
        """Return the parts of each face of one picture.

        Parameters
        ----------
        image
            uint8 RGB (H, W, 3).
        boxes
            (N, 4) xyxy, from the hairline to the chin, as the detector gives them.

        Raises
        ------
        VultusError
            If the picture is not uint8 RGB, or a box is empty or not finite.
        """
        return self.parse_many([image], [boxes])[0]

    def parse_many(
        self, images: Sequence[UInt8Array], boxes: Sequence[ArrayLike]
    ) -> list[list[FaceParts]]:
        """Return the parts of each face of several pictures, run in batches; see :meth:`parse`.

        Raises
        ------
        VultusError
            If there are not as many groups of boxes as pictures.
        """
        if len(images) != len(boxes):
            raise VultusError(f"parse_many: {len(images)} pictures, boxes for {len(boxes)}")
        regions = [with_ratio(group, self.ratio) for group in boxes]
        pairs = zip(images, regions, strict=True)
        polar = self.predict(np.concatenate([_none(self.size)] + [
            warp_polar(image, group, self.size, fill=_FILL) for image, group in pairs if len(group)
        ]))  # fmt: skip
        maps = iter(polar)
        return [[_parts(next(maps), box) for box in group] for group in regions]

    def masks(self, crops: UInt8Array) -> UInt8Array:
        """Return the classes of face crops, uint8 (N, S, S), in the pixels of the crops.

        Parameters
        ----------
        crops
            uint8 RGB (N, S, S, 3), cut as ``geometry.crop_boxes(image, boxes, 2.0, S)`` does: the
            face is half as high as the crop, and in its middle.

        Raises
        ------
        VultusError
            If the crops are not square.
        """
        if crops.ndim != 4 or crops.shape[1] != crops.shape[2]:
            raise VultusError(f"masks needs square crops (N, S, S, 3), got {crops.shape}")
        side = crops.shape[1]
        half = np.array([0.25 * self.ratio, 0.25], np.float32)
        box = (np.concatenate([0.5 - half, 0.5 + half]) * side)[None]
        found = self.parse_many(list(crops), [box] * len(crops))
        done = [parts[0].mask((side, side)) for parts in found]
        return np.stack(done) if done else np.empty((0, side, side), np.uint8)


def _none(size: tuple[int, int]) -> UInt8Array:
    return np.empty((0, *size, 3), np.uint8)


def _parts(polar: UInt8Array, box: FloatArray) -> FaceParts:
    square = expand_box(box, _CONTEXT)
    classes = polar_classes(polar, box, square, (_CELLS, _CELLS))
    counts = np.bincount(classes.ravel(), minlength=len(PART_NAMES))[1:]
    shares = counts / max(int(counts.sum()), 1)
    return FaceParts(dict(zip(PART_NAMES[1:], shares.tolist(), strict=True)), box, polar)
