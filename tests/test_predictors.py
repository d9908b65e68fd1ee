"""Which predictors run, in which order, and that each runs once on everything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vultus.analysis import Analyzer
from vultus.errors import ConfigError, NotComputedError, WeightsError
from vultus.faces import Face, Pose
from vultus.geometry import template
from vultus.predictors import NAMES, FaceBatch, Predictors, choose


def face(x: float) -> Face:
    points = np.array([[8, 8], [16, 8], [12, 12], [9, 16], [15, 16]], np.float32)
    return Face([x, 0, x + 24, 24], 0.9, points + np.float32([x, 0]))


@pytest.mark.parametrize(
    ("only", "skip", "expected"),
    [
        (None, (), ("landmarks", "pose", "quality", "embedding")),
        (["quality"], (), ("landmarks", "pose", "quality")),
        (["embedding"], (), ("embedding",)),
        ((), (), ()),
        (None, ["pose"], ("landmarks", "embedding")),
        (None, ["quality"], ("landmarks", "pose", "embedding")),
        (["quality", "embedding"], ["embedding"], ("landmarks", "pose", "quality")),
    ],
)
def test_choice(only: list[str] | None, skip: list[str], expected: tuple[str, ...]) -> None:
    found = choose(only, skip)
    assert [name for name in found if name in expected] == list(expected)
    assert not set(skip) & set(found)
    assert set(found) <= set(NAMES)


def test_unknown_and_contradictory_choices_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"no predictor beauty; known: .*landmarks"):
        choose(["beauty"])
    with pytest.raises(ConfigError, match="quality needs pose"):
        choose(["quality"], ["pose"])


def test_faces_of_several_pictures_are_one_batch() -> None:
    images = [np.full((30, 80, 3), 9 * i, np.uint8) for i in range(3)]
    batch = FaceBatch(images, [[face(0), face(40)], [], [face(10)]])
    calls = []

    def poses(given: FaceBatch) -> list[Pose]:
        calls.append(len(given))
        return [Pose(float(i), 0, 0) for i in range(len(given))]

    Predictors(known={"pose": poses}).run(["pose"], batch)
    assert calls == [3]
    assert [[f.pose.yaw for f in group] for group in batch.groups()] == [[0, 1], [], [2]]
    assert batch.sizes().tolist() == [[80, 30]] * 3
    crops = batch.crops(template("arcface112"))
    assert crops.shape == (3, 112, 112, 3)
    assert crops is batch.crops(template("arcface112")), "cut once for all predictors"
    assert batch.boxes(1.3, 32).shape == (3, 32, 32, 3)


def test_no_faces_call_nothing() -> None:
    def never(_: FaceBatch) -> list[Pose]:
        raise AssertionError

    batch = FaceBatch([np.zeros((9, 9, 3), np.uint8)], [[]])
    Predictors(known={"pose": never}).run(["pose"], batch)
    assert batch.groups() == [[]]


def test_everything_is_known_of_a_portrait(analyzer: Analyzer, astronaut: np.ndarray) -> None:
    (found,) = analyzer.analyze(astronaut)
    assert {"landmarks", "pose", "quality", "embedding"} <= set(found.computed())
    assert np.abs(found.landmarks[30] - found.keypoints[2]).max() < 6
    assert abs(found.pose.yaw) < 15
    assert found.quality["overall"] > 0.5
    (only,) = next(iter(analyzer.stream([astronaut], embed=False, fields=["pose"]))).faces
    assert set(only.computed()) == {"pose"}
    with pytest.raises(NotComputedError, match="quality"):
        _ = only.quality


def test_a_weight_can_be_named_for_a_field(astronaut: np.ndarray) -> None:
    found = {}
    for name in (None, "kd-landmarks"):
        analyzer = Analyzer(threads=1, networks={"landmarks": name} if name else None)
        results = analyzer.stream([astronaut], embed=False, fields=["landmarks"])
        found[name] = next(iter(results)).faces[0].landmarks
    apart = np.abs(found[None] - found["kd-landmarks"])
    assert 0 < apart.max() < 25, "another network, the same face"


def test_only_a_weight_of_the_task_can_be_named() -> None:
    with pytest.raises(ConfigError, match="no weight can be chosen for pose; it can for landmarks"):
        Analyzer(networks={"pose": "mos-light"})
    analyzer = Analyzer(threads=1, networks={"expression": "age-sex"})
    picture = np.zeros((30, 80, 3), np.uint8)
    with pytest.raises(WeightsError, match="expression"):
        analyzer.fill([picture], [[face(0)]], ["expression"])


def test_a_mirrored_portrait_has_mirrored_pose(analyzer: Analyzer, astronaut: np.ndarray) -> None:
    turned = np.ascontiguousarray(astronaut[:, ::-1])
    (a,), (b,) = (
        result.faces
        for result in analyzer.stream([astronaut, turned], embed=False, fields=["pose"])
    )
    assert a.pose.yaw == pytest.approx(-b.pose.yaw, abs=4)
    assert a.pose.roll == pytest.approx(-b.pose.roll, abs=4)
    assert a.pose.pitch == pytest.approx(b.pose.pitch, abs=4)


def test_blurred_portraits_are_refused_with_advice(
    analyzer: Analyzer, grace_hopper: np.ndarray, tmp_path: Path
) -> None:
    import cv2

    from vultus.gallery import Gallery, Key
    from vultus.images import save_image
    from vultus.people import enroll, identify, search_threshold

    small = cv2.resize(grace_hopper, None, fx=0.09, fy=0.09, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(small, grace_hopper.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    save_image(tmp_path / "coarse.png", coarse)
    space, dim = analyzer.embedder.space, analyzer.embedder.dim
    gallery = Gallery.create(tmp_path / "g", space=space, dim=dim, key=Key.generate())
    named = [(tmp_path / "coarse.png", "x")]
    done = enroll(gallery, named, min_quality=0.6, analyzer=analyzer)
    assert done.report.added == 0
    assert "too blurred" in done.skipped[0][1]
    assert "hold the camera still" in done.skipped[0][1]
    assert enroll(gallery, named, min_quality=None, analyzer=analyzer).report.added == 1
    limit = search_threshold(None, 1, threshold=0.9)
    paths = [tmp_path / "coarse.png"]
    ((_, (refused,)),) = identify(gallery, paths, limit, min_quality=0.6, analyzer=analyzer)
    assert (refused.decision, refused.person) == ("refused", None)
    ((_, (known,)),) = identify(gallery, paths, limit, min_quality=None, analyzer=analyzer)
    assert (known.decision, known.person) == ("known", "x")
