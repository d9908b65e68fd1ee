"""The public networks 2DFAN-4, 3DFAN-4 and depth, from files that lie here; nothing is fetched.

They were trained with coordinates that count from 1 and with pictures cut at whole pixels. Their
own crop and decoding are therefore kept here, for them alone. Files are TorchScript archives or
state dictionaries; either is read as plain tensors, and no pickled object is ever built.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from vultus.errors import WeightsError
from vultus.geometry import FloatArray, UInt8Array
from vultus.landmarks.fan.faces import Convention
from vultus.landmarks.fan.heatmaps import gaussian_maps
from vultus.landmarks.fan.networks import DepthNet, DepthNetwork, Fan, Network, Pooling
from vultus.landmarks.heatmaps import LIFT, REFERENCE, SIDE, decode, unflipped

Kind = Literal["contour", "projected", "depth"]

#: How the files' names begin.
_NAMES: dict[str, Kind] = {"2dfan": "contour", "3dfan": "projected", "depth": "depth"}

_SIZE = 256

#: What the released renderer calls a deviation of 2: a patch of 13 pixels, whose deviation is a
#: quarter of that side.
_PATCH, _DEVIATION = 2.0, 3.25


def find_released(folder: Path) -> dict[Kind, Path]:
    """Return the released files in a folder, by what they give; empty where there are none."""
    found: dict[Kind, Path] = {}
    for file in sorted(folder.glob("*")) if folder.is_dir() else ():
        if file.suffix in (".zip", ".pth", ".pt", ".tar"):
            for name, kind in _NAMES.items():
                if file.name.lower().startswith(name):
                    found.setdefault(kind, file)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class ReleasedAligner:
    """A released network of hourglasses with its own crop and decoding.

    Parameters
    ----------
    network
        float (N, 3, 256, 256) in [0, 1] -> heat maps per stack.
    convention
        Of its points.
    name
        For reports.
    """

    network: nn.Module
    convention: Convention
    name: str

    @torch.no_grad()
    def locate(
        self,
        images: Sequence[UInt8Array],
        boxes: ArrayLike,
        *,
        flip: bool = False,
        mirror: bool = False,
    ) -> FloatArray:
        """Return points (N, 68, 2) in picture pixels, 0 the centre of the first.

        Parameters
        ----------
        images, boxes
            uint8 RGB (H, W, 3) and xyxy (N, 4), one face in each picture.
        flip
            Add the maps of the mirror image.
        mirror
            Look at the mirror image of the crop alone.
        """
        out = []
        for image, box in zip(images, np.asarray(boxes, np.float64).reshape(-1, 4), strict=True):
            centre, scale = legacy_frame(box)
            crop = legacy_crop(image, centre, scale)
            turned = np.ascontiguousarray(crop[:, ::-1])
            maps = unflipped(self._maps(turned)) if mirror else self._maps(crop)
            if flip and not mirror:
                maps = maps + unflipped(self._maps(turned))
            out.append(legacy_points(maps, centre, scale)[0])
        return np.stack(out) if out else np.empty((0, 68, 2), np.float32)

    def _maps(self, crop: UInt8Array) -> FloatArray:
        x = torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255
        return np.asarray(self.network(x)[-1].numpy(), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class ReleasedDepth:
    """The released depth network with its own crop."""

    network: nn.Module

    @torch.no_grad()
    def lift(self, images: Sequence[UInt8Array], boxes: ArrayLike, points: ArrayLike) -> FloatArray:
        """Return points (N, 68, 3) with depth in picture pixels, as released: no mean is taken."""
        out = []
        flat = np.asarray(points, np.float32)
        corners = np.asarray(boxes, np.float64).reshape(-1, 4)
        for image, box, face in zip(images, corners, flat, strict=True):
            centre, scale = legacy_frame(box)
            crop = torch.from_numpy(legacy_crop(image, centre, scale)).permute(2, 0, 1)[None]
            ratio = _SIZE / (SIDE * scale)
            # The released renderer rounds down, and counts pixels from 1.
            inside = np.floor((face - centre) * ratio + _SIZE / 2) - 1
            places = torch.from_numpy(inside.astype(np.float32))[None]
            patch = gaussian_maps(places, _SIZE, _PATCH, snap=True) > 0
            maps = gaussian_maps(places, _SIZE, _DEVIATION, snap=True) * patch
            depth = self.network(torch.cat([crop.float() / 255, maps], 1))[0].numpy() / ratio
            out.append(np.concatenate([face, depth[:, None]], 1))
        return np.stack(out).astype(np.float32) if out else np.empty((0, 68, 3), np.float32)


def load_released(
    path: Path | str, kind: Kind | None = None, *, pooling: Pooling = "average"
) -> ReleasedAligner:
    """Return a released 2DFAN or 3DFAN.

    Parameters
    ----------
    path
        Its file. Where the name ends in ten hexadecimal digits, they must begin its SHA-256.
    kind
        ``contour`` or ``projected``; from the name if not given.
    pooling
        ``average`` for the networks released for Python; files do not say, and with the other one
        points are off without any error.

    Raises
    ------
    WeightsError
        If the file is damaged, is something else, or its digest is not the one in its name.
    """
    file = Path(path)
    known = kind or next((k for n, k in _NAMES.items() if file.name.lower().startswith(n)), None)
    if known not in ("contour", "projected"):
        raise WeightsError(f"{file}: say whether its points are contour or projected")
    tensors = read_tensors(file)
    stacks = len({name.split(".")[0] for name in tensors if re.fullmatch(r"l\d+\.weight", name)})
    channels = int(tensors["l0.weight"].shape[1]) if stacks else 0
    if not stacks:
        raise WeightsError(f"{file}: holds no stacked hourglasses (no tensor 'l0.weight')")
    network = Fan(Network(stacks=stacks, channels=channels, pooling=pooling))
    _load(network, {fan_name(name): value for name, value in tensors.items()}, file)
    return ReleasedAligner(network.eval(), "contour" if known == "contour" else "projected",
                           file.name)  # fmt: skip


def load_released_depth(path: Path | str, config: DepthNetwork | None = None) -> ReleasedDepth:
    """Return the released depth network; errors as in :func:`load_released`."""
    file = Path(path)
    tensors = read_tensors(file)
    shape = config or DepthNetwork()
    firsts = np.cumsum([0, *shape.layers])
    renamed = {depth_name(name, firsts): value for name, value in tensors.items()}
    network = DepthNet(shape)
    _load(network, renamed, file)
    return ReleasedDepth(network.eval())


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a TorchScript archive or of a state dictionary, by name.

    Raises
    ------
    WeightsError
        If the file cannot be read as tensors alone, or its digest is not the one in its name.
    """
    digits = re.search(r"-([0-9a-f]{10})$", path.stem.removesuffix(".pth"))
    try:
        if digits and not hashlib.sha256(path.read_bytes()).hexdigest().startswith(digits[1]):
            raise WeightsError(
                f"{path}: its SHA-256 does not begin with {digits[1]}: fetch it anew"
            )
        if _is_script(path):
            values: object = torch.jit.load(str(path), map_location="cpu").state_dict()  # type: ignore[no-untyped-call]
        else:
            values = torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except Exception as error:  # torch raises whatever its readers meet
        raise WeightsError(f"{path}: cannot be read as plain tensors: {error}") from error
    if isinstance(values, Mapping) and isinstance(values.get("state_dict"), Mapping):
        values = values["state_dict"]
    if not isinstance(values, Mapping) or not all(isinstance(v, Tensor) for v in values.values()):
        raise WeightsError(f"{path}: expected tensors by name")
    return {str(name).removeprefix("module."): value for name, value in values.items()}


def fan_name(name: str) -> str:
    """Return this package's name of a tensor of a released FAN.

    Examples
    --------
    >>> fan_name("m1.b2_3.bn2.weight")
    'stacks.1.hourglass.inside.down.two.0.weight'
    """
    for pattern, new in _FAN:
        if re.match(pattern, name):
            place = re.sub(pattern, new, name, count=1)
            level = re.match(r"(stacks\.\d+\.hourglass\.)@(\d)\.", place)
            if level:
                place = level[1] + "inside." * (4 - int(level[2])) + place[level.end() :]
            return _block_name(place)
    return name


_FAN = (
    (r"conv1\.", "stem.0."),
    (r"bn1\.", "stem.1."),
    (r"conv2\.", "first."),
    (r"conv3\.", "second."),
    (r"conv4\.", "third."),
    (r"m(\d+)\.b1_(\d)\.", r"stacks.\1.hourglass.@\2.beside."),
    (r"m(\d+)\.b2_plus_(\d)\.", r"stacks.\1.hourglass.@\2.inside."),
    (r"m(\d+)\.b2_(\d)\.", r"stacks.\1.hourglass.@\2.down."),
    (r"m(\d+)\.b3_(\d)\.", r"stacks.\1.hourglass.@\2.up."),
    (r"top_m_(\d+)\.", r"stacks.\1.block."),
    (r"conv_last(\d+)\.", r"stacks.\1.features.0."),
    (r"bn_end(\d+)\.", r"stacks.\1.features.1."),
    (r"bl(\d+)\.", r"stacks.\1.back."),
    (r"al(\d+)\.", r"stacks.\1.maps_back."),
    (r"l(\d+)\.", r"stacks.\1.maps."),
)

_STEPS = {"1": "one", "2": "two", "3": "three"}


def _block_name(name: str) -> str:
    if name.startswith("stem."):
        return name
    name = re.sub(r"\bbn([123])\.", lambda m: f"{_STEPS[m[1]]}.0.", name)
    name = re.sub(r"\bconv([123])\.", lambda m: f"{_STEPS[m[1]]}.2.", name)
    return name.replace("downsample.", "skip.")


def depth_name(name: str, firsts: NDArray[np.int64]) -> str:
    """Return this package's name of a tensor of the released depth network.

    ``firsts`` are the numbers of the first block at each resolution.
    """
    found = re.match(r"layer(\d)\.(\d+)\.(?:(bn|conv)([123])|downsample\.(\d))\.(.*)", name)
    if found:
        number = int(firsts[int(found[1]) - 1]) + int(found[2])
        part = f"skip.{found[5]}" if found[5] else f"{_STEPS[found[4]]}.{int(found[3] == 'bn')}"
        return f"blocks.{number}.{part}.{found[6]}"
    for old, new in (("conv1.", "stem.0."), ("bn1.", "stem.1."), ("fc.", "linear.")):
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _load(network: nn.Module, tensors: Mapping[str, Tensor], file: Path) -> None:
    own = network.state_dict()
    # Archives older than PyTorch 0.4 lack the counters of batch normalisation, which nothing uses.
    counters = {k: v for k, v in own.items() if k.endswith("num_batches_tracked")}
    try:
        network.load_state_dict(counters | dict(tensors), strict=True)
    except RuntimeError as error:
        raise WeightsError(f"{file}: does not fit the network: {error}") from error


def _is_script(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(
            "/code/" in name or name.endswith("constants.pkl") for name in archive.namelist()
        )


def legacy_frame(box: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return the centre and the scale of a face from its box xyxy (4,)."""
    width, height = box[2] - box[0], box[3] - box[1]
    centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2 - LIFT * height])
    return centre, float((width + height) / REFERENCE)


def legacy_crop(image: UInt8Array, centre: NDArray[np.float64], scale: float) -> UInt8Array:
    """Cut the square of 200 times the scale at whole pixels, black outside, uint8 (256, 256, 3).

    Parameters
    ----------
    image
        uint8 RGB (H, W, 3).
    centre, scale
        See :func:`legacy_frame`.
    """
    low = _legacy_map(np.ones(2), centre, scale, _SIZE)
    high = _legacy_map(np.full(2, float(_SIZE)), centre, scale, _SIZE)
    side = np.maximum(high - low, 1)
    out = np.zeros((int(side[1]), int(side[0]), 3), np.uint8)
    height, width = image.shape[:2]
    limit = np.array([width, height])
    # In the picture, then in the crop; the first pixel kept is the one after the corner.
    start, end = np.clip(low, 0, limit), np.clip(high, 0, limit)
    if (end > start).all():
        a, b = start - low, end - low
        out[a[1] : b[1], a[0] : b[0]] = image[start[1] : end[1], start[0] : end[0]]
    return np.asarray(cv2.resize(out, (_SIZE, _SIZE), interpolation=cv2.INTER_LINEAR), np.uint8)


def legacy_points(maps: FloatArray, centre: NDArray[np.float64], scale: float) -> FloatArray:
    """Return points (N, 68, 2) of heat maps by the released decoding, cut to whole pixels."""
    side = maps.shape[-1]
    # Counting from 1 and then taking half a pixel off leaves half a pixel on.
    places = decode(maps)[0].astype(np.float64) + 0.5
    return _legacy_map(places, centre, scale, side).astype(np.float32)


def _legacy_map(
    points: NDArray[np.float64], centre: NDArray[np.float64], scale: float, side: int
) -> NDArray[np.int64]:
    """Map points of a square of ``side`` to the picture, truncated as the released code does."""
    extent = SIDE * scale
    return np.trunc(points * (extent / side) + centre - extent / 2).astype(np.int64)
