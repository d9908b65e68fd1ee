"""Embedders of tiny networks whose answer is known."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from vultus.errors import ConfigError, VultusError, WeightsError
from vultus.recognition import Embedder, EmbedderSpec
from vultus.runtime import Preprocessing, Session

SIDE = 112
DIM = 5
WEIGHTS = np.random.default_rng(5).normal(size=(3, DIM)).astype(np.float32)


def write_model(
    path: Path, *, layout: str = "nchw", dtype: str = "float32", side: int = SIDE, dim: int = DIM
) -> Path:
    """Write a network that maps a crop's mean colour linearly to an embedding."""
    axes = (1, 2) if layout == "nhwc" else (2, 3)
    shape = ["N", side, side, 3] if layout == "nhwc" else ["N", 3, side, side]
    element = TensorProto.FLOAT if dtype == "float32" else TensorProto.UINT8
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["f"], ["m"], axes=axes, keepdims=0),
            helper.make_node("MatMul", ["m", "w"], ["y"]),
        ],
        "colour",
        [helper.make_tensor_value_info("x", element, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", dim])],
        [numpy_helper.from_array(WEIGHTS[:, :dim], "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def spec(tmp_path: Path) -> EmbedderSpec:
    wants = Preprocessing(mean=(127.5,), std=(127.5,))
    return EmbedderSpec("colour", write_model(tmp_path / "net.onnx"), "arcface112", wants)


@pytest.fixture
def crops(rng: np.random.Generator) -> np.ndarray:
    colours = rng.integers(0, 256, (70, 1, 1, 3))
    noise = rng.integers(-20, 21, (70, SIDE, SIDE, 3))
    return np.clip(colours + noise, 0, 255).astype(np.uint8)


PREPARATIONS = [
    Preprocessing(mean=(127.5,), std=(127.5,)),
    Preprocessing(order="bgr", mean=(1.0, 2.0, 3.0), std=(10.0, 20.0, 30.0)),
    Preprocessing(layout="nhwc", mean=(1.0, 2.0, 3.0), std=(10.0, 20.0, 30.0)),
    Preprocessing(layout="nhwc", dtype="uint8"),
    Preprocessing(order="bgr", dtype="uint8"),
]


@pytest.mark.parametrize("wants", PREPARATIONS, ids=str)
def test_crops_are_prepared_as_the_network_wants(
    tmp_path: Path, crops: np.ndarray, wants: Preprocessing
) -> None:
    path = write_model(tmp_path / "net.onnx", layout=wants.layout, dtype=wants.dtype)
    embedder = Embedder(EmbedderSpec("colour", path, "arcface112", wants), threads=1)
    colour = crops.astype(np.float64).mean((1, 2))
    colour = colour if wants.order == "rgb" else colour[:, ::-1]
    expected = (colour - wants.mean) / wants.std @ WEIGHTS
    raw = embedder.predict_raw(crops)
    assert raw.dtype == np.float32
    np.testing.assert_allclose(raw, expected, rtol=1e-3, atol=1e-3)
    unit = embedder.predict(crops)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(
        unit, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-3
    )


def test_facts_of_an_embedder(spec: EmbedderSpec) -> None:
    embedder = Embedder(spec)
    assert embedder.name == "colour"
    assert embedder.dim == DIM
    assert embedder.template.name == "arcface112"
    assert embedder.template.size == SIDE
    assert embedder.space == f"colour@{Session(spec.model).digest}/arcface112"


def test_stated_digest_names_the_space(spec: EmbedderSpec) -> None:
    assert Embedder(replace(spec, digest="0" * 12)).space == "colour@000000000000/arcface112"


def test_crops_are_not_changed(spec: EmbedderSpec, crops: np.ndarray) -> None:
    before = crops.copy()
    Embedder(spec).predict(crops)
    np.testing.assert_array_equal(crops, before)


def test_no_crops_give_no_rows(spec: EmbedderSpec) -> None:
    assert Embedder(spec).predict(np.empty((0, SIDE, SIDE, 3), np.uint8)).shape == (0, DIM)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((1, SIDE, SIDE, 3), np.float32),
        np.zeros((SIDE, SIDE, 3), np.uint8),
        np.zeros((1, 3, SIDE, SIDE), np.uint8),
        np.zeros((1, 150, 150, 3), np.uint8),
        np.zeros((1, SIDE, SIDE, 4), np.uint8),
    ],
)
def test_foreign_crops_are_refused(spec: EmbedderSpec, bad: np.ndarray) -> None:
    with pytest.raises(VultusError, match=r"\(N, 112, 112, 3\) aligned to arcface112"):
        Embedder(spec).predict(bad)


def test_vectors_that_cannot_be_normalised_are_refused(spec: EmbedderSpec) -> None:
    plain = replace(spec, input=Preprocessing())
    crops = np.ones((3, SIDE, SIDE, 3), np.uint8)
    crops[1] = 0
    embedder = Embedder(plain)
    assert embedder.predict_raw(crops).shape == (3, DIM)
    with pytest.raises(VultusError, match="zero vector for crop 1"):
        embedder.predict(crops)


def test_networks_that_misfit_their_specification(tmp_path: Path, spec: EmbedderSpec) -> None:
    last = write_model(tmp_path / "last.onnx", layout="nhwc")
    with pytest.raises(WeightsError, match="colour does not take square crops"):
        Embedder(replace(spec, model=last))
    whole = write_model(tmp_path / "whole.onnx", dtype="uint8")
    with pytest.raises(WeightsError, match=r"whole\.onnx does not fit"):
        Embedder(replace(spec, model=whole))
    with pytest.raises(WeightsError, match="absent"):
        Embedder(replace(spec, model=tmp_path / "absent.onnx"))
    with pytest.raises(ConfigError, match="unknown alignment template"):
        Embedder(replace(spec, template="arcface999"))


@pytest.mark.parametrize("side", [96, 128])
def test_a_network_of_another_side_gets_scaled_crops(
    tmp_path: Path, spec: EmbedderSpec, crops: np.ndarray, side: int
) -> None:
    embedder = Embedder(replace(spec, model=write_model(tmp_path / "net.onnx", side=side)))
    way = cv2.INTER_AREA if side < SIDE else cv2.INTER_LINEAR
    scaled = np.stack([cv2.resize(crop, (side, side), interpolation=way) for crop in crops])
    expected = (scaled.astype(np.float64).mean((1, 2)) - 127.5) / 127.5 @ WEIGHTS
    np.testing.assert_allclose(embedder.predict_raw(crops), expected, rtol=1e-3, atol=1e-3)
    assert embedder.space.endswith("/arcface112")


@pytest.mark.parametrize("wants", PREPARATIONS, ids=str)
def test_results_are_those_of_the_bare_session_to_the_bit(
    tmp_path: Path, crops: np.ndarray, wants: Preprocessing
) -> None:
    path = write_model(tmp_path / "net.onnx", layout=wants.layout, dtype=wants.dtype)
    batch = crops if wants.order == "rgb" else crops[..., ::-1]
    if wants.dtype == "float32":
        batch = (batch.astype(np.float32) - np.float32(wants.mean)) / np.float32(wants.std)
    batch = batch if wants.layout == "nhwc" else batch.transpose(0, 3, 1, 2)
    session = Session(path, threads=1)
    bare = np.concatenate([session.run(batch[i : i + 32])[0] for i in range(0, len(batch), 32)])
    embedder = Embedder(EmbedderSpec("colour", path, "arcface112", wants), threads=1)
    np.testing.assert_array_equal(embedder.predict_raw(crops), bare)


def test_output_that_is_no_vector_is_refused(tmp_path: Path, spec: EmbedderSpec) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "same",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    path = tmp_path / "same.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match=r"not \(N, D\)"):
        Embedder(replace(spec, model=path))


def test_names_that_are_no_recognition_network() -> None:
    with pytest.raises(WeightsError, match="unknown weight"):
        Embedder("no-such-net")
    with pytest.raises(WeightsError, match=r"no network for recognition; known: .*dlib-resnet29"):
        Embedder("dlib-shape5")


def test_many_threads_share_an_embedder(spec: EmbedderSpec, crops: np.ndarray) -> None:
    embedder = Embedder(spec, threads=1)
    expected = embedder.predict(crops)
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda i: embedder.predict(crops[i : i + 1]), range(len(crops))))
    np.testing.assert_allclose(np.concatenate(parts), expected, atol=1e-6)
