"""TensorFlow Lite networks written as ONNX give the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from tiny_tflite import Net, Op

from vultus.errors import WeightsError
from vultus.runtime.manifest import DistributionMember, manifest
from vultus.runtime.sources import installed_path
from vultus.runtime.tflite_onnx import convert, convert_free_size

RELU6, SAME, VALID = 3, 0, 1


def run(model: bytes, x: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})


def interpret(data: bytes, x: np.ndarray) -> list[np.ndarray]:
    """Run the file in LiteRT, one row after another."""
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT is the reference")
    net = litert.Interpreter(model_content=data, num_threads=1)
    net.allocate_tensors()
    (entry,) = net.get_input_details()
    rows = []
    for row in x:
        net.set_tensor(entry["index"], row[None])
        net.invoke()
        rows.append([net.get_tensor(out["index"]) for out in net.get_output_details()])
    return [np.concatenate(parts) for parts in zip(*rows, strict=True)]


def one_op(
    code: int,
    before: tuple[int, ...],
    after: tuple[int, ...],
    options: list[tuple[int, str, int]] | None = None,
    /,
    **constants: np.ndarray,
) -> Net:
    op = Op(code, ["input", *constants], "y", options or [])
    return Net({"input": before, "y": after}, [op], ["y"], constants)


def strided(padding: int, stride: int, activation: int = 0) -> list[tuple[int, str, int]]:
    return [(0, "b", padding), (1, "i", stride), (2, "i", stride), (3, "b", activation)]


def test_same_padding_puts_the_larger_half_last() -> None:
    net = one_op(
        3,
        (1, 4, 4, 1),
        (1, 2, 2, 1),
        strided(SAME, 2),
        w=np.ones((1, 3, 3, 1), np.float32),
        b=np.zeros(1, np.float32),
    )
    (y,) = run(convert(net.to_bytes()), np.ones((1, 4, 4, 1), np.float32))
    np.testing.assert_array_equal(y[0, :, :, 0], [[9, 6], [6, 4]])


def test_fused_relu6_clips() -> None:
    net = one_op(
        3,
        (1, 1, 3, 1),
        (1, 1, 3, 1),
        strided(VALID, 1, RELU6),
        w=np.ones((1, 1, 1, 1), np.float32),
        b=np.ones(1, np.float32),
    )
    (y,) = run(convert(net.to_bytes()), np.array([-5, 2, 9], np.float32).reshape(1, 1, 3, 1))
    np.testing.assert_array_equal(y.reshape(-1), [0, 3, 6])


def test_prelu_scales_negative_values_by_channel() -> None:
    slopes = np.array([0.25, 2.0], np.float32).reshape(1, 1, 2)
    net = one_op(54, (1, 1, 2, 2), (1, 1, 2, 2), slope=slopes)
    x = np.array([[-4, -4], [3, 3]], np.float32).reshape(1, 1, 2, 2)
    (y,) = run(convert(net.to_bytes()), x)
    np.testing.assert_allclose(y.reshape(2, 2), [[-1, -8], [3, 3]])


@pytest.mark.parametrize(("half_pixel", "wanted"), [(1, [0, 0.25, 0.75, 1]), (0, [0, 0.5, 1, 1])])
def test_resize_samples_where_tensorflow_does(half_pixel: int, wanted: list[float]) -> None:
    options = [(3, "?", half_pixel)]
    net = one_op(23, (1, 1, 2, 1), (1, 1, 4, 1), options, size=np.array([1, 4], np.int32))
    (y,) = run(convert(net.to_bytes()), np.array([0, 1], np.float32).reshape(1, 1, 2, 1))
    np.testing.assert_allclose(y.reshape(-1), wanted, atol=1e-6)


def test_reshape_keeps_channels_last_order_for_every_row() -> None:
    net = one_op(22, (1, 2, 2, 3), (1, 4, 3), shape=np.array([1, 4, 3], np.int32))
    x = np.arange(24, dtype=np.float32).reshape(2, 2, 2, 3)
    (y,) = run(convert(net.to_bytes()), x)
    np.testing.assert_array_equal(y, x.reshape(2, 4, 3))


def test_padding_and_concatenation_follow_the_channel_axis() -> None:
    amounts = np.array([[0, 0], [0, 0], [0, 0], [0, 2]], np.int32)
    net = Net(
        {"input": (1, 1, 2, 1), "p": (1, 1, 2, 3), "y": (1, 1, 2, 4)},
        [Op(34, ["input", "amounts"], "p"), Op(2, ["p", "input"], "y", [(0, "i", 3)])],
        ["y"],
        {"amounts": amounts},
    )
    (y,) = run(convert(net.to_bytes()), np.array([5, 7], np.float32).reshape(1, 1, 2, 1))
    np.testing.assert_array_equal(y.reshape(2, 4), [[5, 0, 0, 5], [7, 0, 0, 7]])


def test_half_precision_weights_are_folded() -> None:
    net = Net(
        {"input": (1, 1, 1, 2), "w": (1, 1, 1, 2), "y": (1, 1, 1, 1)},
        [Op(6, ["h"], "w"), Op(3, ["input", "w", ""], "y", strided(VALID, 1))],
        ["y"],
        {"h": np.array([0.5, 3], np.float16).reshape(1, 1, 1, 2)},
    )
    (y,) = run(convert(net.to_bytes()), np.array([2, 1], np.float32).reshape(1, 1, 1, 2))
    assert y.item() == 4


def test_model_is_valid_and_leaves_the_batch_free() -> None:
    net = one_op(19, (1, 4, 4, 2), (1, 4, 4, 2))
    fixed, free = onnx.load_from_string(convert(net.to_bytes())), convert_free_size(net.to_bytes())
    onnx.checker.check_model(fixed, full_check=True)
    dims = fixed.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in dims] == ["N", 4, 4, 2]
    (y,) = run(free, -np.ones((3, 6, 8, 2), np.float32))
    assert y.shape == (3, 6, 8, 2)
    assert not y.any()


def _refused() -> list[Any]:
    shape = np.array([4, 1], np.int32)
    computed = Net(
        {"input": (1, 2, 2, 1), "y": (1, 2, 2, 1)},
        [Op(3, ["input", "input", ""], "y", strided(VALID, 1))],
        ["y"],
    )
    return [
        pytest.param(one_op(22, (1, 2, 2, 1), (4, 1), shape=shape), "batch", id="reshape"),
        pytest.param(one_op(19, (2, 2, 2, 1), (2, 2, 2, 1)), "one float32 picture", id="batch"),
        pytest.param(computed, "must be constant", id="computed-weights"),
        pytest.param(
            one_op(0, (1, 1, 1, 1), (1, 1, 1, 1), [(0, "b", 4)], c=np.ones(1, np.float32)),
            "activation number 4",
            id="tanh",
        ),
    ]


@pytest.mark.parametrize(("net", "reason"), _refused())
def test_what_has_no_exact_form_is_refused(net: Net, reason: str) -> None:
    with pytest.raises(WeightsError, match=reason):
        convert(net.to_bytes())


def _cases() -> list[Any]:
    rng = np.random.default_rng(7)

    def random(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    cases = []
    for padding, stride, size, kernel in [
        (SAME, 1, 5, 3), (SAME, 2, 6, 3), (SAME, 2, 7, 3), (SAME, 2, 8, 5), (SAME, 3, 8, 2),
        (VALID, 1, 5, 3), (VALID, 2, 8, 3),
    ]:  # fmt: skip
        out = -(-size // stride) if padding == SAME else (size - kernel) // stride + 1
        full = one_op(
            3, (1, size, size + 2, 3), (1, out, -(-(size + 2) // stride) if padding == SAME
            else (size + 2 - kernel) // stride + 1, 4), strided(padding, stride, 1),
            w=random(4, kernel, kernel, 3), b=random(4),
        )  # fmt: skip
        deep = one_op(
            4, (1, size, size, 3), (1, out, out, 6),
            [(0, "b", padding), (1, "i", stride), (2, "i", stride), (3, "i", 2)],
            w=random(1, kernel, kernel, 6), b=random(6),
        )  # fmt: skip
        pool = one_op(
            17, (1, size, size, 2), (1, out, out, 2),
            [(0, "b", padding), (1, "i", stride), (2, "i", stride), (3, "i", kernel),
             (4, "i", kernel)],
        )  # fmt: skip
        label = f"{'same' if padding == SAME else 'valid'}-{size}-k{kernel}-s{stride}"
        cases += [pytest.param(full, id=f"conv-{label}"), pytest.param(pool, id=f"pool-{label}")]
        cases += [pytest.param(deep, id=f"depthwise-{label}")]
    cases.append(pytest.param(
        one_op(23, (1, 3, 4, 2), (1, 6, 8, 2), [(3, "?", 1)], size=np.array([6, 8], np.int32)),
        id="resize",
    ))  # fmt: skip
    cases.append(pytest.param(one_op(0, (1, 3, 3, 2), (1, 3, 3, 2), c=random(2)), id="add"))
    return cases


@pytest.mark.parametrize("net", _cases())
def test_operators_agree_with_litert(net: Net) -> None:
    data = net.to_bytes()
    x = np.random.default_rng(1).normal(size=(2, *net.shapes["input"][1:])).astype(np.float32)
    for got, wanted in zip(run(convert(data), x), interpret(data, x), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize("weight_id", ["blazeface-full-range", "facemesh-468"])
def test_shipped_networks_agree_with_litert(weight_id: str) -> None:
    weight = manifest()[weight_id]
    assert isinstance(weight.source, DistributionMember)
    source = installed_path(weight.source)
    if source is None:
        pytest.skip(f"{weight.source.requirement} is not installed: no source file to compare with")
    data = source.read_bytes()
    entry = ort.InferenceSession(convert(data)).get_inputs()[0]
    x = np.random.default_rng(2).uniform(-1, 1, (2, *entry.shape[1:])).astype(np.float32)
    for got, wanted in zip(run(convert(data), x), interpret(data, x), strict=True):
        scale = max(float(np.abs(wanted).max()), 1.0)
        np.testing.assert_allclose(got / scale, wanted / scale, atol=1e-5)


def test_free_size_changes_nothing_at_the_nominal_size() -> None:
    rng = np.random.default_rng(3)
    w, b = rng.normal(size=(4, 3, 3, 3)).astype(np.float32), np.zeros(4, np.float32)
    net = Net(
        {"input": (1, 8, 8, 3), "a": (1, 4, 4, 4), "u": (1, 8, 8, 4), "y": (1, 64, 4)},
        [
            Op(3, ["input", "w", "b"], "a", strided(SAME, 2, 1)),
            Op(23, ["a", "size"], "u", [(3, "?", 1)]),
            Op(22, ["u", "shape"], "y"),
        ],
        ["y"],
        {"w": w, "b": b, "size": np.array([8, 8], np.int32), "shape": np.array([1, 64, 4], "i4")},
    )
    data = net.to_bytes()
    x = rng.normal(size=(2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(run(convert(data), x)[0], run(convert_free_size(data), x)[0])
    (wide,) = run(convert_free_size(data), rng.normal(size=(1, 6, 10, 3)).astype(np.float32))
    assert wide.shape == (1, 60, 4)
