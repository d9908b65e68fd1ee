"""Quantiles against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from vultus.errors import MeasureError
from vultus.measure.distributions import beta_cdf, beta_quantile, normal_cdf, probit, t_quantile

shapes = st.floats(0.5, 2000)


@given(x=st.floats(0, 1), a=shapes, b=shapes)
def test_incomplete_beta_agrees_with_scipy(x: float, a: float, b: float) -> None:
    assert beta_cdf(x, a, b) == pytest.approx(special.betainc(a, b, x), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize(
    ("p", "a", "b"),
    [(0.025, 1, 100), (0.975, 3, 5), (0.5, 0.5, 0.5), (0.025, 1000, 1e6), (1e-6, 2, 50)],
)
def test_beta_quantile_agrees_with_scipy(p: float, a: float, b: float) -> None:
    assert beta_quantile(p, a, b) == pytest.approx(stats.beta.ppf(p, a, b), rel=1e-8)


@pytest.mark.parametrize("degrees", [1, 2, 9, 30, 1000, 1e6])
@pytest.mark.parametrize("p", [0.001, 0.5, 0.9, 0.975, 0.9995])
def test_t_quantile_agrees_with_scipy(p: float, degrees: float) -> None:
    assert t_quantile(p, degrees) == pytest.approx(stats.t.ppf(p, degrees), rel=1e-7, abs=1e-12)


def test_probit_is_the_inverse_normal_and_keeps_shape_and_ends() -> None:
    rates = np.array([[0.0, 0.5, 0.975], [1.0, 0.1, 0.5]])
    assert probit(rates) == pytest.approx(stats.norm.ppf(rates))
    assert normal_cdf(1.2) == pytest.approx(stats.norm.cdf(1.2))


@pytest.mark.parametrize(
    "arguments", [(-0.1, 1, 1), (0.5, 0, 1), (0.5, 1, -1), (float("nan"), 1, 1)]
)
def test_arguments_outside_the_domain_are_refused(arguments: tuple[float, float, float]) -> None:
    with pytest.raises(MeasureError):
        beta_cdf(*arguments)
