"""Running networks in batches of fixed sizes."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from vultus.errors import ConfigError, ProviderError, VultusError, WeightsError
from vultus.runtime import Session
from vultus.runtime.session import BUCKETS, PROVIDERS, _plan

WEIGHTS = np.random.default_rng(3).normal(size=(6, 4)).astype(np.float32)


def make_model(
    nodes: Sequence[onnx.NodeProto] | None = None,
    shape: Sequence[int | str] = ("N", 6),
    outputs: Sequence[tuple[str, Sequence[int | str]]] = (("y", ("N", 4)),),
    inputs: Sequence[str] = ("x",),
) -> bytes:
    nodes = nodes or [helper.make_node("MatMul", ["x", "w"], ["y"])]
    graph = helper.make_graph(
        list(nodes),
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, s) for name, s in outputs],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


MODEL = make_model()
SESSION = Session(MODEL, threads=1)


def rows(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 6)).astype(np.float32)


@pytest.mark.parametrize("n", [0, 1, 3, 7, 32, 33, 77])
def test_known_answer(n: int) -> None:
    (y,) = SESSION.run(rows(n))
    assert y.shape == (n, 4)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, rows(n) @ WEIGHTS, atol=1e-5)


@given(st.integers(1, 80), st.sampled_from([(1, 2, 4, 8, 16, 32), (4,), (3, 8), (32,)]))
def test_a_row_does_not_depend_on_its_batch(n: int, buckets: tuple[int, ...]) -> None:
    session = Session(MODEL, threads=1, buckets=buckets)
    batch = rows(n)
    together = session.run(batch)[0]
    alone = np.concatenate([SESSION.run(batch[i : i + 1])[0] for i in range(n)])
    np.testing.assert_allclose(together, alone, atol=1e-6)


@given(
    st.integers(0, 300),
    st.sets(st.integers(1, 40), min_size=1).map(sorted),
    st.sampled_from([2, 8]),
)
def test_plan_covers_every_row_once(n: int, buckets: list[int], slack: int) -> None:
    plan = list(_plan(n, buckets, slack))
    assert all(size in buckets and 0 <= count <= size for _, count, size in plan)
    covered = [i for start, count, _ in plan for i in range(start, start + count)]
    assert covered == list(range(n))
    for _, count, size in plan[:-1]:
        assert count == size


@given(st.integers(1, 300))
def test_plan_with_the_default_buckets_wastes_little(n: int) -> None:
    for slack in (2, 8):
        wasted = sum(size - count for _, count, size in _plan(n, BUCKETS, slack))
        assert wasted * slack <= 32
        assert wasted <= n


def test_names_shapes_and_digest(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(MODEL)
    session = Session(path)
    assert session.inputs[0].name == "x"
    assert session.inputs[0].shape == (None, 6)
    assert session.inputs[0].dtype == np.float32
    assert session.outputs[0].shape == (None, 4)
    assert session.digest == hashlib.sha256(MODEL).hexdigest()[:12]


def test_fixed_batch_size_is_the_only_bucket() -> None:
    session = Session(make_model(shape=(2, 6), outputs=[("y", (2, 4))]))
    assert session.buckets == (2,)
    np.testing.assert_allclose(session.run(rows(5))[0], rows(5) @ WEIGHTS, atol=1e-5)


def test_many_outputs_keep_their_order() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("Neg", ["y"], ["z"]),
    ]
    session = Session(make_model(nodes, outputs=[("z", ("N", 4)), ("y", ("N", 4))]))
    z, y = session.run(rows(40))
    np.testing.assert_array_equal(z, -y)
    np.testing.assert_allclose(y, rows(40) @ WEIGHTS, atol=1e-5)


def test_slices_that_are_not_contiguous_are_taken() -> None:
    batch = rows(12)[::2]
    np.testing.assert_allclose(SESSION.run(batch)[0], batch @ WEIGHTS, atol=1e-5)


@pytest.mark.parametrize(
    "batch",
    [
        rows(2).astype(np.float64),
        rows(2)[:, :5],
        rows(2)[0],
        rows(2)[None],
    ],
)
def test_other_batches_are_refused(batch: np.ndarray) -> None:
    with pytest.raises(VultusError, match=r"takes float32 \(any, 6\)"):
        SESSION.run(batch)


def test_output_without_a_batch_axis_is_refused() -> None:
    nodes = [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)]
    session = Session(make_model(nodes, outputs=[("y", ())]))
    with pytest.raises(VultusError, match="first axis is not the batch"):
        session.run(rows(2))


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_files_that_are_no_network(tmp_path: Path, provider: str) -> None:
    if provider == "openvino":
        pytest.importorskip("openvino")
    with pytest.raises(WeightsError, match="absent"):
        Session(tmp_path / "absent.onnx", provider=provider)
    for data in (b"", b"not a network", MODEL[: len(MODEL) // 2]):
        path = tmp_path / "net.onnx"
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=r"net\.onnx"):
            Session(path, provider=provider)


def test_tensors_in_other_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = onnx.load_from_string(MODEL)
    onnx.save(model, "net.onnx", save_as_external_data=True, location="net.bin", size_threshold=0)
    assert (tmp_path / "net.bin").stat().st_size == WEIGHTS.nbytes
    with pytest.raises(WeightsError, match="single file"):
        Session(tmp_path / "net.onnx")


def test_networks_of_two_inputs_are_refused() -> None:
    nodes = [
        helper.make_node("Add", ["x", "v"], ["s"]),
        helper.make_node("MatMul", ["s", "w"], ["y"]),
    ]
    with pytest.raises(WeightsError, match="one input"):
        Session(make_model(nodes, inputs=("x", "v")))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"provider": "gpu"}, ProviderError),
        ({"threads": 0}, ConfigError),
        ({"buckets": ()}, ConfigError),
        ({"buckets": (0, 4)}, ConfigError),
        ({"precision": "bf16"}, ConfigError),
        ({"precision": "f8"}, ConfigError),
    ],
)
def test_impossible_options(options: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        Session(MODEL, **options)  # type: ignore[arg-type]


def test_absent_accelerators_raise() -> None:
    names = {"cuda": "CUDA", "tensorrt": "Tensorrt", "coreml": "CoreML", "directml": "Dml"}
    assert set(names) == set(PROVIDERS) - {"cpu", "openvino"}
    available = onnxruntime.get_available_providers()
    for provider, prefix in names.items():
        if f"{prefix}ExecutionProvider" not in available:
            with pytest.raises(ProviderError, match=provider):
                Session(MODEL, provider=provider)


def test_accelerator_that_falls_back_to_the_cpu_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("CUDA is there")
    # As with a missing driver: listed, but the session that comes back is one on the CPU.
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(ProviderError, match="CPUExecutionProvider would be used instead"),
    ):
        Session(MODEL, provider="cuda")


def test_openvino_that_is_not_installed_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ProviderError, match=r"pip install 'vultus\[openvino\]'"):
        Session(MODEL, provider="openvino")


@pytest.mark.parametrize("n", [0, 1, 5, 40])
def test_openvino_gives_the_same(n: int) -> None:
    pytest.importorskip("openvino")
    session = Session(MODEL, provider="openvino", threads=1)
    assert session.inputs == SESSION.inputs
    assert [info.name for info in session.outputs] == ["y"]
    np.testing.assert_allclose(session.run(rows(n))[0], rows(n) @ WEIGHTS, atol=1e-5)


def test_openvino_with_a_fixed_batch_size() -> None:
    pytest.importorskip("openvino")
    model = make_model(shape=(2, 6), outputs=[("y", (2, 4))])
    session = Session(model, provider="openvino", threads=1)
    np.testing.assert_allclose(session.run(rows(5))[0], rows(5) @ WEIGHTS, atol=1e-5)


def test_openvino_refuses_a_precision_that_the_processor_lacks() -> None:
    openvino = pytest.importorskip("openvino")
    has = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    for precision, name in (("bf16", "BF16"), ("f16", "FP16")):
        if name in has:
            y = Session(MODEL, provider="openvino", precision=precision).run(rows(3))[0]  # type: ignore[arg-type]
            np.testing.assert_allclose(y, rows(3) @ WEIGHTS, atol=0.1)
        else:
            with pytest.raises(ProviderError, match=precision):
                Session(MODEL, provider="openvino", precision=precision)  # type: ignore[arg-type]


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_many_threads_share_a_session(provider: str) -> None:
    if provider == "openvino":
        pytest.importorskip("openvino")
    session = Session(MODEL, provider=provider, threads=1)
    batches = [rows(1 + seed % 11, seed) for seed in range(200)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(session.run, batches))
    for batch, (y,) in zip(batches, results, strict=True):
        np.testing.assert_allclose(y, batch @ WEIGHTS, atol=1e-5)
