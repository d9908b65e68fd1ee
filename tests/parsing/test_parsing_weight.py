"""The network that ships, on photographs: parts lie where the keypoints are."""

from __future__ import annotations

import numpy as np
import pytest

from vultus.analysis import Analyzer
from vultus.detection import largest
from vultus.faces import Face
from vultus.parsing.predictor import ParsingPredictor
from vultus.parts import PART_NAMES
from vultus.runtime import manifest


@pytest.fixture(scope="module")
def predictor() -> ParsingPredictor:
    return ParsingPredictor(threads=1)


@pytest.fixture(params=["astronaut", "grace_hopper"])
def photograph(request: pytest.FixtureRequest, analyzer: Analyzer) -> tuple[np.ndarray, Face]:
    image = request.getfixturevalue(request.param)
    return image, largest(analyzer.detect(image))


def classes_near(mask: np.ndarray, point: np.ndarray, reach: float) -> set[str]:
    x, y = np.round(point).astype(int)
    r = max(round(reach), 1)
    return {PART_NAMES[i] for i in np.unique(mask[y - r : y + r + 1, x - r : x + r + 1])}


def test_parts_lie_on_the_keypoints(photograph, predictor):
    image, face = photograph
    parts = predictor.parse(image, [face.box])[0]
    mask = parts.mask(image.shape[:2])
    left, right, nose, *corners = face.keypoints
    reach = 0.04 * face.width
    assert "left_eye" in classes_near(mask, left, reach)
    assert "right_eye" in classes_near(mask, right, reach)
    assert "nose" in classes_near(mask, nose, reach)
    for corner in corners:
        assert {"upper_lip", "lower_lip", "inner_mouth"} & classes_near(mask, corner, 2 * reach)
    above = np.array([face.box[[0, 2]].mean(), face.box[1] - 0.12 * face.height])
    assert "hair" in classes_near(mask, above, 3 * reach)
    assert mask[-1, 0] == 0


def test_shares_are_those_of_a_head(photograph, predictor):
    image, face = photograph
    shares = predictor.parse(image, [face.box])[0].shares
    assert sum(shares.values()) == pytest.approx(1)
    assert 0.25 < shares["skin"] < 0.85
    assert 0.02 < shares["nose"] < 0.2
    assert shares["hair"] > 0.05
    assert shares["left_eye"] < 0.05


def test_a_turned_picture_gives_the_turned_mask(photograph, predictor):
    image, face = photograph
    side = image.shape[1]
    x1, y1, x2, y2 = face.box
    turned = np.ascontiguousarray(np.rot90(image))
    box = np.array([y1, side - x2, y2, side - x1], np.float32)
    straight = predictor.parse(image, [face.box])[0].mask(image.shape[:2])
    back = np.rot90(predictor.parse(turned, [box])[0].mask(turned.shape[:2]), -1)
    x1, y1, x2, y2 = face.box.astype(int)
    inside = (slice(y1, y2), slice(x1, x2))
    # It was trained on turns of up to 55 degrees: most of a quarter turn holds, not all.
    skin_or_not = (straight[inside] > 0) == (back[inside] > 0)
    assert skin_or_not.mean() > 0.8


def test_the_entry_says_what_is_loaded(predictor):
    weight = manifest()[predictor.name]
    assert weight.task == "parsing"
    assert weight.commercial == "yes"
    assert weight.bytes < 4_000_000
    assert weight.template == "tanhpolar-96x96-0.78"
    assert predictor.size == (96, 96)
