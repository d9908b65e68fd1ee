"""The packaged liveness network: what it takes, what it answers, and that it warns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vultus.analysis import Analyzer
from vultus.errors import VultusError
from vultus.liveness import LivenessAnswer, LivenessPredictor, LivenessSpec
from vultus.liveness.predictor import DEFAULT, THRESHOLDS, WARNING, WARNINGS
from vultus.liveness.windows import crop_faces
from vultus.runtime import Store


@pytest.fixture(scope="module")
def predictor() -> LivenessPredictor:
    return LivenessPredictor(threads=1, offline=True)


def test_the_manifest_says_what_was_seen() -> None:
    weight = Store().weight(DEFAULT)
    assert (weight.task, weight.commercial, weight.template) == ("liveness", "yes", "box1.3")
    assert weight.licence == "Apache-2.0"
    assert weight.bytes < 5_000_000
    assert "no real one" in weight.data
    known = {w.id for w in Store().weights.values() if w.task == "liveness"}
    assert set(THRESHOLDS) == known
    assert set(WARNINGS) <= known


def test_answers_do_not_depend_on_the_batch(predictor: LivenessPredictor) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (40, predictor.size, predictor.size, 3))
    crops = crops.astype(np.uint8)
    scores = predictor.predict(crops)
    assert scores.shape == (40,)
    np.testing.assert_allclose(predictor.predict(crops[35:36]), scores[35:36], atol=1e-4)
    answers = predictor.decide(crops[:3])
    assert [a.score for a in answers] == pytest.approx(scores[:3].tolist(), abs=1e-4)
    assert {a.threshold for a in answers} == {THRESHOLDS[DEFAULT]}
    assert predictor.decide(crops[:0]) == []


@pytest.mark.parametrize(("score", "decision"), [(0.5, "bona fide"), (0.49, "attack")])
def test_scores_from_the_threshold_on_are_bona_fide(score: float, decision: str) -> None:
    answer = LivenessAnswer(score, 0.5)
    assert answer.bona_fide is (decision == "bona fide")
    assert answer.to_dict() == {
        "decision": decision, "score": score, "threshold": 0.5, "warning": WARNING,
    }  # fmt: skip
    assert all("not a security control" in text for text in (WARNING, *WARNINGS.values()))


def test_a_network_has_its_own_warning(predictor: LivenessPredictor) -> None:
    crops = np.zeros((1, predictor.size, predictor.size, 3), np.uint8)
    assert predictor.decide(crops)[0].to_dict()["warning"] == WARNINGS[DEFAULT]
    spec = LivenessSpec("other", predictor.spec.model, predictor.spec.input)
    other = LivenessPredictor(spec, threads=1, threshold=0.2)
    assert other.decide(crops)[0].to_dict()["warning"] == WARNING


def test_a_network_without_threshold_decides_nothing(predictor: LivenessPredictor) -> None:
    spec = LivenessSpec("other", predictor.spec.model, predictor.spec.input)
    other = LivenessPredictor(spec, threads=1)
    crops = np.zeros((1, other.size, other.size, 3), np.uint8)
    assert np.isfinite(other.predict(crops)).all()
    with pytest.raises(VultusError, match="other has no threshold"):
        other.decide(crops)
    assert LivenessPredictor(spec, threads=1, threshold=0.2).decide(crops)[0].threshold == 0.2


def test_an_analyzer_fills_all_faces_in_one_pass(
    analyzer: Analyzer, predictor: LivenessPredictor, astronaut: np.ndarray
) -> None:
    pair = list(
        analyzer.stream(
            [astronaut, np.ascontiguousarray(astronaut[:, ::-1])], embed=False, fields=["liveness"]
        )
    )
    for result, image in zip(pair, (astronaut, astronaut[:, ::-1]), strict=True):
        (face,) = result.faces
        assert set(face.computed()) == {"liveness"}
        assert face.liveness["warning"] == WARNINGS[DEFAULT]
        crop = crop_faces(np.ascontiguousarray(image), face.box[None], "box1.3", predictor.size)
        assert face.liveness["score"] == pytest.approx(float(predictor.predict(crop)[0]), abs=1e-3)


def test_nobody_gets_liveness_unasked(analyzer: Analyzer, astronaut: np.ndarray) -> None:
    (face,) = analyzer.analyze(astronaut)
    assert "liveness" not in face.computed()


def test_a_sheet_scores_lower_than_what_it_shows(predictor: LivenessPredictor) -> None:
    """The one thing that network has learned, on people and draws that it has not seen."""
    pytest.importorskip("torch")
    pytest.importorskip("numba")
    from vultus.liveness.cdcn.simulation import Simulation, rendered
    from vultus.measure.pad import Presentations, pad_eer

    plan = Simulation(train=1, development=1, bona_fide=2, seen=("studio", "phone"))
    data = rendered(plan, "development", tuple(range(50_000, 50_010)), predictor.size, 77)
    scores = predictor.predict(data.crops()[0]).astype(np.float64)
    equal = pad_eer(Presentations(scores, data.species, data.people)).estimate
    assert equal.value < 0.3


def test_the_network_is_packaged() -> None:
    import vultus

    path = Path(vultus.__file__).parent / "weights" / f"{DEFAULT}.onnx"
    assert path.is_file()
    assert str(Path.home()).encode() not in path.read_bytes()


def test_the_command_shows_score_decision_and_warning(
    astronaut: np.ndarray, tmp_path: Path
) -> None:
    import json

    from typer.testing import CliRunner

    from vultus.cli.app import app
    from vultus.images import save_image

    save_image(tmp_path / "face.png", astronaut)
    arguments = ["analyze", str(tmp_path / "face.png"), "--only", "liveness", "--threads", "1"]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    assert "bona fide" in shown.output or "attack" in shown.output
    assert WARNINGS[DEFAULT] in shown.output
    (face,) = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)["faces"]
    assert set(face["liveness"]) == {"decision", "score", "threshold", "warning"}
    assert face["liveness"]["warning"] == WARNINGS[DEFAULT]
    besides = ["analyze", str(tmp_path / "face.png"), "--also", "liveness", "--skip", "quality"]
    (face,) = json.loads(CliRunner().invoke(app, [*besides, "--json"]).stdout)["faces"]
    assert {"liveness", "pose"} <= set(face)
    assert "quality" not in face
