"""Template protection: what a rotation keeps, and what it hides."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vultus.gallery import Key
from vultus.gallery.protection import Rotation, haar_orthogonal

DIM = 128
SALT = bytes(16)


def unit(rng: np.random.Generator, n: int, dim: int = DIM) -> np.ndarray:
    x = rng.standard_normal((n, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.fixture
def rotation(key: Key) -> Rotation:
    return Rotation(key, SALT, DIM)


def test_cosines_are_kept(rotation: Rotation, rng: np.random.Generator) -> None:
    a, b = unit(rng, 300), unit(rng, 300)
    hidden = rotation.protect(a) @ rotation.protect(b).T
    np.testing.assert_allclose(hidden, a @ b.T, atol=1e-6)


def test_protection_is_undone_by_its_key(rotation: Rotation, rng: np.random.Generator) -> None:
    a = unit(rng, 50)
    np.testing.assert_allclose(rotation.reveal(rotation.protect(a)), a, atol=1e-6)


@pytest.mark.parametrize("dim", [2, 3, 128, 512])
def test_the_matrix_is_orthogonal(key: Key, dim: int) -> None:
    matrix = Rotation(key, SALT, dim).matrix
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(dim), atol=2e-6)


def test_the_matrix_is_a_known_answer() -> None:
    """The same on every machine; worked out with 50 digits by mpmath from the definition."""
    known = [
        [0.9522963477695151, 0.09466421734687057, 0.2901212711590572],
        [-0.1823283566374901, -0.5858583437751096, 0.7896368604586274],
        [-0.24472032279873074, 0.8048656328749476, 0.5406507899061048],
    ]
    np.testing.assert_allclose(haar_orthogonal(b"known answer", 3), known, atol=1.2e-7)


def test_key_salt_and_dimension_each_give_another_matrix(key: Key) -> None:
    other = Key(bytes(32))
    corners = [
        Rotation(key, SALT, 64).matrix[:2, :2].ravel(),
        Rotation(other, SALT, 64).matrix[:2, :2].ravel(),
        Rotation(key, b"\1" * 16, 64).matrix[:2, :2].ravel(),
        Rotation(key, SALT, 65).matrix[:2, :2].ravel(),
    ]
    assert min(np.abs(a - b).max() for i, a in enumerate(corners) for b in corners[:i]) > 0.01


def test_the_matrix_is_haar_distributed() -> None:
    """Uniform on the orthogonal group: traces have moments 0, 1, 0, 3 (Diaconis & Shahshahani)."""
    traces = np.array([np.trace(haar_orthogonal(i.to_bytes(4, "big"), 12)) for i in range(3000)])
    assert abs(traces.mean()) < 4 / np.sqrt(3000)
    assert abs((traces**2).mean() - 1) < 4 * np.sqrt(2 / 3000)
    signs = [np.linalg.det(haar_orthogonal(i.to_bytes(4, "big"), 5)) > 0 for i in range(400)]
    assert stats.binomtest(sum(signs), 400).pvalue > 1e-4


def test_a_protected_template_looks_like_a_random_direction(rng: np.random.Generator) -> None:
    """One face under many keys: each coordinate is distributed as on the uniform sphere."""
    face = unit(rng, 1, 32)
    seen = np.concatenate(
        [Rotation(Key(rng.bytes(32)), SALT, 32).protect(face)[0, :1] for _ in range(1500)]
    )
    # One squared coordinate of a uniform direction is Beta(1/2, (D - 1) / 2).
    assert stats.kstest(seen**2, stats.beta(0.5, 15.5).cdf).pvalue > 1e-4


def test_genuine_pairs_across_galleries_are_at_chance(rng: np.random.Generator) -> None:
    """The same people's templates under two keys are as similar as two random directions."""
    faces = unit(rng, 2000)
    again = faces + 0.02 * rng.standard_normal(faces.shape).astype(np.float32)
    again /= np.linalg.norm(again, axis=1, keepdims=True)
    one, two = (Rotation(Key(rng.bytes(32)), SALT, DIM) for _ in range(2))
    genuine = (one.protect(faces) * two.protect(again)).sum(1)
    impostor = (one.protect(faces) * two.protect(np.roll(again, 1, 0))).sum(1)
    # What an attacker could at best tell apart: area under the ROC, 1/2 is nothing.
    area = stats.mannwhitneyu(genuine, impostor).statistic / len(faces) ** 2
    assert abs(area - 0.5) < 4 * np.sqrt(1 / (6 * len(faces)))
    assert stats.ks_2samp(genuine, impostor).pvalue > 1e-4
    same = (one.protect(faces) * one.protect(again)).sum(1)
    assert same.min() > 0.9


def test_known_pairs_do_break_it(rotation: Rotation, rng: np.random.Generator) -> None:
    """What the docstring admits: D plain templates with their protected ones give the matrix."""
    plain = unit(rng, DIM)
    recovered = np.linalg.solve(plain.astype(np.float64), rotation.protect(plain))
    np.testing.assert_allclose(recovered, rotation.matrix, atol=1e-3)
