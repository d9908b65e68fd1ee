"""The compact recogniser: targets, losses, who is trained on, and training through the trainer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vultus.datasets.crops import LabelledCrops, save_labelled  # noqa: E402
from vultus.datasets.splits import name_places  # noqa: E402
from vultus.errors import ConfigError, DatasetError  # noqa: E402
from vultus.geometry import template  # noqa: E402
from vultus.nets.learning import Progress  # noqa: E402
from vultus.recognition import compact, teachers  # noqa: E402
from vultus.recognition.compact import Compact, CompactSettings, relations  # noqa: E402
from vultus.recognition.compact_faces import faces, parts  # noqa: E402
from vultus.recognition.teachers import fused, taught  # noqa: E402
from vultus.training import export, load_recipe, train  # noqa: E402

RECIPES = Path(__file__).resolve().parents[2] / "recipes" / "compact-recogniser"


class Mean:
    """A teacher that tells mean colours, and counts how many crops it was shown."""

    template = template("dlib150")
    dim = 3

    def __init__(self, space: str = "mean") -> None:
        self.space, self.shown = space, 0

    def predict(self, crops: np.ndarray) -> np.ndarray:
        self.shown += len(crops)
        mean = crops.reshape(len(crops), -1, 3).mean(1) + 1
        return (mean / np.linalg.norm(mean, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def own_teacher(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VULTUS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(compact.predictor, "Embedder", lambda *a, **k: Mean())


def crops_of(names: list[str], splits: list[str], sets: list[str], seed: int = 0) -> LabelledCrops:
    """Return crops of random colours with the labels that 'vultus data crops' writes."""
    rng = np.random.default_rng(seed)
    n = len(names)
    colours = rng.integers(0, 256, (n, 1, 1, 3))
    noise = rng.integers(-20, 21, (n, 150, 150, 3))
    known = {key: sorted(set(values) - {""}) for key, values in
             (("identity", names), ("split", splits), ("set", sets))}  # fmt: skip
    labels = {
        key: np.array([known[key].index(v) if v else -1 for v in values], np.int64)
        for key, values in (("identity", names), ("split", splits), ("set", sets))
    }
    points = np.repeat(template("dlib150").points[None], n, 0)
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
    config = settings(start=False)
    learner = Compact.build(config)
    target = torch.nn.functional.normalize(torch.randn(4, config.dim), dim=1)
    batch = {"faces": {"image": torch.zeros(4, 3, 80, 80), "target": target,
                       "label": torch.tensor([-1, 3, -1, 0])}}  # fmt: skip
    learner.net.forward = lambda x: 5 * target  # type: ignore[method-assign]
    at = learner.losses(batch, Progress(0, 1), "main").terms
    assert float(at["teach"]) == pytest.approx(0, abs=1e-6)
    assert float(at["relations"]) == pytest.approx(0, abs=1e-6)
    learner.net.forward = lambda x: -target  # type: ignore[method-assign]
    assert float(learner.losses(batch, Progress(0, 1), "main").terms["teach"]) == pytest.approx(2)
    batch["faces"]["label"] = torch.full((4,), -1)
    assert set(learner.losses(batch, Progress(0, 1), "main").terms) == {"teach", "relations"}


def test_fused_cosines_are_the_mean_of_the_teachers() -> None:
    rng = np.random.default_rng(0)
    one, two = (rng.normal(size=(400, d)).astype(np.float32) + 3 for d in (4, 6))
    rows = np.arange(300)
    target = fused([one, two], rows, 10)
    cosines = []
    for vectors in (one, two):
        centred = vectors - vectors[rows].mean(0)
        centred /= np.linalg.norm(centred, axis=1, keepdims=True)
        cosines.append(centred @ centred.T)
    np.testing.assert_allclose(target @ target.T, np.mean(cosines, 0), atol=1e-5)
    weighted = fused([one, two], rows, 10, (0.2, 0.8))
    wanted = 0.2 * cosines[0] + 0.8 * cosines[1]
    np.testing.assert_allclose(weighted @ weighted.T, wanted, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(fused([one, two], rows, 5), axis=1), 1, atol=1e-5)
    with pytest.raises(ConfigError, match="10 dimensions, 11 were asked for"):
        fused([one, two], rows, 11)


def test_what_was_taught_is_kept_and_an_interrupted_call_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crops, teacher = crops_of([""] * 7, [""] * 7, ["a"] * 7), Mean()
    wanted = teacher.predict(crops.images)
    teacher.shown = 0
    real = teachers._embedded

    def fails_later(images: np.ndarray, points: np.ndarray, who: Mean) -> np.ndarray:
        if teacher.shown >= 4:
            raise KeyboardInterrupt
        return real(images, points, who)  # type: ignore[arg-type]

    monkeypatch.setattr(teachers, "_embedded", fails_later)
    with pytest.raises(KeyboardInterrupt):
        taught(crops.images, crops.points, teacher, tmp_path, part=2)  # type: ignore[arg-type]
    monkeypatch.setattr(teachers, "_embedded", real)
    found = taught(crops.images, crops.points, teacher, tmp_path, part=2)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, wanted, atol=0.02)
    assert teacher.shown == 7
    again = taught(crops.images[::-1], crops.points, teacher, tmp_path)  # type: ignore[arg-type]
    np.testing.assert_array_equal(again, found[::-1])
    assert teacher.shown == 7
    taught(crops.images, crops.points, Mean("other"), tmp_path)  # type: ignore[arg-type]


def test_nobody_of_a_test_part_or_kept_apart_is_trained_on(
    tmp_path: Path, own_teacher: None
) -> None:
    people = [f"person {i // 2}" for i in range(40)] + ["stranger"] * 4 + [""] * 6
    splits = ["dev-train"] * 40 + ["dev-test"] * 4 + ["", "", "", "val", "test", "train"]
    crops = crops_of(people, splits, ["lfw"] * 44 + ["utkface"] * 6)
    save_labelled(tmp_path / "c.safetensors", crops)
    config = settings(start=False, identities=60, dim=3)
    own = replace(config.data, file=str(tmp_path / "c.safetensors"), renders=None)
    data = Compact.data(replace(config, data=own), 0)
    examples = data.streams["faces"].examples
    trained = {image.tobytes() for image in examples.images}
    low = np.array([bool(w) for w in people]) & (name_places(people) < own.development)
    left_out = low | np.isin(splits, ("dev-test", "val", "test"))
    assert trained == {image.tobytes() for image in crops.images[~left_out]}
    assert len(data.development.people) == (low & (np.array(splits) == "dev-train")).sum() > 1
    known = examples.targets["label"]
    assert (known >= 0).sum() == (~low[:40]).sum()
    assert (known[-4:] == -1).all()


def test_crops_of_another_size_are_refused(tmp_path: Path) -> None:
    small = LabelledCrops(np.zeros((1, 80, 80, 3), np.uint8), np.zeros((1, 5, 2), np.float32))
    save_labelled(tmp_path / "c.safetensors", small)
    data = replace(settings().data, file=str(tmp_path / "c.safetensors"))
    with pytest.raises(DatasetError, match="crops of 150 pixels"):
        faces(data, 0)


def test_without_known_people_there_is_nobody_to_choose_on() -> None:
    crops = crops_of([""] * 3, [""] * 3, ["utkface"] * 3)
    with pytest.raises(DatasetError, match="no people of the set"):
        parts(crops, settings().data)


def test_shares_of_absent_sets_are_refused(own_teacher: None) -> None:
    config = settings(dim=3)
    data = replace(config.data, shares={"renders": 0.5, "lfw": 0.5})
    with pytest.raises(ConfigError, match="no crops of lfw"):
        Compact.data(replace(config, data=data), 0)


@pytest.mark.parametrize("name", ["clean", "gpu"])
def test_the_recipe_trains_and_exports(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_teacher: None
) -> None:
    recipe = load_recipe(RECIPES / f"{name}.yaml", ["config.dim=3"], debug=True) if (
        name == "clean"
    ) else load_recipe(
        RECIPES / "gpu.yaml", ["config.dim=3", "config.backbone.dim=3"], debug=True
    )  # fmt: skip
    result = train(recipe, out=tmp_path / "run", progress=False)
    assert set(result.metrics) == {"tar", "tar_spoiled", "score"}
    done = export(tmp_path / "run", tmp_path / "net.onnx", half=True)
    assert done.parity.relative < 1e-3
    assert 'template = "dlib150"' in done.manifest
