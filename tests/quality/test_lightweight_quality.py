"""The forest: tensors equal scikit-learn's trees; labels, thresholds, gate, predictor, recipe."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestRegressor

from vultus.errors import ConfigError, DatasetError, TrainingError, VultusError, WeightsError
from vultus.faces import Face, Pose
from vultus.quality.components import NAMES
from vultus.quality.features import FeatureSet, Geometry
from vultus.quality.gate import MIN_QUALITY, checked, refusal
from vultus.quality.lightweight_quality import LightweightQuality, QualitySettings, importance
from vultus.quality.lightweight_quality.decisions import (
    best_shots,
    gated,
    threshold_at_fnmr,
    threshold_at_rejection,
)
from vultus.quality.lightweight_quality.forest import Forest, at_most
from vultus.quality.lightweight_quality.probes import (
    Probes,
    geometric_labels,
    load_probes,
    manual_labels,
    recognition_labels,
    rendered_probes,
    save_probes,
)
from vultus.quality.predictor import QualityPredictor, read_feature_set
from vultus.quality.reasons import reasons
from vultus.training import export, load_recipe, train

ROOT = Path(__file__).resolve().parents[2]


def geometry(n: int, seed: int = 0) -> Geometry:
    rng = np.random.default_rng(seed)
    base = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], np.float32)
    five = base + rng.normal(0, 2, (n, 5, 2)) + rng.uniform(0, 200, (n, 1, 2))
    dense = rng.uniform(20, 80, (n, 68, 2)) + five[:, 2:3] - 50
    box = np.concatenate([five.min(1) - 20, five.max(1) + 20], 1)
    return Geometry(box, rng.uniform(0.5, 1, n), five, dense, rng.uniform(-60, 60, (n, 3)))


def moved(faces: Geometry, scale: float, shift: float) -> Geometry:
    return replace(
        faces,
        box=faces.box * scale + shift,
        keypoints=faces.keypoints * scale + shift,
        landmarks=faces.landmarks * scale + shift,
    )


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_tensors_predict_what_the_trees_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Few distinct values, so that many rows lie on a threshold.
    x = rng.integers(0, 6, (120, 5)).astype(np.float32) / np.float32(3)
    y = x[:, 0] + (x[:, 1] > 1) * rng.random(120)
    grown = RandomForestRegressor(9, max_leaf_nodes=16, max_depth=6, random_state=seed).fit(x, y)
    forest = Forest(9, 16, 6)
    forest.grow(grown)
    np.testing.assert_allclose(forest(torch.from_numpy(x)).numpy(), grown.predict(x), atol=1e-6)


def test_a_forest_that_does_not_fit_is_refused() -> None:
    x = np.arange(40, dtype=np.float32)[:, None]
    grown = RandomForestRegressor(3, random_state=0).fit(x, x[:, 0])
    with pytest.raises(TrainingError, match="nodes"):
        Forest(3, 4, 20).grow(grown)
    with pytest.raises(TrainingError, match="3 trees"):
        Forest(4, 64, 20).grow(grown)


@given(st.floats(-1e6, 1e6))
def test_thresholds_round_down(value: float) -> None:
    rounded = at_most(value)
    assert float(rounded) <= value
    assert float(np.nextafter(rounded, np.float32(np.inf))) > value


@pytest.mark.parametrize("points", ["five", "dense"])
@pytest.mark.parametrize("normalisation", ["box", "similarity"])
def test_normalised_points_know_neither_place_nor_scale(points: str, normalisation: str) -> None:
    chosen = FeatureSet(points, normalisation)  # type: ignore[arg-type]
    faces = geometry(5)
    here, there = chosen.compute(faces), chosen.compute(moved(faces, 2.0, 31.0))
    count = 10 if points == "five" else 136
    np.testing.assert_allclose(here[:, :count], there[:, :count], atol=2e-3)
    size = [chosen.names.index(n) for n in ("box_width", "box_height", "eye_distance")]
    np.testing.assert_allclose(2 * here[:, size], there[:, size], rtol=1e-4)
    assert here.shape[1] == len(chosen.names) == len(set(chosen.names))


def test_pixels_know_the_place() -> None:
    chosen, faces = FeatureSet("five", "none"), geometry(2)
    assert np.abs(chosen.compute(faces) - chosen.compute(moved(faces, 1, 50)))[:, 0].min() > 49


def test_similarity_is_level_and_of_unit_eye_distance() -> None:
    found = FeatureSet("five", "similarity").compute(geometry(4))
    np.testing.assert_allclose(found[:, :4], [[-0.5, 0, 0.5, 0]] * 4, atol=1e-4)


def test_components_must_be_given_where_wanted() -> None:
    with pytest.raises(VultusError, match="wants components"):
        FeatureSet(components=("sharpness",)).compute(geometry(2))


def test_geometric_labels_by_hand() -> None:
    faces = geometry(4)
    pose = np.array([[0, 0, 0], [40, 0, 0], [0, -30, 0], [0, 0, 40]], np.float32)
    assert geometric_labels(replace(faces, pose=pose)).tolist() == [1, 0, 0, 1]
    tiny = moved(replace(faces, pose=np.zeros((4, 3))), 0.2, 0)
    assert geometric_labels(tiny).sum() == 0


def test_recognition_labels_by_hand() -> None:
    assert recognition_labels([0.5, 0.95], 0.9).tolist() == [0, 1]
    assert recognition_labels([[0.5, 0.95]], 0.9).tolist() == [0.5]
    soft = recognition_labels([0.8, 0.9, 1.0], 0.9, 0.05)
    assert soft[1] == pytest.approx(0.5)
    assert soft[0] == pytest.approx(1 - soft[2])


def probes(n: int = 40) -> Probes:
    faces = geometry(n)
    label = (np.abs(faces.pose[:, 0]) < 30).astype(np.float32)
    return Probes(faces, np.empty((n, 0), np.float32), label, np.arange(n) // 4, np.zeros(n, int))


def test_probes_survive_a_file_and_people_a_split(tmp_path: Path) -> None:
    some = probes()
    save_probes(tmp_path / "p.safetensors", some)
    again = load_probes(tmp_path / "p.safetensors")
    np.testing.assert_array_equal(again.geometry.landmarks, some.geometry.landmarks)
    first, second = again.split(0.3, 1)
    assert len(first) + len(second) == len(some)
    assert not set(first.person) & set(second.person)
    assert len(set(first.person)) == 3
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    with pytest.raises(DatasetError, match="not a file of probes"):
        load_probes(tmp_path / "bad.safetensors")


def test_manual_labels(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([("picture", "label"), ("b", "good"), ("a", "0.25")])
    judged = manual_labels(file, {"a": 0, "b": 1}, probes())
    assert judged.label.tolist() == [1, 0.25]
    file.write_text("picture,label\nc,good\n")
    with pytest.raises(DatasetError, match="line 2"):
        manual_labels(file, {"a": 0}, probes())


def test_drawn_heads_have_exact_labels() -> None:
    drawn = rendered_probes(4, 3, 1)
    assert len(drawn) == 12
    np.testing.assert_array_equal(drawn.label, geometric_labels(drawn.geometry))
    again = rendered_probes(4, 3, 1)
    np.testing.assert_array_equal(drawn.geometry.keypoints, again.geometry.keypoints)


def test_thresholds_and_rates_by_hand() -> None:
    quality = [0.1, 0.2, 0.3, 0.4, 0.5]
    assert threshold_at_rejection(quality, 0.2) == 0.2
    genuine = [0.1, 0.9, 0.2, 0.9, 0.9]
    assert threshold_at_fnmr(quality, genuine, 0.5, 0.0) == 0.4
    assert threshold_at_fnmr(quality, genuine, 0.5, 0.25) == 0.2
    with pytest.raises(ConfigError, match="no quality threshold"):
        threshold_at_fnmr([0.5], [0.0], 0.5, 0.1)
    found = gated(genuine, quality, [0.7, 0.1], [0.1, 0.9], 0.5, 0.35)
    assert (found.frr_before, found.frr_after, found.fta) == (0.4, 0.0, 0.6)
    assert found.frr_of_all == 0.6, "what a user meets: refused or rejected"
    assert (found.far_before, found.far_after) == (0.5, 0.0)


def test_best_shots_of_tracks() -> None:
    shots = best_shots([0.1, 0.9, 0.5, 0.3, 0.4], [7, 7, 7, 2, 2], 2)
    assert [rows.tolist() for rows in shots] == [[4, 3], [1, 2]]
    assert best_shots([], []) == []


def test_reasons_say_what_is_wrong_and_what_to_do() -> None:
    quality = {"overall": 0.1, "sharpness": 0.31, "under_exposure": 0.2, "pose_yaw": 0.9}
    assert reasons(quality) == (
        "too dark: 20 of 100; add light in front of the face",
        "too blurred: 31 of 100; hold the camera still and focus on the face",
    )
    told = refusal(quality, 0.25)
    assert told is not None
    assert told.startswith("quality 10 of 100, 25 wanted: too dark")
    assert refusal(quality | {"overall": 0.25}, 0.25) is None
    assert checked(0) is None
    assert checked(None) is None
    with pytest.raises(ConfigError, match="between 0 and 1"):
        checked(1.5)


def test_the_recipe_trains_exports_and_predicts(tmp_path: Path) -> None:
    recipe = ROOT / "recipes" / "lightweight-quality.yaml"
    done = train(recipe, debug=True, out=tmp_path / "run")
    assert {"accuracy", "auc"} <= set(done.metrics)
    assert "oob_r2" in (tmp_path / "run" / "metrics.csv").read_text()
    # Nothing is left to do.
    assert train(recipe, debug=True, out=tmp_path / "run", resume=True).step == 1
    made = export(tmp_path / "run", tmp_path / "forest.onnx")
    assert made.parity.absolute < 1e-5
    assert read_feature_set(made.path) == FeatureSet()
    predictor = QualityPredictor(made.path, threads=1)
    scores = predictor.score(geometry(70), np.zeros((70, len(NAMES)), np.float32))
    assert scores.shape == (70,)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_gradient_settings_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "lightweight-quality.yaml"
    file.write_text("system: lightweight-quality\nconfig: {}\nsteps: 5\n")
    with pytest.raises(ConfigError, match=r"steps: .*without gradient steps"):
        load_recipe(file)


def test_the_forest_learns_and_knows_what_it_used() -> None:
    some = probes(400)
    learner = LightweightQuality.build(QualitySettings(points="five", trees=40, max_leaves=32))
    whole = type("Whole", (), {"probes": some, "config": QualitySettings(points="five", trees=40)})
    with pytest.raises(TrainingError):
        # More leaves than the learner has room for.
        LightweightQuality.fit(learner, whole, 0)
    learner = LightweightQuality.build(whole.config)
    LightweightQuality.fit(learner, whole, 0)
    found = importance(learner, some, 0)
    assert set(found) == {"landmarks", "box_width", "box_height", "eye_distance", "confidence"}
    assert max(found, key=lambda k: found[k]) == "landmarks"


def test_the_shipped_forest_rates_faces_in_batches() -> None:
    predictor = QualityPredictor(threads=1)
    faces = geometry(3)
    people = [
        Face(b, 0.9, k, landmarks=p, pose=Pose(*map(float, a)))
        for b, k, p, a in zip(faces.box, faces.keypoints, faces.landmarks, faces.pose, strict=True)
    ]
    crops = np.random.default_rng(0).integers(0, 256, (3, 150, 150, 3), dtype=np.uint8)
    sizes = np.full((3, 2), 400)
    together = predictor.predict(crops, people, sizes)
    alone = [predictor.predict(crops[i : i + 1], people[i : i + 1], sizes[:1])[0] for i in range(3)]
    assert [q.overall for q in together] == pytest.approx([q.overall for q in alone], abs=1e-6)
    assert set(together[0].components) == set(NAMES)
    assert predictor.predict(crops[:0], [], sizes[:0]) == []
    assert 0 < MIN_QUALITY < 1
    with pytest.raises(VultusError, match="as many crops"):
        predictor.predict(crops[:1], people, sizes)


def test_other_files_are_no_forests(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no model")
    with pytest.raises(WeightsError, match="no quality forest"):
        QualityPredictor(tmp_path / "x.onnx")
