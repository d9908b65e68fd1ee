"""Age and sex: the losses by hand, training through the trainer, the shipped network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vultus.attributes.age_sex import YEARS, AgeSex, Answers, labelled
from vultus.attributes.predictor import AgeSexAnswer, AttributePredictor
from vultus.datasets.crops import LabelledCrops, save_labelled
from vultus.errors import DatasetError, VultusError, WeightsError
from vultus.geometry import align, template
from vultus.nets.learning import Progress
from vultus.training import load_recipe, train
from vultus.worlds import WorldSpec, stream

RECIPES = Path(__file__).resolve().parents[2] / "recipes" / "age-sex"


class Fixed(torch.nn.Module):
    """A network that says the same of every picture."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(x), -1)


def test_answers_are_mean_and_spread_of_the_years() -> None:
    logits = torch.full((1, YEARS + 1), -40.0)
    logits[0, [20, 30]] = 0.0
    logits[0, YEARS] = 2.0
    age, spread, male = Answers(Fixed(logits))(torch.zeros(1, 3, 8, 8))[0].tolist()
    assert (age, spread) == pytest.approx((25, 5), abs=1e-3)
    assert male == pytest.approx(1 / (1 + np.exp(-2.0)))


def test_the_losses_are_least_at_the_labels() -> None:
    config = load_recipe(RECIPES / "clean.yaml", debug=True).config
    learner = AgeSex.build(config)
    right = torch.full((1, YEARS + 1), 0.0)
    years = torch.arange(YEARS)
    right[0, :YEARS] = -0.5 * ((years - 40) / config.spread) ** 2
    right[0, YEARS] = 9.0

    def terms(age: float, male: float) -> dict[str, float]:
        learner.net = Fixed(right)
        faces = {
            "image": torch.zeros(1, 3, 8, 8),
            "age": torch.tensor([age]),
            "male": torch.tensor([male]),
        }
        found = learner.losses({"faces": faces}, Progress(0, 1), "main").terms
        return {name: float(value) for name, value in found.items()}

    at, off = terms(40.0, 1.0), terms(50.0, 0.0)
    assert at["age"] == pytest.approx(0, abs=1e-4)
    assert off["age"] == pytest.approx(1, abs=1e-3)
    assert off["distribution"] > at["distribution"] + 5
    assert (at["sex"], off["sex"]) == pytest.approx((1.2e-4, 9.0), rel=0.05)


@pytest.mark.parametrize("name", ["clean", "research"])
def test_the_recipe_trains(name: str, tmp_path: Path) -> None:
    result = train(load_recipe(RECIPES / f"{name}.yaml", debug=True), out=tmp_path, progress=False)
    assert set(result.metrics) == {"age_mae", "sex_accuracy", "error"}


def test_labels_of_a_file_are_read_and_missing_ones_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    crops = LabelledCrops(
        rng.integers(0, 256, (3, 16, 16, 3), np.uint8),
        np.zeros((3, 5, 2), np.float32),
        {"age": np.array([110, 7, np.nan], np.float32), "sex": np.array([1, -1, 0])},
        {"sex": ("female", "male")},
    )
    save_labelled(tmp_path / "c.safetensors", crops)
    config = load_recipe(
        RECIPES / "research.yaml",
        debug=True,
        overrides=[f"config.data.file={tmp_path}/c.safetensors"],
    ).config
    found = labelled(config, 0)
    np.testing.assert_array_equal(found.label("age"), [100, 7, np.nan])
    np.testing.assert_array_equal(found.label("male"), [1, np.nan, 0])
    save_labelled(
        tmp_path / "c.safetensors", LabelledCrops(crops.images, crops.points, crops.labels)
    )
    with pytest.raises(DatasetError, match="no class male"):
        labelled(config, 0)


def test_what_is_tested_is_neither_trained_on_nor_chosen_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    crops = LabelledCrops(
        rng.integers(0, 256, (200, 32, 32, 3), np.uint8),
        np.zeros((200, 5, 2), np.float32),
        {"age": np.arange(200, dtype=np.float32) % 90, "sex": np.arange(200) % 2},
        {"sex": ("female", "male")},
    )
    save_labelled(tmp_path / "c.safetensors", crops)
    config = load_recipe(
        RECIPES / "research.yaml",
        debug=True,
        overrides=[f"config.data.file={tmp_path}/c.safetensors"],
    ).config
    data = AgeSex.data(config, 0)
    trained, chosen = data.streams["faces"].examples.images, data.development.images
    parts = [{image.tobytes() for image in part} for part in (trained, chosen)]
    tested = {image.tobytes() for image in crops.images[crops.places() < config.data.test]}
    assert all((parts[0], parts[1], tested))
    assert not parts[0] & parts[1]
    assert not (parts[0] | parts[1]) & tested
    assert len(parts[0]) + len(parts[1]) + len(tested) == 200


def test_the_shipped_network_answers_for_rendered_faces() -> None:
    predictor = AttributePredictor(threads=1)
    samples = list(stream(WorldSpec(size=160, identities=6), 2, 6))
    crops = np.concatenate(
        [align(s.colour, s.keypoints[None], predictor.template) for s in samples]
    )
    answers = predictor.predict(crops)
    assert all(0 <= a.age <= 100 and 0 <= a.male <= 1 and a.age_deviation > 0 for a in answers)
    # One by one, as in a batch.
    assert predictor.predict(crops[2:3])[0].age == pytest.approx(answers[2].age, abs=1e-3)
    assert predictor.predict(np.empty((0, 150, 150, 3), np.uint8)) == []
    with pytest.raises(VultusError, match="150"):
        predictor.predict(crops[:, :100, :100])


def test_the_answer_as_plain_values() -> None:
    assert AgeSexAnswer(31.0, 4.0, 0.2).to_dict() == {
        "age": 31.0,
        "age_deviation": 4.0,
        "sex": "female",
        "sex_probability": 0.8,
    }


def test_another_weight_is_refused() -> None:
    with pytest.raises(WeightsError, match="age-sex"):
        AttributePredictor("dlib-resnet29")
    assert AttributePredictor(threads=1).template is template("dlib150")
