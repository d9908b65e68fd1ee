"""The convolutions of a chain-like network in OpenVINO's format, and PyTorch layers filled by them.

Such files hold inference networks: normalisation is folded into the convolutions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vultus.errors import ConfigError, WeightsError

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """A convolution and what follows it at once.

    Parameters
    ----------
    weight
        float32 (outputs, inputs / groups, H, W).
    bias
        float32 (outputs,), zero if there is none.
    slope
        float32 (1,) or (outputs,) of the PReLU behind it, or None.
    """

    weight: Array
    bias: Array
    slope: Array | None


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """A network read in its order.

    Parameters
    ----------
    scale, shift
        float32 (channels,): what is done to the input before the first convolution.
    convolutions
        In order of computation.
    """

    scale: Array
    shift: Array
    convolutions: tuple[Convolution, ...]


def read_chain(model: Path | str) -> Chain:
    """Read the convolutions of an ``.xml`` with its ``.bin`` beside it.

    Raises
    ------
    ConfigError
        If OpenVINO is not installed.
    WeightsError
        If the file cannot be read or holds no convolution behind a scaled input.
    """
    try:
        import openvino as ov
    except ImportError as error:
        raise ConfigError(
            "this format needs the openvino package: pip install 'vultus[openvino]'"
        ) from error
    try:
        nodes = ov.Core().read_model(str(model)).get_ordered_ops()
    except RuntimeError as error:
        raise WeightsError(f"{model}: not a network that openvino reads: {error}") from error
    first = next((node for node in nodes if node.get_type_name() == "Parameter"), None)
    scaled, scale = _behind(first, "Multiply")
    shifted, shift = _behind(scaled, "Add")
    found = tuple(
        _convolution(node) for node in nodes if node.get_type_name().endswith("Convolution")
    )
    if shifted is None or scale is None or shift is None or not found:
        raise WeightsError(f"{model}: no convolution behind a scaled and shifted input")
    return Chain(scale, shift, found)


def fill(layers: Iterable[nn.Module], convolutions: Sequence[Convolution]) -> None:
    """Give convolutions, and the leaky ReLU behind each, the values of others in their order.

    Parameters
    ----------
    layers
        In order of computation; whatever is neither :class:`~torch.nn.Conv2d` nor
        :class:`~torch.nn.LeakyReLU` is passed over.
    convolutions
        As many as there are among the layers. A PReLU must have a single slope.

    Raises
    ------
    WeightsError
        If number, shapes or activations do not agree; the layers are then partly filled.
    """
    targets: list[tuple[nn.Conv2d, nn.LeakyReLU | None]] = []
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            targets.append((layer, None))
        elif isinstance(layer, nn.LeakyReLU):
            targets[-1] = (targets[-1][0], layer)
    if len(targets) != len(convolutions):
        raise WeightsError(f"{len(convolutions)} convolutions do not fill {len(targets)}")
    for i, ((target, activation), source) in enumerate(zip(targets, convolutions, strict=True)):
        if target.bias is None or target.weight.shape != source.weight.shape:
            raise WeightsError(
                f"convolution {i} is {source.weight.shape}, not {tuple(target.weight.shape)} "
                "with a bias"
            )
        slopes = 0 if source.slope is None else source.slope.size
        if slopes != (activation is not None):
            raise WeightsError(f"convolution {i} has {slopes} slopes behind it, not one for each")
        assign(target.weight, source.weight)
        assign(target.bias, source.bias)
        if activation is not None and source.slope is not None:
            activation.negative_slope = source.slope.item()


def assign(parameter: Tensor, value: Array) -> None:
    """Copy values of the same shape into a parameter."""
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.array(value, np.float32)))


def _convolution(node: Any) -> Convolution:
    weight = _constant(node.input(1))
    if weight is None:
        raise WeightsError(f"the filters of {node.get_friendly_name()} are no constant")
    if node.get_type_name() == "GroupConvolution":
        weight = weight.reshape(-1, *weight.shape[2:])
    added, bias = _behind(node, "Add")
    if bias is None:
        added, bias = node, np.zeros(len(weight), np.float32)
    return Convolution(weight, bias, _behind(added, "PRelu")[1])


def _behind(node: Any, kind: str) -> tuple[Any, Array | None]:
    """Return the only user of a node with its constant operand, if it is of a kind and has one."""
    users = list(node.output(0).get_target_inputs()) if node is not None else []
    if len(users) != 1 or users[0].get_node().get_type_name() != kind:
        return None, None
    user = users[0].get_node()
    other = _constant(user.input(1 - users[0].get_index()))
    return (None, None) if other is None else (user, other.ravel())


def _constant(entry: Any) -> Array | None:
    """Return the constant that an input takes, past the change of its type."""
    node = entry.get_source_output().get_node()
    if node.get_type_name() == "Convert":
        node = node.input(0).get_source_output().get_node()
    if node.get_type_name() != "Constant":
        return None
    return np.asarray(node.get_data(), np.float32)
