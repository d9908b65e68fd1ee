"""Reading TensorFlow Lite files."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_tflite import Net, Op

from vultus.errors import WeightsError
from vultus.runtime.tflite_format import read_tflite


def convolution(**changes: object) -> Net:
    """A 3x3 convolution of stride 2 with SAME padding and fused ReLU6."""
    values = {
        "shapes": {"input": (1, 4, 4, 2), "y": (1, 2, 2, 3)},
        "ops": [Op(3, ["input", "w", "b"], "y", [(1, "i", 2), (2, "i", 2), (3, "b", 3)])],
        "outputs": ["y"],
        "constants": {
            "w": np.arange(54, dtype=np.float32).reshape(3, 3, 3, 2),
            "b": np.array([1, 2, 3], np.float32),
        },
    }
    return Net(**(values | changes))  # type: ignore[arg-type]


def test_graph_is_read_with_shapes_constants_and_options() -> None:
    graph = read_tflite(convolution().to_bytes())

    assert graph.inputs == (0,)
    assert [graph.tensors[i].name for i in graph.outputs] == ["y"]
    (operator,) = graph.operators
    assert operator.kind == "CONV_2D"
    assert operator.options == {
        "padding": 0,
        "stride_w": 2,
        "stride_h": 2,
        "activation": 3,
        "dilation_w": 1,  # the schema's default, not stored
        "dilation_h": 1,
    }
    weights = graph.tensors[operator.inputs[1]]
    assert weights.data is not None
    np.testing.assert_array_equal(weights.data.reshape(-1), np.arange(54))
    assert graph.tensors[0].data is None
    assert graph.tensors[0].shape == (1, 4, 4, 2)


def test_half_precision_constants_keep_their_type() -> None:
    half = np.array([0.5, -1.25], np.float16)
    net = Net(
        {"input": (1, 1, 1, 2), "c": (2,), "y": (1, 1, 1, 2)},
        [Op(6, ["h"], "c"), Op(0, ["input", "c"], "y")],
        ["y"],
        {"h": half},
    )
    tensor = read_tflite(net.to_bytes()).tensors[3]
    assert tensor.dtype == np.float16
    np.testing.assert_array_equal(tensor.data, half)


def test_left_out_inputs_are_minus_one() -> None:
    net = convolution(ops=[Op(3, ["input", "w", ""], "y", [(1, "i", 2), (2, "i", 2)])])
    assert read_tflite(net.to_bytes()).operators[0].inputs[2] == -1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "TFL3"),
        (b"ONNX" * 10, "TFL3"),
        (b"\0\0\0\0TFL3", "damaged"),
        (b"\xff\xff\xff\x7fTFL3" + b"\0" * 64, "outside"),
    ],
)
def test_what_is_no_tflite_file_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(WeightsError, match=reason):
        read_tflite(data)


def test_unknown_operator_type_and_sparse_tensors_are_named() -> None:
    with pytest.raises(WeightsError, match="operator number 99"):
        read_tflite(convolution(ops=[Op(99, ["input"], "y")]).to_bytes())
    bytes_ = convolution(constants={"w": np.zeros((3, 3, 3, 2), np.uint8), "b": np.zeros(3, "f4")})
    with pytest.raises(WeightsError, match="'w' has type 3"):
        read_tflite(bytes_.to_bytes())
    with pytest.raises(WeightsError, match="'w' is stored sparse"):
        read_tflite(convolution(sparse="w").to_bytes())


def test_every_truncation_is_an_error() -> None:
    data = convolution().to_bytes()
    # The root sits at the front and constants at the end, so that no shorter file is complete.
    for length in range(8, len(data) - 4, 7):
        with pytest.raises(WeightsError):
            read_tflite(data[:length])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_never_raises_anything_else(data: st.DataObject) -> None:
    damaged = bytearray(convolution().to_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(8, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WeightsError):
        read_tflite(bytes(damaged))
