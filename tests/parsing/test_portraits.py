"""Labels of photographs: what a mesh and a plain backdrop tell, and what stays unknown."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from vultus.errors import DatasetError
from vultus.parsing.classes import CLASSES, IGNORE
from vultus.parsing.rtnet_parsing import portraits as module
from vultus.parsing.rtnet_parsing.portraits import (
    Backdrops,
    Portraits,
    keyed,
    read_sitters,
    weak_labels,
    write_sitters,
)

SIZE = 96
SKIN, HAIR, BLUE = (200, 150, 120), (30, 20, 15), (90, 130, 235)
BOX = np.array([30, 30, 66, 78], np.float32)


def mesh() -> np.ndarray:
    """Points (478, 2) of a schematic face: only those that outlines use are placed."""
    points = np.full((478, 2), 48.0, np.float32)

    def ellipse(indices, x, y, a, b, start=-90.0):
        turn = np.radians(start + 360 * np.arange(len(indices)) / len(indices))
        points[list(indices)] = np.stack([x + a * np.cos(turn), y + b * np.sin(turn)], 1)

    ellipse(module.OVAL, 48, 56, 18, 22)
    for side, x in ((0, 40), (1, 56)):
        ellipse(module.EYES[side], x, 50, 4, 2)
        ellipse(module.BROWS[side], x, 43, 5, 1.6)
    ellipse(module.NOSE, 48, 57, 3, 5)
    ellipse(module.UPPER_LIP, 48, 66, 7, 1.5)
    ellipse(module.LOWER_LIP, 48, 70, 7, 1.5)
    ellipse(module.INNER_MOUTH, 48, 68, 5, 1)
    # The chin is the lowest point of the oval, whatever lies on top of it.
    points[152] = (48, 78)
    return points


def portrait(backdrop=BLUE) -> np.ndarray:
    image = np.full((SIZE, SIZE, 3), backdrop, np.uint8)
    cv2.ellipse(image, (48, 50), (26, 34), 0, 0, 360, HAIR, -1)
    cv2.rectangle(image, (38, 76), (58, 96), SKIN, -1)
    cv2.ellipse(image, (48, 56), (19, 23), 0, 0, 360, SKIN, -1)
    return image


def test_a_plain_backdrop_is_taken_out():
    image = portrait()
    alpha, fore = keyed(image, np.ones((SIZE, SIZE), bool))
    assert alpha[2, 2] == 0
    assert alpha[50, 48] == alpha[20, 48] == 255
    np.testing.assert_array_equal(fore[alpha == 255], image[alpha == 255])


@pytest.mark.parametrize("backdrop", [(128, 128, 128), (40, 42, 40)])
def test_a_grey_backdrop_is_left_in(backdrop):
    alpha, fore = keyed(portrait(backdrop), np.ones((SIZE, SIZE), bool))
    assert alpha.min() == 255
    np.testing.assert_array_equal(fore, portrait(backdrop))


def test_a_busy_backdrop_is_left_in():
    image = portrait()
    image[::2, :30] = (235, 90, 90)
    assert keyed(image, np.ones((SIZE, SIZE), bool))[0].min() == 255


def test_labels_come_from_the_mesh_and_the_outline():
    image = portrait()
    alpha, _ = keyed(image, np.ones((SIZE, SIZE), bool))
    parts = weak_labels(image, mesh(), BOX, alpha)
    names = {
        name: CLASSES[parts[y, x]] if parts[y, x] != IGNORE else "unknown"
        for name, (x, y) in {
            "backdrop": (3, 3),
            "above": (48, 22),
            "cheek": (37, 60),
            "left eye": (40, 50),
            "right eye": (56, 50),
            "left brow": (40, 43),
            "nose": (48, 58),
            "neck": (48, 90),
            "by the ear": (72, 55),
        }.items()
    }
    assert names == {
        "backdrop": "background",
        "above": "hair",
        "cheek": "skin",
        "left eye": "left_eye",
        "right eye": "right_eye",
        "left brow": "left_brow",
        "nose": "nose",
        "neck": "background",
        "by the ear": "hair",
    }


def test_without_a_plain_backdrop_only_the_face_is_labelled():
    image = portrait((128, 128, 128))
    opaque = np.full((SIZE, SIZE), 255, np.uint8)
    parts = weak_labels(image, mesh(), BOX, opaque)
    assert parts[3, 3] == parts[22, 48] == parts[90, 48] == IGNORE
    assert CLASSES[parts[60, 37]] == "skin"


def test_hair_over_the_forehead_is_not_called_skin():
    image = portrait()
    image[36:40, 40:56] = HAIR
    alpha, _ = keyed(image, np.ones((SIZE, SIZE), bool))
    assert weak_labels(image, mesh(), BOX, alpha)[38, 48] == IGNORE


@pytest.fixture
def written(tmp_path: Path) -> Path:
    for name, backdrop in (("a", BLUE), ("b", (128, 128, 128)), ("c", BLUE)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), portrait(backdrop)[..., ::-1])
    found = iter([(mesh(), BOX), (mesh(), BOX), None])
    paths = [tmp_path / f"{n}.png" for n in "abc"]
    assert write_sitters(paths, tmp_path / "sitters.npz", lambda _: next(found), 64) == 2
    return tmp_path / "sitters.npz"


def test_what_is_written_is_read(written):
    sitters = read_sitters(Portraits(file=str(written)), 64)
    assert len(sitters) == 2
    assert sitters.images.shape == (2, 64, 64, 3)
    height = float(sitters.boxes[0, 3] - sitters.boxes[0, 1])
    assert height == pytest.approx(64 / module.CONTEXT, rel=1e-5)
    centre = (sitters.boxes[0, :2] + sitters.boxes[0, 2:]) / 2
    np.testing.assert_allclose(centre, 32, atol=1e-3)
    with pytest.raises(DatasetError, match="pictures of 64 pixels, not 96"):
        read_sitters(Portraits(file=str(written)), 96)


def test_backdrops_are_exchanged_behind_the_sitter_alone(written):
    sitters = read_sitters(Portraits(file=str(written), exchange=1.0), 64)
    backdrops = Backdrops(64, 0, 3)
    shown, parts, _ = sitters.picture(0, backdrops, np.random.default_rng(0))
    solid, empty = sitters.alpha[0] == 255, sitters.alpha[0] == 0
    np.testing.assert_array_equal(shown[solid], sitters.images[0][solid])
    assert np.abs(shown[empty].astype(int) - sitters.images[0][empty]).mean() > 10
    np.testing.assert_array_equal(parts, sitters.parts[0])
    # The second has no plain backdrop.
    kept = sitters.picture(1, backdrops, np.random.default_rng(0))[0]
    np.testing.assert_array_equal(kept, sitters.images[1])


def test_missing_files_and_faces_are_named(tmp_path):
    with pytest.raises(DatasetError, match="no labelled portraits"):
        read_sitters(Portraits(file=str(tmp_path / "none.npz")), 64)
    with pytest.raises(DatasetError, match="finds no face in 0"):
        write_sitters([], tmp_path / "out.npz", lambda _: None, 64)
