"""dlib's residual trunk: the same maps as the converted network, and clear refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import onnx  # noqa: E402
from onnx import helper  # noqa: E402

from vultus.errors import WeightsError  # noqa: E402
from vultus.nets.backbones import to_input  # noqa: E402
from vultus.nets.dlib_resnet import DlibResNet, load_trunk  # noqa: E402
from vultus.onnx_runtime import load_onnxruntime  # noqa: E402
from vultus.runtime import resolve  # noqa: E402


@pytest.fixture(scope="module")
def converted() -> Path:
    try:
        return resolve("dlib-resnet29", offline=True)
    except WeightsError as error:
        pytest.skip(f"{error}: run 'vultus models get --default' first")


def fourth_stage(path: Path) -> bytes:
    """Return the converted network with the output of its fourth stage in place of its own."""
    model = onnx.load_model(path)
    sums = [node.output[0] for node in model.graph.node if node.op_type == "Add"]
    after = {node.input[0]: node.output[0] for node in model.graph.node if node.op_type == "Relu"}
    del model.graph.output[:]
    # Thirteen blocks in four stages; the fourteenth is left out of the trunk.
    name = after[sums[12]]
    model.graph.output.append(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 256, 4, 4])
    )
    return bytes(model.SerializeToString())


def test_the_whole_trunk_gives_the_maps_of_the_converted_network(converted: Path) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (2, 150, 150, 3), np.uint8)
    session = load_onnxruntime().InferenceSession(
        fourth_stage(converted), providers=["CPUExecutionProvider"]
    )
    (wanted,) = session.run(None, {session.get_inputs()[0].name: crops})
    trunk = DlibResNet((3, 4, 3, 3))
    load_trunk(trunk, converted)
    with torch.no_grad():
        found = trunk(to_input(torch.from_numpy(crops))).numpy()
    assert wanted.std() > 0.01
    np.testing.assert_allclose(found, wanted, atol=2e-4 * np.abs(wanted).max())


def test_a_trunk_with_fewer_blocks_takes_the_first_of_each_stage(converted: Path) -> None:
    whole, part = DlibResNet((3, 4, 3, 3)), DlibResNet((3, 4, 3, 2))
    load_trunk(whole, converted)
    load_trunk(part, converted)
    kept = whole.state_dict()
    for name, value in part.state_dict().items():
        assert torch.equal(value, kept[name]), name
    assert len(kept) - len(part.state_dict()) == 4


@pytest.mark.parametrize("side", [80, 99, 100, 150])
def test_maps_shrink_by_32(side: int) -> None:
    with torch.no_grad():
        y = DlibResNet()(torch.zeros(1, 3, side, side))
    assert y.shape[:2] == (1, 256)
    assert y.shape[2] == y.shape[3] in (side // 32 - 1, side // 32, side // 32 + 1)


def test_wrong_numbers_of_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="blocks must be 1 to"):
        DlibResNet((3, 4, 3, 4))


def test_another_network_is_refused(tmp_path: Path) -> None:
    weights = onnx.numpy_helper.from_array(np.zeros((8, 3, 3, 3), np.float32), "w")
    bias = onnx.numpy_helper.from_array(np.zeros(8, np.float32), "b")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w", "b"], ["y"])],
        "other",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [weights, bias],
    )
    path = tmp_path / "other.onnx"
    onnx.save_model(helper.make_model(graph), path)
    with pytest.raises(WeightsError, match="not dlib's residual network"):
        load_trunk(DlibResNet(), path)
