"""The parts of a face: shares that are always there, and a mask that is drawn on demand."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest

from vultus.drawing import draw_faces
from vultus.errors import NotComputedError, VultusError
from vultus.faces import Face, flatten
from vultus.parts import PART_COLOURS, PART_NAMES, FaceParts
from vultus.tanh_polar import polar_points

BOX = np.array([40, 30, 80, 82], np.float32)
SKIN, HAIR = PART_NAMES.index("skin"), PART_NAMES.index("hair")


@pytest.fixture
def parts() -> FaceParts:
    """Skin inside the ellipse of the box, hair around it up to 1.4 times as far."""
    rows, columns = 64, 64
    radius = np.arctanh(np.arange(columns) / columns)
    polar = np.zeros((rows, columns, len(PART_NAMES)), np.uint8)
    polar[:, radius < 1, SKIN] = 255
    polar[:, (radius >= 1) & (radius < 1.4), HAIR] = 255
    polar[:, radius >= 1.4, 0] = 255
    return FaceParts({"skin": 0.5, "hair": 0.5}, BOX, polar)


def test_the_mask_lies_where_the_box_says(parts):
    mask = parts.mask((120, 140))
    assert mask.shape == (120, 140)
    assert mask.dtype == np.uint8
    assert mask[56, 60] == SKIN
    # 46.9 is the vertical reach of the skin about row 56, 22.6 the horizontal one about column 60.
    y, x = np.mgrid[:120, :140] + 0.5
    norm = np.hypot((x - 60) / (40 / np.sqrt(np.pi)), (y - 56) / (52 / np.sqrt(np.pi)))
    assert (mask[norm < 0.93] == SKIN).all()
    assert (mask[(norm > 1.07) & (norm < 1.33)] == HAIR).all()
    assert (mask[norm > 1.5] == 0).all()


def test_a_face_over_the_edge_keeps_the_mask_inside(parts):
    moved = FaceParts(parts.shares, BOX - 45, parts.polar)
    whole = parts.mask((120, 140))
    cut = moved.mask((60, 60))
    np.testing.assert_array_equal(cut[:37, :50], whole[45:82, 45:95])
    beyond = FaceParts(parts.shares, BOX + 1000, parts.polar)
    assert not beyond.mask((60, 60)).any()


def test_a_crop_is_the_same_mask_at_another_scale(parts):
    crop = parts.crop((20, 10, 100, 102), (184, 160))
    assert crop.shape == (184, 160)
    # The middle pixel of each 2 x 2 block lies within half a pixel of the mask's.
    agree = (crop[::2, ::2] == parts.mask((120, 140))[10:102, 20:100]).mean()
    assert agree > 0.96


def test_json_and_tables_hold_shares_alone(parts):
    face = Face(BOX, 0.9, np.full((5, 2), 50), parts=parts)
    data = json.loads(json.dumps(face.to_dict()))
    assert data["parts"] == {"skin": 0.5, "hair": 0.5}
    assert flatten(face)["parts_hair"] == 0.5
    again = Face.from_dict(data)
    assert again.parts.shares == parts.shares
    with pytest.raises(NotComputedError, match="mask of this face was not kept"):
        again.parts.mask((10, 10))


@pytest.mark.parametrize("through", [copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))])  # noqa: S301
def test_a_copy_keeps_the_mask(parts, through):
    face = Face(BOX, 0.9, np.full((5, 2), 50), parts=parts)
    other = through(face)
    np.testing.assert_array_equal(other.parts.mask((99, 99)), parts.mask((99, 99)))


def test_parts_do_not_change(parts):
    with pytest.raises(ValueError, match="read-only"):
        parts.polar[0] = 1
    with pytest.raises(TypeError):
        parts.shares["skin"] = 1


def test_unknown_parts_and_half_a_mask_are_refused():
    with pytest.raises(VultusError, match="unknown parts \\['beak'\\]"):
        FaceParts({"beak": 1.0})
    with pytest.raises(VultusError, match="belong together"):
        FaceParts({}, BOX)


def test_overlay_tints_each_part_when_asked(parts):
    image = np.full((120, 140, 3), 100, np.uint8)
    face = Face(BOX, 0.9, [[50, 50], [70, 50], [60, 60], [52, 70], [68, 70]], parts=parts)
    plain = draw_faces(image, [face], keypoints=False)
    shown = draw_faces(image, [face], keypoints=False, parts=True)
    tint = (np.array(PART_COLOURS[SKIN]) / 2 + 50 + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(shown[56, 60], tint)
    np.testing.assert_array_equal(plain[56, 60], image[0, 0])
    np.testing.assert_array_equal(shown[5, 5], image[0, 0])
    bare = Face(BOX, 0.9, face.keypoints)
    np.testing.assert_array_equal(draw_faces(image, [bare], parts=True), draw_faces(image, [bare]))


def test_the_polar_picture_counts_like_its_points():
    # The centre of the box is where every row begins.
    points = polar_points(BOX[None], (8, 8))[0]
    np.testing.assert_allclose(points[:, 0], np.tile([60, 56], (8, 1)), atol=1e-5)
