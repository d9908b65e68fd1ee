"""Exported files carry what they are told to, and nothing of the machine that made them."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402

from vultus.errors import TrainingError  # noqa: E402
from vultus.nets import onnx as exporting  # noqa: E402
from vultus.nets.onnx import export_onnx, strip_notes  # noqa: E402

#: Traces of a machine: its folders, its Python, the calls that led to a node.
TRACES = (
    b'.py", line',
    b"site-packages",
    b"stack_trace",
    b"fx_node",
    b"/home/",
    b"/root/",
    b"/tmp/",
)


class Buried(torch.nn.Module):
    """Operations that the exporter annotates with stack traces, a constant among them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.register_buffer("scale", torch.full((4, 1, 1), 2.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x) * self.scale
        places = torch.zeros(x.shape[0], dtype=torch.long, device=x.device)
        return torch.where(y > 0, y, y * 0.1).mean((2, 3))[:, places[:1]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "net.onnx"
    export_onnx(Buried(), torch.randn(2, 3, 8, 8), path, metadata={"classes": "live, attack"})
    return path


class Wide(torch.nn.Module):
    """A network whose weights are most of its file."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.Linear(256, 64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layers(x)
        return y


def test_half_storage_halves_the_file_and_keeps_the_results(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, example = Wide(), torch.randn(4, 64)
    whole, half = tmp_path / "whole.onnx", tmp_path / "half.onnx"
    export_onnx(module, example, whole)
    parity = export_onnx(module, example, half, half=True)
    assert half.stat().st_size < 0.55 * whole.stat().st_size
    # Rounding to float16 shows, and stays within its eleven bits.
    assert 1e-6 < parity.relative < 1e-3
    # What is computed is float32 on rounded weights, to the last digits.
    with torch.no_grad():
        for weight in (layer.weight for layer in module.layers):
            weight.copy_(weight.half().float())
    assert exporting.check_parity(module, example, half).relative < 1e-6


def test_weights_beyond_float16_are_refused(tmp_path: Path) -> None:
    module = Wide()
    with torch.no_grad():
        module.layers[0].weight[0, 0] = 1e6
    with pytest.raises(TrainingError, match="does not fit into float16"):
        export_onnx(module, torch.randn(2, 64), tmp_path / "net.onnx", half=True)
    assert not (tmp_path / "net.onnx").exists()


def traces(data: bytes) -> list[bytes]:
    here = [os.fsencode(Path(__file__).resolve().parents[2])]
    return [trace for trace in (*TRACES, *here) if trace in data]


def test_no_trace_of_the_machine_is_left(file: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw.onnx"
    exporting._write(Buried().eval(), torch.randn(2, 3, 8, 8), raw, ("output",))
    # The exporter does leave some, or this test shows nothing.
    assert b"stack_trace" in traces(raw.read_bytes())
    assert traces(file.read_bytes()) == []


def test_given_metadata_stays(file: Path) -> None:
    model = onnx.load_model(file)
    assert {p.key: p.value for p in model.metadata_props} == {"classes": "live, attack"}
    onnx.checker.check_model(model, full_check=True)


def test_notes_are_found_at_any_depth() -> None:
    def noted(message: object) -> object:
        message.doc_string = "/home/somebody"
        message.metadata_props.add(key="k", value="/home/somebody")
        return message

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    inner = helper.make_graph(
        [noted(helper.make_node("Add", ["x", "w"], ["y"]))],
        "inner",
        [],
        [noted(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1]))],
        [noted(weight)],
    )
    choice = helper.make_node("If", ["c"], ["z"], then_branch=noted(inner), else_branch=inner)
    outer = noted(helper.make_graph([noted(choice)], "outer", [noted(value)], []))
    function = helper.make_function("own", "F", ["x"], ["y"], [noted(inner.node[0])], [])
    model = helper.make_model(outer, functions=[noted(function)])
    noted(model)
    strip_notes(model)
    assert b"somebody" not in model.SerializeToString()
    # What computes stays.
    (branch,) = (a.g for a in model.graph.node[0].attribute if a.name == "then_branch")
    assert branch.node[0].op_type == "Add"
    assert list(branch.initializer[0].float_data) == [1.0]


@pytest.mark.parametrize(
    "name",
    sorted(
        p.name for p in resources.files("vultus").joinpath("weights").iterdir()
        if p.name.endswith(".onnx")
    ),
)  # fmt: skip
def test_packaged_weights_carry_none(name: str) -> None:
    data = resources.files("vultus").joinpath("weights", name).read_bytes()
    assert traces(data) == []
