"""Mosaics: cells tile a canvas, and labels follow the pictures into them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from hypothesis import given, settings
from hypothesis import strategies as st

from vultus.detection.mos.anchors import Faces
from vultus.detection.mos.canvases import Canvases, MosData
from vultus.detection.mos.heads import Heads
from vultus.detection.mos.mosaics import Entry, Mosaic, cells, entry, mosaic, rotated
from vultus.detection.mos.teacher import Labelled, Photos, PoseTeacher, label
from vultus.errors import ConfigError, DatasetError
from vultus.images import save_image
from vultus.worlds.camera import angles, rotation

SIDES = (12.0, 100.0)
PLAIN = Mosaic(cover=0, aside=0, rotation=0, cut=0.9)


def one_face(box: tuple[float, float, float, float], points: np.ndarray | None = None) -> Faces:
    places = np.zeros((1, 5, 2), np.float32) if points is None else points[None]
    return Faces(
        np.array([box], np.float32),
        places.astype(np.float32),
        np.array([[10, 20, 30]], np.float32),
        np.ones(1, bool),
        np.zeros(1, bool),
    )


def target() -> Entry:
    """A grey picture with a white disc for a face: its points are at its middle."""
    y, x = np.mgrid[:128, :128] + 0.5
    image = np.full((128, 128, 3), 90, np.uint8)
    image[(x - 80) ** 2 + (y - 60) ** 2 < 32**2] = 255
    return entry(image, one_face((48, 28, 112, 92), np.full((5, 2), (80, 60))), 128)


@given(st.integers(64, 320), st.floats(0, 1), st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_cells_tile_the_canvas(size: int, cut: float, seed: int) -> None:
    covered = np.zeros((size, size), int)
    for x, y, width, height in cells(size, cut, np.random.default_rng(seed)):
        assert min(width, height) >= min(48, size)
        covered[y : y + height, x : x + width] += 1
    assert (covered == 1).all()


def test_labels_follow_the_picture() -> None:
    errors, seen = [], 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        image, faces = mosaic([target()], [], PLAIN, 192, SIDES, rng)
        luma = image.astype(float).mean(-1)
        for box, points, ignored in zip(faces.boxes, faces.points, faces.ignored, strict=True):
            x, y = points[0]
            assert (x, y) == pytest.approx(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), abs=1e-3)
            side = box[2] - box[0]
            if ignored or side < 20 or min(x, y) < side or max(x, y) > 192 - side:
                continue
            seen += 1
            inner = luma[int(y), int(x)]
            # Just outside of the disc, at the corner of its box.
            corner = luma[int(box[1] + 0.05 * side), int(box[0] + 0.05 * side)]
            errors.append(inner - corner)
    assert seen > 10
    assert np.median(errors) > 40


def test_small_views_are_averaged() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    levels = entry(noise, one_face((0, 0, 128, 128)), 128).levels
    assert [level.shape[0] for level in levels] == [128, 64, 32, 16]
    assert levels[3].std() < levels[0].std() / 4


def test_large_pictures_are_shrunk_with_their_faces() -> None:
    shown = entry(np.zeros((100, 400, 3), np.uint8), one_face((40, 40, 80, 80)), 200)
    assert shown.levels[0].shape[:2] == (50, 200)
    assert shown.faces.boxes[0].tolist() == [20, 20, 40, 40]


def test_a_turn_by_a_right_angle_is_exact() -> None:
    # (x, y) -> (-y, x) + (100, 0)
    affine = np.array([[0, -1, 100], [1, 0, 0]], np.float32)
    points = np.array([(10, 20)] * 5, np.float32)
    turned = rotated(one_face((10, 20, 30, 60), points), affine, 1.0, 90.0)
    np.testing.assert_allclose(turned.boxes[0], [40, 10, 80, 30], atol=1e-4)
    np.testing.assert_allclose(turned.points[0], [(80, 10)] * 5, atol=1e-4)
    assert turned.poses[0].tolist() == [10, 20, 120]


@given(st.floats(-60, 60), st.floats(-40, 40), st.floats(-40, 40), st.floats(-40, 40))
@settings(max_examples=50, deadline=None)
def test_a_turned_picture_changes_roll_alone(
    yaw: float, pitch: float, roll: float, turn: float
) -> None:
    # Camera frames have y up: clockwise in the picture is a negative angle there.
    c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    clockwise = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    assert angles(clockwise @ rotation(yaw, pitch, roll)) == pytest.approx(
        (yaw, pitch, roll + turn), abs=1e-6
    )


def test_faces_that_are_mostly_out_of_view_are_ignored() -> None:
    narrow = Mosaic(cover=0, aside=1.0, rotation=0, cut=0.9)
    inside, hidden = 0, 0
    for seed in range(40):
        _, faces = mosaic([target()], [], narrow, 192, SIDES, np.random.default_rng(seed))
        hidden += int(faces.ignored.sum())
        inside += int((~faces.ignored).sum())
        cut = faces.boxes[faces.ignored]
        assert ((cut >= 0) & (cut <= 192)).all()
    assert hidden > 10
    assert inside > 10


@pytest.mark.parametrize(
    "values", [{"share": 1.5}, {"rotation": 120}, {"scenes": 0}, {"longest": 8}]
)
def test_settings_out_of_range_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"lie in|need rotation"):
        Mosaic(**values)  # type: ignore[arg-type]


def test_canvases_of_mosaics_are_the_same_whenever_drawn() -> None:
    config = MosData(
        size=64,
        faces=2,
        sides=(12.0, 40.0),
        heads=Heads(size=64, train=6, development=2, test=2, identities=10),
        mosaic=Mosaic(share=1.0, scenes=3),
    )
    one, two = Canvases(config, "train", 0, 8), Canvases(config, "train", 0, 8)
    for number in range(8):
        first, second = one.picture(number), two.picture(number)
        np.testing.assert_array_equal(first.image, second.image)
        np.testing.assert_array_equal(first.faces.boxes, second.faces.boxes)
    half = one.picture(3, 32)
    assert half.image.shape == (32, 32, 3)
    assert len(half.faces) == len(one.picture(3).faces)
    np.testing.assert_allclose(half.faces.boxes, one.picture(3).faces.boxes / 2, atol=1e-4)


def test_photographs_of_development_are_never_trained_on() -> None:
    paths = tuple(Path(f"{i}.jpg") for i in range(10))
    known = Labelled(paths, (one_face((0, 0, 9, 9)),) * 10, held=4)
    assert [p.stem for p in known.part(True).paths] == ["0", "4", "8"]
    assert not set(known.part(True).paths) & set(known.part(False).paths)
    assert len(known.part(True)) + len(known.part(False)) == 10
    everything = Labelled(paths, known.faces)
    assert len(everything.part(False)) == 10
    with pytest.raises(ValueError, match="held"):
        Photos(folders=("x",), teacher="y", labels="z", held=1)


def test_the_teacher_of_pose_tells_left_from_right(tmp_path: Path, astronaut: np.ndarray) -> None:
    pytest.importorskip("openvino")
    default = Path(__file__).resolve().parents[3] / "shared" / "weights" / "teachers"
    folder = Path(os.environ.get("VULTUS_TEACHERS", default))
    model = folder / "head-pose-estimation-adas-0001.xml"
    if not model.is_file():
        pytest.skip(f"no teacher at {model}: set VULTUS_TEACHERS to run this test")
    teacher = PoseTeacher(model)
    boxes = np.array([[178, 60, 271, 178], [0, 0, 20, 20]], np.float32)
    poses = teacher.poses(astronaut, boxes)
    assert np.isfinite(poses[0]).all()
    assert np.isnan(poses[1]).all()
    width = astronaut.shape[1]
    mirrored = np.array([[width - 271, 60, width - 178, 178]], np.float32)
    other = teacher.poses(np.ascontiguousarray(astronaut[:, ::-1]), mirrored)
    assert other[0] == pytest.approx(poses[0] * (-1, 1, -1), abs=6)
    (tmp_path / "photos").mkdir()
    save_image(tmp_path / "photos" / "a.png", astronaut)
    photos = Photos(
        folders=(str(tmp_path / "photos"),),
        teacher=str(folder / "yunet_n_dynamic.onnx"),
        labels=str(tmp_path / "labels.npz"),
        pose=str(model),
    )
    assert label(photos).faces[0].posed.any()


def test_a_damaged_teacher_and_labels_of_another_form_are_refused(
    tmp_path: Path, astronaut: np.ndarray
) -> None:
    pytest.importorskip("openvino")
    (tmp_path / "bad.xml").write_text("<net/>")
    with pytest.raises(ConfigError, match="not a network"):
        PoseTeacher(tmp_path / "bad.xml")
    (tmp_path / "photos").mkdir()
    save_image(tmp_path / "photos" / "a.png", astronaut)
    names = np.array([str(tmp_path / "photos" / "a.png")])
    rows = np.ones((1, 15), np.float32)
    np.savez(tmp_path / "labels.npz", names=names, owner=np.zeros(1, int), rows=rows)
    photos = Photos(
        folders=(str(tmp_path / "photos"),), teacher="x", labels=str(tmp_path / "labels.npz")
    )
    with pytest.raises(DatasetError, match="another form"):
        label(photos)
