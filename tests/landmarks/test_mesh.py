"""What a mesh of 478 points says of the 68."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vultus.errors import DatasetError
from vultus.landmarks.mesh import (
    OUTER_CORNERS,
    VERTICES,
    Correspondence,
    fit_correspondence,
    fit_regression,
    regress,
)


@pytest.fixture
def meshes() -> np.ndarray:
    """(80, 478, 2): a random mesh with ten ways to change, turned, scaled and moved."""
    rng = np.random.default_rng(1)
    mean = rng.uniform(0, 100, (VERTICES, 2))
    mean[OUTER_CORNERS[0]], mean[OUTER_CORNERS[1]] = (20, 40), (80, 40)
    ways = rng.standard_normal((10, VERTICES, 2))
    shapes = mean + np.einsum("nk,kvc->nvc", rng.standard_normal((80, 10)), ways)
    angle = rng.uniform(-0.4, 0.4, 80)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], 1)
    scaled = np.einsum("nij,nvj->nvi", turn.reshape(-1, 2, 2), shapes)
    return scaled * rng.uniform(0.5, 2, (80, 1, 1)) + rng.uniform(-50, 50, (80, 1, 2))


def test_means_of_vertices_are_found_again(meshes: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    near = np.stack([
        np.argsort(np.linalg.norm(meshes[0] - meshes[0, v], axis=1))[:3]
        for v in rng.choice(VERTICES, 68, replace=False)
    ])  # fmt: skip
    points = meshes[:, near].mean(2)
    fitted = fit_correspondence(meshes, points)
    assert fitted.residual.max() < 0.01
    np.testing.assert_allclose(fitted.weights.sum(1), 1, atol=1e-4)
    assert (fitted.weights >= 0).all()


def test_points_off_the_mesh_are_trusted_less(meshes: np.ndarray) -> None:
    points = meshes[:, :68].copy()
    length = np.linalg.norm(meshes[:, OUTER_CORNERS[0]] - meshes[:, OUTER_CORNERS[1]], axis=1)
    noise = np.random.default_rng(3).standard_normal((80, 2)) * length[:, None] * 0.1
    points[:, 8] += noise
    trust = fit_correspondence(meshes, points).trust(0.03)
    assert trust[8] < 0.2 < 0.9 < np.delete(trust, 8).min()


def test_a_correspondence_is_stored_and_read(meshes: np.ndarray, tmp_path: Path) -> None:
    fitted = fit_correspondence(meshes, meshes[:, :68])
    fitted.save(tmp_path / "c.npz")
    read = Correspondence.load(tmp_path / "c.npz")
    np.testing.assert_array_equal(read.apply(meshes), fitted.apply(meshes))
    (tmp_path / "d.npz").write_bytes(b"no")
    with pytest.raises(DatasetError, match="not a correspondence"):
        Correspondence.load(tmp_path / "d.npz")


def test_few_faces_are_refused(meshes: np.ndarray) -> None:
    with pytest.raises(DatasetError, match="too few"):
        fit_correspondence(meshes[:5], meshes[:5, :68])


def test_regression_learns_what_no_vertex_says(meshes: np.ndarray) -> None:
    # Points outside of the mesh, by differences of vertices.
    points = 1.5 * meshes[:, :68] - 0.5 * meshes[:, 100:168]
    matrix, mean = fit_regression(meshes[:60], points[:60], ridge=1e-6)
    found = regress(meshes[60:], matrix, mean)
    length = np.linalg.norm(meshes[60:, 33] - meshes[60:, 263], axis=1)
    error = np.linalg.norm(found - points[60:], axis=2).mean(1) / length
    assert error.max() < 0.02
