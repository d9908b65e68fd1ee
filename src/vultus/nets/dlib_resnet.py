"""The residual embedding network of dlib (King, 2017) in PyTorch, for training further.

The topology is that of ``dnn_face_recognition_ex``; its weights are in the public domain (CC0).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vultus.errors import WeightsError

Array = NDArray[np.float32]

#: Channels and blocks of the stages; the first block of every stage but the first halves the map.
#: The original ends in one more halving, which needs pictures of 150 pixels, and is left out.
STAGES = ((32, 3), (64, 4), (128, 3), (256, 3))


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut; normalisation is folded into the convolutions.

    A shortcut that halves is averaged over 2x2 pixels, and what is narrower or smaller is filled
    up with zeros before the addition, as dlib does.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride, self.widen = stride, outputs - inputs
        padding = 1 if stride == 1 else 0
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y = self.second(functional.relu(self.first(x)))
        if self.stride > 1:
            x = functional.avg_pool2d(x, self.stride)
        high, wide = x.shape[-2] - y.shape[-2], x.shape[-1] - y.shape[-1]
        y = functional.pad(y, (0, max(wide, 0), 0, max(high, 0)))
        x = functional.pad(x, (0, max(-wide, 0), 0, max(-high, 0), 0, self.widen))
        return functional.relu(x + y)


class DlibResNet(nn.Module):
    """Trunk (N, 3, S, S) in [-1, 1] -> (N, channels, H, W), H and W about S / 32.

    Parameters
    ----------
    blocks
        Blocks of each stage of :data:`STAGES`; fewer leave out the last ones of a stage. Without
        one of the widest the network is a quarter smaller.
    """

    def __init__(self, blocks: tuple[int, ...] = (3, 4, 3, 2)) -> None:
        super().__init__()
        if len(blocks) != len(STAGES) or not all(
            1 <= kept <= full for kept, (_, full) in zip(blocks, STAGES, strict=True)
        ):
            raise ValueError(f"blocks must be 1 to {[n for _, n in STAGES]}, got {blocks}")
        self.stem = nn.Conv2d(3, STAGES[0][0], 7, 2)
        inputs, stages = STAGES[0][0], []
        for i, (outputs, _) in enumerate(STAGES):
            layers = []
            for j in range(blocks[i]):
                layers.append(Block(inputs, outputs, 2 if i and j == 0 else 1))
                inputs = outputs
            stages.append(nn.Sequential(*layers))
        self.channels = inputs
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> Tensor:
        """Return the last map."""
        x = functional.max_pool2d(functional.relu(self.stem(x)), 3, 2)
        for stage in self.stages:
            x = stage(x)
        return x


def load_trunk(trunk: DlibResNet, model: Path | str) -> None:
    """Give a trunk the weights of the converted network.

    Parameters
    ----------
    trunk
        Changed in place; blocks that it leaves out are skipped in the file.
    model
        The ONNX file of the weight ``dlib-resnet29``.

    Raises
    ------
    WeightsError
        If the file is another network.
    """
    filters = iter(_filters(Path(model)))
    try:
        # The file takes pixels of 0 to 255, the trunk takes -1 to 1.
        weight, bias = next(filters)
        _assign(trunk.stem, weight * np.float32(127.5), bias + 127.5 * weight.sum((1, 2, 3)))
        for stage, (_, full) in zip(trunk.stages, STAGES, strict=True):
            kept = list(stage.children())
            for j in range(full):
                first, second = next(filters), next(filters)
                if j < len(kept):
                    block = kept[j]
                    assert isinstance(block, Block)
                    _assign(block.first, *first)
                    _assign(block.second, *second)
    except (StopIteration, RuntimeError) as error:
        raise WeightsError(f"{model}: not dlib's residual network: {error}") from error


def _assign(layer: nn.Conv2d, weight: Array, bias: Array) -> None:
    assert layer.bias is not None
    with torch.no_grad():
        for parameter, value in ((layer.weight, weight), (layer.bias, bias)):
            if parameter.shape != value.shape:
                raise RuntimeError(f"{value.shape} in place of {tuple(parameter.shape)}")
            parameter.copy_(torch.from_numpy(value.astype(np.float32)))


def _filters(path: Path) -> list[tuple[Array, Array]]:
    """Return filters and biases in order, without the unit matrices that widen a shortcut."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_model(path).graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    return [
        (values[node.input[1]], values[node.input[2]])
        for node in graph.node
        if node.op_type == "Conv" and values[node.input[1]].shape[-1] > 1
    ]
