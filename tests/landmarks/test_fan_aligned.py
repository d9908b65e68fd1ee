"""Hourglasses on crops aligned by points: mean places, losses, data, training and export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vultus.errors import ConfigError  # noqa: E402
from vultus.landmarks.crops import TRAIN, save_points  # noqa: E402
from vultus.landmarks.fan import FanAlignment  # noqa: E402
from vultus.landmarks.fan.aligned import (  # noqa: E402
    Aligned,
    AlignedLearner,
    Points,
    aligned_figures,
    mean_places,
    place_losses,
)
from vultus.landmarks.fan.heatmaps import gaussian_maps  # noqa: E402
from vultus.landmarks.fan.learners import FaceData, FanSettings  # noqa: E402
from vultus.landmarks.fan.networks import Network  # noqa: E402
from vultus.landmarks.prepare import render_crops  # noqa: E402
from vultus.landmarks.renders import Renders, aligned_crops  # noqa: E402
from vultus.nets.learning import Progress  # noqa: E402
from vultus.settings import read_settings  # noqa: E402

RENDERS = FaceData(size=32, renders=Renders(train=6, development=2))


def config(**options: Any) -> FanSettings:
    given: dict[str, Any] = {
        "data": RENDERS,
        "batch": 3,
        "network": Network(stacks=2, channels=16, depth=2),
        "convention": "contour",
        "aligned": Aligned(),
    }
    return FanSettings(**given | options)


def places(count: int, side: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.uniform(2.5, side - 3.5, (count, 68, 2)).astype(np.float32))


def logits(points: torch.Tensor, side: int) -> torch.Tensor:
    """Return maps whose softmax is a Gaussian around each point."""
    grid = torch.arange(side, dtype=torch.float32)
    x, y = ((grid - points[..., i, None]) ** 2 / 2 for i in (0, 1))
    return -(x[..., None, :] + y[..., :, None])


def test_the_mean_place_of_a_gaussian_is_its_centre() -> None:
    points = places(3, 16)
    np.testing.assert_allclose(mean_places(logits(points, 16)), points, atol=0.02)


def test_equal_maps_mean_the_middle() -> None:
    assert mean_places(torch.zeros(1, 68, 8, 8)).unique().tolist() == [3.5]


def test_losses_are_least_at_the_points_and_grow_with_distance() -> None:
    truth = places(2, 16)
    pixels = (truth + 0.5) * 4 - 0.5
    weight = torch.ones(2, 68)

    def terms(shift: float) -> dict[str, float]:
        maps = [logits(truth + shift, 16)]
        found = place_losses(maps, pixels, weight, 64, 1.0).terms
        return {name: value.item() for name, value in found.items()}

    best, near, far = terms(0.0), terms(0.5), terms(1.0)
    assert best["points_0"] < 0.02
    assert near["points_0"] == pytest.approx(0.5 * 2**0.5, abs=0.02)
    assert best["maps_0"] < near["maps_0"] < far["maps_0"]


def test_every_stack_has_its_losses_and_points_without_trust_none() -> None:
    truth = places(2, 8)
    weight = torch.ones(2, 68)
    weight[1] = 0
    wrong = truth.clone()
    wrong[1] += 2
    maps = logits(truth, 8)
    plain = place_losses([maps, maps], (truth + 0.5) * 4 - 0.5, weight, 32, 1.0).terms
    moved = place_losses([maps, maps], (wrong + 0.5) * 4 - 0.5, weight, 32, 1.0).terms
    assert list(plain) == ["maps_0", "points_0", "maps_1", "points_1"]
    assert {k: v.item() for k, v in plain.items()} == {k: v.item() for k, v in moved.items()}


def test_a_point_outside_the_crop_pulls_the_mean_but_has_no_map() -> None:
    points = torch.full((1, 68, 2), -9.0)
    found = place_losses([torch.zeros(1, 68, 8, 8)], points, torch.ones(1, 68), 32, 1.0).terms
    assert found["maps_0"].item() == 0
    assert found["points_0"].item() > 3
    assert gaussian_maps(points, 8).max() == 0


def test_the_network_learns_to_place_points() -> None:
    torch.manual_seed(3)
    settings = config(network=Network(stacks=1, channels=32, depth=2), batch=6)
    learner = FanAlignment.build(settings)
    assert isinstance(learner, AlignedLearner)
    crops = aligned_crops(settings.data, 2)[0]
    images, points = crops.plain()
    batch = {
        "faces": {
            "image": torch.from_numpy(images.copy()),
            "points": torch.from_numpy(points),
            "weight": torch.from_numpy(crops.weights),
        }
    }
    before = aligned_figures(learner, [crops])["nme"]
    optimizer = torch.optim.Adam(learner.parameters(), 4e-3)
    learner.train()
    for step in range(40):
        losses = learner.losses(batch, Progress(step, 40))
        optimizer.zero_grad()
        sum(losses.terms.values()).backward()
        optimizer.step()
    assert aligned_figures(learner, [crops])["nme"] < 0.4 * before


def test_it_trains_and_exports_points(tmp_path: Path) -> None:
    import onnxruntime

    from vultus.training import export, load_checkpoint, read_recipe, train
    from vultus.training.exporting import chosen_checkpoint

    recipe = {
        "system": "fan-alignment",
        "steps": 2,
        "optimizer": {"name": "adamw", "lr": 1e-3},
        "config": {
            "batch": 3,
            "convention": "contour",
            "network": {"stacks": 2, "channels": 16, "depth": 2},
            "aligned": {},
            "data": {"size": 32, "renders": {"train": 6, "development": 2}},
        },
    }
    train(read_recipe(recipe, "test"), out=tmp_path / "run", tensorboard=False, progress=False)
    shipped = FanAlignment.export(FanAlignment.build(config()))["align"]
    assert shipped.manifest["template"] == "landmarks96 at 32 pixels"
    assert shipped.metadata["convention"] == "contour"
    export(tmp_path / "run", tmp_path / "points.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "points.onnx")
    (output,) = session.get_outputs()
    assert output.name == "points"
    (points,) = session.run(None, {session.get_inputs()[0].name: shipped.example.numpy()})
    assert points.shape == (2, 68, 2)
    assert (points > -0.5).all()
    assert (points < 31.5).all()
    learner = load_checkpoint(chosen_checkpoint(tmp_path / "run"))[1].eval()
    with torch.no_grad():
        np.testing.assert_allclose(points, Points(learner.net)(shipped.example), atol=1e-3)


def test_a_start_is_read_once(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(7)
    before = FanAlignment.build(config()).net.state_dict()
    weights = {f"net.{name}": value.clone().contiguous() for name, value in before.items()}
    save_file(weights, tmp_path / "model.safetensors")
    crops = aligned_crops(RENDERS, 2)[0]
    images, points = crops.plain()
    given = {"image": images.copy(), "points": points, "weight": crops.weights}
    batch = {"faces": {name: torch.from_numpy(value) for name, value in given.items()}}
    learner = FanAlignment.build(config(aligned=Aligned(start=str(tmp_path))))
    kept = learner.net.stem[0].weight.clone()
    learner.losses(batch, Progress(1, 2))
    assert torch.equal(learner.net.stem[0].weight, kept)
    learner.losses(batch, Progress(0, 2))
    assert torch.equal(learner.net.stem[0].weight, before["stem.0.weight"])


def test_exported_points_are_the_predicted_ones() -> None:
    learner = FanAlignment.build(config())
    images = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), np.uint8)
    x = torch.from_numpy(images.astype(np.float32).transpose(0, 3, 1, 2)) / 127.5 - 1
    with torch.no_grad():
        given = Points(learner.net.eval())(x)
    np.testing.assert_allclose(learner.predict(images), given, atol=1e-3)


def test_files_are_mixed_by_their_shares(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.safetensors" for name in "ab"]
    for seed, file in enumerate(files):
        save_points(file, render_crops("procedural", 8, seed, field=32))
    data = FaceData(size=32, files=tuple(map(str, files)))
    found = FanAlignment.data(config(data=data, batch=8, aligned=Aligned(shares=(1.0, 3.0))), 0)
    first = int((aligned_crops(data, 0)[0].split == TRAIN).sum())
    rows = found.streams["faces"].sampler.batch(0)
    assert (rows < first).sum() == 2
    assert len(found.development) == 2


def test_settings_that_contradict_are_refused() -> None:
    with pytest.raises(ValueError, match="for task align"):
        config(task="depth", convention="projected")
    with pytest.raises(ConfigError, match="one share per file"):
        read_settings(
            FanSettings,
            {"data": {"size": 32, "files": ["a"]}, "network": {"depth": 2}}
            | {"aligned": {"shares": [1.0, 2.0]}},
            "recipe",
        )
