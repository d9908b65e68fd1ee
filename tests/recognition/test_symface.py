"""SymFace: rho by hand, halves that mirror exactly, the loss, the controls, a tiny run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from vultus.errors import ConfigError  # noqa: E402
from vultus.nets.backbones import Backbone  # noqa: E402
from vultus.nets.learning import Progress  # noqa: E402
from vultus.nets.margins import Margin  # noqa: E402
from vultus.recognition.crops import CropData, load_split, patterns  # noqa: E402
from vultus.recognition.symface import (  # noqa: E402
    SymFace,
    SymFaceSettings,
    SymmetricExamples,
    frontness,
    midline,
    split,
    symmetric_group,
    symmetry_loss,
)
from vultus.training import export, load_recipe, train  # noqa: E402

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "symface.yaml"


def face(left: float, right: float, nose: float) -> np.ndarray:
    return np.array([[[left, 10], [right, 10], [nose, 15], [left, 20], [right, 20]]], np.float32)


def config(**changes: Any) -> SymFaceSettings:
    values: dict[str, Any] = {
        "data": CropData(size=32, identities=6),
        "backbone": Backbone(name="smallnet", size=32, dim=16, width=0.25),
        "margin": Margin(),
        "identities": 6,
        "batch": 8,
        "floor": 0.0,
    }
    return SymFaceSettings(**(values | changes))


@pytest.mark.parametrize(
    ("nose", "rho", "middle"), [(20, 1.0, 20), (25, 0.5, 22.5), (30, 0.0, 25), (50, 0.0, 35)]
)
def test_rho_and_midline_by_hand(nose: float, rho: float, middle: float) -> None:
    assert frontness(face(10, 30, nose)) == pytest.approx([rho])
    assert midline(face(10, 30, nose)) == pytest.approx([middle])


@given(st.floats(0, 40), st.floats(1, 30), st.floats(-20, 20))
def test_rho_does_not_change_when_the_picture_is_mirrored(
    left: float, gap: float, off: float
) -> None:
    one = frontness(face(left, left + gap, left + gap / 2 + off))
    mirrored = frontness(face(100 - left - gap, 100 - left, 100 - left - gap / 2 - off))
    np.testing.assert_allclose(one, mirrored, atol=1e-4)


def test_coinciding_eyes_are_not_frontal() -> None:
    assert frontness(face(10, 10, 10)) == pytest.approx([0.0])


def test_group_is_the_top_quantile_above_the_floor() -> None:
    rho = np.array([0.1, 0.5, 0.7, 0.9, 0.95])
    assert symmetric_group(rho, 0.4, 0.8).tolist() == [False, False, False, True, True]
    assert symmetric_group(rho, 0.8, 0.6).tolist() == [False, False, True, True, True]
    assert not symmetric_group(rho, 0.4, 0.99).any()


@pytest.mark.parametrize("placement", ["pad", "resize", "mirror"])
@pytest.mark.parametrize("column", [7.0, 7.5, 9.0])
def test_halves_of_a_symmetric_face_are_equal(placement: str, column: float) -> None:
    width = 16
    half = torch.randn(2, 3, 12, width, generator=torch.Generator().manual_seed(0))
    x = torch.arange(width)
    twice = int(2 * column)
    fold = torch.where(2 * x <= twice, x, twice - x)
    # Left of the mirror image of the right edge there is nothing on the right to compare with.
    images = half[..., fold.clamp(0)] * ((twice - x >= 0) & (twice - x < width))
    left, right = split(images, torch.tensor([column, column]), placement)
    torch.testing.assert_close(left, right, rtol=0, atol=0)
    assert left.shape == images.shape
    assert left.abs().sum() > 0


def test_placements_put_the_half_where_they_say() -> None:
    row = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).reshape(1, 1, 1, 6)
    middle = torch.tensor([2.5])
    left, right = (h.flatten().tolist() for h in split(row, middle, "pad"))
    assert (left, right) == ([1, 2, 3, 0, 0, 0], [6, 5, 4, 0, 0, 0])
    left, right = (h.flatten().tolist() for h in split(row, middle, "mirror"))
    assert (left, right) == ([1, 2, 3, 3, 2, 1], [6, 5, 4, 4, 5, 6])
    left, _ = split(row, middle, "resize")
    assert left.flatten().tolist() == pytest.approx([1, 1.25, 1.75, 2.25, 2.75, 3.25])


def test_loss_known_answer_and_empty_batch() -> None:
    left = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    right = torch.tensor([[5.0, 0.0], [1.0, 0.0]])
    assert symmetry_loss(left, right, torch.tensor([1.0, 0.5])).item() == pytest.approx(0.25)
    nothing = torch.zeros(0, 2, requires_grad=True)
    symmetry_loss(nothing, nothing, torch.zeros(0)).backward()
    assert nothing.grad is not None


def test_mirrored_examples_move_the_midline_and_keep_rho() -> None:
    examples = SymmetricExamples(patterns(3, 4, 32, 0), config())
    rows = [examples.example(2, np.random.default_rng(s)) for s in range(8)]
    turned = next(r for r in rows if r["flipped"])
    straight = next(r for r in rows if not r["flipped"])
    assert turned["column"] == pytest.approx(31 - straight["column"], abs=1e-4)
    assert turned["rho"] == straight["rho"]
    np.testing.assert_array_equal(turned["image"], straight["image"][..., ::-1])


def test_without_flips_no_picture_is_mirrored() -> None:
    settings = config(flip=False)
    examples = SymFace.data(settings, 0).streams["faces"].examples
    rows = [examples.example(2, np.random.default_rng(s)) for s in range(16)]
    assert not any(r["flipped"] for r in rows)
    np.testing.assert_array_equal(rows[0]["image"], rows[-1]["image"])


def test_every_batch_holds_both_groups() -> None:
    settings = config(symmetric=0.25)
    stream = SymFace.data(settings, 0).streams["faces"]
    for step in range(6):
        rows = [int(i) for i in stream.sampler.batch(step)]
        marks = [stream.examples.example(i, np.random.default_rng(0))["symmetric"] for i in rows]
        assert sum(marks) == 2


def batch_of(settings: SymFaceSettings) -> dict[str, Any]:
    stream = SymFace.data(settings, 0).streams["faces"]
    rows = [
        stream.examples.example(int(i), np.random.default_rng(0)) for i in stream.sampler.batch(0)
    ]
    return {"faces": torch.utils.data.default_collate(rows)}


@pytest.mark.parametrize(
    ("variant", "names"),
    [
        ("base", {"base"}),
        ("symface", {"base", "symmetry"}),
        ("all", {"base", "symmetry"}),
        ("other", {"base", "symmetry"}),
        ("halves", {"base", "halves"}),
    ],
)
@pytest.mark.parametrize("margin", ["arcface", "adaface"])
@pytest.mark.parametrize("network", ["smallnet", "mobilefacenet"])
def test_terms_of_the_method_and_its_controls(
    variant: str, names: set[str], margin: str, network: str
) -> None:
    settings = config(
        variant=variant,
        margin=Margin(name=margin),
        backbone=Backbone(name=network, size=32, dim=16, width=0.25),
    )
    torch.manual_seed(0)
    learner = SymFace.build(settings)
    found = learner.losses(batch_of(settings), Progress(0, 10))
    assert found.terms.keys() == names
    sum(found.terms.values()).backward()
    assert all(p.grad is not None for p in learner.backbone.parameters() if p.requires_grad)


def test_the_same_halves_come_closer_under_the_pull_alone() -> None:
    settings = config(weight=1.0)
    torch.manual_seed(0)
    learner = SymFace.build(settings)
    batch = batch_of(settings)
    optimizer = torch.optim.SGD(learner.backbone.parameters(), 0.05)
    pulls = []
    for _ in range(15):
        found = learner.losses(batch, Progress(0, 10))
        pulls.append(found.terms["symmetry"].item())
        optimizer.zero_grad()
        found.terms["symmetry"].backward()
        optimizer.step()
    assert pulls[-1] < 0.5 * pulls[0]


def test_halves_leave_the_running_statistics_of_whole_faces_alone() -> None:
    settings = config()
    batch = batch_of(settings)
    statistics = []
    for variant in ("base", "symface"):
        torch.manual_seed(0)
        learner = SymFace.build(config(variant=variant))
        learner.losses(batch, Progress(0, 10))
        statistics.append({k: v for k, v in learner.state_dict().items() if "running" in k})
    for name, value in statistics[0].items():
        torch.testing.assert_close(value, statistics[1][name], rtol=0, atol=0)
    torch.manual_seed(0)
    together = SymFace.build(config(together=True))
    together.losses(batch, Progress(0, 10))
    assert any(
        not torch.equal(v, statistics[0][k])
        for k, v in together.state_dict().items()
        if "running" in k
    )


def test_debug_recipe_trains_and_exports_unit_vectors(tmp_path: Path) -> None:
    import onnxruntime

    result = train(RECIPE, debug=True, out=tmp_path / "run", tensorboard=False)
    assert {"tar@0.01", "auc", "halves_cosine"} <= result.metrics.keys()
    written = export(tmp_path / "run", tmp_path / "symface.onnx")
    session = onnxruntime.InferenceSession(str(written.path))
    x = np.random.default_rng(0).uniform(-1, 1, (3, 3, 32, 32)).astype(np.float32)
    (vectors,) = session.run(None, {"input": x})
    assert vectors.shape == (3, 32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_too_few_class_centres_are_refused() -> None:
    with pytest.raises(ConfigError, match="identities"):
        SymFace.data(config(identities=2), 0)


def test_recipe_sizes_must_agree() -> None:
    with pytest.raises(ConfigError, match=r"data\.size"):
        load_recipe(RECIPE, ["config.data.size=112", "config.backbone.size=96"])


def test_training_and_development_people_differ() -> None:
    train_crops, development = load_split(CropData(size=16, identities=10, train=0.7), 3)
    assert len(np.unique(train_crops.people)) == 7
    assert len(np.unique(development.people)) == 3
    seen = {image.tobytes() for image in train_crops.images}
    assert not seen & {image.tobytes() for image in development.images}
