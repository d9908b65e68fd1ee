"""What a detector finds in pictures whose faces are known."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from vultus.detection import DETECTORS, Detector, central
from vultus.errors import ConfigError, ImageError, ProviderError
from vultus.faces import Face
from vultus.geometry import box_iou, transform_points

#: Where eyes, nose tip and mouth corners of the astronaut are, placed by hand, in pixels.
ASTRONAUT = np.array([(202, 101), (246, 103), (222, 125), (201, 140), (246, 140)], np.float32)
#: From her hairline to her chin, without the ears.
ASTRONAUT_BOX = np.array([178, 60, 271, 178], np.float32)
#: Distance between her eyes.
EYES = 44.0

MIRRORED = [1, 0, 2, 4, 3]


def offsets(face: Face, wanted: np.ndarray) -> np.ndarray:
    """Return how far each keypoint is from its place, in pixels."""
    return np.linalg.norm(face.keypoints - wanted, axis=1)


def test_astronaut_is_one_face_with_its_keypoints_in_place(
    blazeface: Detector, astronaut: np.ndarray
) -> None:
    (face,) = blazeface.detect(astronaut)
    assert offsets(face, ASTRONAUT).max() < 5
    assert box_iou(face.box, ASTRONAUT_BOX).item() > 0.8
    assert face.score > 0.9


def test_dlib_measures_the_eyes_and_extrapolates_the_mouth(
    make_detector: Callable[..., Detector], astronaut: np.ndarray
) -> None:
    (face,) = make_detector("dlib-frontal", min_score=0.7).detect(astronaut)
    assert offsets(face, ASTRONAUT)[:3].max() < 4
    assert offsets(face, ASTRONAUT)[3:].max() < 0.25 * EYES
    assert box_iou(face.box, ASTRONAUT_BOX).item() > 0.7


def test_mirrored_picture_gives_mirrored_keypoints(
    detector: Detector, astronaut: np.ndarray
) -> None:
    face = detector.detect(astronaut)[0]
    mirrored = detector.detect(astronaut[:, ::-1])[0]
    wanted = face.keypoints[MIRRORED] * (-1, 1) + (astronaut.shape[1] - 1, 0)
    assert offsets(mirrored, wanted).max() < 4


@pytest.mark.parametrize("degrees", [-30, 30])
def test_tilted_faces_are_found(detector: Detector, portrait: np.ndarray, degrees: int) -> None:
    straight = detector.detect(portrait)[0]
    turn = cv2.getRotationMatrix2D((150.0, 120.0), degrees, 1.0)
    tilted = cv2.warpAffine(portrait, turn, (300, 300), borderMode=cv2.BORDER_REPLICATE)
    face = detector.detect(np.asarray(tilted, np.uint8))[0]
    assert offsets(face, transform_points(turn, straight.keypoints)).max() < 0.2 * EYES


@pytest.mark.parametrize("degrees", [-90, 90, 60])
def test_blazeface_finds_faces_lying_on_their_side(
    blazeface: Detector, portrait: np.ndarray, degrees: int
) -> None:
    straight = blazeface.detect(portrait)[0]
    turn = cv2.getRotationMatrix2D((150.0, 120.0), degrees, 1.0)
    lying = cv2.warpAffine(portrait, turn, (300, 300), borderMode=cv2.BORDER_REPLICATE)
    face = blazeface.detect(np.asarray(lying, np.uint8))[0]
    assert offsets(face, transform_points(turn, straight.keypoints)).max() < 0.2 * EYES


@pytest.mark.parametrize("factor", [0.15, 0.3, 0.7, 2.0, 6.0])
def test_keypoints_scale_with_the_picture(
    blazeface: Detector, portrait: np.ndarray, factor: float
) -> None:
    scaled = cv2.resize(portrait, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    (face,) = blazeface.detect(np.asarray(scaled, np.uint8))
    # The centre of the first pixel is at 0.
    wanted = (ASTRONAUT - (80, 0) + 0.5) * factor - 0.5
    assert offsets(face, wanted).max() / factor < 0.2 * EYES


@pytest.mark.parametrize("margin", [0, 10])
def test_face_that_fills_the_frame_is_found(
    blazeface: Detector, astronaut: np.ndarray, margin: int
) -> None:
    x1, y1, x2, y2 = ASTRONAUT_BOX.astype(int) + margin * np.array([-1, -1, 1, 1])
    close = cv2.resize(astronaut[y1:y2, x1:x2], None, fx=4, fy=4)
    (face,) = blazeface.detect(np.asarray(close, np.uint8))
    assert offsets(face, (ASTRONAUT - (x1, y1) + 0.5) * 4 - 0.5).max() < 0.2 * EYES * 4


def test_faces_of_24_to_40_pixels_are_found_in_a_large_picture(
    blazeface: Detector, portrait: np.ndarray
) -> None:
    """Twelve small people on a wall, of 2000 pixels."""
    ramp = np.linspace(90, 160, 2000)[None, :, None]
    scene = np.broadcast_to(ramp, (1400, 2000, 3)).astype(np.uint8).copy()
    wanted = []
    for k, height in enumerate(np.linspace(24, 40, 12)):
        scale = height / 120  # of her face
        small = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        x, y = 150 + 440 * (k % 4), 200 + 400 * (k // 4)
        scene[y : y + small.shape[0], x : x + small.shape[1]] = small
        wanted.append((ASTRONAUT_BOX - (80, 0, 80, 0)) * scale + (x, y, x, y))
    boxes = np.array([face.box for face in blazeface.detect(scene)])
    assert len(boxes) == 12
    assert (box_iou(np.array(wanted), boxes).max(1) > 0.5).all()


def test_two_faces_side_by_side_are_two(detector: Detector, portrait: np.ndarray) -> None:
    pair = np.concatenate([portrait, portrait[:, ::-1]], 1)
    faces = detector.detect(pair)
    assert len(faces) == 2
    noses = sorted(float(face.keypoints[2, 0]) for face in faces)
    np.testing.assert_allclose(noses, [222 - 80, 599 - (222 - 80)], atol=5)


def test_a_margin_moves_keypoints_by_the_margin(detector: Detector, portrait: np.ndarray) -> None:
    face = detector.detect(portrait)[0]
    padded = cv2.copyMakeBorder(
        portrait, 70, 30, 110, 20, cv2.BORDER_CONSTANT, value=(128, 128, 128)
    )
    moved = detector.detect(np.asarray(padded, np.uint8))[0]
    assert offsets(moved, face.keypoints + np.array([110, 70])).max() < 0.1 * EYES


@pytest.mark.parametrize(
    "shape", [(1, 1), (2, 3), (1, 5000), (5000, 1), (17, 900), (300, 300), (64, 2100)]
)
def test_pictures_without_a_face_give_none(
    detector: Detector, rng: np.random.Generator, shape: tuple[int, int]
) -> None:
    black = np.zeros((*shape, 3), np.uint8)
    noise = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert detector.detect_many([black, noise, np.full_like(black, 255)]) == [[], [], []]


@pytest.mark.parametrize("name", ["coffee", "chelsea", "rocket", "grass", "brick", "coins"])
def test_scenes_without_people_give_none(blazeface: Detector, name: str) -> None:
    from skimage import data

    picture = getattr(data, name)()
    if picture.ndim == 2:
        picture = np.repeat(picture[:, :, None], 3, 2)
    assert blazeface.detect(picture) == []


def test_many_equals_one_by_one(
    detector: Detector, astronaut: np.ndarray, portrait: np.ndarray
) -> None:
    wall = np.zeros((90, 160, 3), np.uint8)
    pictures = [astronaut, wall, portrait, portrait[:, ::-1], portrait[20:280]]
    together = detector.detect_many(pictures)
    for faces, picture in zip(together, pictures, strict=True):
        alone = detector.detect(picture)
        assert len(faces) == len(alone)
        for a, b in zip(faces, alone, strict=True):
            np.testing.assert_allclose(a.box, b.box, atol=1e-2)
            np.testing.assert_allclose(a.keypoints, b.keypoints, atol=1e-2)
            assert a.score == pytest.approx(b.score, abs=1e-4)
    assert detector.detect_many([]) == []


def test_threads_give_the_same_numbers(detector: Detector, portrait: np.ndarray) -> None:
    pictures = [portrait, portrait[:, ::-1], portrait[:, 40:]]
    alone = [detector.detect(picture)[0] for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(detector.detect, pictures * 4))
    for k, faces in enumerate(found):
        np.testing.assert_array_equal(faces[0].keypoints, alone[k % 3].keypoints)
        assert faces[0].score == alone[k % 3].score


def test_best_first_and_at_most_max_faces(
    make_detector: Callable[..., Detector], portrait: np.ndarray
) -> None:
    blurred = cv2.GaussianBlur(portrait, (0, 0), 4)
    pair = np.concatenate([blurred, portrait], 1).astype(np.uint8)
    scores = [face.score for face in make_detector("blazeface").detect(pair)]
    assert len(scores) == 2
    assert scores == sorted(scores, reverse=True)
    assert [f.score for f in make_detector("blazeface", max_faces=1).detect(pair)] == scores[:1]
    strict = make_detector("blazeface", min_score=sum(scores) / 2)
    assert [face.score for face in strict.detect(pair)] == scores[:1]


def test_everything_above_the_threshold_is_returned_and_nothing_below(
    make_detector: Callable[..., Detector], portrait: np.ndarray
) -> None:
    for name in DETECTORS:
        assert all(f.score >= 0.2 for f in make_detector(name, min_score=0.2).detect(portrait))
        assert make_detector(name, min_score=1.0).detect(portrait) == []


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        ("face.jpg", "array"),
        (np.zeros((4, 4, 3)), "uint8"),
        (np.zeros((4, 4), np.uint8), "shape"),
        (np.zeros((4, 4, 4), np.uint8), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
    ],
)
def test_what_is_no_picture_is_refused(detector: Detector, picture: object, reason: str) -> None:
    with pytest.raises(ImageError, match=rf"images\[1\].*{reason}"):
        detector.detect_many([np.zeros((4, 4, 3), np.uint8), picture])  # type: ignore[list-item]


@pytest.mark.parametrize(
    "options",
    [{"name": "yolo"}, {"min_score": 1.5}, {"min_score": -0.1}, {"max_faces": 0}],
)
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Detector(**options)  # type: ignore[arg-type]


def test_dlib_runs_nowhere_but_on_the_processor() -> None:
    with pytest.raises(ProviderError, match="cpu"):
        Detector("dlib-frontal", provider="cuda")


def test_detector_names_its_weights(detector: Detector) -> None:
    from vultus.runtime import manifest

    assert detector.name in DETECTORS
    assert all(manifest()[weight].commercial == "yes" for weight in detector.weights)


def test_subjects_of_lfw_are_found(blazeface: Detector, data_root: Path) -> None:
    files = sorted((data_root / "lfw_view1" / "images").glob("*/*.jpg"))[::60]
    if not files:
        pytest.skip("no LFW pictures in the data folder")
    pictures = [cv2.cvtColor(cv2.imread(str(f)), cv2.COLOR_BGR2RGB) for f in files]
    for faces, file in zip(blazeface.detect_many(pictures), files, strict=True):
        face = central(faces, (250, 250))
        assert (face.box[:2] < 125).all(), file.name
        assert (face.box[2:] > 125).all(), file.name
