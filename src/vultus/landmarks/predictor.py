"""Aligned crops to 68 points, by the networks of ``kd-landmarks`` and ``fan-alignment``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from vultus.errors import VultusError, WeightsError
from vultus.geometry import (
    FloatArray,
    Template,
    UInt8Array,
    invert_affine,
    similarity_transform,
    template,
    transform_points,
    warp,
)
from vultus.points68 import COUNT, MEAN, keypoints, mirrored
from vultus.runtime import CropNetwork

#: The network used where none is named.
DEFAULT = "kd-landmarks"

#: Looks at a face: the second crop is aligned by the points of the first.
PASSES = 2


class LandmarkPredictor:
    """The network on batches of crops. Thread safe; keeps no state between calls.

    Parameters
    ----------
    name
        A landmark network of the manifest. ``kd-landmarks`` is light, ``fan-landmarks`` more
        accurate and about nine times as slow; both may be used for anything. Those that end in
        ``-research`` have seen annotated photographs, which are for research alone.
    provider, threads, allow_licenses, offline
        See :class:`~vultus.runtime.CropNetwork`.

    Attributes
    ----------
    name : str
        Identifier of the network.
    template : Template
        Alignment that crops must have.

    Raises
    ------
    WeightsError
        If the network cannot be had, or is none for landmarks.
    ProviderError
        If the provider is not there.
    """

    def __init__(
        self,
        name: str = DEFAULT,
        provider: str = "cpu",
        threads: int | None = None,
        *,
        allow_licenses: Iterable[str] | None = None,
        offline: bool | None = None,
    ) -> None:
        self._network = CropNetwork(
            name,
            "landmarks",
            provider=provider,
            threads=threads,
            allow_licenses=allow_licenses,
            offline=offline,
        )
        self.name = self._network.name
        self.template: Template = template(self._network.template)
        if self._network.size != self.template.size:
            raise WeightsError(
                f"{name} takes crops of {self._network.size} pixels, "
                f"its template {self.template.name} has {self.template.size}"
            )

    def predict(self, crops: UInt8Array, *, flip: bool = False) -> FloatArray:
        """Return points, float32 (N, 68, 2), in crop pixels: 0 is the centre of the first one.

        Parameters
        ----------
        crops
            uint8 RGB (N, S, S, 3), aligned to :attr:`template`, whose size is S.
        flip
            Also look at the mirror image, and return the mean of both.

        Raises
        ------
        VultusError
            If the crops do not fit, or the network gives no finite points.
        """
        views = [crops, crops[:, :, ::-1]] if flip and crops.ndim == 4 else [crops]
        points = self._network.run(np.concatenate(views))[0]
        if points.shape[1:] != (COUNT, 2):
            raise VultusError(f"{self.name} gave {points.shape}, not 68 points a face")
        if len(views) == 2:
            plain, other = np.split(points, 2)
            points = np.asarray((plain + mirrored(other, self.template.size)) / 2, np.float32)
        return points

    def locate(
        self,
        image: UInt8Array,
        five: ArrayLike,
        *,
        passes: int = PASSES,
        flip: bool = True,
    ) -> FloatArray:
        """Return points in picture pixels, float32 (N, 68, 2), of faces with known keypoints.

        Parameters
        ----------
        image
            uint8 RGB (H, W, 3).
        five
            (N, 5, 2) keypoints in the order of :class:`~vultus.faces.Face`.
        passes
            Looks at each face, 1 or more: from the second on the crop is aligned by the points.
        flip
            As in :meth:`predict`.

        Raises
        ------
        VultusError
            If the picture or the keypoints do not fit.
        """
        points = np.asarray(five, np.float32).reshape(-1, 5, 2)
        return self.locate_many([image] * len(points), points, passes=passes, flip=flip)

    def locate_many(
        self,
        images: Sequence[UInt8Array],
        five: ArrayLike,
        *,
        passes: int = PASSES,
        flip: bool = True,
    ) -> FloatArray:
        """Return the points, float32 (N, 68, 2), of one face in each picture, run in batches.

        Parameters
        ----------
        images
            uint8 RGB (H, W, 3) each.
        five
            (N, 5, 2) keypoints in picture pixels.
        passes, flip
            As in :meth:`locate`.

        Raises
        ------
        VultusError
            If pictures and faces differ in number, or there are no passes.
        """
        aim = np.asarray(five, np.float32).reshape(-1, 5, 2)
        if len(images) != len(aim) or passes < 1:
            raise VultusError(
                f"{len(images)} pictures, {len(aim)} faces, {passes} passes do not fit"
            )
        points = np.empty((0, COUNT, 2), np.float32)
        for _ in range(passes if len(aim) else 0):
            maps = similarity_transform(aim, self.template.points)
            crops = [warp(i, m, self.template.size) for i, m in zip(images, maps, strict=True)]
            found = self.predict(np.concatenate(crops), flip=flip)
            points = transform_points(invert_affine(maps), found)
            aim = keypoints(points)
        return points


def keypoints_from_boxes(boxes: ArrayLike) -> FloatArray:
    """Return where the five keypoints of upright faces lie on average, float32 (N, 5, 2).

    Parameters
    ----------
    boxes
        xyxy (N, 4) boxes around the 68 points, as annotations of 300-W have them: from the brows
        to the chin.
    """
    b = np.asarray(boxes, np.float32).reshape(-1, 4)
    mean = np.array(MEAN, np.float32)
    low, high = mean.min(0), mean.max(0)
    scale = (b[:, 2:] - b[:, :2]).max(1) / (high - low).max()
    centre = (b[:, :2] + b[:, 2:]) / 2
    five = keypoints(mean) - (low + high) / 2
    return np.asarray(centre[:, None] + scale[:, None, None] * five, np.float32)
