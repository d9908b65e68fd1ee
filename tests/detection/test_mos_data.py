"""MOS data: anchors and codes, matching, canvases, the feedback sampler."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from hypothesis import given, settings
from hypothesis import strategies as st

from vultus.detection.mos.anchors import (
    IGNORED,
    NEGATIVE,
    Faces,
    anchor_boxes,
    anchors,
    decode_boxes,
    decode_points,
    encode_boxes,
    encode_points,
    match,
    targets,
)
from vultus.detection.mos.canvases import Canvases, CanvasExamples, MosData
from vultus.detection.mos.decoding import decode
from vultus.detection.mos.heads import Heads, heads_of
from vultus.detection.mos.sampling import (
    HARD,
    PLAIN,
    STITCHED,
    Choice,
    Feedback,
    FeedbackSampler,
    region,
)
from vultus.detection.mos.teacher import Photos, label
from vultus.errors import ConfigError, DatasetError, TrainingError
from vultus.geometry import box_iou
from vultus.images import save_image

#: Room for the margin of a region.
GROWN = np.array([-6, -6, 6, 6])


def faces(*boxes: tuple[float, float, float, float], ignored: tuple[int, ...] = ()) -> Faces:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    count = len(array)
    points = np.arange(count * 10, dtype=np.float32).reshape(count, 5, 2)
    marks = np.isin(np.arange(count), ignored)
    poses = np.tile(np.array([10, 20, 30], np.float32), (count, 1))
    return Faces(array, points, poses, np.ones(count, bool), marks)


def test_anchors_known_answer() -> None:
    grid = anchors(32, 64)
    assert len(grid) == 2 * (4 * 8 + 2 * 4 + 1 * 2)
    assert grid[0].tolist() == [4, 4, 16]
    assert grid[1].tolist() == [4, 4, 32]
    assert grid[2].tolist() == [12, 4, 16]
    assert grid[2 * 8].tolist() == [4, 12, 16]
    assert grid[-1].tolist() == [48, 16, 512]
    with pytest.raises(ConfigError, match="multiples of 32"):
        anchors(32, 40)


def test_codes_known_answer() -> None:
    grid = np.array([[40, 40, 20]], np.float32)
    code = encode_boxes(np.array([[34, 30, 50, 54]], np.float32), grid)
    assert code[0].tolist() == pytest.approx(
        [1, 1, np.log(16 / 20) / 0.2, np.log(24 / 20) / 0.2], abs=1e-5
    )
    points = np.full((1, 5, 2), 46, np.float32)
    assert encode_points(points, grid)[0].tolist() == pytest.approx([3] * 10)


@settings(max_examples=30, deadline=None)
@given(st.floats(-20, 80), st.floats(-20, 80), st.floats(2, 100), st.floats(2, 100))
def test_codes_are_inverted(x: float, y: float, width: float, height: float) -> None:
    grid = anchors(64, 64)
    box = np.tile(np.array([x, y, x + width, y + height], np.float32), (len(grid), 1))
    np.testing.assert_allclose(decode_boxes(encode_boxes(box, grid), grid), box, atol=1e-2)
    points = np.tile(np.array([x, y], np.float32), (len(grid), 5, 1))
    np.testing.assert_allclose(decode_points(encode_points(points, grid), grid), points, atol=1e-2)


def test_every_face_has_an_anchor_however_small() -> None:
    grid = anchors(64, 64)
    given_faces = faces((10, 10, 13, 13), (11, 11, 15, 15), (20, 20, 60, 60))
    found = match(given_faces, grid)
    assert set(found[found >= 0]) == {0, 1, 2}
    # The third also has every anchor with which it overlaps by 0.35 or more.
    overlap = box_iou(anchor_boxes(grid), given_faces.boxes)
    assert (found[overlap[:, 2] >= 0.36] == 2).all()


def test_ignored_faces_are_neither_faces_nor_background() -> None:
    grid = anchors(64, 64)
    found = match(faces((20, 20, 50, 50), ignored=(0,)), grid)
    assert (found == IGNORED).any()
    assert set(found) == {IGNORED, NEGATIVE}
    label = targets(faces((20, 20, 50, 50), ignored=(0,)), grid, 24)["label"]
    assert set(label.tolist()) == {0, -1}


def test_mirroring_swaps_points_and_turns_yaw_and_roll() -> None:
    one = faces((10, 10, 30, 40))
    turned = one.mirrored(100)
    assert turned.boxes[0].tolist() == [70, 10, 90, 40]
    assert turned.points[0, 0].tolist() == [100 - one.points[0, 1, 0], one.points[0, 1, 1]]
    assert turned.points[0, 3].tolist() == [100 - one.points[0, 4, 0], one.points[0, 4, 1]]
    assert turned.poses[0].tolist() == [-10, 20, -30]
    again = turned.mirrored(100)
    np.testing.assert_allclose(again.points, one.points)


def test_decoding_keeps_all_outputs_of_the_same_anchor() -> None:
    grid = anchors(64, 64)
    truth = faces((10, 10, 40, 40))
    goal = targets(truth, grid, 24)
    scores = np.where(goal["label"] == 1, 0.9, 0.0).astype(np.float32)
    scores[np.flatnonzero(goal["label"] == 1)[0]] = 0.95
    bins = np.full((len(grid), 3, 66), -50, np.float32)
    bins[:, 0, 40] = bins[:, 1, 30] = bins[:, 2, 33] = 50
    found = decode((scores, goal["box"], goal["points"], bins), grid, 0.5)
    assert len(found) == 1
    np.testing.assert_allclose(found.boxes, truth.boxes, atol=1e-3)
    np.testing.assert_allclose(found.points, truth.points, atol=1e-3)
    assert found.poses is not None
    assert found.poses[0].tolist() == pytest.approx([21, -9, 0], abs=1e-3)
    assert found.scores.tolist() == pytest.approx([0.95])
    assert len(decode((scores, goal["box"], goal["points"]), grid, 0.99)) == 0


def data(**changes: Any) -> MosData:
    values: dict[str, Any] = {
        "size": 128,
        "train": 6,
        "development": 3,
        "faces": 3,
        "sides": (16.0, 60.0),
        "heads": Heads(size=64, train=4, development=2, test=2, identities=10),
    }
    return MosData(**(values | changes))


@pytest.fixture(scope="module")
def canvases() -> Canvases:
    return Canvases(data(), "train", 0, 6)


def test_pictures_are_functions_of_their_number(canvases: Canvases) -> None:
    first = canvases.picture(2)
    canvases.picture(4)
    again = canvases.picture(2)
    np.testing.assert_array_equal(first.image, again.image)
    assert first.image.shape == (128, 128, 3)
    assert any(len(canvases.picture(i).faces) for i in range(6))
    with pytest.raises(ConfigError, match="pictures 0 to 5"):
        canvases.picture(6)


def test_half_the_size_shows_the_same_scene(canvases: Canvases) -> None:
    for number in range(4):
        whole, half = canvases.picture(number).faces, canvases.picture(number, 64).faces
        assert len(whole) == len(half)
        # Places and sizes are rounded to whole pixels.
        np.testing.assert_allclose(half.boxes * 2, whole.boxes, atol=3)
        np.testing.assert_allclose(half.poses, whole.poses)


def test_points_lie_where_the_face_is(canvases: Canvases) -> None:
    found = Faces.joined([canvases.picture(i).faces for i in range(6)])
    frontal = found.take(np.abs(found.poses[:, 0]) < 40)
    middle = (frontal.boxes[:, :2] + frontal.boxes[:, 2:]) / 2
    off = np.abs(frontal.points.mean(1) - middle).max(1) / frontal.sides
    assert (off < 0.35).all()


def test_stitching_makes_four_small_pictures(canvases: Canvases) -> None:
    picture = canvases.stitched(2, np.random.default_rng(0))
    part = canvases.picture(2, 64)
    np.testing.assert_array_equal(picture.image[:64, :64], part.image)
    np.testing.assert_allclose(picture.faces.boxes[: len(part.faces)], part.faces.boxes)
    tiny = picture.faces.sides < canvases.config.least
    assert picture.faces.ignored[tiny].all()


def test_false_detections_are_pasted_away_from_faces(canvases: Canvases) -> None:
    number, box = next(
        (i, b)
        for i in range(6)
        for b in (np.array([0, 0, 20, 20.0]), np.array([100, 100, 120, 120.0]))
        if not (box_iou(b + GROWN, canvases.picture(i).faces.boxes) > 0).any()
    )
    choice = region(number, box, 128)
    found = canvases.with_region(choice, np.random.default_rng(0))
    x, y, side = (round(v * 2) for v in (choice.x, choice.y, choice.side))
    patch = canvases.picture(number).image[y : y + side, x : x + side]
    windows = np.lib.stride_tricks.sliding_window_view(found.image, patch.shape)[:, :, 0]
    assert (windows == patch).all((2, 3, 4)).any()


def test_examples_have_targets_at_every_anchor(canvases: Canvases) -> None:
    examples = CanvasExamples(canvases)
    count = len(anchors(128, 128))
    for mode in (PLAIN, STITCHED):
        row = examples.example(Choice(1, mode).packed(), np.random.default_rng(3))
        assert row["image"].dtype == np.uint8
        assert row["label"].shape == (count,)
        assert row["points"].shape == (count, 10)
        assert int(row["choice"]) == Choice(1, mode).packed()


def test_splits_share_no_picture() -> None:
    train, development = (Canvases(data(), split, 0, 3) for split in ("train", "development"))
    assert not np.array_equal(train.picture(0).image, development.picture(0).image)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2), *[st.integers(0, 63)] * 2, st.integers(0, 64))
def test_choices_survive_packing(canvas: int, mode: int, x: int, y: int, side: int) -> None:
    choice = Choice(canvas, mode, x, y, side)
    assert Choice.unpacked(choice.packed()) == choice
    assert choice.packed() < 2**63
    assert Choice(canvas).packed() == canvas


def told(sampler: FeedbackSampler, step: int, small: float, regions: tuple[int, ...] = ()) -> None:
    batch = sampler.batch(step)
    sampler.feedback(
        {"choice": batch, "loss": np.ones(4), "small": np.full(4, small), "regions": regions}
    )


def modes(sampler: FeedbackSampler, step: int) -> list[int]:
    return [Choice.unpacked(int(c)).mode for c in sampler.batch(step)]


def test_next_batch_is_stitched_when_small_faces_lack_loss() -> None:
    sampler = FeedbackSampler(40, 4, 0, Feedback(share=0.1, hard=0.0))
    assert modes(sampler, 0) == [PLAIN] * 4
    told(sampler, 0, small=0.05)
    assert modes(sampler, 1) == [STITCHED] * 4
    told(sampler, 1, small=0.5)
    assert modes(sampler, 2) == [PLAIN] * 4
    told(sampler, 2, small=0.5)
    assert sampler.rate == pytest.approx(1 / 3)


def test_otherwise_false_detections_come_back() -> None:
    sampler = FeedbackSampler(40, 4, 0, Feedback(share=0.1, hard=0.5, regions=3))
    wrong = tuple(Choice(i, HARD, i, i, 4).packed() for i in range(5))
    told(sampler, 0, small=0.5, regions=wrong)
    assert sampler.pool == list(wrong[2:])
    batch = [int(c) for c in sampler.batch(1)]
    assert modes(sampler, 1).count(HARD) == 2
    assert {c for c in batch if Choice.unpacked(c).mode == HARD} <= set(wrong[2:])
    told(sampler, 1, small=0.0)
    assert HARD not in modes(sampler, 2)


def test_state_goes_through_json_and_gives_the_same_batches() -> None:
    config = Feedback(hard=0.5)
    sampler = FeedbackSampler(40, 4, 7, config)
    told(sampler, 0, small=0.5, regions=(Choice(3, HARD, 1, 2, 5).packed(),))
    other = FeedbackSampler(40, 4, 7, config)
    other.restore(json.loads(json.dumps(sampler.state())))
    for step in range(1, 5):
        np.testing.assert_array_equal(sampler.batch(step), other.batch(step))
    assert other.rate == sampler.rate
    with pytest.raises(TrainingError, match="feedback sampler"):
        other.restore({"short": True})


def test_random_stitching_keeps_its_rate_whatever_the_losses() -> None:
    sampler = FeedbackSampler(40, 4, 0, Feedback(stitching="random", rate=0.3, hard=0.0))
    told(sampler, 0, small=0.0)
    stitched = [STITCHED in modes(sampler, step) for step in range(400)]
    assert 0.2 < np.mean(stitched) < 0.4
    never = FeedbackSampler(40, 4, 0, Feedback(stitching="none", hard=0.0))
    told(never, 0, small=0.0)
    assert modes(never, 1) == [PLAIN] * 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 100}, "multiple of 64"),
        ({"sides": (4.0, 60.0)}, "least"),
        ({"domains": ("x",)}, "domains"),
    ],
)
def test_settings_refuse_what_cannot_be_drawn(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data(**changes)


def test_kept_heads_are_the_rendered_ones(tmp_path: Path) -> None:
    heads = Heads(size=64, train=2, development=1, test=1, identities=10)
    fresh = heads_of(heads, "train", 0)
    kept = replace(heads, folder=str(tmp_path))
    for _ in range(2):
        found = heads_of(kept, "train", 0)
        np.testing.assert_array_equal(found.radiance, fresh.radiance)
        np.testing.assert_array_equal(found.faces.points, fresh.faces.points)
    assert len(list(tmp_path.iterdir())) == 1


def test_photographs_are_shown_with_the_faces_of_the_teacher(
    tmp_path: Path, astronaut: np.ndarray
) -> None:
    default = Path(__file__).resolve().parents[3] / "shared" / "weights" / "teachers"
    teacher = Path(os.environ.get("VULTUS_TEACHERS", default)) / "yunet_n_dynamic.onnx"
    if not teacher.is_file():
        pytest.skip(f"no teacher at {teacher}: set VULTUS_TEACHERS to run this test")
    (tmp_path / "photos").mkdir()
    save_image(tmp_path / "photos" / "portrait.png", astronaut)
    photos = Photos(
        folders=(str(tmp_path / "photos"),),
        teacher=str(teacher),
        labels=str(tmp_path / "labels.npz"),
        share=1.0,
    )
    known = label(photos).faces[0]
    assert known.boxes[0] == pytest.approx([175, 65, 275, 200], abs=25)
    drawn = Canvases(data(photos=photos), "train", 0, 6)
    for number in range(6):
        face = drawn.picture(number).faces
        assert not face.posed.any()
        assert 15.9 < face.sides[0] < 60.1
        # A similarity takes the photograph's face to that of the picture.
        scale = face.sides[0] / known.sides[0]
        shift = face.boxes[0, :2] - known.boxes[0, :2] * scale
        np.testing.assert_allclose(face.points[0], known.points[0] * scale + shift, atol=1e-2)
    save_image(tmp_path / "photos" / "second.png", astronaut)
    with pytest.raises(DatasetError, match="label anew"):
        label(photos)


def test_folders_without_pictures_are_refused(tmp_path: Path) -> None:
    photos = Photos(folders=(str(tmp_path),), teacher="none.onnx", labels=str(tmp_path / "x.npz"))
    with pytest.raises(DatasetError, match="no picture"):
        label(photos)
