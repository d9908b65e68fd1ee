"""Boxes, alignment and warps against closed forms, brute force and independent libraries."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.transform import SimilarityTransform

from vultus.errors import ConfigError, VultusError
from vultus.geometry import (
    TEMPLATES,
    align,
    box_area,
    box_iou,
    crop_boxes,
    expand_box,
    invert_affine,
    nms,
    similarity_transform,
    template,
    transform_points,
    warp,
)

coordinate = st.floats(-500, 500, width=32)
boxes = st.tuples(coordinate, coordinate, st.floats(1, 300), st.floats(1, 300)).map(
    lambda b: np.float32([b[0], b[1], b[0] + b[2], b[1] + b[3]])
)


def similarity(scale: float, degrees: float, x: float, y: float) -> np.ndarray:
    a, b = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return np.array([[a, -b, x], [b, a, y]], np.float64)


def about(
    matrix: np.ndarray, source: tuple[float, float], target: tuple[float, float]
) -> np.ndarray:
    """The linear part of a map, with one point sent to another."""
    moved = matrix.copy()
    moved[:, 2] = np.array(target) - matrix[:, :2] @ source
    return moved


# Boxes


def test_areas_by_hand():
    np.testing.assert_array_equal(box_area([[0, 0, 2, 3], [5, 5, 4, 9], [1, 1, 1, 4]]), [6, 0, 0])
    assert box_area(np.empty((0, 4))).shape == (0,)


def test_overlaps_by_hand():
    a = [[0, 0, 10, 10], [0, 0, 0, 0]]
    b = [[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [2, 2, 4, 4]]
    np.testing.assert_allclose(box_iou(a, b), [[1, 1 / 3, 0, 0.04], [0, 0, 0, 0]], rtol=1e-6)
    assert box_iou(np.empty((0, 4)), b).shape == (0, 4)


@given(boxes, boxes, st.floats(0.25, 4), coordinate)
def test_the_overlap_is_symmetric_bounded_and_free_of_scale_and_place(a, b, scale, shift):
    iou = float(box_iou(a, b)[0, 0])
    assert 0 <= iou <= 1
    assert iou == box_iou(b, a)[0, 0]
    assert box_iou(a, a)[0, 0] == 1
    assert box_iou(a * scale + shift, b * scale + shift)[0, 0] == pytest.approx(iou, abs=1e-3)


def slow_nms(boxes: np.ndarray, scores: np.ndarray, limit: float) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        for k in kept:
            width = min(boxes[i][2], boxes[k][2]) - max(boxes[i][0], boxes[k][0])
            height = min(boxes[i][3], boxes[k][3]) - max(boxes[i][1], boxes[k][1])
            both = max(width, 0) * max(height, 0)
            areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (boxes[i], boxes[k])]
            if both / (sum(areas) - both) > limit:
                break
        else:
            kept.append(i)
    return kept


@pytest.mark.parametrize("seed", range(20))
def test_nms_agrees_with_brute_force(seed):
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 60, (40, 2))
    found = np.concatenate([corners, corners + rng.integers(5, 40, (40, 2))], 1).astype(float)
    scores = rng.integers(0, 12, 40) / 12
    limit = float(rng.uniform(0.05, 0.9))
    assert nms(found, scores, limit).tolist() == slow_nms(found, scores, limit)


def test_nms_of_nothing_and_of_equal_boxes():
    assert nms(np.empty((0, 4)), []).tolist() == []
    assert nms([[0, 0, 4, 4]] * 3, [0.1, 0.9, 0.9]).tolist() == [1]


def test_an_overlap_of_just_the_limit_is_kept():
    halves = [[0, 0, 10, 10], [0, 0, 10, 5]]
    assert nms(halves, [0.9, 0.8], 0.5).tolist() == [0, 1]
    assert nms(halves, [0.9, 0.8], 0.49).tolist() == [0]


@pytest.mark.parametrize(
    ("box", "factor", "square", "expected"),
    [
        ([0, 0, 10, 20], 1, True, [-5, 0, 15, 20]),
        ([0, 0, 10, 20], 1, False, [0, 0, 10, 20]),
        ([0, 0, 10, 20], 1.5, False, [-2.5, -5, 12.5, 25]),
        ([10, 10, 30, 20], 2, True, [0, -5, 40, 35]),
        ([4, 4, 4, 4], 3, True, [4, 4, 4, 4]),
    ],
)
def test_expanded_boxes_by_hand(box, factor, square, expected):
    np.testing.assert_allclose(expand_box(box, factor, square=square), expected)


# Alignment


@given(
    arrays(np.float64, (5, 2), elements=st.floats(-200, 200)).filter(lambda p: np.ptp(p) > 10),
    st.floats(0.05, 20),
    st.floats(-180, 180),
    coordinate,
    coordinate,
)
def test_a_similarity_is_recovered_exactly(points, scale, degrees, x, y):
    true = similarity(scale, degrees, x, y)
    target = points @ true[:, :2].T + true[:, 2]
    found = similarity_transform(points, target)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, :2], true[:, :2], atol=1e-4 * scale)
    np.testing.assert_allclose(transform_points(found, points), target, atol=2e-3 * (1 + scale))


@pytest.mark.parametrize("seed", range(20))
def test_noisy_points_are_fitted_as_scikit_image_fits_them(seed):
    rng = np.random.default_rng(seed)
    source, target = rng.normal(0, 50, (2, 4, 5, 2))
    found = similarity_transform(source, target)
    for i in range(4):
        theirs = SimilarityTransform.from_estimate(source[i], target[i]).params[:2]
        if np.linalg.det(theirs[:, :2]) > 1e-3:
            np.testing.assert_allclose(found[i], theirs, rtol=1e-4, atol=1e-4)


def test_a_mirrored_face_is_not_mirrored_back():
    points = template("arcface112").points
    mirrored = points * [-1, 1]
    assert np.linalg.det(similarity_transform(mirrored, points)[:, :2]) >= 0


def test_many_sets_may_go_to_one_target(rng):
    source = rng.normal(0, 30, (6, 5, 2))
    target = template("dlib150").points
    found = similarity_transform(source, target)
    assert found.shape == (6, 2, 3)
    np.testing.assert_allclose(found[2], similarity_transform(source[2], target), rtol=1e-6)


@pytest.mark.parametrize("bad", [np.ones((5, 2)), np.full((5, 2), np.nan)])
def test_points_that_fix_no_map_are_refused(bad):
    with pytest.raises(VultusError, match="coincide or are not finite"):
        similarity_transform(bad, template("arcface112").points)


def test_inverse_and_points_by_hand():
    scaled = [[2, 0, 3], [0, 4, -1]]
    np.testing.assert_allclose(transform_points(scaled, [[1, 1], [0, 0]]), [[5, 3], [3, -1]])
    np.testing.assert_allclose(invert_affine(scaled), [[0.5, 0, -1.5], [0, 0.25, 0.25]])
    np.testing.assert_allclose(
        transform_points([scaled, invert_affine(scaled)], [[5, 3]])[1], [[1, 1]]
    )
    with pytest.raises(VultusError, match="no inverse"):
        invert_affine([[1, 2, 0], [2, 4, 0]])


def test_templates_are_named_read_only_and_inside_their_crop():
    for name, known in TEMPLATES.items():
        assert template(name) is known
        assert known.name == name
        assert (known.points > 0).all()
        assert (known.points < known.size).all()
        assert not known.points.flags.writeable
        left, right, nose, left_mouth, right_mouth = known.points
        assert left[0] < nose[0] < right[0]
        assert left_mouth[0] < right_mouth[0]
        assert left[1] < nose[1] < left_mouth[1]
    with pytest.raises(ConfigError, match=r"known: .*arcface112"):
        template("arcface113")


# Warps


def bilinear(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Interpolate with explicit sums; black outside."""
    inverse = np.linalg.inv(matrix[:, :2])
    out = np.zeros((size, size, 3))
    for y in range(size):
        for x in range(size):
            u, v = inverse @ (np.array([x, y]) - matrix[:, 2])
            for i in (int(np.floor(v)), int(np.floor(v)) + 1):
                for j in (int(np.floor(u)), int(np.floor(u)) + 1):
                    if 0 <= i < image.shape[0] and 0 <= j < image.shape[1]:
                        out[y, x] += (1 - abs(v - i)) * (1 - abs(u - j)) * image[i, j]
    return out


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 9 + y / 17), np.cos(x / 13), np.sin(y / 11)]
    return np.round(127.5 + 100 * np.stack(waves, -1)).astype(np.uint8)


def test_the_identity_and_whole_shifts_copy_pixels(rng):
    image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    crops = warp(
        image, [similarity(1, 0, 0, 0), similarity(1, 0, -7, -3), similarity(1, 0, 4, 0)], 32
    )
    np.testing.assert_array_equal(crops[0], image[:32, :32])
    np.testing.assert_array_equal(crops[1], image[3:35, 7:39])
    np.testing.assert_array_equal(crops[2][:, 4:], image[:32, :28])
    assert (crops[2][:, :4] == 0).all()


@pytest.mark.parametrize("scale", [0.75, 1.0, 1.3, 3.0])
@pytest.mark.parametrize("degrees", [0, 25, 180])
def test_warps_that_barely_shrink_are_bilinear(scale, degrees):
    image = smooth(60, 70)
    matrix = about(similarity(scale, degrees, 0, 0), (33.3, 28.6), (15.5, 15.5))
    error = np.abs(warp(image, matrix, 32)[0] - bilinear(image, matrix, 32))
    # OpenCV 4 places samples to 1/32 pixel.
    assert error.max() <= 4
    assert error.mean() < 0.5


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_a_whole_reduction_is_the_mean_of_each_block(factor):
    # Smooth enough that the interpolation after the averaging adds little.
    image = smooth(32 * factor, 32 * factor)
    matrix = similarity(1 / factor, 0, (1 / factor - 1) / 2, (1 / factor - 1) / 2)
    blocks = image.reshape(32, factor, 32, factor, 3).mean((1, 3))
    inner = np.s_[2:-2, 2:-2]
    assert np.abs(warp(image, matrix, 32)[0][inner] - blocks[inner]).max() < 6


@pytest.mark.parametrize("reduction", [1.3, 1.5, 2, 2.7, 4, 7.9, 23])
@pytest.mark.parametrize("degrees", [0, 31])
def test_a_shrinking_crop_keeps_brightness_and_place(reduction, degrees, rng):
    """A blob's centroid stays within 0.1 crop pixels, and noise keeps its mean."""
    side = round(64 * reduction)
    centre = (side / 2 + 3.7, side / 2 - 5.2)
    y, x = np.mgrid[:side, :side]
    distance = (x - centre[0]) ** 2 + (y - centre[1]) ** 2
    blob = 250 * np.exp(-distance / (2 * (4 * reduction) ** 2))
    image = np.repeat(np.round(blob).astype(np.uint8)[..., None], 3, 2)
    matrix = about(similarity(1 / reduction, degrees, 0, 0), centre, (22.4, 25.9))
    crop = warp(image, matrix, 48)[0, ..., 0].astype(float)
    v, u = np.mgrid[:48, :48]
    found = (crop * u).sum() / crop.sum(), (crop * v).sum() / crop.sum()
    assert np.hypot(found[0] - 22.4, found[1] - 25.9) < 0.1
    assert crop.sum() * reduction**2 == pytest.approx(image[..., 0].sum(), rel=0.01)

    noise = rng.integers(0, 256, (side * 2, side * 2, 3), dtype=np.uint8)
    inside = about(matrix, (side, side), (23.5, 23.5))
    assert warp(noise, inside, 48)[0].mean() == pytest.approx(127.5, abs=2)


@pytest.mark.parametrize("reduction", [1.5, 1.9, 2.5, 3.9, 7.3])
def test_stripes_too_fine_for_the_crop_fade_instead_of_beating(reduction):
    image = np.zeros((600, 600, 3), np.uint8)
    image[:, ::2] = 255
    matrix = about(similarity(1 / reduction, 0, 0, 0), (300, 300), (23.4, 23.4))
    plain = cv2.warpAffine(image, matrix, (48, 48))[4:-4, 4:-4]
    assert warp(image, matrix, 48)[0][4:-4, 4:-4].std() < 0.6 * plain.std()


@pytest.mark.parametrize("reduction", [1.2, 1.5, 2, 3.3, 6.1])
@pytest.mark.parametrize("degrees", [0, 37, 90, 200])
def test_inside_the_picture_no_crop_has_dark_edges(reduction, degrees):
    image = np.full((500, 600, 3), 180, np.uint8)
    matrix = about(similarity(1 / reduction, degrees, 0, 0), (290.3, 255.8), (15.5, 15.5))
    assert (warp(image, matrix, 32) == 180).all()


def test_where_the_picture_ends_the_crop_is_black():
    image = np.full((400, 300, 3), 200, np.uint8)
    for scale, size in ((1, 64), (0.25, 16)):
        matrix = about(similarity(scale, 0, 0, 0), (-0.5, 399.5), (size / 2 - 0.5, size / 2 - 0.5))
        crop = warp(image, matrix, size)[0]
        half = size // 2
        assert (crop[: half - 1, half + 1 :] == 200).all()
        assert (crop[half + 1 :] == 0).all()
        assert (crop[:, : half - 1] == 0).all()
    far = warp(image, similarity(0.2, 0, 5000, 0), 16)
    assert (far == 0).all()


def test_warps_of_one_picture_do_not_depend_on_each_other(rng):
    image = rng.integers(0, 256, (200, 300, 3), dtype=np.uint8)
    maps = [
        about(similarity(s, d, 0, 0), (150, 100), (20, 20)) for s in (0.1, 0.6, 2) for d in (0, 40)
    ]
    together = warp(image, maps, 40)
    for one, matrix in zip(together, maps, strict=True):
        np.testing.assert_array_equal(one, warp(image, matrix, 40)[0])
    assert warp(image, np.empty((0, 2, 3)), 40).shape == (0, 40, 40, 3)
    flipped = warp(image[:, ::-1], maps, 40)
    np.testing.assert_array_equal(flipped, warp(image[:, ::-1].copy(), maps, 40))


@pytest.mark.parametrize(
    ("image", "matrix"),
    [
        (np.zeros((9, 9, 3), np.float32), similarity(1, 0, 0, 0)),
        (np.zeros((9, 9), np.uint8), similarity(1, 0, 0, 0)),
        (np.zeros((0, 9, 3), np.uint8), similarity(1, 0, 0, 0)),
        (np.zeros((9, 9, 3), np.uint8), np.full((2, 3), np.nan)),
        (np.zeros((9, 9, 3), np.uint8), np.zeros((2, 3))),
    ],
)
def test_impossible_warps_are_refused(image, matrix):
    with pytest.raises(VultusError, match="warp"):
        warp(image, matrix, 8)


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_aligned_keypoints_lie_on_the_template(name):
    known = template(name)
    place = similarity(2.6, 20, 180, 90)
    keypoints = transform_points(place, known.points)
    image = np.zeros((700, 700, 3), np.uint8)
    for x, y in keypoints:
        rows, columns = np.mgrid[:700, :700]
        blob = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 32)
        image = np.maximum(image, np.round(blob)[..., None].astype(np.uint8))
    crop = align(image, keypoints, known)[0, ..., 0].astype(float)
    for x, y in known.points:
        left, top = int(x) - 6, int(y) - 6
        part = crop[top : top + 14, left : left + 14]
        v, u = np.mgrid[:14, :14]
        found = left + (part * u).sum() / part.sum(), top + (part * v).sum() / part.sum()
        assert np.hypot(found[0] - x, found[1] - y) < 0.1
    assert align(image, np.empty((0, 5, 2)), known).shape == (0, known.size, known.size, 3)


def test_box_crops_by_hand(rng):
    image = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    crops = crop_boxes(image, [[10, 20, 42, 52], [10, 20, 26, 36]], 1.0, 32)
    # Boxes span pixel edges, half a pixel before the first centre; a shift copies, a zoom blends.
    np.testing.assert_array_equal(crops[0], image[20:52, 10:42])
    np.testing.assert_allclose(
        crops[1].reshape(16, 2, 16, 2, 3).mean((1, 3))[1:-1, 1:-1],
        image[20:36, 10:26][1:-1, 1:-1] * 0.5625
        + 0.1875 / 2 * sum(image[20 + a : 36 + a, 10 + b : 26 + b][1:-1, 1:-1].astype(float)
                           for a, b in ((0, 1), (0, -1), (1, 0), (-1, 0)))
        + 0.0625 / 4 * sum(image[20 + a : 36 + a, 10 + b : 26 + b][1:-1, 1:-1].astype(float)
                           for a in (-1, 1) for b in (-1, 1)),
        atol=2,
    )  # fmt: skip
    wide = crop_boxes(image, [[30, 20, 50, 40]], 2.0, 40)
    np.testing.assert_array_equal(wide[0], image[10:50, 20:60])


@pytest.mark.parametrize(
    ("box", "factor"), [([5, 5, 5, 5], 1.3), ([5, 5, 9, 9], 0), ([np.nan, 0, 1, 1], 1)]
)
def test_impossible_box_crops_are_refused(box, factor):
    with pytest.raises(VultusError, match="crop_boxes"):
        crop_boxes(np.zeros((9, 9, 3), np.uint8), [box], factor, 8)
