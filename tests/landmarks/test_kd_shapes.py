"""Soft points from a shape model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vultus.errors import DatasetError
from vultus.landmarks.kd_landmarks.shapes import LIMIT, ShapeModel, fit_shapes


@pytest.fixture
def shapes() -> np.ndarray:
    """(300, 5, 2): one strong direction, one of a fifth, and a little noise."""
    rng = np.random.default_rng(3)
    axes = np.linalg.qr(rng.standard_normal((10, 2)))[0].T
    weights = rng.standard_normal((300, 2)) * [1.0, 0.2]
    flat = 4 + weights @ axes + 0.01 * rng.standard_normal((300, 10))
    return flat.reshape(300, 5, 2).astype(np.float32)


def test_the_share_of_variance_decides_how_many_components(shapes: np.ndarray) -> None:
    assert [len(fit_shapes(shapes, v).components) for v in (0.9, 0.99, 1.0)] == [1, 2, 10]


def test_components_are_orthonormal(shapes: np.ndarray) -> None:
    c = fit_shapes(shapes, 1.0).components
    np.testing.assert_allclose(c @ c.T, np.eye(len(c)), atol=1e-5)


def test_softening_twice_changes_nothing(shapes: np.ndarray) -> None:
    model = fit_shapes(shapes, 0.9)
    soft = model.soften(shapes)
    np.testing.assert_allclose(model.soften(soft), soft, atol=1e-4)


def test_soft_points_vary_less_than_hard_ones(shapes: np.ndarray) -> None:
    model = fit_shapes(shapes, 0.9)
    assert model.soften(shapes).var(0).sum() < shapes.var(0).sum()


def test_an_odd_shape_is_clamped_to_three_deviations(shapes: np.ndarray) -> None:
    model = fit_shapes(shapes, 0.9)
    far = (model.mean + 100 * model.deviations[0] * model.components[0]).reshape(5, 2)
    expected = model.mean + LIMIT * model.deviations[0] * model.components[0]
    np.testing.assert_allclose(model.soften(far), expected.reshape(5, 2), rtol=1e-4)


def test_with_all_components_ordinary_shapes_stay(shapes: np.ndarray) -> None:
    model = fit_shapes(shapes, 1.0)
    inside = shapes[np.abs((shapes.reshape(300, -1) - model.mean) @ model.components.T
                           / model.deviations).max(1) < LIMIT]  # fmt: skip
    np.testing.assert_allclose(model.soften(inside), inside, atol=1e-4)


def test_a_model_is_stored_and_read(shapes: np.ndarray, tmp_path: Path) -> None:
    model = fit_shapes(shapes, 0.9)
    model.save(tmp_path / "folder" / "shapes.npz")
    read = ShapeModel.load(tmp_path / "folder" / "shapes.npz")
    np.testing.assert_array_equal(read.soften(shapes), model.soften(shapes))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"x\.npz: not a shape model"):
        ShapeModel.load(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("shapes", "variance"),
    [(np.zeros((1, 5, 2)), 0.9), (np.zeros((5, 5, 2)), 0.9), (np.eye(4).reshape(4, 2, 2), 0.0)],
)
def test_shapes_that_tell_nothing_are_refused(shapes: np.ndarray, variance: float) -> None:
    with pytest.raises(DatasetError):
        fit_shapes(shapes, variance)
