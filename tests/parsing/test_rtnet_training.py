"""RTNet as a system: canvases, examples, recipes that train and resume, and the exported file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vultus.errors import ConfigError, VultusError, WeightsError  # noqa: E402
from vultus.geometry import crop_boxes  # noqa: E402
from vultus.nets.learning import Progress  # noqa: E402
from vultus.nets.onnx import export_onnx  # noqa: E402
from vultus.parsing.classes import CLASSES, IGNORE, MIRROR  # noqa: E402
from vultus.parsing.predictor import ParsingPredictor  # noqa: E402
from vultus.parsing.rtnet_parsing.augmentation import (  # noqa: E402
    jittered,
    mirrored,
    photographed,
    with_neighbour,
)
from vultus.parsing.rtnet_parsing.canvases import Canvas  # noqa: E402
from vultus.parsing.rtnet_parsing.learner import RTNetLearner, RTNetSettings  # noqa: E402
from vultus.parsing.rtnet_parsing.renders import Renders, heads_of  # noqa: E402
from vultus.parsing.rtnet_parsing.scoring import confusions, figures  # noqa: E402
from vultus.parsing.rtnet_parsing.system import RTNetParsing  # noqa: E402
from vultus.parts import PART_NAMES  # noqa: E402
from vultus.tanh_polar import warp_polar, with_ratio  # noqa: E402
from vultus.training import export, load_recipe, train  # noqa: E402
from vultus.worlds import Part  # noqa: E402

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
LIGHT = RECIPES / "rtnet-parsing" / "light.yaml"
TINY = Renders(size=48, train=6, development=2, test=2, identities=10)
BOXES = torch.tensor([[14.0, 8.0, 34.0, 36.0], [10.0, 10.0, 40.0, 30.0]])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rtnet") / "run"
    result = train(LIGHT, debug=True, out=out, tensorboard=False, progress=False)
    assert {"mean_f1", "mean_iou", "inner_f1", "f1_background"} <= set(result.metrics)
    return out


@pytest.fixture(scope="module")
def predictor(run: Path) -> ParsingPredictor:
    done = export(run, run / "rtnet.onnx")
    assert 'template = "tanhpolar-32x32-0.78"' in done.manifest
    return ParsingPredictor(file=done.path, template="tanhpolar-32x32-0.78", threads=1)


def test_classes_are_those_of_the_worlds():
    assert [p.name.lower() for p in Part] == list(CLASSES) == list(PART_NAMES)
    swapped = [CLASSES[i] for i in MIRROR[: len(CLASSES)]]
    assert swapped[2:6] == ["right_brow", "left_brow", "right_eye", "left_eye"]
    assert MIRROR[IGNORE] == IGNORE


@pytest.mark.parametrize("geometry", ["polar", "cartesian", "circular", "crop"])
def test_masks_survive_every_canvas_where_it_reaches(geometry):
    heads = heads_of(TINY, "train", 0)
    canvas = Canvas(geometry=geometry, size=(96, 96), scale=1.2)
    parts = torch.from_numpy(heads.parts[:2]).long()
    boxes = torch.from_numpy(heads.boxes[:2])
    one_hot = torch.nn.functional.one_hot(parts, 11).permute(0, 3, 1, 2).float()
    seen = canvas.warp(one_hot, boxes)
    back = canvas.restore_probabilities(seen, boxes, (48, 48)).argmax(1)
    for i, (x1, y1, x2, y2) in enumerate(boxes.round().int().tolist()):
        same = (back == parts)[i, max(y1, 0) : y2, max(x1, 0) : x2].float().mean()
        assert same > 0.93


def test_what_a_crop_does_not_reach_is_background():
    canvas = Canvas(geometry="crop", size=(16, 16))
    skin = torch.zeros(1, 11, 16, 16)
    skin[:, 1] = 1
    back = canvas.restore_probabilities(skin, torch.tensor([[20.0, 20.0, 30.0, 30.0]]), (48, 48))
    classes = back.argmax(1)[0]
    assert (classes[21:29, 21:29] == 1).all()
    assert (classes[:18] == 0).all()
    torch.testing.assert_close(back[0, 0, 0, 0], torch.tensor(1.0))


def test_a_ratio_is_given_to_every_box():
    canvas = Canvas(size=(16, 16), ratio=0.8)
    regions = canvas.regions(BOXES)
    np.testing.assert_allclose(regions.numpy(), with_ratio(BOXES.numpy(), 0.8), atol=1e-4)
    torch.testing.assert_close(canvas.ratios(BOXES), torch.tensor([0.8, 0.8]))
    torch.testing.assert_close(Canvas(size=(16, 16)).ratios(BOXES), torch.tensor([20 / 28, 1.5]))


def test_renders_are_kept_and_nobody_is_in_two_splits(tmp_path):
    config = Renders(
        sources=("procedural",), size=48, train=4, development=2, test=2, identities=10,
        folder=str(tmp_path),
    )  # fmt: skip
    first = heads_of(config, "train", 0)
    files = sorted(tmp_path.iterdir())
    assert len(first) == 4
    assert first.images.shape == (4, 48, 48, 3)
    assert set(np.unique(first.parts)) <= set(range(11))
    again = heads_of(config, "train", 0)
    np.testing.assert_array_equal(first.images, again.images)
    assert sorted(tmp_path.iterdir()) == files
    assert not np.array_equal(heads_of(config, "train", 1).images, first.images)
    with pytest.raises(ConfigError, match="unknown split 'dev'"):
        heads_of(config, "dev", 0)


def test_a_mirror_twice_changes_nothing():
    heads = heads_of(TINY, "train", 0)
    image, parts, box = mirrored(heads.images[0], heads.parts[0], heads.boxes[0])
    assert not np.array_equal(parts, heads.parts[0])
    twice = mirrored(image, parts, box)
    np.testing.assert_array_equal(twice[0], heads.images[0])
    np.testing.assert_array_equal(twice[1], heads.parts[0])
    np.testing.assert_allclose(twice[2], heads.boxes[0], atol=1e-4)


def test_a_neighbour_is_background_and_leaves_the_head_alone():
    rng = np.random.default_rng(0)
    parts = np.zeros((40, 40), np.uint8)
    parts[5:35, 0:20] = 1
    image = np.full((40, 40, 3), 50, np.uint8)
    other, other_parts = np.full((40, 40, 3), 200, np.uint8), np.roll(parts, 15, 1)
    shown, mask = with_neighbour(image, parts, other, other_parts, rng)
    np.testing.assert_array_equal(mask, parts)
    assert (shown[:, :20] == 50).all()
    assert (shown[:, 20:] == 200).all()
    assert (image == 50).all()
    full = np.ones((40, 40), np.uint8)
    assert with_neighbour(image, full, other, other_parts, rng)[0] is image


def test_boxes_change_within_their_ranges():
    rng = np.random.default_rng(0)
    boxes = np.repeat(BOXES[:1].numpy(), 400, 0)
    moved = jittered(boxes, rng, 0.2, 0.1)
    factor = (moved[:, 2] - moved[:, 0]) / 20
    assert 1 / 1.2 - 1e-4 <= factor.min() < 0.86
    assert 1.17 < factor.max() <= 1.2 + 1e-4
    shift = ((moved[:, 0] + moved[:, 2]) / 2 - 24) / 20
    assert 0.09 < np.abs(shift).max() <= 0.1 + 1e-5


def test_photographs_follow_their_generator():
    image = heads_of(TINY, "train", 0).images[0]
    one, same, other = (photographed(image, np.random.default_rng(s), 1.0, 1.0) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(photographed(image, np.random.default_rng(1), 0.0, 0.0), image)


@pytest.mark.parametrize("changes", [{}, {"config.network.space": "polar"}])
def test_loss_falls_on_one_batch(changes):
    overrides = {"config.batch": 4, "config.faces.augmentation.colour": 0.0} | changes
    config = load_recipe(RECIPES / "rtnet-parsing.yaml", overrides, debug=True).config
    torch.manual_seed(0)
    learner = RTNetParsing.build(config)
    stream = RTNetParsing.data(config, 0).streams["faces"]
    rows = [
        stream.examples.example(int(i), np.random.default_rng(k))
        for k, i in enumerate(stream.sampler.batch(0))
    ]
    batch = {"faces": torch.utils.data.default_collate(rows)}
    optimizer = torch.optim.Adam(learner.parameters(), 0.02)
    seen = []
    for _ in range(25):
        loss = learner.losses(batch, Progress(0, 10)).terms["cross_entropy"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(float(loss.detach()))
    assert seen[-1] < 0.6 * seen[0]


def test_unknown_pixels_do_not_count():
    config = load_recipe(LIGHT, debug=True).config
    learner: RTNetLearner = RTNetParsing.build(config).eval()
    image = torch.randint(0, 256, (2, 48, 48, 3), dtype=torch.uint8)
    faces = {"image": image, "box": BOXES, "angle": torch.zeros(2)}
    parts = torch.ones(2, 48, 48, dtype=torch.uint8)
    losses = []
    for fill in (IGNORE, 1):
        marked = parts.clone()
        marked[:, :, 24:] = fill
        marked[:, :, :24] = 1
        batch = {"faces": faces | {"parts": marked}}
        losses.append(float(learner.losses(batch, Progress(0, 1)).terms["cross_entropy"]))
    assert losses[0] != pytest.approx(losses[1], rel=1e-4)
    all_unknown = {"faces": faces | {"parts": torch.full_like(parts, IGNORE)}}
    # Outside the picture the canvas is background, which is known.
    assert np.isfinite(float(learner.losses(all_unknown, Progress(0, 1)).terms["cross_entropy"]))


def test_settings_that_do_not_fit_together_are_refused():
    with pytest.raises(ConfigError, match="any other cartesian"):
        load_recipe(LIGHT, {"config.canvas.geometry": "crop"}, debug=True)
    with pytest.raises(ConfigError, match="batch of 2"):
        load_recipe(LIGHT, {"config.batch": 1}, debug=True)
    assert RTNetSettings().network.blocks == (3, 4, 6, 3)


def test_figures_of_a_known_confusion():
    truth = [np.array([[0, 1], [10, 4]], np.uint8)]
    predicted = [np.array([[0, 1], [10, 5]], np.uint8)]
    found = figures(confusions(predicted, truth))
    assert found["f1_skin"] == found["f1_hair"] == found["f1_background"] == 1
    assert found["f1_left_eye"] == found["f1_right_eye"] == 0
    assert found["mean_f1"] == pytest.approx(0.5)
    assert found["inner_f1"] == 0
    assert "f1_nose" not in found


def test_the_predictor_gives_what_the_learner_gives(tmp_path):
    heads = heads_of(TINY, "test", 0)
    torch.manual_seed(3)
    learner: RTNetLearner = RTNetParsing.build(load_recipe(LIGHT, debug=True).config).eval()
    # An untrained network hardly prefers a class: make it decide.
    learner.net.classify[1].weight.data *= 20
    shipped = RTNetParsing.export(learner)["rtnet-parsing"]
    export_onnx(shipped.module, shipped.example, tmp_path / "net.onnx")
    learner.eval()
    predictor = ParsingPredictor(
        file=tmp_path / "net.onnx", template=shipped.manifest["template"], threads=1
    )
    expected = learner.parse(heads.images, heads.boxes)
    for image, box, mask in zip(heads.images, heads.boxes, expected, strict=True):
        parts = predictor.parse(image, [box])[0]
        # Bytes for probabilities, and OpenCV's rounding, decide near ties.
        assert len(np.unique(mask)) > 1
        assert (parts.mask((48, 48)) == mask).mean() > 0.97
        assert sum(parts.shares.values()) in (0.0, pytest.approx(1.0))


def test_faces_do_not_depend_on_their_batch(predictor):
    heads = heads_of(TINY, "train", 0)
    many = predictor.parse_many(list(heads.images), [[b] for b in heads.boxes])
    alone = predictor.parse(heads.images[3], heads.boxes[3:4])[0]
    np.testing.assert_array_equal(many[3][0].polar, alone.polar)
    assert predictor.parse(heads.images[0], np.empty((0, 4))) == []
    assert predictor.parse_many([], []) == []


def test_predict_takes_polar_crops_alone(predictor):
    heads = heads_of(TINY, "train", 0)
    box = with_ratio(heads.boxes[:1], predictor.ratio)
    crops = warp_polar(heads.images[0], box, predictor.size)
    found = predictor.predict(crops)
    assert found.shape == (1, 32, 32, 11)
    assert np.abs(found.astype(int).sum(3) - 255).max() <= 6
    with pytest.raises(VultusError, match="predict needs uint8"):
        predictor.predict(crops[:, :16])


def test_masks_of_crops_lie_in_their_pixels(predictor):
    heads = heads_of(TINY, "train", 0)
    crops = crop_boxes(heads.images[0], heads.boxes[:1], 2.0, 64)
    masks = predictor.masks(crops)
    assert masks.shape == (1, 64, 64)
    assert predictor.masks(crops[:0]).shape == (0, 64, 64)
    with pytest.raises(VultusError, match="square crops"):
        predictor.masks(crops[:, :50])


def test_templates_and_names_are_checked(run, predictor):
    with pytest.raises(WeightsError, match="wanted a template"):
        ParsingPredictor(file=run / "rtnet.onnx", template="arcface112")
    with pytest.raises(WeightsError, match="its template says"):
        ParsingPredictor(file=run / "rtnet.onnx", template="tanhpolar-48x48-0.78")
    with pytest.raises(WeightsError, match="unknown parsing network"):
        ParsingPredictor("dlib-resnet29")
