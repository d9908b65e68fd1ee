"""The compact recogniser: targets, losses, who is trained on, and training through the trainer."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vultus.datasets.crops import LabelledCrops, save_labelled  # noqa: E402
from vultus.datasets.splits import name_places  # noqa: E402
from vultus.errors import ConfigError, DatasetError  # noqa: E402
from vultus.geometry import template  # noqa: E402
from vultus.nets.backbones import to_input  # noqa: E402
from vultus.nets.learning import Progress  # noqa: E402
from vultus.recognition import teachers  # noqa: E402
from vultus.recognition.compact import (  # noqa: E402
    DIM,
    Compact,
    CompactLearner,
    CompactSettings,
    drawn_together,
    network,
    relations,
)
from vultus.recognition.compact_faces import TEMPLATE, faces, parts  # noqa: E402
from vultus.recognition.teachers import RetailEmbedder, taught  # noqa: E402
from vultus.training import export, load_recipe, train  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]
RECIPES = REPOSITORY / "recipes" / "compact-recogniser"
SIDE = template(TEMPLATE).size


class Mean:
    """A teacher that tells the colours of the left edge, and counts the crops it was shown."""

    dim = 3

    def __init__(self, space: str = "mean") -> None:
        self.space, self.shown = space, 0

    def predict(self, crops: np.ndarray) -> np.ndarray:
        self.shown += len(crops)
        mean = crops[:, :, 0].mean(1) + 1
        return (mean / np.linalg.norm(mean, axis=1, keepdims=True)).astype(np.float32)


def crops_of(names: list[str], splits: list[str], sets: list[str], seed: int = 0) -> LabelledCrops:
    """Return crops of random colours with the labels that 'vultus data crops' writes."""
    rng = np.random.default_rng(seed)
    n = len(names)
    colours = rng.integers(0, 256, (n, 1, 1, 3))
    noise = rng.integers(-20, 21, (n, SIDE, SIDE, 3))
    known = {key: sorted(set(values) - {""}) for key, values in
             (("identity", names), ("split", splits), ("set", sets))}  # fmt: skip
    labels = {
        key: np.array([known[key].index(v) if v else -1 for v in values], np.int64)
        for key, values in (("identity", names), ("split", splits), ("set", sets))
    }
    points = np.repeat(template(TEMPLATE).points[None], n, 0)
    images = np.clip(colours + noise, 0, 255).astype(np.uint8)
    return LabelledCrops(images, points, labels, {k: tuple(v) for k, v in known.items()})


def settings(**changes: object) -> CompactSettings:
    found = load_recipe(RECIPES / "clean.yaml", debug=True).config
    return replace(found, **changes)


def test_relations_are_nothing_where_all_cosines_agree_and_grow_with_their_gap() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.nn.functional.normalize(torch.randn(5, 8, generator=generator), dim=1)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=generator))[0]
    assert float(relations(x @ turn, x)) == pytest.approx(0, abs=1e-5)
    one = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    two = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # Two off-diagonal cosines of 1 in place of 0, over N - 1.
    assert float(relations(one, two)) == pytest.approx(2)
    assert float(relations(one[:1], two[:1])) == 0


def test_the_loss_is_least_at_the_targets() -> None:
    learner = CompactLearner(network(width=0.125))
    target = torch.nn.functional.normalize(torch.randn(4, DIM), dim=1)
    batch = {"faces": {"image": torch.zeros(4, 3, SIDE, SIDE), "target": target}}
    learner.net.forward = lambda x: 5 * target  # type: ignore[method-assign]
    at = learner.losses(batch, Progress(0, 1), "main").terms
    assert float(at["teach"]) == pytest.approx(0, abs=1e-6)
    assert float(at["relations"]) == pytest.approx(0, abs=1e-6)
    learner.net.forward = lambda x: -target  # type: ignore[method-assign]
    assert float(learner.losses(batch, Progress(0, 1), "main").terms["teach"]) == pytest.approx(2)


def test_what_is_shipped_lies_between_the_first_and_the_trained_weights() -> None:
    learner = CompactLearner(network(width=0.125), kept=0.25)
    first = {name: value.clone() for name, value in learner.net.state_dict().items()}
    assert all(torch.equal(v, first[k]) for k, v in learner.merged().state_dict().items())
    with torch.no_grad():
        for value in learner.net.parameters():
            value.add_(1)
    for name, value in learner.merged().state_dict().items():
        torch.testing.assert_close(value, first[name] + 0.75)
    assert set(learner.state_dict()) == {f"net.{name}" for name in first}


def test_pictures_of_a_person_are_drawn_together_and_others_stay() -> None:
    vectors = np.eye(4, dtype=np.float32)
    found = drawn_together(vectors, np.array(["a", "a", "", "b"]), 0.5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found[2:], vectors[2:], atol=1e-6)
    # Half-way to the common direction (1, 1) / sqrt 2.
    wanted = np.array([0.5 + 0.5 / 2**0.5, 0.5 / 2**0.5])
    np.testing.assert_allclose(found[0, :2], wanted / np.linalg.norm(wanted), atol=1e-6)
    assert found[0] @ found[1] > 0.5
    np.testing.assert_array_equal(drawn_together(vectors, np.array(["a"] * 4), 0), vectors)


def test_it_begins_as_its_teacher() -> None:
    root = os.environ.get("VULTUS_TEACHERS", REPOSITORY.parent / "shared/weights/teachers")
    teacher = Path(root) / "face-reidentification-retail-0095.xml"
    if not teacher.is_file():
        pytest.skip(f"no {teacher.name} in VULTUS_TEACHERS")
    pytest.importorskip("openvino")
    crops = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
    with torch.no_grad():
        found = network(teacher)(to_input(torch.from_numpy(crops))).numpy()
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    np.testing.assert_allclose(found, RetailEmbedder(teacher).predict(crops), atol=1e-4)


def test_a_narrower_network_begins_with_nobodys_weights() -> None:
    with pytest.raises(ValueError, match="width 1"):
        settings(teacher="teacher.xml", width=0.5)


def test_what_was_taught_is_kept_and_an_interrupted_call_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, teacher = crops_of([""] * 7, [""] * 7, ["a"] * 7).images, Mean()
    wanted = teacher.predict(images) + teacher.predict(images[:, :, ::-1])
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    teacher.shown = 0
    real = teachers._embedded

    def fails_later(images: np.ndarray, who: Mean) -> np.ndarray:
        if teacher.shown >= 8:
            raise KeyboardInterrupt
        return real(images, who)

    monkeypatch.setattr(teachers, "_embedded", fails_later)
    with pytest.raises(KeyboardInterrupt):
        taught(images, teacher, tmp_path, part=2)
    monkeypatch.setattr(teachers, "_embedded", real)
    np.testing.assert_allclose(taught(images, teacher, tmp_path, part=2), wanted, atol=1e-6)
    # Each crop and its mirror image once.
    assert teacher.shown == 14
    again = taught(images[::-1], teacher, tmp_path)
    np.testing.assert_allclose(again[::-1], wanted, atol=1e-6)
    assert teacher.shown == 14
    taught(images, Mean("other"), tmp_path)
    assert taught(images[:0], teacher, tmp_path).shape == (0, 3)


def test_nobody_of_a_test_part_or_kept_apart_is_trained_on(tmp_path: Path) -> None:
    people = [f"person {i // 2}" for i in range(40)] + ["stranger"] * 4 + [""] * 6
    splits = ["dev-train"] * 40 + ["dev-test"] * 4 + ["", "", "", "val", "test", "train"]
    crops = crops_of(people, splits, ["lfw"] * 44 + ["utkface"] * 6)
    save_labelled(tmp_path / "c.safetensors", crops)
    config = settings()
    own = replace(config.data, file=str(tmp_path / "c.safetensors"), renders=None)
    data = Compact.data(replace(config, data=own), 0)
    trained = {image.tobytes() for image in data.streams["faces"].examples.images}
    low = np.array([bool(w) for w in people]) & (name_places(people) < own.development)
    left_out = low | np.isin(splits, ("dev-test", "val", "test"))
    assert trained == {image.tobytes() for image in crops.images[~left_out]}
    assert len(data.development.people) == (low & (np.array(splits) == "dev-train")).sum() > 1


def test_crops_of_another_size_are_refused(tmp_path: Path) -> None:
    small = LabelledCrops(np.zeros((1, 80, 80, 3), np.uint8), np.zeros((1, 5, 2), np.float32))
    save_labelled(tmp_path / "c.safetensors", small)
    data = replace(settings().data, file=str(tmp_path / "c.safetensors"))
    with pytest.raises(DatasetError, match="crops of 128 pixels"):
        faces(data, 0)


def test_without_known_people_there_is_nobody_to_choose_on() -> None:
    crops = crops_of([""] * 3, [""] * 3, ["utkface"] * 3)
    with pytest.raises(DatasetError, match="no people of the set"):
        parts(crops, settings().data)


def test_shares_of_absent_sets_are_refused() -> None:
    config = settings()
    data = replace(config.data, shares={"renders": 0.5, "lfw": 0.5})
    with pytest.raises(ConfigError, match="no crops of lfw"):
        Compact.data(replace(config, data=data), 0)


def test_the_recipe_trains_and_exports(tmp_path: Path) -> None:
    result = train(load_recipe(RECIPES / "clean.yaml", debug=True), out=tmp_path, progress=False)
    assert set(result.metrics) == {"tar", "tar_spoiled", "score"}
    done = export(tmp_path, tmp_path / "net.onnx", half=True)
    assert done.parity.relative < 1e-3
    assert 'template = "retail128"' in done.manifest
