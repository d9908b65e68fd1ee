"""Faces under two conventions, views, losses, depth's sign, and the system on tiny settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vultus.errors import ConfigError, DatasetError, VultusError  # noqa: E402
from vultus.geometry import invert_affine, transform_points  # noqa: E402
from vultus.landmarks.fan import FanAlignment, wanted  # noqa: E402
from vultus.landmarks.fan.aligner import Aligner, DepthEstimator, guided  # noqa: E402
from vultus.landmarks.fan.faces import (  # noqa: E402
    Faces,
    cut_faces,
    joined,
    load_faces,
    render_faces,
    save_faces,
)
from vultus.landmarks.fan.heatmaps import gaussian_maps, to_map  # noqa: E402
from vultus.landmarks.fan.learners import (  # noqa: E402
    FaceData,
    FanLearner,
    FanSettings,
    align_errors,
    depth_figures,
    error_figures,
    heatmap_losses,
)
from vultus.landmarks.fan.networks import DepthNetwork, Network  # noqa: E402
from vultus.landmarks.fan.views import FaceViews, Views  # noqa: E402
from vultus.landmarks.renders import Renders  # noqa: E402
from vultus.nets.learning import Progress  # noqa: E402
from vultus.points68 import MIRROR  # noqa: E402
from vultus.settings import read_settings  # noqa: E402

TINY = Network(stacks=2, channels=16, depth=2)
DATA = FaceData(size=32, renders=Renders(train=6, development=4))
STILL = Views(scale=0.0, rotation=0.0, turned=0.0, flip=0.0, gain=0.0)


@pytest.fixture(scope="module")
def faces() -> Faces:
    return render_faces("procedural", 16, 5, size=96, development=0.5)


def config(**options: Any) -> FanSettings:
    return FanSettings(data=DATA, batch=3, network=TINY, **options)


class Perfect(torch.nn.Module):
    """Gives the maps of known points, whatever it sees."""

    def __init__(self, points: np.ndarray, side: int) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.maps = gaussian_maps(torch.from_numpy(points), side)
        self.calls = 0

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        start, self.calls = self.calls, self.calls + len(x)
        return [self.maps[start : start + len(x)]]


def test_rendered_faces_have_both_conventions(faces: Faces) -> None:
    assert np.isfinite(faces.contour).all()
    assert np.isfinite(faces.projected).all()
    apart = np.linalg.norm(faces.contour - faces.projected[..., :2], axis=2)
    assert apart[:, 17:].max() < 1e-3
    turned = np.abs(faces.yaw) > 30
    assert turned.any()
    assert apart[turned, :17].max(1).min() > 1
    people = faces.split.reshape(2, -1)
    np.testing.assert_array_equal(people[0], people[1])


def test_depth_is_positive_towards_the_camera(faces: Faces) -> None:
    depth = faces.projected[..., 2]
    np.testing.assert_allclose(depth.mean(1), 0, atol=1e-3)
    front = np.abs(faces.yaw) < 45
    assert front.any()
    # The tip of the nose is nearer than both ends of the contour.
    assert (depth[front, 30] > depth[front][:, [0, 16]].max(1)).all()
    # Turned to the picture's right, the contour's right end is the far one.
    side = depth[:, 16] - depth[:, 0]
    clear = np.abs(faces.yaw) > 15
    np.testing.assert_array_equal(np.sign(side[clear]), -np.sign(faces.yaw[clear]))


def test_depth_has_the_scale_of_the_picture(faces: Faces) -> None:
    # Distances on a rigid head do not change with the view: eye corners in three dimensions.
    space = faces.projected
    eyes = np.linalg.norm(space[:, 36] - space[:, 45], axis=1)
    nose = np.linalg.norm(space[:, 27] - space[:, 33], axis=1)
    assert np.std(eyes / nose) / np.mean(eyes / nose) < 0.15


def test_faces_are_kept_in_a_file(faces: Faces, tmp_path: Path) -> None:
    save_faces(tmp_path / "x.safetensors", faces)
    read = load_faces(tmp_path / "x.safetensors")
    np.testing.assert_array_equal(read.projected, faces.projected)
    (tmp_path / "y.safetensors").write_bytes(b"no")
    with pytest.raises(DatasetError, match=r"y\.safetensors: not a file of faces"):
        load_faces(tmp_path / "y.safetensors")


def test_photographs_are_cut_with_their_points(faces: Faces) -> None:
    image, points = faces.images[0], faces.contour[0]
    space = faces.projected[0]
    cut = cut_faces([(image, points, None, 12.0), (image, None, space, float("nan"))], size=96)
    assert np.isnan(cut.projected[0]).all()
    assert np.isnan(cut.contour[1]).all()
    scale = np.ptp(cut.contour[0][:, 0]) / np.ptp(points[:, 0])
    np.testing.assert_allclose(np.ptp(cut.projected[1], 0), scale * np.ptp(space, 0), rtol=0.15)
    assert len(cut.known("contour")) == len(cut.known("projected")) == 1
    with pytest.raises(DatasetError, match="68 points"):
        cut_faces([(image, points[:5], None, 0.0)])


def test_a_still_view_is_the_crop_of_the_box(faces: Faces) -> None:
    views = FaceViews(faces, 64, STILL)
    view = views.example(0, np.random.default_rng(0))
    back = transform_points(invert_affine(views.crops[0]), view["contour"])
    np.testing.assert_allclose(back, faces.contour[0], atol=1e-3)
    assert view["image"].shape == (64, 64, 3)
    np.testing.assert_allclose(
        view["projected"][:, 2], faces.projected[0, :, 2] * views.crops[0, 0, 0], rtol=1e-4
    )


def test_flipped_views_swap_sides_and_keep_depth(faces: Faces) -> None:
    plain = FaceViews(faces, 64, STILL).example(1, np.random.default_rng(0))
    other = FaceViews(faces, 64, replace(STILL, flip=1.0)).example(1, np.random.default_rng(0))
    swapped = plain["projected"][list(MIRROR)]
    np.testing.assert_allclose(other["projected"][:, 2], swapped[:, 2], atol=1e-4)
    np.testing.assert_allclose(other["projected"][:, 0], 63 - swapped[:, 0], atol=1e-3)
    np.testing.assert_array_equal(other["image"], plain["image"][:, ::-1])


def test_turned_views_keep_distances_in_proportion(faces: Faces) -> None:
    rng = np.random.default_rng(3)
    views = FaceViews(faces, 64, Views(turned=1.0, flip=0.0))
    for _ in range(5):
        view = views.example(2, rng)
        ratio = [np.linalg.norm(p[36, :2] - p[45, :2]) for p in (view["contour"], faces.contour[2])]
        deep = [np.ptp(p[:, 2]) for p in (view["projected"], faces.projected[2])]
        assert ratio[0] / ratio[1] == pytest.approx(deep[0] / deep[1], rel=1e-3)


def batch(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    points = rng.uniform(4, 28, (3, 68, 3)).astype(np.float32)
    return {
        "faces": {
            "image": torch.from_numpy(rng.integers(0, 256, (3, 32, 32, 3), np.uint8)),
            "contour": torch.from_numpy(points[..., :2] + np.float32(2)),
            "projected": torch.from_numpy(points),
        }
    }


@pytest.mark.parametrize("task", ["align", "lift", "depth"])
def test_every_task_has_its_losses(task: str) -> None:
    learner = FanLearner(config(task=task, depth=DepthNetwork(layers=(1, 1, 1, 1), channels=4)))
    losses = learner.losses(batch(), Progress(0, 2))
    names = {"depth"} if task == "depth" else {"stack_0", "stack_1"}
    assert set(losses.terms) == names
    sum(losses.terms.values()).backward()
    assert all(p.grad is not None for p in learner.net.parameters())


def test_the_loss_is_zero_on_its_own_targets_and_tells_the_peak() -> None:
    points = torch.full((2, 68, 2), 13.5)
    target = gaussian_maps(to_map(points, 32, 8), 8)
    perfect = heatmap_losses([target], points, 32)
    assert perfect.terms["stack_0"].item() == 0
    nothing = heatmap_losses([torch.zeros_like(target)], points, 32)
    assert nothing.terms["stack_0"].item() < 0.1
    assert nothing.monitors["peak"] == 0
    assert perfect.monitors["peak"] == pytest.approx(1, abs=0.01)


def test_absent_points_are_learned_as_empty_maps() -> None:
    points = torch.full((1, 68, 2), float("nan"))
    assert heatmap_losses([torch.zeros(1, 68, 8, 8)], points, 32).terms["stack_0"].item() == 0


def test_the_convention_decides_the_target() -> None:
    torch.manual_seed(0)
    learners = [FanLearner(config(convention=c)) for c in ("contour", "projected")]
    learners[1].load_state_dict(learners[0].state_dict())
    one, other = (x.losses(batch(), Progress(0, 2)).terms["stack_1"].item() for x in learners)
    assert one != other


def test_guidance_is_68_maps_beside_the_picture() -> None:
    x = guided(torch.zeros(2, 3, 32, 32), torch.full((2, 68, 2), 10.0), 2.0)
    assert x.shape == (2, 71, 32, 32)
    assert x[:, 3:, 10, 10].min() == 1


@pytest.mark.parametrize("flip", [False, True])
def test_an_aligner_brings_points_back_to_the_picture(faces: Faces, flip: bool) -> None:
    from vultus.landmarks.heatmaps import cut_boxes
    from vultus.points68 import mirrored

    _, maps = cut_boxes(list(faces.images), faces.boxes, 64)
    inside = transform_points(maps, faces.points("projected"))
    if flip:
        inside = np.concatenate([inside, mirrored(inside, 64)])
    places = to_map(torch.from_numpy(inside), 64, 16).numpy()
    aligner = Aligner(Perfect(places, 16), 64, "projected")
    found = aligner.locate(list(faces.images), faces.boxes, flip=flip)
    pixel = 4 / maps[:, 0, 0]
    off = np.abs(found - faces.points("projected")).max((1, 2))
    assert (off <= 0.5 * pixel).all()


def test_guides_go_with_guided_networks_alone(faces: Faces) -> None:
    images = list(faces.images[:1])
    plain = FanLearner(config()).aligner()
    with pytest.raises(VultusError, match="takes no points that guide"):
        plain.locate(images, faces.boxes[:1], faces.contour[:1])
    lifter = FanLearner(config(task="lift")).aligner()
    with pytest.raises(VultusError, match="needs points that guide"):
        lifter.locate(images, faces.boxes[:1])
    assert lifter.locate(images, faces.boxes[:1], faces.contour[:1]).shape == (1, 68, 2)


def test_depth_comes_back_in_picture_pixels(faces: Faces) -> None:
    from vultus.landmarks.heatmaps import crop_maps

    class Known(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scale = crop_maps(faces.boxes, 64)[:, 0, :1]
            return torch.from_numpy(faces.projected[..., 2] * scale)

    estimator = DepthEstimator(Known(), 64)
    flat = faces.points("projected")
    solid = estimator.lift(list(faces.images), faces.boxes, flat)
    np.testing.assert_allclose(solid, faces.projected, atol=1e-3)
    figures = depth_figures(estimator, faces)
    assert figures["depth"] == pytest.approx(0, abs=1e-5)
    assert figures["correlation"] == pytest.approx(1, abs=1e-5)


def test_figures_by_yaw() -> None:
    errors = np.array([0.01, 0.03, 0.06, 0.2])
    found = error_figures(errors, np.array([-10.0, 40.0, -75.0, 90.0]))
    assert found["nme_0_30"] == pytest.approx(0.01)
    assert found["nme_30_60"] == pytest.approx(0.03)
    assert found["nme_60_90"] == pytest.approx(0.13)
    # Read at 0, 0.1, ..., 6.9 %: an error of 6 % counts from the 61st threshold on.
    assert found["auc"] == pytest.approx((60 + 40 + 10 + 0) / 70 / 4)


def test_a_network_that_gives_zero_is_measured_all_the_same(faces: Faces) -> None:
    learner = FanLearner(config())
    for p in learner.net.stacks[-1].maps.parameters():
        torch.nn.init.zeros_(p)
    errors = align_errors(learner.aligner(), faces)
    assert np.isfinite(errors).all()
    assert errors.mean() > 0.3


def test_data_without_the_points_of_the_task_are_refused(faces: Faces) -> None:
    flat = replace(faces, projected=np.full_like(faces.projected, np.nan))
    assert len(wanted(flat, config(convention="contour"))) == len(faces)
    with pytest.raises(DatasetError, match="task lift, convention projected: 0 to train on"):
        wanted(flat, config(task="lift"))
    no_depth = faces.projected.copy()
    no_depth[..., 2] = np.nan
    with pytest.raises(DatasetError, match="task depth"):
        wanted(replace(faces, projected=no_depth), config(task="depth"))


def test_settings_that_contradict_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 64"):
        FanSettings(data=replace(DATA, size=96), network=Network())
    with pytest.raises(ValueError, match="lifting gives projected"):
        config(task="lift", convention="contour")
    with pytest.raises(ConfigError, match="either files or renders"):
        read_settings(FanSettings, {"data": {"size": 64}}, "recipe")
    with pytest.raises(ConfigError, match="convention: expected"):
        read_settings(
            FanSettings,
            {"data": {"renders": {"train": 2, "development": 2}}, "convention": "both"},
            "recipe",
        )


@pytest.mark.parametrize("task", ["align", "lift", "depth"])
def test_every_task_is_trained_scored_and_exported(task: str, tmp_path: Path) -> None:
    from vultus.training import export, load_checkpoint, read_recipe, train

    recipe = {
        "system": "fan-alignment",
        "steps": 2,
        "optimizer": {"name": "rmsprop", "lr": 1e-3},
        "config": {
            "batch": 3,
            "task": task,
            "network": {"stacks": 1, "channels": 16, "depth": 2},
            "depth": {"layers": [1, 1, 1, 1], "channels": 4},
            "data": {"size": 32, "renders": {"train": 6, "development": 4}},
        },
    }
    train(read_recipe(recipe, "test"), out=tmp_path / task, tensorboard=False, progress=False)
    learner = load_checkpoint(next((tmp_path / task / "checkpoints").iterdir()))[1]
    development = FanAlignment.data(learner.config, 1).development
    figures = FanAlignment.evaluate(learner.eval(), development)
    assert {"depth", "correlation"} <= set(figures) or {"nme", "auc"} <= set(figures)
    done = export(tmp_path / task, tmp_path / f"{task}.onnx")
    assert done.parity.relative < 1e-4


def test_files_are_joined_and_split(faces: Faces, tmp_path: Path) -> None:
    paths = []
    for i in range(2):
        paths.append(str(tmp_path / f"{i}.safetensors"))
        save_faces(Path(paths[-1]), faces)
    data = FanAlignment.data(
        FanSettings(data=FaceData(size=32, files=tuple(paths)), network=TINY, batch=3),
        seed=0,
    )
    assert len(data.streams["faces"].examples) == 16
    assert len(data.development) == 16
    with pytest.raises(DatasetError, match="no faces to join"):
        joined([])


@pytest.mark.parametrize("name", ["cpu", "depth", "h100", "lift"])
@pytest.mark.parametrize("debug", [False, True])
def test_variants_of_the_recipe_fit(name: str, debug: bool) -> None:
    from vultus.training.recipes import load_recipe

    folder = Path(__file__).resolve().parents[2] / "recipes" / "fan-alignment"
    loaded = load_recipe(folder / f"{name}.yaml", debug=debug)
    assert loaded.recipe.system == "fan-alignment"
    assert (loaded.config.data.renders is not None) == (debug or name == "cpu")
