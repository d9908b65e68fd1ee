"""The whole way: recipe, training, export, prediction without PyTorch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("numba")

import torch

from vultus.errors import ConfigError, VultusError, WeightsError
from vultus.geometry import crop_boxes
from vultus.images import find_images, open_image
from vultus.liveness import LivenessPredictor, LivenessSpec
from vultus.liveness.cdcn import CDCN, CDCNSettings
from vultus.liveness.cdcn.augmentation import pixels
from vultus.liveness.cdcn.learners import (
    ARCHITECTURE,
    PadData,
    Search,
    load_data,
    map_losses,
    predict_maps,
    presentations_of,
)
from vultus.liveness.cdcn.simulation import Simulation
from vultus.nets.learning import MAIN, Progress
from vultus.runtime import Preprocessing
from vultus.settings import read_settings
from vultus.training import export, load_checkpoint, load_recipe, train

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SMALL = Simulation(train=2, development=2, bona_fide=1)
WANTS = Preprocessing(mean=(127.5,), std=(128.0,))


def configured(**changes: object) -> CDCNSettings:
    return CDCNSettings(
        **{"data": PadData(size=32, simulation=SMALL), "batch": 4, "width": 0.0625} | changes
    )


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the run and the exported file of the debug recipe."""
    folder = tmp_path_factory.mktemp("cdcn")
    train(RECIPES / "cdcn.yaml", debug=True, out=folder / "run", tensorboard=False, progress=False)
    exported = export(folder / "run", folder / "cdcn.onnx")
    assert exported.parity.relative < 1e-4
    return folder / "run", exported.path


def test_the_shipped_file_gives_the_trained_networks_scores(shipped: tuple[Path, Path]) -> None:
    run, file = shipped
    _, learner, state = load_checkpoint(next((run / "checkpoints").iterdir()))
    development = load_data(learner.config, state["recipe"]["seed"]).split("development")
    crops, _, masks = development.crops()
    expected = presentations_of(predict_maps(learner.network, crops), masks, development)
    predictor = LivenessPredictor(LivenessSpec("cdcn", file, WANTS), threads=1)
    assert predictor.size == 32
    clips, found = predictor.predict_clips(crops, development.clips, masks > 127)
    assert len(clips) == len(expected.scores)
    near = predictor.predict_clips(crops, development.clips, masks.astype(np.float32) / 255)[1]
    np.testing.assert_allclose(near, expected.scores, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(found, near, rtol=0.2)


def test_scores_of_crops_alone_use_the_ellipse_of_the_box(shipped: tuple[Path, Path]) -> None:
    predictor = LivenessPredictor(LivenessSpec("cdcn", shipped[1], WANTS), threads=1)
    crops = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    scores = predictor.predict(crops)
    assert scores.shape == (3,)
    assert scores.dtype == np.float32
    assert predictor.predict(crops[:0]).shape == (0,)
    np.testing.assert_allclose(predictor.predict(crops[1:2]), scores[1:2], rtol=1e-4)


def test_crops_that_do_not_fit_are_refused(shipped: tuple[Path, Path]) -> None:
    predictor = LivenessPredictor(LivenessSpec("cdcn", shipped[1], WANTS), threads=1)
    for wrong in (np.zeros((1, 48, 48, 3), np.uint8), np.zeros((1, 32, 32, 3), np.float32)):
        with pytest.raises(VultusError, match=r"uint8 RGB crops \(N, 32, 32, 3\)"):
            predictor.predict(wrong)


def test_the_exported_entry_says_how_crops_are_prepared(
    shipped: tuple[Path, Path], tmp_path: Path
) -> None:
    spec = LivenessSpec.from_export(shipped[1])
    assert spec == LivenessSpec("cdcn", shipped[1], WANTS)
    other = tmp_path / "cdcn.onnx"
    other.write_bytes(shipped[1].read_bytes() + b" ")
    with pytest.raises(WeightsError, match=r"no network with its entry cdcn\.toml"):
        LivenessSpec.from_export(other)
    entry = shipped[1].with_suffix(".toml").read_text()
    other.with_suffix(".toml").write_text(entry)
    with pytest.raises(WeightsError, match="is not the network"):
        LivenessSpec.from_export(other)
    other.with_suffix(".toml").write_text(entry.replace("liveness", "recognition"))
    with pytest.raises(WeightsError, match="does not describe a liveness network"):
        LivenessSpec.from_export(other)


def test_the_command_scores_pictures(shipped: tuple[Path, Path], tmp_path: Path) -> None:
    from vultus.images import save_image

    crop = np.random.default_rng(1).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    save_image(tmp_path / "crop.png", crop)
    command = [sys.executable, "-m", "vultus.liveness", str(shipped[1]), str(tmp_path / "crop.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    score, path = done.stdout.strip().split("\t")
    assert path.endswith("crop.png")
    expected = LivenessPredictor(LivenessSpec.from_export(shipped[1])).predict(crop[None])[0]
    assert float(score) == pytest.approx(float(expected), abs=1e-5)


def test_only_liveness_networks_of_the_manifest_are_taken() -> None:
    with pytest.raises(WeightsError, match="no network for liveness"):
        LivenessPredictor("dlib-resnet29", offline=True)


def test_prediction_loads_no_torch(shipped: tuple[Path, Path]) -> None:
    code = (
        "import sys; from pathlib import Path; import numpy as np;"
        "from vultus.liveness import LivenessPredictor, LivenessSpec;"
        "from vultus.runtime import Preprocessing;"
        f"spec = LivenessSpec('x', Path({str(shipped[1])!r}), Preprocessing());"
        "LivenessPredictor(spec, threads=1).predict(np.zeros((1, 32, 32, 3), np.uint8));"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_crop_of_a_photograph_goes_in(shipped: tuple[Path, Path], data_root: Path) -> None:
    """A smoke test on real presentations: every crop gets a finite score."""
    pictures = find_images([data_root / "liveness_samples" / "webcam_two_people" / "fake"])[:4]
    if not pictures:
        pytest.skip("no liveness samples")
    predictor = LivenessPredictor(LivenessSpec("cdcn", shipped[1], WANTS), threads=1)
    for path in pictures:
        image = open_image(path)
        box = np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)
        assert np.isfinite(predictor.predict(crop_boxes(image, box, 1.0, 32))).all()


def test_batches_hold_as_many_bona_fide_as_attacks() -> None:
    data = CDCN.data(configured(), 0)
    stream = data.streams["faces"]
    for step in range(4):
        rows = stream.sampler.batch(step)
        live = [stream.examples.example(int(i), np.random.default_rng(0))["live"] for i in rows]
        assert sum(live) == 2


@pytest.mark.parametrize("supervision", ["depth", "label"])
def test_training_separates_what_it_has_seen(supervision: str) -> None:
    torch.manual_seed(0)
    learner = CDCN.build(configured(supervision=supervision, width=0.125, theta=0.5))
    rng = np.random.default_rng(0)
    even, noisy = rng.integers(100, 120, (4, 32, 32, 3)), rng.integers(0, 256, (4, 32, 32, 3))
    crops = np.concatenate([even, noisy])
    live = torch.tensor([1] * 4 + [0] * 4)
    faces = {
        "image": torch.from_numpy(pixels(crops.astype(np.uint8))),
        "depth": live[:, None, None] * torch.full((8, 4, 4), 0.6),
        "live": live,
    }
    mover = torch.optim.Adam(learner.parameters(), 3e-3)
    for step in range(40):
        mover.zero_grad()
        given = learner.losses({"faces": faces}, Progress(step, 40), MAIN)
        torch.stack(list(given.terms.values())).sum().backward()
        mover.step()
    levels = learner.network(faces["image"]).detach().mean((1, 2))
    assert levels[:4].min() > levels[4:].max()


def test_the_contrastive_loss_can_be_left_out() -> None:
    maps = torch.rand(2, 4, 4)
    faces = {"depth": torch.rand(2, 4, 4), "live": torch.tensor([1, 0])}
    assert set(map_losses(maps, faces, 0.0).terms) == {"depth"}
    assert set(map_losses(maps, faces, 0.5).terms) == {"depth", "contrast"}


def test_methods_that_differ_in_theta_start_from_the_same_weights() -> None:
    found = []
    for theta in (0.0, 0.7):
        torch.manual_seed(3)
        found.append(CDCN.build(configured(theta=theta, network="cdcn")).state_dict())
    for a, b in zip(found[0].values(), found[1].values(), strict=True):
        torch.testing.assert_close(a, b)


def test_the_search_recipe_searches(tmp_path: Path) -> None:
    recipe = load_recipe(RECIPES / "cdcn" / "search.yaml", debug=True)
    assert load_recipe(RECIPES / "cdcn" / "search.yaml").config.search.nodes == 4
    result = train(recipe, out=tmp_path, tensorboard=False, progress=False)
    _, learner, _ = load_checkpoint(result.checkpoint)
    alphas = [cell.alpha for cell in learner.network.cells]
    assert all(alpha.abs().max() > 0 for alpha in alphas)
    assert learner.network.genotype().low.edges
    with pytest.raises(ConfigError, match="cdcn ships no network"):
        export(tmp_path, tmp_path / "a.onnx")


def test_the_architecture_rests_first_and_sees_other_people() -> None:
    config = configured(network="search", width=0.125, search=Search(nodes=2, frozen=0.5))
    learner = CDCN.build(config)
    data = CDCN.data(config, 0)
    people = [set(data.streams[name].examples.data.people) for name in ("faces", "validation")]
    assert not people[0] & people[1]
    rows = {
        name: [s.examples.example(int(i), np.random.default_rng(0)) for i in s.sampler.batch(0)]
        for name, s in data.streams.items()
    }
    batch = {
        name: {
            "image": torch.from_numpy(np.stack([r["image"] for r in drawn])),
            "depth": torch.from_numpy(np.stack([r["depth"] for r in drawn])),
            "live": torch.tensor([r["live"] for r in drawn]),
        }
        for name, drawn in rows.items()
    }
    early = learner.losses(batch, Progress(1, 10), ARCHITECTURE).terms["depth"]
    early.backward()
    assert all(p.grad is None or not p.grad.any() for p in learner.network.architecture())
    late = learner.losses(batch, Progress(6, 10), ARCHITECTURE)
    torch.stack(list(late.terms.values())).sum().backward()
    assert all(p.grad.any() for p in learner.network.architecture()[:2])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"theta": 1.2}, "theta"),
        ({"network": "search"}, "search"),
        ({"network": "cdcn", "genotype": None, "batch": 1}, "batch"),
        ({"data": {"size": 30, "file": "x"}}, "multiple of 8"),
        ({"data": {"size": 32}}, "either file or simulation"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, object], why: str) -> None:
    values = {"data": {"size": 32, "file": "x"}, "batch": 4} | changes
    with pytest.raises(ConfigError, match=why):
        read_settings(CDCNSettings, values, "here")
