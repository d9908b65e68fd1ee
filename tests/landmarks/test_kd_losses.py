"""The losses of KD-Loss at the borders of their regions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from vultus.landmarks.kd_landmarks.losses import (
    TOLERANT,
    TOUGH,
    Assist,
    assistive_loss,
    main_loss,
    wing_loss,
)

G, D = 0.1, 0.02
SIDES = pytest.mark.parametrize("side", [-1.0, 1.0])
TEACHER_SIDES = pytest.mark.parametrize("teacher_side", [-1.0, 1.0])


def one(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


def loss_and_slope(
    error: float, config: Assist, side: float = 1.0, teacher_side: float = 1.0
) -> tuple[float, float]:
    """Return ALoss at a distance from g, and its derivative by that distance."""
    student = one(G + side * error).requires_grad_()
    value = assistive_loss(student, one(G), one(G + teacher_side * D), config)
    (slope,) = torch.autograd.grad(value.sum(), student)
    return float(value.detach()), side * float(slope)


@SIDES
@TEACHER_SIDES
def test_a_worse_student_is_pulled_to_the_reflected_teacher(
    side: float, teacher_side: float
) -> None:
    value, slope = loss_and_slope(2 * D, TOUGH, side, teacher_side)
    assert value == pytest.approx(1.9 * D)
    assert slope == pytest.approx(1.9)


@SIDES
@TEACHER_SIDES
def test_a_better_student_is_pushed_beyond_the_teacher(side: float, teacher_side: float) -> None:
    value, slope = loss_and_slope(0.5 * D, TOUGH, side, teacher_side)
    assert value == pytest.approx(-0.45 * 0.5 * D)
    # Coming closer to g still lowers the loss, although its value is negative.
    assert slope == pytest.approx(0.45)


@SIDES
def test_the_loss_vanishes_at_the_teacher_and_is_least_at_the_low_border(side: float) -> None:
    at_teacher, _ = loss_and_slope(D, TOUGH, side)
    assert at_teacher == pytest.approx(0, abs=1e-12)
    low = 0.15 * D
    at_border, _ = loss_and_slope(low + 1e-9, TOUGH, side)
    assert at_border == pytest.approx(-0.45 * (1 - 0.15) * D, abs=1e-8)
    grid = np.linspace(low + 1e-9, 3 * D, 50)
    assert min(loss_and_slope(float(e), TOUGH, side)[0] for e in grid) >= at_border - 1e-9


@SIDES
def test_the_released_low_region_is_silent(side: float) -> None:
    for error in (0.0, 0.1 * D):
        assert loss_and_slope(error, TOUGH, side) == (0.0, 0.0)


@SIDES
def test_the_linear_low_region_climbs_smoothly_to_zero_at_the_truth(side: float) -> None:
    config = Assist(low="linear")
    border, _ = loss_and_slope(0.15 * D - 1e-9, config, side)
    assert border == pytest.approx(-0.45 * 0.85 * D, rel=1e-4)
    half, slope = loss_and_slope(0.075 * D, config, side)
    assert half == pytest.approx(-0.45 * 0.5 * (1 - 0.075) * D)
    assert slope == pytest.approx(0.225)
    assert loss_and_slope(1e-12, config, side)[0] == pytest.approx(0, abs=1e-9)


def test_released_values_of_the_tolerant_teacher() -> None:
    assert loss_and_slope(2 * D, TOLERANT)[1] == pytest.approx(1.8)
    assert loss_and_slope(0.5 * D, TOLERANT)[1] == pytest.approx(0.4)


def test_without_reflection_the_teacher_may_pull_across_the_truth() -> None:
    config = Assist(reflect=False)
    value, slope = loss_and_slope(2 * D, config, side=1.0, teacher_side=-1.0)
    assert value == pytest.approx(1.9 * 3 * D)
    assert slope == pytest.approx(1.9)


def test_a_perfect_teacher_pulls_to_the_truth() -> None:
    student = one(G + 0.01).requires_grad_()
    value = assistive_loss(student, one(G), one(G), Assist(low="linear"))
    assert float(value.detach()) == pytest.approx(1.9 * 0.01)


def test_teachers_get_no_gradient() -> None:
    teacher = one(G + D).requires_grad_()
    value = assistive_loss(one(G + 0.5 * D).requires_grad_(), one(G), teacher, TOUGH)
    (slope,) = torch.autograd.grad(value.sum(), teacher, allow_unused=True)
    assert slope is None


@SIDES
def test_main_loss_as_released_has_three_times_the_error_inside(side: float) -> None:
    inside = main_loss(one(G + side * 0.5 * D), one(G), one(G + D))
    assert float(inside) == pytest.approx(3 * 0.5 * D)
    outside = main_loss(one(G + side * 2 * D), one(G), one(G + D))
    assert float(outside) == pytest.approx((2 * D) ** 2 + 3 * D - D**2)


def test_main_loss_of_the_paper_has_a_continuous_slope() -> None:
    slopes = []
    for error in (D * (1 - 1e-6), D * (1 + 1e-6)):
        student = one(G + error).requires_grad_()
        value = main_loss(student, one(G), one(G - D), "paper")
        slopes.append(float(torch.autograd.grad(value.sum(), student)[0]))
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-4)
    assert slopes[0] == pytest.approx(2 * D)


@pytest.mark.parametrize("form", ["code", "paper"])
def test_main_loss_is_continuous(form: str) -> None:
    values = [
        float(main_loss(one(G + e), one(G), one(G + D), form))  # type: ignore[arg-type]
        for e in (D - 1e-9, D + 1e-9)
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-7)


def test_wing_loss_is_continuous_and_linear_far_out() -> None:
    near, far = (float(wing_loss(one(e), one(0.0))) for e in (0.1 - 1e-9, 0.1 + 1e-9))
    assert near == pytest.approx(far, abs=1e-7)
    assert float(wing_loss(one(0.3), one(0.0)) - wing_loss(one(0.2), one(0.0))) == pytest.approx(
        0.1
    )


@pytest.mark.parametrize(
    "wrong", [{"positive": -1.0}, {"negative": 0.1}, {"beta": 1.0}, {"beta": -0.1}]
)
def test_assist_refuses_values_without_meaning(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="beta"):
        Assist(**wrong)
