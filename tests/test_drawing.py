"""Drawn faces and contact sheets: where the ink goes, and where it must not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vultus.drawing import PALETTE, UNKNOWN, contact_sheet, draw_faces, group_colours
from vultus.errors import ImageError, VultusError
from vultus.faces import Face, Pose

GREY = 128


def canvas(height: int = 400, width: int = 500) -> np.ndarray:
    return np.full((height, width, 3), GREY, np.uint8)


def face(x: float, y: float, side: float, **fields: object) -> Face:
    shares = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.78), (0.65, 0.78)])
    return Face([x, y, x + side, y + side * 1.2], 0.9, shares * side + (x, y), **fields)


def changed(drawn: np.ndarray, plain: np.ndarray) -> np.ndarray:
    return (drawn != plain).any(-1)


def extent(mask: np.ndarray) -> tuple[int, int, int, int]:
    """First and last column and row, as x1, y1, x2, y2."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return columns[0], rows[0], columns[-1], rows[-1]


def of_colour(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (image == colour).all(-1)


def plate(faces: list[Face], labels: list[str | None], image: np.ndarray) -> np.ndarray:
    """Mask of the pixels that the labels alone change."""
    return changed(draw_faces(image, faces, labels, groups=[1] * len(faces)),
                   draw_faces(image, faces, groups=[1] * len(faces)))  # fmt: skip


def core(one: Face, shape: tuple[int, ...]) -> np.ndarray:
    """Mask of the area between the keypoints."""
    mask = np.zeros(shape[:2], bool)
    left, top = np.floor(one.keypoints.min(0)).astype(int).clip(0)
    right, bottom = (np.ceil(one.keypoints.max(0)).astype(int) + 1).clip(0)
    mask[top:bottom, left:right] = True
    return mask


def test_the_picture_given_is_left_alone_and_the_result_is_new():
    image = canvas()
    drawn = draw_faces(image, [face(100, 100, 100)], ["Ann"])
    assert (image == GREY).all()
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert drawn.flags.c_contiguous
    assert not np.shares_memory(drawn, image)


def test_no_faces_no_ink():
    np.testing.assert_array_equal(draw_faces(canvas(), []), canvas())
    np.testing.assert_array_equal(draw_faces(canvas(), [], []), canvas())


def test_any_picture_source_may_be_drawn_on(tmp_path):
    from vultus.images import save_image

    save_image(tmp_path / "a.png", canvas())
    one = face(100, 100, 100)
    np.testing.assert_array_equal(
        draw_faces(tmp_path / "a.png", [one]), draw_faces(canvas(), [one])
    )
    with pytest.raises(ImageError, match="No such file"):
        draw_faces(tmp_path / "b.png", [one])


def test_the_box_is_drawn_around_the_box():
    one = face(120, 90, 150)
    mask = changed(draw_faces(canvas(), [one], keypoints=False), canvas())
    np.testing.assert_allclose(extent(mask), one.box, atol=5)
    assert not mask[100:260, 132:258].any()
    assert mask[:, 120].sum() > 170


def test_each_keypoint_is_marked():
    one = face(120, 90, 150)
    mask = changed(draw_faces(canvas(), [one]), draw_faces(canvas(), [one], keypoints=False))
    for x, y in one.keypoints.astype(int):
        assert mask[y, x]
    assert mask.sum() < 5 * 120


def test_landmarks_are_marked_and_may_be_left_out(rng):
    points = rng.uniform((130, 100), (260, 260), (68, 2))
    one = face(120, 90, 150, landmarks=points)
    bare = draw_faces(canvas(), [one], landmarks=False, keypoints=False)
    mask = changed(draw_faces(canvas(), [one], keypoints=False), bare)
    for x, y in np.rint(points).astype(int):
        assert mask[y - 1 : y + 2, x - 1 : x + 2].any()
    np.testing.assert_array_equal(bare, draw_faces(canvas(), [face(120, 90, 150)], keypoints=False))


@pytest.mark.parametrize(
    ("pose", "direction"),
    [
        (Pose(50, 0, 0), (1, 0)),
        (Pose(-50, 0, 0), (-1, 0)),
        (Pose(0, 50, 0), (0, -1)),
        (Pose(0, -50, 0), (0, 1)),
    ],
)
def test_the_nose_axis_points_where_the_pose_says(pose, direction):
    one = face(150, 120, 160, pose=pose)
    nose = of_colour(draw_faces(canvas(), [one], keypoints=False), PALETTE[5])
    rows, columns = np.nonzero(nose)
    mean = np.array([columns.mean(), rows.mean()]) - one.keypoints[2]
    assert mean @ direction > 15
    assert abs(np.cross([*mean, 0], [*direction, 0])[2]) < 3
    without = draw_faces(canvas(), [one], keypoints=False, pose=False)
    np.testing.assert_array_equal(
        without, draw_faces(canvas(), [face(150, 120, 160)], keypoints=False)
    )


def test_roll_turns_the_axes_clockwise():
    one = face(150, 120, 160, pose=Pose(0, 0, 90))
    drawn = draw_faces(canvas(), [one], keypoints=False)
    x, y = one.keypoints[2]
    rows, columns = np.nonzero(of_colour(drawn, PALETTE[6]))
    assert rows.mean() > y + 15
    assert abs(columns.mean() - x) < 3


def test_lines_and_letters_grow_with_the_picture():
    small, large = canvas(), canvas(1600, 2000)
    one, four = face(120, 90, 150), face(480, 360, 600)
    heights = [np.ptp(extent(plate([f], ["A"], i))[1::2]) for i, f in ((small, one), (large, four))]
    assert heights[1] == pytest.approx(4 * heights[0], rel=0.15)

    def width(image: np.ndarray, one: Face, scale: float = 1.0) -> int:
        """Coloured pixels on the row between the eyes and the nose: both sides of the box."""
        drawn = draw_faces(image, [one], scale=scale)
        return of_colour(drawn[round(float(one.box[1]) + one.height / 2.4)], PALETTE[0]).sum()

    assert width(large, four) >= 3 * width(small, one) > 0
    assert width(small, one, scale=4) > 2 * width(small, one)


places = st.tuples(st.floats(-60, 460), st.floats(-60, 360), st.floats(15, 420))


@settings(max_examples=100, deadline=None)
@given(places, st.text(max_size=60))
def test_a_plate_keeps_inside_the_picture_and_off_the_features(place, text):
    one = face(*place)
    drawn = draw_faces(canvas(), [one], [text], keypoints=False)
    assert drawn.shape == canvas().shape
    middle = core(one, drawn.shape)
    room = one.box[0] > 0 or one.box[1] > 40 or one.box[3] < 360
    if room and one.height < 300:
        mask = plate([one], [text], canvas())
        assert not (mask & middle).any()


def test_a_plate_stands_above_the_box_where_there_is_room():
    one = face(120, 120, 120)
    x1, y1, _, y2 = extent(plate([one], ["Ann"], canvas()))
    assert y2 < 120
    assert y1 > 60
    assert abs(x1 - 120) <= 1


@pytest.mark.parametrize(
    ("place", "side"), [((150, 0, 130), "below"), ((360, 40, 130), "left of the right edge")]
)
def test_a_plate_gives_way_at_the_edges(place, side):
    one = face(*place)
    mask = plate([one], ["A longer name"], canvas())
    x1, y1, x2, y2 = extent(mask)
    assert 0 <= x1 <= x2 < 500
    assert mask.sum() > 0.95 * (x2 - x1) * (y2 - y1)
    if side == "below":
        assert y1 > one.box[3]


def test_a_face_that_fills_the_picture_keeps_its_features_visible():
    image = canvas(112, 112)
    one = face(-10, -10, 125)
    mask = plate([one], ["Eileen Collins"], image)
    assert mask.any()
    assert not (mask & core(one, image.shape)).any()


def test_a_plate_goes_to_the_end_of_a_full_picture_that_hides_no_feature():
    low = Face([0, 0, 112, 112], 0.9, [(30, 12), (80, 12), (55, 25), (35, 38), (75, 38)])
    mask = plate([low], ["Eileen"], canvas(112, 112))
    assert extent(mask)[1] > 60


def test_plates_of_close_faces_do_not_overlap():
    faces = [face(200, 150, 40), face(245, 150, 40)]
    labels = ["A rather long name", "Another long name"]
    alone = [plate(faces, [labels[0], None], canvas()), plate(faces, [None, labels[1]], canvas())]
    assert (alone[0] & alone[1]).any()
    together = plate(faces, labels, canvas())
    assert together.sum() == alone[0].sum() + alone[1].sum()


def test_plates_of_neighbours_hide_neither_each_other_nor_a_face():
    faces = [face(x, y, 60) for y in (60, 190, 310) for x in (30, 130, 230, 330)]
    labels = [f"Person {i}" for i in range(12)]
    alone = [plate(faces, [t if i == k else None for k, t in enumerate(labels)], canvas())
             for i in range(12)]  # fmt: skip
    together = plate(faces, labels, canvas())
    assert together.sum() > 0.9 * sum(mask.sum() for mask in alone)
    for one in faces:
        assert not (together & core(one, together.shape)).any()


def test_a_long_label_is_cut_to_the_width_of_the_picture():
    one = face(100, 100, 100)
    mask = plate([one], ["name " * 60], canvas())
    x1, y1, x2, y2 = extent(mask)
    assert x2 - x1 < 500
    assert y2 - y1 < 40


@pytest.mark.parametrize("text", ["a\nb", "\0", "王小明", "José", "🙂", "عربى", "%s{}", "\ud800"])
def test_any_text_may_be_a_label(text):
    assert plate([face(100, 100, 100)], [text], canvas()).any()


@pytest.mark.parametrize("index", range(7))
def test_letters_stand_out_from_their_plate(index):
    faces = [face(10 + 40 * i, 150, 30) for i in range(8)]
    labels = [None] * 8
    labels[index] = "MMMM"
    groups = [*range(7), None]
    bare = draw_faces(canvas(), faces, groups=groups)
    drawn = draw_faces(canvas(), faces, labels, groups=groups)
    mask = changed(drawn, bare)
    x1, y1, x2, y2 = extent(mask)
    area = drawn[y1 : y2 + 1, x1 : x2 + 1].reshape(-1, 3)
    assert (area == PALETTE[index]).all(1).mean() > 0.3
    light = [contrast(PALETTE[index], tuple(ink)) for ink in np.unique(area, axis=0)]
    assert max(light) > 4.5, "WCAG 2 asks for 4.5 to 1"


def contrast(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    def luminance(colour: tuple[int, ...]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
                  for c in (v / 255 for v in colour)]  # fmt: skip
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(a), luminance(b)))
    return (light + 0.05) / (dark + 0.05)


def test_one_person_one_colour():
    colours = group_colours(["Ann", "Ben", "Ann", None, "", "Cem", "Ben"])
    assert colours == [
        PALETTE[0], PALETTE[1], PALETTE[0], UNKNOWN, UNKNOWN, PALETTE[2], PALETTE[1]
    ]  # fmt: skip
    many = group_colours(list(range(21)))
    assert len(set(many)) == 21
    assert all(0 <= value <= 255 for colour in many for value in colour)


def test_labels_and_groups_colour_the_boxes():
    faces = [face(20, 100, 90), face(200, 100, 90), face(380, 100, 90)]
    drawn = draw_faces(canvas(), faces, ["Ann", "Ben", "Ann"], keypoints=False)
    seen = [drawn[200, round(float(f.box[0]))] for f in faces]
    assert [tuple(c) for c in seen] == [PALETTE[0], PALETTE[1], PALETTE[0]]
    labels = ["Ann 0.9", "Ann 0.8", "unknown"]
    drawn = draw_faces(canvas(), faces, labels, groups=["Ann", "Ann", None], keypoints=False)
    seen = [drawn[200, round(float(f.box[0]))] for f in faces]
    assert [tuple(c) for c in seen] == [PALETTE[0], PALETTE[0], UNKNOWN]


#: Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
BLINDNESS = {
    "protan": [(0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
               (-0.003882, -0.048116, 1.051998)],
    "deutan": [(0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
               (-0.011820, 0.042940, 0.968881)],
}  # fmt: skip


@pytest.mark.parametrize("kind", BLINDNESS)
def test_the_first_colours_differ_to_colour_blind_eyes(kind):
    linear = (np.array(PALETTE) / 255) ** 2.2
    seen = np.clip(linear @ np.array(BLINDNESS[kind]).T, 0, 1) ** (1 / 2.2)
    for a, b in itertools.combinations(seen, 2):
        assert np.linalg.norm(a - b) > 0.15


@pytest.mark.parametrize("place", [(1e9, 1e9, 50), (-1e7, 5, 50), (150, -3e8, 90)])
def test_faces_far_outside_leave_no_ink(place):
    one = face(*place, pose=Pose(10, 10, 10))
    np.testing.assert_array_equal(draw_faces(canvas(), [one]), canvas())
    assert draw_faces(canvas(), [one], ["far"]).shape == (400, 500, 3)


def test_a_face_much_larger_than_the_picture_shows_the_edges_inside():
    drawn = draw_faces(canvas(), [face(30, 40, 5e9)], keypoints=False)
    ink = of_colour(drawn, PALETTE[0])
    assert ink[100:, 30].all()
    assert ink[40, 100:].all()
    assert not ink[60:, 50:].any()


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (20, 20)])
def test_tiny_pictures_can_be_drawn_on(size):
    assert draw_faces(canvas(*size), [face(0, 0, 10)], ["name"]).shape == (*size, 3)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"labels": ["a"]}, "1 labels for 2 faces"),
        ({"groups": ["a"] * 3}, "3 groups for 2 faces"),
        ({"scale": 0}, "scale must be positive"),
        ({"scale": float("nan")}, "scale must be positive"),
    ],
)
def test_arguments_that_do_not_match_are_refused(arguments, reason):
    with pytest.raises(VultusError, match=reason):
        draw_faces(canvas(), [face(0, 0, 50), face(60, 0, 50)], **arguments)


def test_a_sheet_holds_every_crop_in_reading_order(rng):
    crops = rng.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    sheet = contact_sheet(crops, 3, background=(1, 2, 3))
    gap = 2
    assert sheet.shape == (2 * 32 + 3 * gap, 3 * 32 + 4 * gap, 3)
    for i, crop in enumerate(crops):
        top, left = gap + (i // 3) * 34, gap + (i % 3) * 34
        np.testing.assert_array_equal(sheet[top : top + 32, left : left + 32], crop)
    assert (sheet[36:, 70:] == (1, 2, 3)).all()
    assert contact_sheet(crops[:2], 9).shape == (36, 70, 3)


def test_labels_stand_below_their_crops_and_keep_their_column():
    crops = [canvas(40, 40)] * 3
    bare = contact_sheet(crops, 2, ["", None, ""])
    drawn = contact_sheet(crops, 2, ["", "one very long label", ""])
    x1, y1, x2, y2 = extent(changed(drawn, bare))
    assert 44 <= x1 <= x2 <= 83
    assert 42 <= y1 <= y2 < 42 + 40


def test_crops_of_several_sizes_are_fitted_to_one_cell():
    crops = [canvas(20, 10), canvas(40, 40), canvas(10, 40)]
    sheet = contact_sheet(crops, 3, background=(0, 0, 0))
    assert sheet.shape == (44, 128, 3)
    assert (sheet == GREY).all(-1).sum() == 40 * 20 + 40 * 40 + 10 * 40


@pytest.mark.parametrize(
    ("crops", "columns", "labels"),
    [
        ([], 2, None),
        ([canvas()], 0, None),
        ([canvas()], 2, ["a", "b"]),
        ([canvas() / 255], 2, None),
        ([canvas()[..., 0]], 2, None),
        ([canvas()[:0]], 2, None),
    ],
)
def test_impossible_sheets_are_refused(crops, columns, labels):
    with pytest.raises(VultusError, match="contact_sheet"):
        contact_sheet(crops, columns, labels)
