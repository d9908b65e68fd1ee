"""Components move as they should under known changes of rendered heads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba")

from vultus.errors import VultusError
from vultus.geometry import align, head_rotation, template
from vultus.quality.components import NAMES, Curve, in_frame, measure
from vultus.quality.features import Geometry
from vultus.worlds import CameraSpec, LightSpec, PoseSpec, Sample, WearSpec, World, WorldSpec
from vultus.worlds.scene import Shot

SIZE = 144
PEOPLE = 6


@pytest.fixture(scope="module")
def world() -> World:
    return World(
        WorldSpec(
            size=SIZE,
            identities=PEOPLE,
            pose=PoseSpec((-5, 5), (-4, 4), (-2, 2)),
            light=LightSpec(azimuth=(-20, 20), elevation=(5, 40), ambient=(0.45, 0.6), shadows=0),
            wear=WearSpec(0, 0, 0, 0, 0),
            emotions=("neutral",),
            camera=CameraSpec(fill=(0.72, 0.85)),
        )
    )


@pytest.fixture(scope="module")
def heads(world: World) -> list[Sample]:
    return [world.sample(3, i) for i in range(PEOPLE)]


def look(
    samples: list[Sample], change: Callable[[np.ndarray], np.ndarray] = lambda image: image
) -> dict[str, float]:
    """Return the mean components of heads whose pictures are changed and whose points are exact."""
    form = template("dlib150")
    crops = np.concatenate([align(change(s.colour), [s.keypoints], form) for s in samples])
    geometry = Geometry(
        np.stack([s.box for s in samples]),
        np.ones(len(samples), np.float32),
        np.stack([s.keypoints for s in samples]),
        np.stack([s.landmarks for s in samples]),
        np.stack([s.pose for s in samples]),
    )
    sizes = np.full((len(samples), 2), SIZE, np.float32)
    return dict(zip(NAMES, measure(crops, geometry, sizes).mean(0).tolist(), strict=True))


def redrawn(world: World, change: Callable[[Shot], Shot]) -> list[Sample]:
    return [world.picture(change(world.shot(3, i))) for i in range(PEOPLE)]


def test_good_heads_have_no_low_component(heads: list[Sample]) -> None:
    found = look(heads)
    # Neutral is what the mesh makes of a neutral face; exact points deviate from that.
    assert min(v for k, v in found.items() if k != "expression_neutrality") > 0.5, found
    assert all(0 <= v <= 1 for v in found.values())


def test_blur_lowers_sharpness_step_by_step(heads: list[Sample]) -> None:
    found = [
        look(heads, lambda i, s=s: cv2.GaussianBlur(i, (0, 0), s))["sharpness"]
        for s in (0.4, 0.8, 1.6, 3.2)
    ]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.2


def test_reduction_lowers_sharpness(heads: list[Sample]) -> None:
    def reduced(image: np.ndarray) -> np.ndarray:
        small = cv2.resize(image, (SIZE // 6, SIZE // 6), interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)

    assert look(heads, reduced)["sharpness"] < look(heads)["sharpness"] - 0.3


def test_contrast_leaves_sharpness_alone(heads: list[Sample]) -> None:
    flat = look(heads, lambda i: (i * 0.6 + 40).astype(np.uint8))["sharpness"]
    assert flat == pytest.approx(look(heads)["sharpness"], abs=0.1)


def test_darkness_and_glare_are_told_apart(heads: list[Sample]) -> None:
    plain = look(heads)
    dark = look(heads, lambda i: (i * 0.1).astype(np.uint8))
    glare = look(heads, lambda i: np.clip(i * 3.0 + 60, 0, 255).astype(np.uint8))
    assert dark["under_exposure"] < 0.3 < plain["under_exposure"]
    assert glare["over_exposure"] < 0.6 < plain["over_exposure"]
    assert dark["over_exposure"] >= plain["over_exposure"]
    assert dark["dynamic_range"] < plain["dynamic_range"]


def test_side_light_lowers_uniformity(heads: list[Sample]) -> None:
    def lit(strength: float) -> float:
        ramp = np.linspace(1 - strength, 1, SIZE)[None, :, None]
        return look(heads, lambda i: (i * ramp).astype(np.uint8))["illumination_uniformity"]

    # The heads are not lit quite evenly themselves, so a weak ramp may even out their light.
    found = [lit(strength) for strength in (0.5, 0.8, 0.95, 0.99)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < lit(0.0) - 0.1


@pytest.mark.parametrize(("name", "place"), [("pose_yaw", 0), ("pose_pitch", 1), ("pose_roll", 2)])
def test_turning_lowers_its_own_angle(world: World, name: str, place: int) -> None:
    def turned(degrees: float) -> dict[str, float]:
        pose = tuple(degrees if i == place else 0.0 for i in range(3))
        return look(redrawn(world, lambda shot: replace(shot, pose=pose)))

    scores = [turned(d)[name] for d in (0, 15, 30, 45)]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] == pytest.approx(0.5, abs=0.01), "the squared cosine of 45 degrees"
    others = {"pose_yaw", "pose_pitch", "pose_roll"} - {name}
    assert all(turned(30)[other] == pytest.approx(1, abs=0.01) for other in others)


def with_weights(world: World, **weights: float) -> list[Sample]:
    def change(shot: Shot) -> Shot:
        values = shot.weights.copy()
        for key, value in weights.items():
            values[world.head.expression_names.index(key)] = value
        return replace(shot, weights=values)

    return redrawn(world, change)


def test_an_open_mouth_is_seen(world: World, heads: list[Sample]) -> None:
    found = [look(with_weights(world, jawOpen=w))["mouth_closed"] for w in (0.0, 0.3, 0.7)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.3


def test_closed_eyes_are_seen(world: World) -> None:
    closed = look(with_weights(world, eyeBlink_L=1.0, eyeBlink_R=1.0))["eyes_open"]
    assert closed < look(with_weights(world, eyeBlink_L=0.0, eyeBlink_R=0.0))["eyes_open"] - 0.1


def test_a_smile_is_not_neutral(world: World, heads: list[Sample]) -> None:
    smiling = with_weights(world, mouthSmile_L=1.0, mouthSmile_R=1.0)
    name = "expression_neutrality"
    assert look(smiling)[name] < 0.5 * look(heads)[name]


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("eyes_visible", (slice(28, 62), slice(25, 124))),
        ("mouth_visible", (slice(84, 125), slice(38, 112))),
    ],
)  # fmt: skip
def test_covers_are_seen(heads: list[Sample], name: str, places: tuple[slice, slice]) -> None:
    form = template("dlib150")
    crops = np.concatenate([align(s.colour, [s.keypoints], form) for s in heads])
    plain = look(heads)[name]
    crops[:, places[0], places[1]] = (15, 15, 18)
    geometry = Geometry(
        np.stack([s.box for s in heads]),
        np.ones(PEOPLE, np.float32),
        np.stack([s.keypoints for s in heads]),
        np.stack([s.landmarks for s in heads]),
        np.stack([s.pose for s in heads]),
    )
    covered = measure(crops, geometry, np.full((PEOPLE, 2), SIZE))[:, NAMES.index(name)].mean()
    assert covered < plain - 0.3


def test_size_counts_pixels_between_the_eyes_whatever_the_yaw(heads: list[Sample]) -> None:
    def sized(factor: float, yaw: float) -> float:
        points = heads[0].keypoints * np.float32(factor)
        points[:2, 0] = points[0, 0] + (points[:2, 0] - points[0, 0]) * np.cos(np.radians(yaw))
        crops = np.zeros((1, 150, 150, 3), np.uint8)
        geometry = Geometry(
            heads[0].box[None] * factor, np.ones(1), points[None],
            heads[0].landmarks[None] * factor, np.array([[yaw, 0, 0]], np.float32),
        )  # fmt: skip
        return float(measure(crops, geometry, [[999, 999]])[0, NAMES.index("inter_eye_distance")])

    assert sized(0.2, 0) < 0.2 < sized(0.6, 0) < sized(2, 0)
    assert sized(0.6, 40) == pytest.approx(sized(0.6, 0), abs=0.05)


def test_the_share_of_the_box_in_the_picture() -> None:
    boxes = [[10, 10, 30, 30], [-10, 0, 10, 20], [90, 90, 110, 110], [200, 0, 220, 20]]
    assert in_frame(boxes, [[100, 100]] * 4).tolist() == [1.0, 0.5, 0.25, 0.0]


@given(st.floats(-5, 5), st.floats(0.01, 3))
def test_curves_pass_through_their_ends(bad: float, gap: float) -> None:
    for good in (bad + gap, bad - gap):
        curve = Curve.through(bad, good)
        np.testing.assert_allclose(curve([bad, good]), [0.1, 0.9], atol=1e-4)


def test_crops_must_fit_the_faces(heads: list[Sample]) -> None:
    geometry = Geometry(np.zeros((1, 4)), np.ones(1), np.zeros((1, 5, 2)), np.zeros((1, 68, 2)),
                        np.zeros((1, 3)))  # fmt: skip
    with pytest.raises(VultusError, match="quality takes uint8 crops"):
        measure(np.zeros((2, 150, 150, 3), np.uint8), geometry, [[1, 1]])
    with pytest.raises(VultusError, match="landmarks must be finite"):
        Geometry(np.zeros((1, 4)), np.ones(1), np.zeros((1, 5, 2)), np.full((1, 68, 2), np.nan),
                 np.zeros((1, 3)))  # fmt: skip


def test_rotation_convention_is_that_of_faces() -> None:
    nose = -head_rotation(30, 0, 0)[:, 2]
    assert nose[0] > 0, "yaw > 0 points the nose to the image's right"
