"""MOS as a system: recipes train, resume and export; the finder reads what was exported."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vultus.detection.mos.anchors import anchors, decode_boxes  # noqa: E402
from vultus.detection.mos.finder import MosFinder  # noqa: E402
from vultus.detection.mos.learner import MosLearner, network_input  # noqa: E402
from vultus.detection.mos.networks import Shipped  # noqa: E402
from vultus.detection.mos.sampling import Choice  # noqa: E402
from vultus.detection.mos.system import Mos  # noqa: E402
from vultus.errors import ConfigError, TrainingError, WeightsError  # noqa: E402
from vultus.nets.learning import Progress  # noqa: E402
from vultus.nets.streams import Stream  # noqa: E402
from vultus.training import export, load_checkpoint, load_recipe, train  # noqa: E402

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
LIGHT = RECIPES / "mos" / "light.yaml"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mos") / "run"
    result = train(LIGHT, debug=True, out=out, tensorboard=False, progress=False)
    assert {"ap", "ap_small", "anchor_nme", "anchor_pose", "anchor_nme_turned"} <= set(
        result.metrics
    )
    return out


@pytest.fixture(scope="module")
def exported(run: Path) -> Path:
    return export(run, run / "mos.onnx").path


def example_batch(stream: Stream, step: int) -> dict[str, dict[str, torch.Tensor]]:
    rows = [
        stream.examples.example(int(i), np.random.default_rng((step, k)))
        for k, i in enumerate(stream.sampler.batch(step))
    ]
    return {"canvases": torch.utils.data.default_collate(rows)}


@pytest.mark.parametrize("weighting", ["uncertainty", "equal"])
def test_losses_fall_on_one_batch(weighting: str) -> None:
    overrides = {"config.weighting": weighting}
    loaded = load_recipe(RECIPES / "mos.yaml", overrides, debug=True)
    torch.manual_seed(0)
    learner = Mos.build(loaded.config)
    stream = Mos.data(loaded.config, 0).streams["canvases"]
    batch = example_batch(stream, 0)
    groups = learner.players()["main"]
    covered = [p for g in groups for p in g.parameters]
    assert len(covered) == len({id(p) for p in covered}) == len(list(learner.parameters()))
    optimizer = torch.optim.Adam(covered, 0.01)
    seen = []
    for _ in range(12):
        found = learner.losses(batch, Progress(0, 10))
        optimizer.zero_grad()
        sum(found.terms.values()).backward()
        optimizer.step()
        seen.append(sum(float(found.monitors[f"{n}_loss"]) for n in found.terms))
    assert seen[-1] < 0.7 * seen[0]
    stream.sampler.feedback(found.feedback["canvases"])
    assert stream.sampler.state()["steps"] == 1
    if learner.weights is not None:
        assert learner.weights.log_variance.abs().min() > 0


def test_regions_of_false_detections_are_those_of_the_picture_as_drawn() -> None:
    loaded = load_recipe(LIGHT, debug=True)
    learner: MosLearner = Mos.build(loaded.config)
    count = len(learner.grid)
    outputs = learner.net(torch.zeros(2, 3, 64, 64))
    logits = torch.zeros(2, count, 2)
    logits[..., 0] = 9
    logits[:, 4] = torch.tensor([0.0, 9.0])  # The anchor at (20, 4).
    shown = {
        "label": torch.zeros(2, count, dtype=torch.long),
        "choice": torch.tensor([5, 6]),
        "flipped": torch.tensor([False, True]),
    }
    boxes = torch.zeros(2, count, 4)
    found = learner._false_detections(outputs._replace(logits=logits, boxes=boxes), shown)
    straight, mirrored = (Choice.unpacked(r) for r in found)
    assert (straight.canvas, mirrored.canvas) == (5, 6)
    assert straight.x + straight.side / 2 == pytest.approx(20, abs=1)
    assert mirrored.x + mirrored.side / 2 == pytest.approx(64 - 20, abs=1)


def test_training_resumes_bit_for_bit(tmp_path: Path) -> None:
    # With a threshold of 1 the sampler stitches after its first step, which it must remember.
    changes = {"checkpoint_every": 2, "steps": 4, "keep": 4, "config.feedback.share": 1.0}
    quiet = {"debug": True, "tensorboard": False, "progress": False}
    whole = train(LIGHT, changes, out=tmp_path, **quiet)
    model = whole.checkpoint / "model.safetensors"
    expected = model.read_bytes()
    shutil.rmtree(whole.checkpoint)
    (tmp_path / "result.json").unlink()
    again = train(LIGHT, changes, out=tmp_path, resume=True, **quiet)
    assert again.step == 4
    assert model.read_bytes() == expected


def test_exported_file_gives_what_the_network_gives(run: Path, exported: Path) -> None:
    import onnxruntime

    from vultus.training.exporting import load_checkpoint

    checkpoint = next(p for p in sorted(run.rglob("*")) if p.is_dir() and "3" in p.name)
    _, learner, _ = load_checkpoint(checkpoint)
    session = onnxruntime.InferenceSession(str(exported))
    assert [o.name for o in session.get_outputs()] == ["scores", "boxes", "points", "bins"]
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3)).astype(np.uint8)
    x = network_input(torch.from_numpy(images))
    with torch.no_grad():
        expected = Shipped(learner.net).eval()(x)
    for want, got in zip(expected, session.run(None, {"input": x.numpy()}), strict=True):
        np.testing.assert_allclose(got, want.numpy(), atol=1e-3, rtol=1e-3)


def test_finder_fills_boxes_points_and_pose(exported: Path) -> None:
    finder = MosFinder(exported, threads=1)
    assert finder.weights[0].startswith("mos.onnx@")
    images = [
        np.random.default_rng(i).integers(0, 256, (h, w, 3)).astype(np.uint8)
        for i, (h, w) in enumerate(((128, 192), (50, 40)))
    ]
    found = finder.find(images, 0.0)
    assert [len(f) > 0 for f in found] == [True, True]
    for faces in found:
        scores = [face.score for face in faces]
        assert scores == sorted(scores, reverse=True)
        assert all(-99 <= face.pose.yaw <= 96 for face in faces)
    assert finder.find(images, 1.0) == [[], []]
    assert [len(f) for f in finder.find(images[:1], 0.0)] == [len(found[0])]


def test_finder_maps_back_to_the_picture(exported: Path) -> None:
    finder = MosFinder(exported, threads=1)
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    large = image.repeat(2, 0).repeat(2, 1)
    small = finder.find([image], 0.0)[0][0]
    twice = finder.find([large], 0.0)[0][0]
    np.testing.assert_allclose(twice.box, 2 * small.box, rtol=1e-3, atol=1e-2)
    # Points count from pixel centres: p becomes 2 p + 0.5.
    np.testing.assert_allclose(twice.keypoints, 2 * small.keypoints + 0.5, rtol=1e-3, atol=1e-2)


def test_finder_refuses_another_network(tmp_path: Path) -> None:
    from vultus.nets.onnx import export_onnx

    file = tmp_path / "other.onnx"
    export_onnx(torch.nn.Linear(4, 2), torch.zeros(2, 4), file)
    with pytest.raises(WeightsError, match="wanted one input"):
        MosFinder(file)


def test_shipped_network_is_small() -> None:
    loaded = load_recipe(LIGHT)
    net = Mos.build(loaded.config).net
    assert 4 * sum(p.numel() for p in net.parameters()) < 1.6e6
    assert len(decode_boxes(np.zeros((4200, 4), np.float32), anchors(320, 320))) == 4200


def started(run: Path, **overrides: object) -> MosLearner:
    """Return a learner after the losses of its first step."""
    changes = {"config.start": str(run)} | overrides
    loaded = load_recipe(LIGHT, changes, debug=True)
    torch.manual_seed(5)
    learner = Mos.build(loaded.config)
    stream = Mos.data(loaded.config, 0).streams["canvases"]
    # In evaluation mode, normalisation keeps the statistics that were loaded.
    learner.eval()
    learner.losses(example_batch(stream, 0), Progress(0, 3))
    return learner


def test_training_starts_from_the_features_of_a_run_with_new_heads(run: Path) -> None:
    old = load_checkpoint(max((run / "checkpoints").iterdir()))[1].net.state_dict()
    new = started(run, **{"config.network.pose": False}).net.state_dict()
    below = [name for name in new if not name.startswith("heads.")]
    assert below
    assert all(torch.equal(new[name], old[name]) for name in below)
    heads = "heads.0.features.0.weight"
    assert not torch.equal(new[heads], old[heads])


def test_a_start_of_another_size_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="does not fit the network"):
        started(run, **{"config.network.channels": 12})
    with pytest.raises(ConfigError, match="holds no trained network"):
        started(tmp_path)
