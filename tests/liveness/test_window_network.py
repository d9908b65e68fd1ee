"""MiniFASNet as a central difference network: the same answers, another way of learning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from vultus.errors import ConfigError, WeightsError
from vultus.liveness import LivenessPredictor, LivenessSpec
from vultus.liveness.cdcn import CDCN, CDCNSettings
from vultus.liveness.cdcn.convolution import (
    CentralDifferenceConv2d,
    difference_kernel,
    fused,
    fused_kernel,
)
from vultus.liveness.cdcn.learners import PadData, Window
from vultus.liveness.cdcn.minifasnet import (
    HIGH,
    LOW,
    MIDDLE,
    MiniFASNet,
    WindowNet,
    export_published,
    load_minifasnet,
    map_score,
)
from vultus.liveness.cdcn.simulation import Simulation
from vultus.liveness.cdcn.window_learner import WindowLearner, distilled, label_loss
from vultus.liveness.windows import WINDOW
from vultus.nets.learning import MAIN, Progress
from vultus.onnx_runtime import load_onnxruntime
from vultus.runtime import Preprocessing
from vultus.training import export, load_recipe, train

RECIPE = Path(__file__).resolve().parents[2] / "recipes/cdcn/window.yaml"


class Published:
    """Writes a file laid out as the published one, with random weights."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.at = "input"

    def add(
        self, kind: str, *values: np.ndarray, other: str | None = None, **fields: object
    ) -> str:
        names = [f"t{len(self.tensors) + i}" for i in range(len(values))]
        self.tensors += [
            numpy_helper.from_array(v.astype(np.float32), n)
            for v, n in zip(values, names, strict=True)
        ]
        inputs = [self.at, *([other] if other else []), *names]
        self.at = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [self.at], **fields))
        return self.at

    def convolution(
        self, inputs: int, outputs: int, side: int, *, stride: int = 1, groups: int = 1,
        pad: int = 0, bends: bool = True, scale: float = 1.0,
    ) -> None:  # fmt: skip
        shape = (outputs, inputs // groups, side, side)
        weight = self.rng.normal(0, scale * np.sqrt(2 / np.prod(shape[1:])), shape)
        fields = {"strides": [stride] * 2, "pads": [pad] * 4, "group": groups}
        self.add("Conv", weight, self.rng.normal(0, 0.1, outputs), **fields)
        if bends:
            self.add("PRelu", self.rng.uniform(0, 0.4, (outputs, 1, 1)))

    def block(self, inputs: int, wide: int, outputs: int, stride: int) -> None:
        start = self.at
        self.convolution(inputs, wide, 1)
        self.convolution(wide, wide, 3, stride=stride, groups=wide, pad=1)
        self.convolution(wide, outputs, 1, bends=False)
        if stride == 1:
            self.add("Add", other=start)

    def write(self, path: Path) -> Path:
        # Grey levels come in as they are: small weights keep what follows small.
        self.convolution(3, 32, 3, stride=2, pad=1, scale=1 / 128)
        self.convolution(32, 32, 3, groups=32, pad=1)
        for inputs, first, outputs, others in (
            (32, 103, 64, LOW), (64, 231, 128, MIDDLE), (128, 308, 128, HIGH)
        ):  # fmt: skip
            self.block(inputs, first, outputs, 2)
            for wide in others:
                self.block(outputs, wide, outputs, 1)
        self.convolution(128, 512, 1)
        self.convolution(512, 512, 5, groups=512, bends=False)
        self.add("Flatten")
        self.add("MatMul", self.rng.normal(0, 0.05, (512, 128)))
        values = [self.rng.uniform(0.5, 2, 128) for _ in range(4)]
        self.add("BatchNormalization", *values)
        self.add("MatMul", self.rng.normal(0, 3e-4, (128, 3)))
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "published",
            [value("input", TensorProto.FLOAT, ["n", 3, 80, 80])],
            [value(self.at, TensorProto.FLOAT, ["n", 3])],
            self.tensors,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, str(path))
        return path


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Published().write(tmp_path_factory.mktemp("published") / "net.onnx")


def crops(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 80, 80, 3)).astype(np.uint8)


def scaled(pictures: np.ndarray) -> torch.Tensor:
    values = (pictures.astype(np.float32) - 127.5) / 128
    return torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2)))


@pytest.mark.parametrize("theta", [0.0, 0.3, 0.7, 0.95])
def test_every_kernel_is_a_central_difference_kernel(theta: float) -> None:
    kernel = torch.randn(5, 4, 3, 3, dtype=torch.float64)
    torch.testing.assert_close(fused_kernel(difference_kernel(kernel, theta), theta), kernel)


def test_pure_differences_hold_no_plain_kernel() -> None:
    with pytest.raises(ConfigError, match="theta"):
        difference_kernel(torch.randn(1, 1, 3, 3), 1.0)


@pytest.mark.parametrize("theta", [0.0, 0.7])
def test_published_weights_give_published_answers(published: Path, theta: float) -> None:
    pictures = crops(3)
    # The file takes grey levels in the order blue, green, red.
    bgr = np.ascontiguousarray(pictures[..., ::-1].transpose(0, 3, 1, 2), dtype=np.float32)
    session = load_onnxruntime().InferenceSession(
        str(published), providers=["CPUExecutionProvider"]
    )
    expected = session.run(None, {"input": bgr})[0]
    network = MiniFASNet(theta).eval()
    load_minifasnet(network, published)
    with torch.no_grad():
        found = network(scaled(pictures))[1].numpy()
        of_plain = fused(network)(scaled(pictures))[1].numpy()
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())
    np.testing.assert_allclose(of_plain, expected, atol=1e-3 * np.abs(expected).max())


def test_the_published_network_becomes_one_of_the_package(published: Path, tmp_path: Path) -> None:
    export_published(published, tmp_path / "net.onnx")
    spec = LivenessSpec(
        "net", tmp_path / "net.onnx", Preprocessing(mean=(127.5,), std=(128.0,)), WINDOW
    )
    pictures = crops(3)
    bgr = np.ascontiguousarray(pictures[..., ::-1].transpose(0, 3, 1, 2), dtype=np.float32)
    session = load_onnxruntime().InferenceSession(
        str(published), providers=["CPUExecutionProvider"]
    )
    logits = session.run(None, {"input": bgr})[0].astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = LivenessPredictor(spec, threads=1).predict(pictures)
    np.testing.assert_allclose(found, shares[:, 1], atol=1e-4)


def test_every_neighbourhood_is_seen_by_differences() -> None:
    network = WindowNet(0.7)
    wide = [
        m for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3)
    ]
    attention = [a.gate for a in network.fusion.attention]
    plain = [m for m in wide if not isinstance(m, CentralDifferenceConv2d)]
    assert [m for m in plain if not any(m is g for g in attention)] == []
    assert len(wide) - len(plain) == 2 + 5 + 7 + 3 + 2


def test_another_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    with pytest.raises(WeightsError, match="no ONNX file"):
        load_minifasnet(MiniFASNet(), other)
    graph = helper.make_graph([], "empty", [], [], [])
    onnx.save(helper.make_model(graph), str(other))
    with pytest.raises(WeightsError, match="not MiniFASNet V2"):
        load_minifasnet(MiniFASNet(), other)


def test_a_map_scores_its_most_alive_place_at_most_one() -> None:
    maps = torch.zeros(3, 10, 10)
    maps[1, 4:7, 2:5] = 0.5
    maps[2] = 7.0
    np.testing.assert_allclose(map_score(maps).numpy(), [0, 0.5, 1], atol=1e-6)


def test_the_score_mixes_map_and_class() -> None:
    pictures = scaled(crops(2))
    network = WindowNet(share=0.25).eval()
    with torch.no_grad():
        maps, logits = network.parts(pictures)
        score = network(pictures)
    expected = 0.25 * map_score(maps) + 0.75 * torch.softmax(logits, 1)[:, 1]
    assert maps.shape == (2, 10, 10)
    assert score.shape == (2, 1, 1)
    torch.testing.assert_close(score[:, 0, 0], expected)


def test_the_label_loss_does_not_care_which_attack_it_is() -> None:
    shares = torch.log(torch.tensor([[0.1, 0.7, 0.2], [0.1, 0.7, 0.2]]))
    loss = label_loss(shares, torch.tensor([True, False]))
    assert float(loss) == pytest.approx(-(np.log(0.7) + np.log(0.3)) / 2, rel=1e-5)


def test_only_answers_that_were_right_are_held_to() -> None:
    answers = torch.tensor([[0.1, 0.8, 0.1], [0.1, 0.8, 0.1]])
    shares = torch.log(torch.tensor([[0.4, 0.4, 0.2], [0.4, 0.4, 0.2]]))
    apart = 0.1 * np.log(0.25) + 0.8 * np.log(2) + 0.1 * np.log(0.5)
    both = distilled(shares, answers, torch.tensor([True, True]))
    one = distilled(shares, answers, torch.tensor([True, False]))
    none = distilled(shares, answers, torch.tensor([False, False]))
    np.testing.assert_allclose([both, one, none], [apart, apart / 2, 0], rtol=1e-4, atol=1e-7)


def settings(**window: object) -> CDCNSettings:
    return CDCNSettings(
        data=PadData(size=80, simulation=Simulation(train=2, development=2, bona_fide=1)),
        batch=4,
        network="minifasnet",
        labels="mask",
        window=Window(**window),  # type: ignore[arg-type]
    )


def test_training_begins_at_the_published_answers_and_leaves_them(published: Path) -> None:
    torch.manual_seed(0)
    learner = CDCN.build(settings(start=str(published), rate=0.1))
    assert isinstance(learner, WindowLearner)
    faces = {
        "image": scaled(crops(4)),
        "depth": torch.rand(4, 10, 10),
        "live": torch.tensor([1, 0, 1, 0]),
    }
    trunk, others = learner.players()[MAIN]
    assert trunk.lr_scale == 0.1
    names = {id(p) for p in (*trunk.parameters, *others.parameters)}
    assert names == {id(p) for p in learner.parameters()}, "the first answers are not trained"
    optimizer = torch.optim.SGD(learner.parameters(), 1e-3)
    found = []
    for _ in range(2):
        losses = learner.losses({"faces": faces}, Progress(0, 2))
        found.append(losses.terms["distil"].item())
        optimizer.zero_grad()
        torch.stack(list(losses.terms.values())).sum().backward()
        optimizer.step()
    assert found[0] == pytest.approx(0, abs=1e-5)
    assert found[1] > 1e-6
    assert set(losses.terms) == {"depth", "contrast", "label", "distil"}


@pytest.mark.parametrize(
    "window", [{"distil": 1.0}, {"distil": 0.0, "share": 1.5}, {"distil": 0.0, "rate": 0.0}]
)
def test_impossible_settings_are_refused(window: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need"):
        settings(**window)


def test_windows_and_their_network_go_together() -> None:
    data = PadData(size=80, file="x")
    window = Window(distil=0.0)
    for changes in ({"network": "minifasnet"}, {"window": window}):
        with pytest.raises(ValueError, match="window"):
            CDCNSettings(data=data, batch=4, **changes)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="size 80"):
        CDCNSettings(data=PadData(size=96, file="x"), batch=4, network="minifasnet", window=window)


def test_the_recipe_trains_and_its_export_predicts(tmp_path: Path) -> None:
    train(RECIPE, debug=True, out=tmp_path / "run", tensorboard=False, progress=False)
    exported = export(tmp_path / "run", tmp_path / "net.onnx")
    assert exported.parity.relative < 1e-4
    predictor = LivenessPredictor(LivenessSpec.from_export(exported.path), threads=1)
    assert (predictor.template, predictor.size) == (WINDOW, 80)
    scores = predictor.predict(crops(3))
    assert ((scores >= 0) & (scores <= 1)).all()
    image = np.random.default_rng(2).integers(0, 256, (200, 150, 3)).astype(np.uint8)
    assert predictor.crop(image, [[20, 20, 90, 110]]).shape == (1, 80, 80, 3)


def test_the_recipe_of_the_package_names_what_it_starts_from() -> None:
    config = load_recipe(RECIPE).recipe.config
    assert config["network"] == "minifasnet"
    assert "minifasnet" in config["window"]["start"]
