"""Margins: the papers' equations by hand, identities, gradients, half precision."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from pytorch_metric_learning.losses import ArcFaceLoss, CosFaceLoss  # noqa: E402

from vultus.errors import ConfigError  # noqa: E402
from vultus.nets.margins import AdaFace, ArcFace, CosFace, MagFace, Margin, build_margin  # noqa: E402
from vultus.nets.softmax import MarginSoftmax  # noqa: E402

NAMES = ["softmax", "arcface", "cosface", "adaface", "magface"]


def cosines(*degrees: float) -> torch.Tensor:
    return torch.tensor([math.cos(math.radians(d)) for d in degrees], dtype=torch.float64)


def test_arcface_is_the_cosine_of_the_widened_angle() -> None:
    target, penalty = ArcFace(0.5)(cosines(20, 60, 120), torch.ones(3))
    for value, degrees in zip(target, (20, 60, 120), strict=True):
        assert value.item() == pytest.approx(math.cos(math.radians(degrees) + 0.5), abs=1e-6)
    assert penalty.tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", NAMES)
def test_target_falls_as_the_angle_grows(name: str) -> None:
    margin = build_margin(Margin(name=name)).eval()
    degrees = torch.linspace(1, 179, 500, dtype=torch.float64)
    target, _ = margin(torch.deg2rad(degrees).cos(), torch.full((500,), 20.0))
    # AdaFace holds the angle 0.045 rad away from 0 and pi.
    edge = 5 if name == "adaface" else 1
    falling = target[(degrees >= edge) & (degrees <= 180 - edge)]
    assert (falling.diff() < 0).all()
    if name != "softmax":
        assert (target < torch.deg2rad(degrees).cos())[20:-20].all()


def test_cosface_subtracts() -> None:
    target, _ = CosFace(0.4)(torch.tensor([0.9, -0.2]), torch.ones(2))
    assert target.tolist() == pytest.approx([0.5, -0.6])


def test_adaface_by_hand() -> None:
    # Norms 10 and 30: mean 20, deviation 14.142; z = (a - 20) / 14.143 * 0.333 = -+0.23543.
    target, _ = AdaFace(0.4, 0.333)(cosines(60, 60), torch.tensor([10.0, 30.0]))
    z = 10 / (math.sqrt(200) + 1e-3) * 0.333
    for value, sign in zip(target, (-1, 1), strict=True):
        theta = math.pi / 3 - 0.4 * sign * z
        assert value.item() == pytest.approx(math.cos(theta) - (0.4 * sign * z + 0.4), abs=1e-5)


def test_adaface_is_cosface_at_mean_norm_and_ignores_the_norms_gradient() -> None:
    norm = torch.full((4,), 7.0, requires_grad=True)
    cosine = cosines(30, 60, 90, 120).float().requires_grad_()
    target, _ = AdaFace(0.4)(cosine, norm)
    torch.testing.assert_close(target, cosine - 0.4, atol=1e-5, rtol=0)
    target.sum().backward()
    assert norm.grad is None


def test_adaface_evaluation_leaves_the_statistics() -> None:
    margin = AdaFace(momentum=0.5)
    margin(cosines(10, 20), torch.tensor([10.0, 30.0]))
    assert margin.mean.item() == 20.0
    before = margin.std.item()
    assert before == pytest.approx(0.5 * 100 + 0.5 * math.sqrt(200), abs=1e-4)
    margin.eval()(cosines(10, 20), torch.tensor([1.0, 3.0]))
    assert margin.std.item() == before


def test_adaface_batch_of_one_is_finite() -> None:
    target, _ = AdaFace()(cosines(40), torch.tensor([5.0]))
    assert torch.isfinite(target).all()


def test_magface_by_hand() -> None:
    # a = 60 lies in the middle of [10, 110], so m = 0.625; g = 60 / 12100 + 1 / 60.
    target, penalty = MagFace()(cosines(40), torch.tensor([60.0], dtype=torch.float64))
    assert target.item() == pytest.approx(math.cos(math.radians(40) + 0.625), abs=1e-6)
    assert penalty.item() == pytest.approx(35 * (60 / 110**2 + 1 / 60), abs=1e-9)
    _, outside = MagFace()(cosines(40, 40), torch.tensor([1.0, 500.0]))
    assert outside.tolist() == pytest.approx([35 * (10 / 110**2 + 0.1), 35 * (2 / 110)], rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gradcheck(name: str) -> None:
    margin = build_margin(Margin(name=name)).double().eval()
    cosine = cosines(15, 50, 80, 130).requires_grad_()
    norm = torch.tensor([20.0, 40.0, 60.0, 100.0], dtype=torch.float64)
    norm.requires_grad_(name == "magface")
    inputs = (cosine, norm)
    assert torch.autograd.gradcheck(lambda *x: margin(*x), inputs, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_loss_is_finite_on_and_against_the_centre_in_any_precision(
    name: str, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    head = MarginSoftmax(8, 3, Margin(name=name))
    centre = head.weight.detach()[0]
    third = torch.zeros(8) if dtype != torch.float16 else torch.full((8,), 1e-3)
    x = torch.stack([centre * 1e3, -centre * 1e3, third]).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = head(x, torch.tensor([0, 0, 1]))
    assert loss.dtype == torch.float32
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(head.weight.grad).all()


@pytest.mark.parametrize(
    ("name", "reference", "m"),
    [("cosface", CosFaceLoss, 0.35), ("arcface", ArcFaceLoss, math.degrees(0.5))],
)
def test_loss_agrees_with_an_independent_library(name: str, reference: type, m: float) -> None:
    torch.manual_seed(0)
    ours = MarginSoftmax(
        16, 10, Margin(name=name, scale=30.0, m=0.35 if name == "cosface" else 0.5)
    )
    theirs = reference(num_classes=10, embedding_size=16, margin=m, scale=30)
    with torch.no_grad():
        theirs.W.copy_(ours.weight.T)
    x, y = torch.randn(32, 16), torch.arange(32) % 10
    torch.testing.assert_close(ours(x, y), theirs(x, y), rtol=1e-4, atol=1e-4)


def test_plain_softmax_known_answer() -> None:
    head = MarginSoftmax(2, 2, Margin(name="softmax", scale=2.0))
    with torch.no_grad():
        head.weight.copy_(torch.eye(2))
    loss = head(torch.tensor([[5.0, 0.0]]), torch.tensor([0]))
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-2)), abs=1e-6)


@pytest.mark.parametrize("bad", [{"scale": 0.0}, {"m": -0.1}, {"m": 1.6}], ids=str)
def test_margin_settings_out_of_range(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="margin arcface"):
        Margin(**bad)
