"""The classifier of the worked card: pictures on disk, a dry run, predictions, export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vultus.audit.model_cards import choose_threshold, evaluate
from vultus.audit.model_cards.pictures import LabelledPictures, drawn_pictures, load_pictures
from vultus.errors import ConfigError, DatasetError
from vultus.registry import catalogue

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "model-cards.yaml"


class TestPictures:
    def test_come_back_as_they_were_saved(self, tmp_path):
        before = drawn_pictures(16, 16, 0)
        after = load_pictures(before.save(tmp_path / "p.npz"))
        np.testing.assert_array_equal(after.pictures, before.pictures)
        np.testing.assert_array_equal(after.label, before.label)
        assert after.samples.tolist() == before.samples.tolist()
        assert after.people.tolist() == before.people.tolist()
        assert after.groups[0].provenance == before.groups[0].provenance

    def test_of_other_files_are_refused(self, tmp_path):
        file = tmp_path / "p.npz"
        np.savez(file, pictures=np.zeros(3))
        with pytest.raises(DatasetError, match="lacks"):
            load_pictures(file)
        np.savez(file, pictures=np.array([{}], dtype=object))
        with pytest.raises(DatasetError, match="cannot be read"):
            load_pictures(file)
        with pytest.raises(DatasetError, match="cannot be read"):
            load_pictures(tmp_path / "none.npz")

    def test_have_one_row_per_sample(self):
        found = drawn_pictures(8, 16, 0)
        with pytest.raises(DatasetError, match="another length"):
            LabelledPictures(found.pictures, found.samples, found.split, found.label[:4], ())
        with pytest.raises(DatasetError, match="uint8"):
            LabelledPictures(found.pictures / 255.0, found.samples, found.split, found.label, ())
        with pytest.raises(DatasetError, match="split 'final'"):
            found.part("final")

    def test_make_a_table_of_their_scores(self):
        found = drawn_pictures(240, 16, 0)
        made = found.table(found.label * 0.8 + 0.1)
        rates = evaluate(made, threshold=choose_threshold(made))
        assert rates.result("fnr").estimate.value == 0
        assert rates.n == 60


def test_the_system_is_known_without_pytorch():
    entry = catalogue()["model-cards"]
    assert (entry.paper, entry.task) == (41, "audit")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    from vultus.training import load_checkpoint, train

    out = tmp_path_factory.mktemp("run")
    overrides = {"steps": 40, "schedule.warmup": 1, "optimizer.lr": 0.01}
    result = train(RECIPE, overrides, debug=True, out=out, tensorboard=False)
    _, learner, _ = load_checkpoint(result.checkpoint)
    return learner, result


def test_the_dry_run_learns_a_bright_half(trained):
    _, result = trained
    assert result.metrics["auc"] > 0.9


def test_predictions_do_not_depend_on_the_batch(trained):
    from vultus.audit.model_cards.classifier import predict

    learner, _ = trained
    pictures = drawn_pictures(10, 32, 3).pictures
    whole, parts = predict(learner, pictures), predict(learner, pictures, batch=3)
    np.testing.assert_allclose(whole, parts, atol=1e-6)
    assert whole.shape == (10,)
    assert ((whole >= 0) & (whole <= 1)).all()


def test_the_exported_network_gives_the_same(trained, tmp_path):
    from vultus.audit.model_cards import ModelCards
    from vultus.audit.model_cards.classifier import predict
    from vultus.nets.onnx import export_onnx
    from vultus.runtime import Session

    learner, _ = trained
    shipped = ModelCards.export(learner)["model-cards"]
    export_onnx(shipped.module, shipped.example, tmp_path / "m.onnx", outputs=shipped.outputs)
    pictures = drawn_pictures(4, 32, 3).pictures
    batch = (pictures.astype(np.float32) / 127.5 - 1).transpose(0, 3, 1, 2)
    (found,) = Session(tmp_path / "m.onnx").run(np.ascontiguousarray(batch))
    np.testing.assert_allclose(found[:, 0], predict(learner, pictures), atol=1e-5)


def test_pictures_must_have_the_size_of_the_recipe(tmp_path):
    from vultus.audit.model_cards import ModelCards
    from vultus.audit.model_cards.recipe import ClassifierSettings

    file = drawn_pictures(8, 16, 0).save(tmp_path / "p.npz")
    with pytest.raises(ConfigError, match="side 16, the recipe says size: 64"):
        ModelCards.data(ClassifierSettings(file=str(file)), 0)
    with pytest.raises(ValueError, match="multiple of 16"):
        ClassifierSettings(file=None, size=40)
