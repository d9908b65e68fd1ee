"""Learners, networks and the system on tiny settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vultus.errors import ConfigError, TrainingError  # noqa: E402
from vultus.landmarks.crops import TRAIN, save_points  # noqa: E402
from vultus.landmarks.kd_landmarks import KDLandmarks, shape_model  # noqa: E402
from vultus.landmarks.kd_landmarks.augmentation import PointExamples  # noqa: E402
from vultus.landmarks.kd_landmarks.learners import (  # noqa: E402
    KDLearner,
    KDSettings,
    PointData,
    Teachers,
    figures,
    kd_terms,
    mean,
    predict,
)
from vultus.landmarks.kd_landmarks.networks import (  # noqa: E402
    Network,
    Regressor,
    to_coordinates,
    to_pixels,
)
from vultus.landmarks.prepare import render_crops  # noqa: E402
from vultus.landmarks.renders import Renders, aligned_crops  # noqa: E402
from vultus.nets.learning import Progress  # noqa: E402
from vultus.points68 import MEAN  # noqa: E402
from vultus.settings import read_settings  # noqa: E402

TINY = Network(width=0.25)
TEACHER = Network(trunk="efficientnet-b0", width=0.25, dropout=0.5)
DATA = PointData(size=32, renders=Renders(train=6, development=2))


def config(**options: Any) -> KDSettings:
    return KDSettings(data=DATA, batch=3, student=TINY, teacher=TEACHER, **options)


def batch(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    points = (np.array(MEAN) / 3 + rng.normal(0, 0.5, (3, 68, 2))).astype(np.float32)
    return {
        "faces": {
            "image": torch.from_numpy(rng.integers(0, 256, (3, 32, 32, 3), np.uint8)),
            "points": torch.from_numpy(points),
            "soft": torch.from_numpy(points + np.float32(0.1)),
            "weight": torch.ones(3, 68),
        }
    }


@pytest.mark.parametrize("head", ["pool", "maps"])
@pytest.mark.parametrize("size", [32, 96])
def test_networks_start_at_the_mean_face(head: str, size: int) -> None:
    network = Regressor(Network(width=0.25, head=head), size).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        points = to_pixels(network(torch.zeros(2, 3, size, size)), size)
    assert points.shape == (2, 68, 2)
    mean_face = (np.array(MEAN) + 0.5) * size / 96 - 0.5
    assert np.abs(points.numpy() - mean_face).max() < 0.1 * size


def test_the_student_is_far_smaller_than_the_teachers() -> None:
    student = Regressor(Network(), 224)
    teacher = Regressor(Network(trunk="efficientnet-b3", dropout=0.5), 224)
    small, large = (sum(p.numel() for p in net.parameters()) for net in (student, teacher))
    assert 2.2e6 < small < 2.6e6
    assert 10e6 < large < 12e6


@pytest.mark.parametrize("points", [29, 98])
def test_other_numbers_of_points(points: int) -> None:
    network = Regressor(TINY, 32, points).eval()
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, points, 2)


def test_sides_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="multiple of 16"):
        Regressor(TINY, 100)


def test_coordinates_and_pixels_are_inverse() -> None:
    pixels = torch.tensor([[0.0, 95.0], [47.5, 10.0]])
    assert torch.allclose(to_pixels(to_coordinates(pixels, 96), 96), pixels, atol=1e-4)
    assert to_coordinates(torch.tensor([47.5]), 96).item() == 0


def test_stage_all_trains_teachers_first_and_then_only_the_student() -> None:
    torch.manual_seed(0)
    learner = KDLearner(config(stage="all", teaching=0.5)).train()
    first = learner.losses(batch(), Progress(0, 4))
    assert set(first.terms) == {"tough", "tolerant"}
    sum(first.terms.values()).backward()
    assert learner.net.linear.weight.grad is None
    assert learner.tough.linear.weight.grad is not None
    learner.zero_grad(set_to_none=True)
    second = learner.losses(batch(), Progress(2, 4))
    assert set(second.terms) == {"main", "tough", "tolerant"}
    sum(second.terms.values()).backward()
    assert learner.net.linear.weight.grad is not None
    assert learner.tough.linear.weight.grad is None


def test_frozen_teachers_use_no_dropout() -> None:
    torch.manual_seed(0)
    learner = KDLearner(config(stage="all")).train()
    x = torch.randn(2, 3, 32, 32)
    a, b = learner._taught(x), learner._taught(x)
    assert torch.equal(a[0], b[0])
    assert torch.equal(a[1], b[1])


@pytest.mark.parametrize("stage", ["tough", "tolerant"])
def test_a_teacher_learns_its_own_targets(stage: str) -> None:
    torch.manual_seed(0)
    learner = KDLearner(config(stage=stage)).eval()
    given = batch()
    (term,) = learner.losses(given, Progress(0, 2)).terms.values()
    goal = given["faces"]["points" if stage == "tough" else "soft"]
    with torch.no_grad():
        x = given["faces"]["image"].permute(0, 3, 1, 2).float().sub(127.5).div(127.5)
        expected = (learner.net(x) - to_coordinates(goal, 32)).square().mean()
    assert term.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("loss", ["mse", "l1", "wing"])
def test_students_without_teachers(loss: str) -> None:
    learner = KDLearner(config(stage="student", loss=loss))
    assert set(learner.losses(batch(), Progress(0, 2)).terms) == {loss}
    assert not hasattr(learner, "tough")


def test_factors_and_signs_make_up_the_loss() -> None:
    g = torch.zeros(1, 1, 2)
    student, tough, tolerant = g + 0.02, g - 0.01, g + 0.04
    everywhere = torch.ones(1, 1, 1)
    terms = kd_terms(student, g, tough, tolerant, everywhere, config(stage="all"))
    assert terms["main"].item() == pytest.approx(2 * 3 * 0.02)
    assert terms["tough"].item() == pytest.approx(1.9 * 0.01)
    assert terms["tolerant"].item() == pytest.approx(-0.4 * 0.02)
    alone = kd_terms(student, g, tough, tolerant, everywhere, config(stage="all", loss="main"))
    assert set(alone) == {"main"}


def test_points_without_trust_do_not_count() -> None:
    values = torch.stack([torch.ones(68, 2), 9 * torch.ones(68, 2)])
    weight = torch.stack([torch.ones(68, 1), torch.zeros(68, 1)])
    assert mean(values, weight).item() == pytest.approx(1)


def test_settings_that_contradict_are_refused() -> None:
    with pytest.raises(ValueError, match="needs teachers"):
        config(stage="student")
    with pytest.raises(ValueError, match="uses no teacher"):
        config(stage="all", loss="mse")
    with pytest.raises(ConfigError, match="either files or renders"):
        read_settings(KDSettings, {"data": {"size": 32}}, "recipe")
    with pytest.raises(ConfigError, match="one share per file"):
        read_settings(KDSettings, {"data": {"files": ["a"], "shares": [1.0, 2.0]}}, "recipe")


def test_the_three_stages_run_through_the_trainer(tmp_path: Path) -> None:
    from vultus.training import load_checkpoint, read_recipe, train

    def stage(name: str, **options: Any) -> Path:
        recipe = {
            "system": "kd-landmarks",
            "steps": 2,
            "optimizer": {"name": "adam", "lr": 1e-3},
            "config": {
                "batch": 3,
                "stage": name,
                "data": {"size": 32, "renders": {"train": 6, "development": 2}},
                "student": {"width": 0.25},
                "teacher": {"trunk": "efficientnet-b0", "width": 0.25},
                "shapes": str(tmp_path / "shapes.npz"),
                **options,
            },
        }
        loaded = read_recipe(recipe, "test")
        train(loaded, out=tmp_path / name, tensorboard=False, progress=False)
        return tmp_path / name

    tough, tolerant = stage("tough"), stage("tolerant")
    assert (tmp_path / "shapes.npz").exists()
    student = stage("student", teachers={"tough": str(tough), "tolerant": str(tolerant)})
    folder = next((tough / "checkpoints").iterdir())
    teacher = load_checkpoint(folder)[1].net
    learner = load_checkpoint(next((student / "checkpoints").iterdir()))[1]
    # The student's run held the tough teacher as it was trained, and left it alone.
    for a, b in zip(
        teacher.state_dict().values(), learner.tough.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)


def test_a_missing_or_other_checkpoint_is_named(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    nowhere = Teachers(tough=str(tmp_path), tolerant=str(tmp_path))
    learner = KDLearner(config(stage="student", teachers=nowhere))
    with pytest.raises(ConfigError, match="no trained network"):
        learner.losses(batch(), Progress(0, 2))
    save_file({"net.x": torch.zeros(1)}, tmp_path / "model.safetensors")
    learner = KDLearner(config(stage="student", loss="l1", start=str(tmp_path)))
    with pytest.raises(TrainingError, match="does not fit"):
        learner.losses(batch(), Progress(0, 2))


def test_a_start_is_read_once_and_not_on_a_resume(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(7)
    before = Regressor(TINY, 32)
    weights = {f"net.{name}": value for name, value in before.state_dict().items()}
    save_file(
        {k: v.clone().contiguous() for k, v in weights.items()}, tmp_path / "model.safetensors"
    )
    learner = KDLearner(config(stage="student", loss="l1", start=str(tmp_path)))
    kept = learner.net.linear.weight.clone()
    learner.losses(batch(), Progress(1, 2))
    assert torch.equal(learner.net.linear.weight, kept)
    learner.losses(batch(), Progress(0, 2))
    assert torch.equal(learner.net.linear.weight, before.linear.weight)


def test_soft_points_are_those_of_the_view() -> None:
    settings = config(stage="tolerant")
    train = aligned_crops(settings.data, 1)[0]
    examples = PointExamples(train.take(train.split == TRAIN), settings.data.augmentation)
    model = shape_model(examples, settings, 1)
    view = PointExamples(examples.crops, settings.data.augmentation, model).example(
        0, np.random.default_rng(2)
    )
    np.testing.assert_allclose(view["soft"], model.soften(view["points"]))


def test_files_are_mixed_by_their_shares(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        save_points(tmp_path / f"{name}.safetensors", render_crops("procedural", 8, seed, field=32))
    files = tuple(str(tmp_path / f"{name}.safetensors") for name in ("a", "b"))
    data = KDLandmarks.data(
        KDSettings(
            data=PointData(size=32, files=files, shares=(0.25, 0.75)),
            batch=8, stage="student", loss="l1", student=TINY,
        ),
        seed=0,
    )  # fmt: skip
    stream = data.streams["faces"]
    first = int((aligned_crops(PointData(size=32, files=files), 0)[0].split == TRAIN).sum())
    for step in range(3):
        rows = stream.sampler.batch(step)
        assert (rows < first).sum() == 2
        assert len(rows) == 8


def test_figures_are_zero_for_a_perfect_network() -> None:
    network = Regressor(TINY, 32).eval()
    crops = render_crops("procedural", 4, 3, field=32)
    images, truth = crops.plain()
    found = predict(network, images)
    assert found.shape == truth.shape
    assert figures(network, crops, found)["nme"] == pytest.approx(0, abs=1e-6)
    assert figures(network, crops)["nme"] > 0.01
